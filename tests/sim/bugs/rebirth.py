"""Bugs of the cluster that is made of what is left of another."""

import pytest

from coord.backup.survivors import Survivor
from coord.raft.types import Index
from coord.sim import rebirth as sim_rebirth
from coord.tree import rebirth
from coord.tree.machine import Machine
from tests.sim.bugs.registry import bug, hiding_bug


@bug
def least_of_what_is_left_is_taken(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sim_rebirth, "most_up_to_date", lambda some: min(some, key=lambda one: (one.end.term, one.end.index)))


@hiding_bug
def new_cluster_numbers_on_from_what_was_saved(patch: pytest.MonkeyPatch) -> None:
    """What was acknowledged after that had these numbers."""
    patch.setattr(rebirth, "first_index", lambda saved, founded_ms: Index(saved + 1))


@bug
def new_cluster_gives_sequence_numbers_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rebirth, "raised", lambda creates: creates)


@bug
def each_new_member_makes_a_cluster_of_its_own(patch: pytest.MonkeyPatch) -> None:
    derived, made = rebirth._derived, iter(range(1 << 20))

    def differently(what: str, seed: bytes) -> bytes:
        return derived(what, seed + str(next(made)).encode())

    patch.setattr(rebirth, "_derived", differently)


@bug
def log_after_the_snapshot_is_left_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Survivor, "runs", lambda self: iter(()))


@bug
def new_directory_forgets_its_cluster(patch: pytest.MonkeyPatch) -> None:
    """A member of the old one would be taken for one of the new."""

    def begin(machine: Machine, *rest: object, is_final: bool) -> object:
        before = machine.cluster
        reborn = begin_anew(machine, *rest, is_final=is_final)  # type: ignore[arg-type]
        machine.cluster = before
        return reborn

    begin_anew = rebirth.begin_anew
    patch.setattr("coord.backup.founding.begin_anew", begin)
