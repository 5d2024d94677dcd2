"""What must not grow with the age of a cluster: the log in memory, the log on disk, and what lies beside it.

Looked at when everything is at rest. The bounds follow from the profile, with room for a snapshot that was given up and
for what was applied while one was written; a leak passes them within one run, for the log of a run is far longer.
"""

from collections.abc import Sequence

from coord.raft.types import BEGINNING, Place, Run
from coord.sim.disk import VirtualFiles
from coord.sim.server import Server
from coord.sim.swarm import Profile
from coord.sim.verdict import Violation
from coord.storage.snapshot_files import SNAPSHOTS_NAME
from coord.storage.store import Store

INTERVALS = 4
"""How much log may be there, in units of what lies between two snapshots: two are kept, another may be on its way."""

SLACK_BYTES = 4096
"""More than the largest run of the simulator."""

SNAPSHOT_FILES = 4
"""Two that are kept, one that is written, one that is received."""


def check_growth(server: Server, profile: Profile, kept: Sequence[Place]) -> None:
    """`kept`: the snapshots that the server's disk has confirmed, oldest first."""
    assert server.process is not None, "everybody is up when everything is at rest"
    files = server.platter.subdirectory(SNAPSHOTS_NAME).names
    if len(files) > SNAPSHOT_FILES:
        raise Violation("what is of no use any more goes", f"member {server.member} has the files {sorted(files)}")
    # As much of the log as a snapshot is large goes by before the next.
    interval = max([profile.snapshot_log_bytes, *(len(inode.cached) for inode in files.values())])
    bound = INTERVALS * interval + SLACK_BYTES
    log = server.process.replica.raft.log
    _check(server, "of log in memory", log.runs, profile.retained_log_bytes + bound)
    stored = Store.open(VirtualFiles(server.platter.copy_safe(), "/copy"), server.member).stored
    oldest = kept[0] if kept else BEGINNING
    useless = [run for run in stored.runs if run.last <= oldest.index]
    _check(server, "before all snapshots", useless, profile.machinery.segment_bytes + bound)


def _check(server: Server, where: str, runs: Sequence[Run], bound: int) -> None:
    size = sum(len(run.data) for run in runs)
    if size > bound:
        raise Violation(
            "what is of no use any more goes", f"member {server.member} keeps {size} bytes {where}, not {bound}"
        )
