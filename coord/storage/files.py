"""The seam to the disk: one flat directory, and exactly as much of POSIX as a write-ahead log needs.

Three implementations: `RealFiles` below, `memory.MemoryFiles` for servers that need to remember nothing, and the
simulator's, which loses and tears whatever it is allowed to. A directory that is not to be changed is a `StoppedFiles`.
What a crash (of the machine, not only of the process) may do is the contract:

    contents   What was written is what `read` returns at once. It is durable when the next `sync` of that
               file has returned. Until then a crash keeps any part of the bytes written since the last
               `sync`: any subset of 512-byte sectors, and of a sector perhaps only some bytes; every other
               byte has the value it had at that `sync`. Bytes that were not written are never touched.
    sizes      `create` and `grow` make zeros; length and zeros are durable with the next `sync`. Until then
               the file may be as short after a crash as it was before. Writing never makes a file longer.
    names      `create`, `rename` and `remove` are durable when the next `sync_directory` has returned.
               Until then a crash may undo any of them, each for itself. `sync` of a file does not make
               its name durable.
    rename     is atomic: `new` is the old file or the new one, never neither.
    errors     are OSErrors. After one from `write` or `sync` nothing is known of the bytes concerned.

All methods block, and none is called by two threads at once; but a subdirectory may have a thread of its own.
"""

import fcntl
import os
from typing import Protocol

from coord.storage.errors import DirectoryInUse

LOCK_NAME = "lock"


class ReadableFiles(Protocol):
    """One directory of files, named without slashes."""

    directory: str
    """How messages to people call it."""

    def lock(self) -> None:
        """Become the directory's only user until `close`. Raises `DirectoryInUse`. The first call of all."""
        ...

    def names(self) -> list[str]:
        """All files in order of name, the lock's own among them."""
        ...

    def size(self, name: str) -> int: ...

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Up to `length` bytes; fewer only at the file's end."""
        ...

    def subdirectory(self, name: str) -> "ReadableFiles":
        """The directory of that name in this one, which may not be there: then it has no files."""
        ...

    def close(self) -> None:
        """Give up the lock, if this is the directory that has it. Syncs nothing."""
        ...


class Files(ReadableFiles, Protocol):
    """One that can be changed."""

    def create(self, name: str, size: int) -> None:
        """A file of `size` zeros with its space reserved; what had that name before is gone."""
        ...

    def grow(self, name: str, size: int) -> None:
        """Make the file `size` bytes long, by zeros. It may reserve no space."""
        ...

    def subdirectory(self, name: str) -> "Files":
        """The directory of that name in this one: made, durably, if it is not there. This one's lock is its lock."""
        ...

    def write(self, name: str, offset: int, data: bytes) -> None:
        """All of `data` or an OSError; `offset + len(data)` is within the file's size."""
        ...

    def sync(self, name: str) -> None: ...

    def rename(self, old: str, new: str) -> None: ...

    def remove(self, name: str) -> None: ...

    def sync_directory(self) -> None: ...


class RealFiles:
    """A directory of this machine. `lock` makes it, durably, with its parents, if it is not there."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._lock: int | None = None
        # One descriptor is kept: the file that is being written to, which for months is the last segment of
        # the log.
        self._kept_name = ""
        self._kept = -1

    def lock(self) -> None:
        _make_directory(os.path.abspath(self.directory))
        # flock, not a file that merely exists: it ends with its process, however that dies.
        lock = os.open(self._path(LOCK_NAME), os.O_RDWR | os.O_CREAT, 0o640)
        _take_lock(lock, self.directory)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock

    def names(self) -> list[str]:
        return sorted(os.listdir(self.directory))

    def size(self, name: str) -> int:
        return os.stat(self._path(name)).st_size

    def read(self, name: str, offset: int, length: int) -> bytes:
        file = os.open(self._path(name), os.O_RDONLY)
        try:
            return os.pread(file, length, offset)
        finally:
            os.close(file)

    def create(self, name: str, size: int) -> None:
        self._keep(name, os.open(self._path(name), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o640))
        if size:
            os.posix_fallocate(self._kept, 0, size)

    def grow(self, name: str, size: int) -> None:
        os.ftruncate(self._descriptor(name), size)

    def subdirectory(self, name: str) -> "RealFiles":
        if not os.path.isdir(self._path(name)):
            os.mkdir(self._path(name), 0o750)
        _sync_directory(self.directory)  # always: whoever made it may have been killed before this
        return RealFiles(self._path(name))

    def write(self, name: str, offset: int, data: bytes) -> None:
        file = self._descriptor(name)
        written = os.pwrite(file, data, offset)
        while written < len(data):  # a signal, or a disk that is nearly full: the next call tells
            written += os.pwrite(file, memoryview(data)[written:], offset + written)

    def sync(self, name: str) -> None:
        os.fdatasync(self._descriptor(name))

    def rename(self, old: str, new: str) -> None:
        self._keep("", -1)
        os.rename(self._path(old), self._path(new))

    def remove(self, name: str) -> None:
        self._keep("", -1)
        os.unlink(self._path(name))

    def sync_directory(self) -> None:
        _sync_directory(self.directory)

    def close(self) -> None:
        self._keep("", -1)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def _descriptor(self, name: str) -> int:
        if name != self._kept_name:
            self._keep(name, os.open(self._path(name), os.O_RDWR))
        return self._kept

    def _keep(self, name: str, file: int) -> None:
        if self._kept >= 0:
            os.close(self._kept)
        self._kept_name, self._kept = name, file


class StoppedFiles:
    """A directory of this machine that nobody is to change: what a member left, or a backup."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._lock: int | None = None

    def lock(self) -> None:
        try:
            lock = os.open(self._path(LOCK_NAME), os.O_RDONLY)
        except FileNotFoundError:
            return  # a copy, without it
        _take_lock(lock, self.directory)
        self._lock = lock

    def subdirectory(self, name: str) -> "StoppedFiles":
        return StoppedFiles(self._path(name))

    def names(self) -> list[str]:
        """None, if there is no such directory."""
        return sorted(os.listdir(self.directory)) if os.path.isdir(self.directory) else []

    def size(self, name: str) -> int:
        return os.stat(self._path(name)).st_size

    def read(self, name: str, offset: int, length: int) -> bytes:
        with open(self._path(name), "rb", buffering=0) as file:
            return os.pread(file.fileno(), length, offset)

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)


def _take_lock(lock: int, directory: str) -> None:
    """Raises `DirectoryInUse`; then the descriptor is closed."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
        os.close(lock)
        raise DirectoryInUse(directory, int(text) if text.isdigit() else None) from None


def _make_directory(path: str) -> None:
    """As `mkdir -p`, but a directory that was made is still there after the power has failed."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    _make_directory(parent)
    os.mkdir(path, 0o750)
    _sync_directory(parent)


def _sync_directory(path: str) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
