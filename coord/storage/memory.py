"""A directory that lives as long as its process, for servers that need to remember nothing: tests, mostly."""

import errno
from dataclasses import dataclass, field

from coord.storage.errors import DirectoryInUse
from coord.storage.files import LOCK_NAME


@dataclass(slots=True)
class _File:
    size: int
    data: bytearray = field(default_factory=bytearray)
    """Up to the last byte that was written; zeros follow. A segment of the log is 64 MiB from the start."""


class MemoryFiles:
    """Satisfies `coord.storage.files.Files`: nothing is lost between two calls, and everything at the end."""

    def __init__(self, directory: str = "memory") -> None:
        self.directory = directory
        self._files: dict[str, _File] = {}
        self._subdirectories: dict[str, MemoryFiles] = {}
        self._is_locked = False

    def lock(self) -> None:
        if self._is_locked:
            raise DirectoryInUse(self.directory, None)
        self._is_locked = True
        self._files.setdefault(LOCK_NAME, _File(0))

    def names(self) -> list[str]:
        return sorted(self._files)

    def size(self, name: str) -> int:
        return self._file(name).size

    def read(self, name: str, offset: int, length: int) -> bytes:
        file = self._file(name)
        length = max(0, min(length, file.size - offset))
        return bytes(file.data[offset : offset + length]).ljust(length, b"\0")

    def create(self, name: str, size: int) -> None:
        self._files[name] = _File(size)

    def grow(self, name: str, size: int) -> None:
        self._file(name).size = size

    def subdirectory(self, name: str) -> "MemoryFiles":
        return self._subdirectories.setdefault(name, MemoryFiles(f"{self.directory}/{name}"))

    def write(self, name: str, offset: int, data: bytes) -> None:
        file = self._file(name)
        assert offset + len(data) <= file.size, "writing never makes a file longer"
        if offset > len(file.data):
            file.data.extend(bytes(offset - len(file.data)))
        file.data[offset : offset + len(data)] = data

    def sync(self, name: str) -> None:
        self._file(name)

    def rename(self, old: str, new: str) -> None:
        self._files[new] = self._file(old)
        del self._files[old]

    def remove(self, name: str) -> None:
        self._file(name)
        del self._files[name]

    def sync_directory(self) -> None:
        pass

    def close(self) -> None:
        self._is_locked = False

    def _file(self, name: str) -> _File:
        file = self._files.get(name)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", name)
        return file
