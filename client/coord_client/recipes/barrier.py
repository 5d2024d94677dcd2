"""A barrier that somebody puts up and takes down, and at which everybody else waits.

    barrier = Barrier(client, "/migration")
    await barrier.create()                 # the one who migrates
    ...
    await barrier.remove()

    await barrier.wait(timeout=60)         # the others; False if it still stands then

It stands while its znode is there, as with kazoo's `Barrier` and Curator's `DistributedBarrier`.

A session's end: the barrier is nobody's; it stands until it is removed, even if who put it up has died, and
who waits goes on waiting in its next session. Lost answers: all operations are repeated until they are
answered, which does no harm here. Fairness: all who wait pass at once; each learns of it by one event.
"""

from contextlib import suppress

import anyio

from coord_client.client import Client
from coord_client.retry import until_answered
from coord_protocol.errors import NoNode, SessionExpired


class Barrier:
    """See the module's head. All methods raise `ConnectionLost` if no server is reached in time."""

    def __init__(self, client: Client, path: str) -> None:
        self.path = path
        self._client = client

    async def create(self) -> None:
        """Put it up, if it does not stand yet. Makes missing parents."""
        await until_answered(lambda: self._client.ensure_path(self.path))

    async def remove(self) -> bool:
        """Take it down. False if it did not stand.

        After a lost answer, a barrier that does not stand any more counts as taken down by us.
        """
        tries = 0

        async def delete() -> bool:
            nonlocal tries
            tries += 1
            try:
                await self._client.delete(self.path)
            except NoNode:
                return tries > 1
            return True

        return await until_answered(delete)

    async def wait(self, timeout: float | None = None) -> bool:
        """Return when it does not stand. False if it still does after `timeout` seconds; 0: only look."""
        if timeout == 0:
            return await self._client.exists(self.path) is None
        with anyio.move_on_after(timeout):
            await self._gone()
            return True
        return False

    async def _gone(self) -> None:
        while True:
            stat, change = await self._client.exists_and_watch(self.path)
            try:
                if stat is None:
                    return
                with suppress(SessionExpired):  # the watch is gone, the barrier may stand: look again
                    await change.wait()
            finally:
                change.cancel()
