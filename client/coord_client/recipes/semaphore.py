"""A right that so many may have at once.

    async with Semaphore(client, "/downloads", 4, name="worker 7", timeout=30) as permit:
        ...                                    # cancelled before our permit can be somebody else's

Fair, and one with kazoo's `Semaphore`: each permit in use is an ephemeral child of the path; whoever wants
one stands in a queue beside it, at `<path>-__lock__`, and only the first of the queue may take one. Our first
takes it and leaves the queue in one transaction, so that a first that was held up, and has lost its place
meanwhile, takes nothing.

If the session is lost, the body is cancelled before the permit can be somebody else's, and `LockLost` raised
after it (`coord_client.recipes.holding`). If the answer to the transaction is lost, we look whether the permit
is there. Who gives up leaves neither a permit nor a place behind (`coord_client.recipes.claims`).

The number of permits stands as text in the znode at the path: whoever comes with another number gets
`PermitsDiffer`. A text that is no number is somebody else's, and ignored, as kazoo does. To change the
number, delete the znode while no permit is in use.
"""

import os
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import Final

import anyio

from coord_client.client import Client
from coord_client.recipes.claims import Claim
from coord_client.recipes.holding import Door, Held, holding
from coord_client.recipes.queueing import LOCK_RULES, Contender, Queue, look_at
from coord_client.transaction import Delete
from coord_protocol.errors import (
    BadVersion,
    ConnectionLost,
    LocalProtocolError,
    LockTimeout,
    NodeExists,
    NoNode,
    PermitsDiffer,
    RequestTimeout,
)

QUEUE_SUFFIX: Final = "-__lock__"  # of the queue's path, as kazoo has it


class Semaphore:
    """See the module's head. One permit at a time: it is not re-entrant. `margin` as with `Lock`."""

    def __init__(
        self,
        client: Client,
        path: str,
        permits: int,
        *,
        name: str | None = None,
        timeout: float | None = None,
        margin: float = 0.0,
    ) -> None:
        if permits < 1:
            raise LocalProtocolError(f"{path}: a semaphore with {permits} permits would let nobody in")
        self.path = path
        self.permits = permits
        self.name = name if name is not None else client.name or ""
        self.timeout = timeout
        """To wait for a permit; 0: take one only if it is free; None: wait for as long as it takes."""
        self.margin = margin
        self._client = client
        self._queue = Queue(client, path + QUEUE_SUFFIX, LOCK_RULES["kazoo"])
        self._door: Door[Held] = Door(f"{path}: this Semaphore")

    async def __aenter__(self) -> Held:
        """Raises `PermitsDiffer`, `LockTimeout`, `SessionExpired`, `ConnectionLost`."""
        return await self._door.enter(self._hold())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._door.leave(kind, error, trace)

    def _hold(self) -> AbstractAsyncContextManager[Held]:
        permit = Claim(self._client, self.path, os.urandom(16).hex(), self.name)
        return holding(self._client, permit, partial(self._win, permit), partial(Held, self.path), margin=self.margin)

    async def _win(self, permit: Claim) -> None:
        is_won = False
        with anyio.CancelScope() as scope:
            if self.timeout:
                scope.deadline = anyio.current_time() + self.timeout
            is_won = await self._acquire(permit)
        if not is_won:
            raise LockTimeout(f"{self.path}: no permit in {self.timeout:g} s")

    async def _acquire(self, permit: Claim) -> bool:
        """False if we will not wait (`timeout` 0) and no permit is free."""
        await self._agree()
        place = self._queue.new_claim(self.name)
        is_patient = self.timeout != 0
        try:
            while await self._queue.wait_for_turn(place, is_patient=is_patient):
                if await self._wait_for_permit(place):
                    if await self._take(place, permit):
                        return True
                elif not is_patient:
                    return False
            return False
        finally:
            await place.leave()

    async def _agree(self) -> None:
        """See to it that the number of permits is written down, and ours."""
        while True:
            try:
                await self._write_down(str(self.permits).encode())
                return
            except (NodeExists, BadVersion):
                continue  # somebody else was faster
            except ConnectionLost as error:
                if error.definite:
                    raise

    async def _write_down(self, number: bytes) -> None:
        try:
            stored, stat = await self._client.get(self.path)
        except NoNode:
            await self._client.create(self.path, number, make_parents=True)
            return
        if not stored:  # kazoo creates the znode first, and writes the number then
            await self._client.set(self.path, number, stat.version)
        elif stored != number and stored.isdigit():
            raise PermitsDiffer(f"{self.path}: it has {int(stored)} permits, not {self.permits}")

    async def _wait_for_permit(self, place: Claim) -> bool:
        """As the first of the queue, and the only one that looks, wait until one is free.

        False if somebody touched our place in the queue, or we will not wait.
        """
        while True:
            try:
                taken, change = await self._client.get_children_and_watch(self.path)
            except NoNode:
                await self._agree()
                continue
            if len(taken) < self.permits or self.timeout == 0:
                change.cancel()
                return len(taken) < self.permits
            if not await place.wait_for(change):
                return False

    async def _take(self, place: Claim, permit: Claim) -> bool:
        """Exchange our place in the queue for a permit. False if the place is gone, or the path."""
        assert place.znode is not None, "not in the queue"
        permit.session_id = place.session_id
        exchange = self._client.transaction(Delete(place.znode))
        try:
            await exchange.create(permit.path, self.name.encode(), ephemeral=True).commit()
        except NoNode as error:
            if error.op_index == 0:
                place.forget()
            return False
        except (ConnectionLost, RequestTimeout) as error:
            if error.definite:
                raise
            await permit.find()
            if permit.znode is None:
                return False
        else:
            permit.znode = permit.path
        place.forget()
        return await permit.watch()

    async def holders(self) -> list[Contender]:
        """Who has a permit, in the order in which they got it."""
        try:
            names = await self._client.get_children(self.path)
        except NoNode:
            return []
        return sorted(await look_at(self._client, self.path, names), key=lambda holder: holder.token)

    async def waiting(self) -> list[Contender]:
        """Who stands in the queue for a permit, the next first."""
        return await self._queue.contenders()
