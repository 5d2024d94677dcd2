"""Many requests at a time, but not all of them at once."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

import trio

from coord.cli.groups import leaves

T = TypeVar("T")

AT_A_TIME: Final = 256  # they leave in few sends, and no server is flooded


async def for_each(items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Returns when all are done. The first error stops the rest, and is raised as it is."""
    limit = trio.CapacityLimiter(AT_A_TIME)

    async def one(item: T) -> None:
        async with limit:
            await work(item)

    try:
        async with trio.open_nursery() as nursery:
            for item in items:
                nursery.start_soon(one, item)
    except ExceptionGroup as group:
        raise leaves(group)[0] from None
