"""Descriptors that are waited for together, and who is told when they are ready."""

import selectors
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

_READ = selectors.EVENT_READ
_WRITE = selectors.EVENT_WRITE


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Source(Protocol[T_contra]):
    """Something that is waited for."""

    def on_readable(self, batch: T_contra) -> int:
        """Take what is there; the number of bytes it adds to this turn."""
        ...

    def on_writable(self) -> None: ...


class Poll(Generic[T]):
    """A set of descriptors, each with its source. It has a descriptor of its own, which may be in another set."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.fileno: Callable[[], int] = self._selector.fileno
        self.close: Callable[[], None] = self._selector.close

    def add(self, what: HasFileno, source: Source[T]) -> None:
        """Tell `source` whenever there is something to read."""
        self._selector.register(what, _READ, source)

    def want_write(self, what: HasFileno, source: Source[T], on: bool) -> None:
        """Tell it, or no longer, when there is room to write, too."""
        self._selector.modify(what, _READ | _WRITE if on else _READ, source)

    def remove(self, what: HasFileno) -> None:
        """Before it is closed."""
        self._selector.unregister(what)

    def dispatch(self, batch: T, wait: float, limit: float) -> int:
        """Tell everybody who is ready, having waited `wait` seconds for the first; no more once `limit` bytes came.

        Returns how many did. Who was left out is still ready at the next call.
        """
        taken = 0
        for key, events in self._selector.select(wait):
            source: Source[T] = key.data
            if events & _WRITE:
                source.on_writable()
            if events & _READ:
                taken += source.on_readable(batch)
                if taken > limit:
                    break
        return taken
