"""Bugs of levels: when one comes in force, and who learns of it (row 10: members of two releases)."""

from typing import Any
from weakref import WeakSet

import pytest

from coord.replica.replica import Replica
from coord.tree.levels import Levels
from tests.sim.bugs.registry import bug, hiding_bug
from tests.sim.bugs.snapshots import forget_when_adopting


@bug
def level_rises_before_all_members_know_it(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Levels, "highest_for", lambda self, members: self.known)


@bug
def level_rises_when_a_majority_knows_it(patch: pytest.MonkeyPatch) -> None:
    def highest_for_most(self: Levels, members: Any) -> int:
        known = sorted((self.announced.get(member, 1) for member in members), reverse=True)
        return known[len(known) // 2]

    patch.setattr(Levels, "highest_for", highest_for_most)


@bug
def snapshot_has_no_level(patch: pytest.MonkeyPatch) -> None:
    forget_when_adopting(patch, lambda machine: machine.levels.put_in_force(1, ""))


@hiding_bug
def members_announce_themselves_once(patch: pytest.MonkeyPatch) -> None:
    """A leader whose state comes from a snapshot of an earlier release has not heard those that were upgraded first."""
    announce, have_announced = Replica._announce, WeakSet[Replica]()

    def announce_once(self: Replica) -> None:
        if self not in have_announced:
            have_announced.add(self)
            announce(self)

    patch.setattr(Replica, "_announce", announce_once)
