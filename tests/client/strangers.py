"""kazoo, unmodified, on the paths of a test. It blocks, so its calls run in threads."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio.to_thread
from kazoo.client import KazooClient

from tests.client.ways import World

T = TypeVar("T")


@asynccontextmanager
async def kazoo_of(world: World) -> AsyncIterator[KazooClient]:
    """A client of kazoo's with the same root as those of `world`."""
    kazoo = KazooClient(f"{world.server}{world.root}")
    await in_thread(kazoo.start)
    try:
        yield kazoo
    finally:
        await in_thread(kazoo.stop)
        await in_thread(kazoo.close)


async def in_thread(call: Callable[..., T], *args: Any) -> T:
    """The result of a call that blocks; left behind if the test gives up."""
    return await anyio.to_thread.run_sync(call, *args, abandon_on_cancel=True)
