"""News for several readers, each with a queue of its own."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from coord_client.signals import Mailbox
from coord_protocol.errors import WatchOverflow

T = TypeVar("T")


class Feed(Generic[T]):
    """What is told goes to everybody who reads now.

    `keeps_all`: a reader that falls too far behind gets `WatchOverflow`, since it must miss nothing. Otherwise
    only the newest item counts, and is all that waits for a busy reader.
    """

    def __init__(self, name: str, *, keeps_all: bool) -> None:
        self._name = name
        self._keeps_all = keeps_all
        self._boxes: list[Mailbox[T]] = []

    def tell(self, item: T) -> None:
        """Hand `item` to all readers."""
        for box in self._boxes:
            if not self._keeps_all:
                box.put_over_oldest(item)
            elif not box.put(item):
                box.close(WatchOverflow(f"{self._name}: more than {box.size} changes waited; begin anew"))

    @asynccontextmanager
    async def open(self, first: Iterable[T], size: int = 1) -> AsyncIterator[Mailbox[T]]:
        """A reader: gets `first`, then what is told from now on, of which up to `size` items may wait."""
        beginning = list(first)
        box: Mailbox[T] = Mailbox(size + len(beginning) if self._keeps_all else 1)
        for item in beginning:
            box.put_over_oldest(item)
        self._boxes.append(box)
        try:
            yield box
        finally:
            self._boxes.remove(box)
            box.close()

    def close(self) -> None:
        """Nothing more will be told: readers come to an end after what waits for them."""
        for box in self._boxes:
            box.close()
