"""A lock that ends before it can be somebody else's.

    async with client.lock("/locks/report", name="worker 7", timeout=30) as held:
        await client.transaction(held.fence()).set("/report", b"...").commit()

Fair: who waits stands in a queue (`coord_client.recipes.queueing`). kazoo's `Lock` stands in the same one, or
Curator's `InterProcessMutex` with `layout="curator"`.

If the session is lost, the body is cancelled before anybody else can hold the lock, and `LockLost` raised
after it (`coord_client.recipes.holding`). If an answer is lost, the lock looks whether its znode is there
before it creates another. A contender that gives up takes its znode out of the queue; if it is cut off just
then, this happens in the background after the reconnect (`coord_client.recipes.claims`).

On a path where a `ReadWriteLock` is in use, the lock of kazoo's layout overlooks the readers, as kazoo's does:
take `ReadWriteLock.write` there.
"""

from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType

from coord_client.client import Client
from coord_client.recipes.holding import Door, Held, holding
from coord_client.recipes.queueing import LOCK_RULES, Contender, Layout, Queue


class Lock:
    """See the module's head. `async with` it again and again, but not within itself: it is not re-entrant.

    `margin`: end the body so many seconds before the right ends, for work that takes time to stop.
    `extra_patterns`: what else stands before the number in names of contenders, as in kazoo's
    `extra_lock_patterns`; such as "-lock-" of Go's `zk.Lock`, which waits for kazoo's as well.
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
        extra_patterns: tuple[str, ...] = (),
    ) -> None:
        self.path = path
        self.name = name if name is not None else client.name or ""
        self.timeout = timeout
        """To wait for the lock; 0: take it only if it is free; None: wait for as long as it takes."""
        self.margin = margin
        self._client = client
        rules = LOCK_RULES[layout]
        self._queue = Queue(client, path, rules._replace(waits_for=(*rules.waits_for, *extra_patterns)))
        self._door: Door[Held] = Door(f"{path}: this Lock")

    async def __aenter__(self) -> Held:
        """Raises `LockTimeout`, `SessionExpired`, `ConnectionLost`; no contender of ours is left behind."""
        return await self._door.enter(self._hold())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._door.leave(kind, error, trace)

    def _hold(self) -> AbstractAsyncContextManager[Held]:
        claim = self._queue.new_claim(self.name)
        win = partial(self._queue.win, claim, self.timeout)
        return holding(self._client, claim, win, partial(Held, self.path), margin=self.margin)

    async def contenders(self) -> list[Contender]:
        """The queue, the holder first. Empty if nobody wants the lock."""
        return await self._queue.contenders()

    async def holder(self) -> Contender | None:
        """Who holds the lock, if anybody does."""
        return await self._queue.first()
