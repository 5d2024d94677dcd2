"""Bugs of snapshots: what is in them, when they count, and how a member goes on from one."""

from typing import Any

import pytest
from msgspec.structs import replace

from coord.raft import Raft
from coord.raft.leader import Leader
from coord.replica.clients import Clients
from coord.replica.installation import Installation
from coord.replica.outbox import Outbox
from coord.replica.replica import Replica
from coord.replica.snapshot_work import CutLog
from coord.replica.snapshots import Snapshots
from coord.sim.disk import VirtualFiles
from coord.storage.store import Store
from coord.tree.machine import Machine
from tests.sim.bugs.registry import bug, hiding_bug

# -- what is in them


def forget_when_adopting(patch: pytest.MonkeyPatch, forget: Any) -> None:
    adopt = Machine.adopt

    def adopt_and_forget(self: Machine, state: Any) -> None:
        adopt(self, state)
        forget(self)

    patch.setattr(Machine, "adopt", adopt_and_forget)


@bug
def snapshot_has_no_leases(patch: pytest.MonkeyPatch) -> None:
    """ZOOKEEPER-1208 and its kin: row 23."""
    forget_when_adopting(patch, lambda machine: machine.leases.table.clear())


@bug
def snapshot_does_not_know_what_was_applied_before(patch: pytest.MonkeyPatch) -> None:
    """A command that is sent again is then done again: row 22."""
    forget_when_adopting(patch, lambda machine: machine.origins.clear())


@bug
def snapshot_has_no_clock(patch: pytest.MonkeyPatch) -> None:
    forget_when_adopting(patch, lambda machine: setattr(machine, "clock_ms", 0))


# -- when they count


@bug
def log_is_cut_before_the_snapshot_is_durable(patch: pytest.MonkeyPatch) -> None:
    """Row 30, ZOOKEEPER-2325."""
    go_on = Snapshots._go_on

    def go_on_and_cut(self: Snapshots, frozen: Any) -> None:
        go_on(self, frozen)
        if self._is_ending:
            self._work.append(CutLog(self._place.index))

    patch.setattr(Snapshots, "_go_on", go_on_and_cut)


@bug
def name_of_a_snapshot_is_not_synced(patch: pytest.MonkeyPatch) -> None:
    """Row 21."""
    sync_directory = VirtualFiles.sync_directory

    def sync_only_the_log(self: VirtualFiles) -> None:
        if not self.directory.endswith("snapshots"):
            sync_directory(self)

    patch.setattr(VirtualFiles, "sync_directory", sync_only_the_log)


@bug
def bytes_of_a_snapshot_are_not_synced(patch: pytest.MonkeyPatch) -> None:
    sync = VirtualFiles.sync

    def sync_only_the_log(self: VirtualFiles, name: str) -> None:
        if not self.directory.endswith("snapshots"):
            sync(self, name)

    patch.setattr(VirtualFiles, "sync", sync_only_the_log)


# -- how a member goes on from one


@bug
def restart_of_the_log_is_not_written(patch: pytest.MonkeyPatch) -> None:
    write = Store.write

    def write_without(self: Store, persists: Any) -> None:
        write(self, [replace(persist, restart_at=None) for persist in persists])

    patch.setattr(Store, "write", write_without)


@bug
def member_that_is_behind_is_offered_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Installation, "look", lambda self, now: None)


@bug
def installation_does_not_pass_over_what_it_covers(patch: pytest.MonkeyPatch) -> None:
    install = Raft.install

    def install_and_repeat(self: Raft, place: Any, membership: Any) -> bool:
        taken = self._commit_taken
        is_installed = install(self, place, membership)
        self._commit_taken = taken
        return is_installed

    patch.setattr(Raft, "install", install_and_repeat)


@bug
def commands_that_a_snapshot_covers_still_wait(patch: pytest.MonkeyPatch) -> None:
    """Then the outcomes of later ones are taken for theirs."""
    patch.setattr(Outbox, "skip", lambda self, last_seq: None)


@hiding_bug
def clients_stay_through_an_installation(patch: pytest.MonkeyPatch) -> None:
    """Their watches miss what happened in between."""
    adopt, close = Replica._adopt, Clients.close

    def adopt_and_keep(self: Replica, state: Any, place: Any) -> None:
        patch.setattr(Clients, "close", lambda self, connection: None)
        adopt(self, state, place)
        patch.setattr(Clients, "close", close)

    patch.setattr(Replica, "_adopt", adopt_and_keep)


@bug
def leader_forgets_what_a_slow_member_needs(patch: pytest.MonkeyPatch) -> None:
    """It cuts its log, and does not notice who has not got that far."""
    patch.setattr(Leader, "on_compacted", lambda self, raft: None)


# -- what they are for


@bug
def log_in_memory_is_never_cut(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Raft, "compact", lambda self, index: None)


@bug
def log_on_disk_is_never_cut(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Store, "cut_log", lambda self, before: None)
