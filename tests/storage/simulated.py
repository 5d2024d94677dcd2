"""A directory in memory that forgets what it may forget, by the contract of `coord/storage/files.py`."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from coord.storage.records import SECTOR_BYTES


class Crashed(BaseException):
    """The power failed. Not an Exception, so that nothing handles it."""


@dataclass(slots=True)
class Content:
    """One file, whatever its name."""

    now: bytearray
    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes]] = field(default_factory=list)
    """Written since the last sync."""


Choose = Callable[[], bool]
"""Whether something that was not synced survives the crash."""


class SimulatedFiles:
    """Crashes before operation number `crash_at`, counted from 0; fails those in `errors`, by method name."""

    def __init__(self, names: dict[str, Content] | None = None) -> None:
        self.directory = "/simulated"
        self.operations = 0
        self.crash_at: int | None = None
        self.errors: dict[str, OSError] = {}
        self._names = dict(names or {})
        self._durable_names = dict(self._names)
        self._pending_names: list[tuple[str, Content | None]] = []
        """Each change of one name since the last `sync_directory`; None: it was removed."""

    def lock(self) -> None:
        self._step("lock")

    def names(self) -> list[str]:
        self._step("names")
        return sorted(name for name in self._names if "/" not in name)

    def size(self, name: str) -> int:
        self._step("size")
        return len(self._names[name].now)

    def read(self, name: str, offset: int, length: int) -> bytes:
        self._step("read")
        return bytes(self._names[name].now[offset : offset + length])

    def create(self, name: str, size: int) -> None:
        self._step("create")
        self._set_name(name, Content(bytearray(size)))

    def grow(self, name: str, size: int) -> None:
        self._step("grow")
        now = self._names[name].now
        now.extend(bytes(size - len(now)))

    def subdirectory(self, name: str) -> "SimulatedSubdirectory":
        return SimulatedSubdirectory(self, name)

    def write(self, name: str, offset: int, data: bytes) -> None:
        self._step("write")
        content = self._names[name]
        assert offset + len(data) <= len(content.now), "writing makes no file longer"
        content.now[offset : offset + len(data)] = data
        content.pending.append((offset, data))

    def sync(self, name: str) -> None:
        content = self._names[name]
        try:
            self._step("sync")
        except OSError:  # as Linux does: the pages stay readable, count as clean, and are never written
            content.pending.clear()
            raise
        content.durable = content.durable.ljust(len(content.now), b"\0")
        for offset, data in content.pending:
            content.durable[offset : offset + len(data)] = data
        content.pending.clear()

    def rename(self, old: str, new: str) -> None:
        self._step("rename")
        self._set_name(new, self._names[old])
        self._set_name(old, None)

    def remove(self, name: str) -> None:
        self._step("remove")
        self._set_name(name, None)

    def sync_directory(self) -> None:
        self._sync_names(lambda name: "/" not in name)

    def sync_names_below(self, prefix: str) -> None:
        """As `sync_directory`, of a subdirectory."""
        self._sync_names(lambda name: name.startswith(prefix))

    def _sync_names(self, are_in: Callable[[str], bool]) -> None:
        self._step("sync_directory")
        later = []
        for name, content in self._pending_names:
            if not are_in(name):
                later.append((name, content))
            elif content is None:
                self._durable_names.pop(name, None)
            else:
                self._durable_names[name] = content
        self._pending_names = later

    def close(self) -> None:
        pass

    def after_crash(self, survives: Choose) -> "SimulatedFiles":
        """What a machine that lost its power finds on its disk."""
        names = dict(self._durable_names)
        for name, content in self._pending_names:
            if survives():
                if content is None:
                    names.pop(name, None)
                else:
                    names[name] = content
        return SimulatedFiles({name: self._torn(content, survives) for name, content in names.items()})

    def after_kill(self) -> "SimulatedFiles":
        """What the next process finds after a kill: all that was written, none of it more durable."""
        copy = SimulatedFiles(self._names)
        copy._durable_names = dict(self._durable_names)
        copy._pending_names = list(self._pending_names)
        return copy

    def content(self, name: str) -> bytearray:
        """To be damaged by a test."""
        return self._names[name].now

    def forget_writes(self, name: str) -> None:
        """As a sync that failed: they can be read, and no later sync writes them."""
        self._names[name].pending.clear()

    def copy(self) -> "SimulatedFiles":
        """As if everything had been synced."""
        return SimulatedFiles({name: _on_disk(content.now) for name, content in self._names.items()})

    def _step(self, method: str) -> None:
        if self.operations == self.crash_at:
            raise Crashed
        self.operations += 1
        if method in self.errors:
            raise self.errors[method]

    def _set_name(self, name: str, content: Content | None) -> None:
        self._pending_names.append((name, content))
        if content is None:
            del self._names[name]
        else:
            self._names[name] = content

    def _torn(self, content: Content, survives: Choose) -> Content:
        known, size = len(content.durable), len(content.now)
        if known < size and not survives():
            size = known
        after = bytearray(size)
        after[: len(content.durable)] = content.durable
        for offset, data in content.pending:
            for start in range(0, len(data), SECTOR_BYTES):
                part = data[start : start + SECTOR_BYTES]
                if offset + start + len(part) <= size and survives():
                    after[offset + start : offset + start + len(part)] = part
        return _on_disk(after)


class SimulatedSubdirectory:
    """Its files are those of the directory above, with its name before theirs."""

    def __init__(self, above: SimulatedFiles, name: str) -> None:
        self.directory = f"{above.directory}/{name}"
        self._above = above
        self._prefix = f"{name}/"

    def lock(self) -> None:
        raise AssertionError("the directory above is locked")

    def names(self) -> list[str]:
        self._above._step("names")
        length = len(self._prefix)
        return sorted(name[length:] for name in self._above._names if name.startswith(self._prefix))

    def size(self, name: str) -> int:
        return self._above.size(self._prefix + name)

    def read(self, name: str, offset: int, length: int) -> bytes:
        return self._above.read(self._prefix + name, offset, length)

    def create(self, name: str, size: int) -> None:
        self._above.create(self._prefix + name, size)

    def grow(self, name: str, size: int) -> None:
        self._above.grow(self._prefix + name, size)

    def subdirectory(self, name: str) -> "SimulatedSubdirectory":
        return SimulatedSubdirectory(self._above, self._prefix + name)

    def write(self, name: str, offset: int, data: bytes) -> None:
        self._above.write(self._prefix + name, offset, data)

    def sync(self, name: str) -> None:
        self._above.sync(self._prefix + name)

    def rename(self, old: str, new: str) -> None:
        self._above.rename(self._prefix + old, self._prefix + new)

    def remove(self, name: str) -> None:
        self._above.remove(self._prefix + name)

    def sync_directory(self) -> None:
        self._above.sync_names_below(self._prefix)

    def close(self) -> None:
        pass


def _on_disk(data: bytes | bytearray) -> Content:
    return Content(bytearray(data), bytearray(data))


def everything() -> bool:
    """All that was written has reached the disk, synced or not."""
    return True


def nothing() -> bool:
    """Only what was synced has."""
    return False


def some(seed: int) -> Choose:
    """Each sector and each name for itself."""
    dice = random.Random(seed)
    return lambda: dice.random() < 0.5
