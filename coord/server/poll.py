"""Descriptors that are waited for together, and who is told when they are ready."""

import select
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

_READ = select.EPOLLIN
_WRITE = select.EPOLLOUT


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Source(Protocol[T_contra]):
    """Something that is waited for."""

    def on_readable(self, batch: T_contra) -> int:
        """Take what is there; the number of bytes it adds to this turn."""
        ...

    def on_writable(self) -> None: ...


class Poll(Generic[T]):
    """A set of descriptors, each with its source. It has a descriptor of its own, which may be in another set.

    Not `selectors`: it makes an object of each event, which a turn of a hundred clients pays a hundred times.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._sources: dict[int, Source[T]] = {}
        self.fileno: Callable[[], int] = self._epoll.fileno
        self.close: Callable[[], None] = self._epoll.close

    def add(self, what: HasFileno, source: Source[T]) -> None:
        """Tell `source` whenever there is something to read."""
        file = what.fileno()
        self._epoll.register(file, _READ)
        self._sources[file] = source

    def want_write(self, what: HasFileno, on: bool) -> None:
        """Tell its source, or no longer, when there is room to write, too."""
        self._epoll.modify(what.fileno(), _READ | _WRITE if on else _READ)

    def remove(self, what: HasFileno) -> None:
        """Before it is closed."""
        file = what.fileno()
        del self._sources[file]
        self._epoll.unregister(file)

    def dispatch(self, batch: T, wait: float, limit: float) -> int:
        """Tell everybody who is ready, having waited `wait` seconds for the first; no more once `limit` bytes came.

        Returns how many did. Who was left out is still ready at the next call.
        """
        taken = 0
        sources = self._sources
        for file, events in self._epoll.poll(wait):
            source = sources.get(file)
            if source is None:
                continue  # removed by another source in this very round
            if events & _WRITE:
                source.on_writable()
            if events & ~_WRITE:  # an error, or the end, is told by reading
                taken += source.on_readable(batch)
                if taken > limit:
                    break
        return taken
