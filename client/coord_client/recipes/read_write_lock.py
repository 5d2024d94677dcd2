"""A lock that readers share, and that a writer has alone.

    files = ReadWriteLock(client, "/locks/files", name="worker 7", timeout=30)
    async with files.read() as held: ...
    async with files.write() as held: ...

Fair: all stand in one queue (`coord_client.recipes.queueing`). A reader waits for the writers before it, a
writer for everybody before it; so readers that come after a waiting writer wait for it, and it is not starved.
kazoo's `ReadLock` and `WriteLock` stand in the same queue, or Curator's `InterProcessReadWriteLock` with
`layout="curator"`.

If the session is lost, the body is cancelled before a right of others can begin that excludes it, and
`LockLost` raised after it (`coord_client.recipes.holding`). If an answer is lost, the lock looks whether its
znode is there before it creates another (`coord_client.recipes.claims`).

Tokens grow in the order of the queue: a writer's is higher than those of all readers and writers who were
done before it began.
"""

from contextlib import AbstractAsyncContextManager
from functools import partial

from coord_client.client import Client
from coord_client.recipes.holding import Door, Held, holding
from coord_client.recipes.queueing import READ_RULES, WRITE_RULES, Contender, Layout, Queue


class ReadWriteLock:
    """See the module's head. One right at a time: it is not re-entrant, and no read becomes a write.

    `timeout` and `margin` as with `Lock`.
    """

    def __init__(
        self,
        client: Client,
        path: str,
        *,
        name: str | None = None,
        timeout: float | None = None,
        margin: float = 0.0,
        layout: Layout = "kazoo",
    ) -> None:
        self.path = path
        self.name = name if name is not None else client.name or ""
        self.timeout = timeout
        """To wait for a right; 0: take it only if it is free; None: wait for as long as it takes."""
        self.margin = margin
        self._client = client
        self._readers = Queue(client, path, READ_RULES[layout])
        self._writers = Queue(client, path, WRITE_RULES[layout])
        self._door: Door[Held] = Door(f"{path}: this ReadWriteLock")

    def read(self) -> AbstractAsyncContextManager[Held]:
        """Share it with other readers. Raises `LockTimeout`, `SessionExpired`, `ConnectionLost`."""
        return self._door.through(self._hold(self._readers))

    def write(self) -> AbstractAsyncContextManager[Held]:
        """Have it alone. Raises `LockTimeout`, `SessionExpired`, `ConnectionLost`."""
        return self._door.through(self._hold(self._writers))

    def _hold(self, queue: Queue) -> AbstractAsyncContextManager[Held]:
        claim = queue.new_claim(self.name)
        win = partial(queue.win, claim, self.timeout)
        return holding(self._client, claim, win, partial(Held, self.path), margin=self.margin)

    async def contenders(self) -> list[Contender]:
        """The whole queue in order: `Contender.is_reader` tells who wants to share."""
        return await self._writers.contenders()

    async def holders(self) -> list[Contender]:
        """Who holds it: readers, or one writer, or nobody."""
        queue = await self.contenders()
        if not queue or not queue[0].is_reader:
            return queue[:1]
        writers = [position for position, each in enumerate(queue) if not each.is_reader]
        return queue[: writers[0]] if writers else queue
