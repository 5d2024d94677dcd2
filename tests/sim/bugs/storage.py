"""Bugs of the disk's side: what is written, what is synced, what is believed after a start."""

from typing import Any

import pytest
from msgspec.structs import replace

from coord.sim.disk import VirtualFiles
from coord.storage.errors import DiskFailed
from coord.storage.recovery import cut_off
from coord.storage.store import Store
from coord.storage.wal import Wal
from tests.sim.bugs.registry import bug


@bug
def sync_of_a_file_does_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(VirtualFiles, "sync", lambda self, name: None)


@bug
def sync_of_the_directory_does_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(VirtualFiles, "sync_directory", lambda self: None)


@bug
def failed_sync_is_ignored(patch: pytest.MonkeyPatch) -> None:
    """Row 19."""
    write = Store.write

    def write_anyway(self: Store, persists: Any) -> None:
        try:
            write(self, persists)
        except DiskFailed:
            self._failure = None
            self._is_sound = True

    patch.setattr(Store, "write", write_anyway)


@bug
def recovery_trusts_the_page_cache(patch: pytest.MonkeyPatch) -> None:
    """Fsyncgate: what was read back may lie on no disk."""

    def start(self: Wal) -> None:
        if self._torn is not None:
            cut_off(self._files, self._torn)
        self.mark()

    patch.setattr(Wal, "start", start)


@bug
def truncation_is_not_written(patch: pytest.MonkeyPatch) -> None:
    write = Store.write

    def write_without(self: Store, persists: Any) -> None:
        write(self, [replace(persist, truncate_from=None) for persist in persists])

    patch.setattr(Store, "write", write_without)


@bug
def vote_is_not_written(patch: pytest.MonkeyPatch) -> None:
    """Row 2."""
    write = Store.write

    def write_without(self: Store, persists: Any) -> None:
        write(
            self,
            [
                replace(persist, hard_state=persist.hard_state and replace(persist.hard_state, voted_for=None))
                for persist in persists
            ],
        )

    patch.setattr(Store, "write", write_without)


@bug
def boots_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    """The commands of a member's new life look like repeats of its old one's."""
    patch.setattr(Store, "incarnation", property(lambda self: 1))
