"""Bugs to put into the real classes for the time of a test. Most have happened in systems people rely on.

The numbers are those of RELIABILITY §1.
"""

from tests.sim.bugs import consensus, levels, members, rebirth, sessions, snapshots, storage, tree
from tests.sim.bugs.registry import BUGS, HIDING, Bug

__all__ = [
    "BUGS",
    "HIDING",
    "Bug",
    "consensus",
    "levels",
    "members",
    "rebirth",
    "sessions",
    "snapshots",
    "storage",
    "tree",
]
