"""Bugs of membership: whose votes count, what is forgotten with a member, and who is heard."""

from typing import Any

import pytest
from msgspec.structs import replace

from coord.raft import Raft
from coord.raft.configuration import Configuration
from coord.raft.leader import Leader
from coord.raft.log import Log
from coord.raft.types import Index
from coord.replica.changes import Changes
from coord.replica.office import Office
from coord.replica.replica import Replica
from coord.storage.store import Store
from coord.transport import handshake
from coord.tree.machine import Machine
from coord.tree.members import Members
from tests.sim.bugs.registry import bug, hiding_bug
from tests.sim.bugs.snapshots import forget_when_adopting

# -- whose votes count


@bug
def voters_change_in_one_step(patch: pytest.MonkeyPatch) -> None:
    """Row 1: two majorities that share nobody."""

    def change(self: Leader, raft: Raft, configuration: Configuration, now: float) -> Index:
        return self._configure(raft, configuration, now)

    patch.setattr(Leader, "change", change)


@bug
def new_voters_alone_decide_while_members_change(patch: pytest.MonkeyPatch) -> None:
    """Row 12, etcd raft 027bdb5: the outgoing voters are left out."""
    patch.setattr(Configuration, "majorities", property(lambda self: (self.voters,)))


@bug
def learners_count(patch: pytest.MonkeyPatch) -> None:
    def everybody(self: Configuration) -> tuple[tuple[Any, ...], ...]:
        return (self.members,)

    patch.setattr(Configuration, "majorities", property(everybody))


@bug
def change_ends_before_half_of_it_is_committed(patch: pytest.MonkeyPatch) -> None:
    finish = Leader.finish_turn

    def finish_turn(self: Leader, raft: Raft) -> None:
        if raft.configuration.is_joint:
            joint = raft.configuration
            self._configure(raft, replace(joint, outgoing=()), raft.now)
        finish(self, raft)

    patch.setattr(Leader, "finish_turn", finish_turn)


@bug
def change_does_not_end(patch: pytest.MonkeyPatch) -> None:
    """Whatever comes next is refused for ever."""
    patch.setattr(Leader, "_end_change", lambda self, raft: None)


@hiding_bug
def configuration_outlives_its_entry(patch: pytest.MonkeyPatch) -> None:
    """Paper §6: a member goes back to the one before when the log is truncated."""
    truncate = Log.truncate

    def truncate_and_remember(self: Log, first: Index) -> None:
        memberships = list(self.memberships)
        truncate(self, first)
        self.memberships = memberships

    patch.setattr(Log, "truncate", truncate_and_remember)


# -- who gets a vote


@bug
def vote_for_who_has_never_answered(patch: pytest.MonkeyPatch) -> None:
    """A typo in an address costs the cluster its majority."""
    patch.setattr(Changes, "_are_ready", lambda self, newcomers, now: True)


@bug
def patience_has_no_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Changes, "_lose_patience", lambda self, desired, now: None)


# -- snapshots


@bug
def snapshot_has_no_members(patch: pytest.MonkeyPatch) -> None:
    forget_when_adopting(patch, lambda machine: setattr(machine, "members", Members()))


@hiding_bug
def restart_from_a_snapshot_falls_back_to_the_founders(patch: pytest.MonkeyPatch) -> None:
    """Row 12."""
    patch.setattr("coord.replica.replica.replace", lambda stored, membership: stored)


# -- who was a member before


@bug
def member_without_its_disk_is_heard(patch: pytest.MonkeyPatch) -> None:
    """It has forgotten what it acknowledged, and whom it gave its vote."""
    patch.setattr(handshake, "_directory_of", lambda member, me: 0)


@bug
def state_remembers_who_was_removed(patch: pytest.MonkeyPatch) -> None:
    """One that comes back with an empty disk counts its commands from 1 again."""
    configure = Machine._configure

    def configure_and_remember(self: Machine, run: Any) -> None:
        origins = dict(self.origins)
        configure(self, run)
        self.origins.update(origins)

    patch.setattr(Machine, "_configure", configure_and_remember)


@bug
def leader_remembers_who_was_removed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Office, "members_are", lambda self, members: None)


@hiding_bug
def who_was_added_again_goes_on_as_before(patch: pytest.MonkeyPatch) -> None:
    """What it sends is never taken: the others count it from 1 on."""
    patch.setattr(Replica, "_check_that_we_are_still_counted", lambda self: None)


@bug
def incarnations_of_two_directories_are_the_same(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Store, "incarnation", property(lambda self: self._identity.boots))
