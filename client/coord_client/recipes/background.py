"""Work in the background, for as long as a scope lasts."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio

from coord_client.client import Client

RETRY_PAUSE: Final = 0.5  # before the next try of what failed, so that a failure that lasts keeps no core busy


@asynccontextmanager
async def running(client: Client, work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Within it, `work` runs among the client's own tasks; it is cancelled, and has ended, after it.

    Not a task group around the body: that would wrap what the body raises. So `work` must deal with its errors.
    """
    scope = anyio.CancelScope()
    ended = anyio.Event()

    async def run() -> None:
        try:
            with scope:
                await work()
        finally:
            ended.set()

    client.start_soon(run)
    try:
        yield
    finally:
        scope.cancel()
        with anyio.CancelScope(shield=True):
            await ended.wait()
