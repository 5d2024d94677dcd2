"""A disk that keeps what it must and loses what it may: `coord.storage.files` to the letter, on the unkind
side.

A `Platter` is the hardware: it outlives processes and power. Each inode has the bytes that are safe, and the
writes since its last sync, of which a power failure keeps any sectors and any part of a sector. Names are
kept apart from inodes, as on a real file system: what `create`, `rename` and `remove` did is safe only after
`sync_directory`. A subdirectory is a platter of its own that loses power with the one above it.

`VirtualFiles` is what one process sees of it. Its calls take effect for the process at once, but reach the
platter only with `settle`, which the simulator calls when the disk would have answered: a crash before that
happens somewhere *between* two of the calls, and everything after that point was never done. A kill loses no
more than that (the page cache is the kernel's and survives); a power failure loses what was not synced as
well.
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any, TypeAlias

from coord.storage.errors import DirectoryInUse
from coord.storage.files import LOCK_NAME

SECTOR = 512


class PowerLost(BaseException):
    """The machine stops in the middle of a call to its disk. Not an Exception: no handler of the server may
    see it.
    """


@dataclass(slots=True, eq=False)
class Inode:
    cached: bytearray
    """What a read returns while the machine runs."""

    safe: bytearray = field(default_factory=bytearray)
    """What survives anything; shorter than `cached` if it has grown since the last sync, and empty before the first."""

    unsafe: list[tuple[int, bytes]] = field(default_factory=list)
    """Writes since the last sync: (offset, bytes)."""


class Platter:
    """The hardware under one directory of one server."""

    __slots__ = ("_kept", "_name_changes", "_subdirectories", "chance", "is_locked", "names")

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.names: dict[str, Inode] = {}
        """The directory as the running machine sees it."""

        self._kept: dict[str, Inode] = {}
        """The directory as it is safe."""

        self._name_changes: list[tuple[str, str, str, Inode]] = []
        self._subdirectories: dict[str, Platter] = {}
        self.is_locked = False

    def subdirectory(self, name: str) -> "Platter":
        """Always there: to whoever asks for it, one that was never made is an empty one."""
        return self._subdirectories.setdefault(name, Platter(self.chance))

    # What a file system does.

    def create(self, name: str, size: int) -> None:
        self._change("create", name, name, Inode(bytearray(size)))

    def write(self, name: str, offset: int, data: bytes) -> None:
        inode = self.names[name]
        inode.cached[offset : offset + len(data)] = data
        inode.unsafe.append((offset, data))

    def grow(self, name: str, size: int) -> None:
        cached = self.names[name].cached
        cached.extend(bytes(size - len(cached)))

    def sync(self, name: str) -> None:
        inode = self.names[name]
        inode.safe.extend(bytes(len(inode.cached) - len(inode.safe)))
        for offset, data in inode.unsafe:
            inode.safe[offset : offset + len(data)] = data
        inode.unsafe.clear()

    def fail_sync(self, name: str) -> None:
        """The kernel keeps the pages and takes them for clean: nothing will ever write them (fsyncgate)."""
        self.names[name].unsafe.clear()

    def rename(self, old: str, new: str) -> None:
        self._change("rename", old, new, self.names[old])

    def remove(self, name: str) -> None:
        self._change("remove", name, name, self.names[name])

    def sync_directory(self) -> None:
        self._kept = dict(self.names)
        self._name_changes.clear()

    def _change(self, what: str, old: str, new: str, inode: Inode) -> None:
        change = (what, old, new, inode)
        self._name_changes.append(change)
        _apply(self.names, change)

    # What a power failure does.

    def lose_power(self) -> None:
        """Only what is safe is left, and chance decides about the rest."""
        chance = self.chance
        survival = chance.choice((0.0, 0.5, 0.5, 0.9, 1.0))
        kept = self._kept
        for change in self._name_changes:
            if chance.random() < survival:
                _apply(kept, change)
        self._name_changes.clear()
        for inode in kept.values():
            self._lose_writes(inode, survival)
        self._kept = kept
        self.names = dict(kept)
        for platter in self._subdirectories.values():
            platter.lose_power()

    def _lose_writes(self, inode: Inode, survival: float) -> None:
        chance = self.chance
        safe = inode.safe
        known, full = len(safe), len(inode.cached)
        if known < full:
            length = full if chance.random() < survival else chance.choice((known, chance.randint(known, full)))
            safe.extend(bytes(length - known))
        for offset, data in inode.unsafe:
            for start, piece in _sectors(offset, data):
                if chance.random() < survival:
                    at, kept = start, piece
                    if chance.random() < 0.5:  # the sector itself is torn, mostly early: its end is often padding
                        cut = chance.randint(0, chance.randint(0, len(piece)))
                        at, kept = chance.choice(((start, piece[:cut]), (start + cut, piece[cut:])))
                    kept = kept[: max(0, len(safe) - at)]
                    safe[at : at + len(kept)] = kept
        inode.unsafe.clear()
        inode.cached = bytearray(safe)

    def rot(self, name: str) -> None:
        """Some bytes of the file are not any more what was written."""
        inode = self.names[name]
        for _ in range(self.chance.choice((1, 1, 3, SECTOR))):
            at = self.chance.randrange(len(inode.safe))
            inode.safe[at] = inode.cached[at] = inode.cached[at] ^ self.chance.randint(1, 255)

    def copy_safe(self) -> "Platter":
        """Another disk with exactly what would be left if nothing un-synced survived: for checkers."""
        copy = Platter(self.chance)
        copy._kept = {name: Inode(bytearray(inode.safe), bytearray(inode.safe)) for name, inode in self._kept.items()}
        copy.names = dict(copy._kept)
        copy._subdirectories = {name: platter.copy_safe() for name, platter in self._subdirectories.items()}
        return copy


def _apply(names: dict[str, Inode], change: tuple[str, str, str, Inode]) -> None:
    what, old, new, inode = change
    if what == "remove":
        names.pop(new, None)
        return
    if what == "rename" and names.get(old) is inode:
        del names[old]
    names[new] = inode


def _sectors(offset: int, data: bytes) -> list[tuple[int, bytes]]:
    """A write in pieces that each lie in one sector.

    >>> [(start, len(piece)) for start, piece in _sectors(500, bytes(600))]
    [(500, 12), (512, 512), (1024, 76)]
    """
    cuts = [0, *range(SECTOR - offset % SECTOR, len(data), SECTOR), len(data)]
    return [(offset + start, data[start:end]) for start, end in pairwise(cuts) if start < end]


Call: TypeAlias = tuple[Callable[..., None], tuple[Any, ...]]


@dataclass(slots=True)
class Trouble:
    """What is wrong with a disk, as the process on it will notice: the same in all its directories."""

    calls_until_power_loss: int | None = None
    """Set to have the machine stop in the middle of what comes."""

    is_full: bool = False
    """No file that is new, or grows, finds room."""

    fails_next_sync: bool = False


class VirtualFiles:
    """One process's view of a platter; satisfies `coord.storage.files.Files`."""

    def __init__(self, platter: Platter, directory: str, trouble: Trouble | None = None) -> None:
        self.directory = directory
        self.trouble = trouble or Trouble()
        self._platter = platter
        self._seen: dict[str, bytearray] = {name: bytearray(inode.cached) for name, inode in platter.names.items()}
        self._calls: list[Call] = []
        self._subdirectories: dict[str, VirtualFiles] = {}

    # The seam.

    def lock(self) -> None:
        if self._platter.is_locked:
            raise DirectoryInUse(self.directory, None)
        self._platter.is_locked = True
        if LOCK_NAME not in self._seen:
            self._do(self._platter.create, LOCK_NAME, 0)
            self._seen[LOCK_NAME] = bytearray()

    def names(self) -> list[str]:
        return sorted(self._seen)

    def size(self, name: str) -> int:
        return len(self._file(name))

    def read(self, name: str, offset: int, length: int) -> bytes:
        return bytes(self._file(name)[offset : offset + length])

    def create(self, name: str, size: int) -> None:
        self._find_room()
        self._do(self._platter.create, name, size)
        self._seen[name] = bytearray(size)

    def grow(self, name: str, size: int) -> None:
        file = self._file(name)
        assert size >= len(file), "growing never makes a file shorter"
        self._find_room()
        self._do(self._platter.grow, name, size)
        file.extend(bytes(size - len(file)))

    def write(self, name: str, offset: int, data: bytes) -> None:
        file = self._file(name)
        assert offset + len(data) <= len(file), "writing never makes a file longer"
        self._do(self._platter.write, name, offset, bytes(data))
        file[offset : offset + len(data)] = data

    def sync(self, name: str) -> None:
        self._file(name)
        if self.trouble.fails_next_sync:
            self.trouble.fails_next_sync = False
            self._do(self._platter.fail_sync, name)
            raise OSError(errno.EIO, "Input/output error")
        self._do(self._platter.sync, name)

    def rename(self, old: str, new: str) -> None:
        self._file(old)
        self._do(self._platter.rename, old, new)
        self._seen[new] = self._seen.pop(old)

    def remove(self, name: str) -> None:
        self._file(name)
        self._do(self._platter.remove, name)
        del self._seen[name]

    def sync_directory(self) -> None:
        self._do(self._platter.sync_directory)

    def subdirectory(self, name: str) -> "VirtualFiles":
        files = self._subdirectories.get(name)
        if files is None:
            files = VirtualFiles(self._platter.subdirectory(name), f"{self.directory}/{name}", self.trouble)
            files._calls = self._calls  # until `separate`: one order, for there is one thread
            self._subdirectories[name] = files
        return files

    def close(self) -> None:
        self._platter.is_locked = False

    # What the simulator does.

    def separate(self) -> None:
        """From now on calls to a subdirectory reach its platter apart, and a crash cuts them apart."""
        self.settle()
        for files in self._subdirectories.values():
            files._calls = []

    def settle(self) -> None:
        """All calls so far have reached the platter."""
        for call, arguments in self._calls:
            call(*arguments)
        self._calls.clear()

    def die(self) -> None:
        """The process is gone at some point among the calls that have not reached the platter."""
        for files in self._subdirectories.values():
            if files._calls is not self._calls:
                files.die()
        chance, count = self._platter.chance, len(self._calls)
        # Half of the time just before the last call: that is a sync, and all that it was to make safe is at stake.
        cut = chance.choice((max(0, count - 1), chance.randint(0, count)))
        for call, arguments in self._calls[:cut]:
            call(*arguments)
        self._calls.clear()
        self.close()

    def _file(self, name: str) -> bytearray:
        file = self._seen.get(name)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", name)
        return file

    def _find_room(self) -> None:
        if self.trouble.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")

    def _do(self, call: Callable[..., None], *arguments: Any) -> None:
        trouble = self.trouble
        if trouble.calls_until_power_loss is not None:
            trouble.calls_until_power_loss -= 1
            if trouble.calls_until_power_loss < 0:
                raise PowerLost
        self._calls.append((call, arguments))
