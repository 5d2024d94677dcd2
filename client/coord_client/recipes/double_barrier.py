"""A piece of work that several do together: they begin when all are there, and end when all are done.

    async with DoubleBarrier(client, "/rounds/7", 5):
        ...                                    # begins when the fifth comes in; left when all five are through

`count` is how many take part, each with the same number. Layout and rules are those of kazoo's
`DoubleBarrier`, whose participants count: each has an ephemeral znode with a name of 32 hex digits below the
path, and `ready` says that all are there. (Curator's has the same layout.) It may be used for round after
round. Ours leave `ready` standing until the last of a round has left, so that who was cut off when all began
still learns of it; kazoo's delete it when the first leaves, which can leave others behind if that is at once.

A session's end: the others no longer wait for a participant that is gone, be it before the beginning or at
the end. A participant whose own session may have ended cannot be sure that the others still wait, so its body
is cancelled before that, and `LockLost` raised after it. One that waits to begin comes in again in its next
session; one that waits for the others to leave goes on waiting. A body that raises, or is cancelled, leaves
without waiting for anybody. Lost answers: names are unique, so that a participant counts
once however often its create is repeated. Fairness: all begin together, each told by one event; of those who
leave, each waits for one other, as in ZooKeeper's own recipe, and the last wakes all.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Final

import anyio

from coord_client.client import Client
from coord_client.recipes.claims import Claim
from coord_client.recipes.holding import Door
from coord_client.tenure import Tenure
from coord_client.transaction import Create, Delete, Op
from coord_protocol.errors import (
    ConnectionLost,
    LockLost,
    LockTimeout,
    NodeExists,
    NoNode,
    RequestTimeout,
    SessionExpired,
)
from coord_protocol.paths import join, split
from coord_protocol.records import Stat

READY: Final = "ready"


class DoubleBarrier:
    """See the module's head. One object per participant; `timeout` is for waiting to begin."""

    def __init__(
        self, client: Client, path: str, count: int, *, name: str | None = None, timeout: float | None = None
    ) -> None:
        self.path = path
        self.count = count
        self.name = name if name is not None else client.name or ""
        self.timeout = timeout
        self._client = client
        self._ready = join(path, READY)
        self._door: Door[None] = Door(f"{path}: this DoubleBarrier")

    async def __aenter__(self) -> None:
        """Returns when `count` participants are there.

        Raises `LockTimeout`, and `ConnectionLost` or `SessionExpired` if no server can be asked; we do not take
        part then.
        """
        await self._door.enter(self._take_part())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._door.leave(kind, error, trace)

    @asynccontextmanager
    async def _take_part(self) -> AsyncIterator[None]:
        claim = Claim(self._client, self.path, os.urandom(16).hex(), self.name, sequence=False)
        lost = None
        try:
            members, tenure = await self._enter(claim)
            with self._client.session.guarding(tenure, claim.session_id), claim.telling(tenure.end), tenure.scope:
                yield
            lost = tenure.lost
            if lost is None:
                await self._leave(claim, members)
        finally:
            await claim.leave()
        if lost is not None:
            raise LockLost(f"{self.path}: the others may have left: {lost}")

    # In.

    async def _enter(self, claim: Claim) -> tuple[set[str], Tenure]:
        """Returns with the names of who takes part in our round: of all for whom we have to wait at its end."""
        with anyio.CancelScope() as scope:
            if self.timeout is not None:
                scope.deadline = anyio.current_time() + self.timeout
            await self._wait_for_beginning(claim)
            tenure = Tenure(self._client.session_deadline)
            return set(await self._participants()), tenure
        raise LockTimeout(f"{self.path}: not {self.count} participants in {self.timeout:g} s")

    async def _wait_for_beginning(self, claim: Claim) -> None:
        while True:
            # Watched before we come in: so we do not miss it if kazoo's participants, who delete it as they begin
            # to leave, are through at once.
            ready, change = await self._client.exists_and_watch(self._ready)
            try:
                _, ours = split(await claim.stand())
                names = await self._participants()
                if ours not in names:
                    claim.forget()  # it went with its session, or somebody deleted it: come in again
                elif ready is not None and ready.czxid > claim.token:
                    return
                elif len(names) >= self.count and not change.has_fired:
                    await self._begin(ready)
                elif ready is not None:
                    # Of an earlier round, whose last participants died or are about to leave: not for us.
                    await self._try([Delete(self._ready)])
                elif await claim.wait_for(change) and not await self._is_older(claim):
                    return
            except SessionExpired:
                claim.forget()  # nothing was promised to us yet: come in again, in the next session
            finally:
                change.cancel()

    async def _is_older(self, claim: Claim) -> bool:
        """Whether all began before we came in. If `ready` is gone already, it was for us."""
        ready = await self._client.exists(self._ready)
        return ready is not None and ready.czxid < claim.token

    async def _begin(self, old: Stat | None) -> None:
        """Say that all are there, with a znode that is younger than all of them."""
        await self._try([*([Delete(self._ready)] if old is not None else []), Create(self._ready)])

    async def _try(self, operations: list[Op]) -> None:
        """It may fail because others did it first, or its answer be lost: whoever tries looks again in any case."""
        try:
            await self._client.multi(operations)
        except (NodeExists, NoNode, RequestTimeout):
            return
        except ConnectionLost as error:
            if error.definite:
                raise

    async def _participants(self) -> list[str]:
        try:
            return sorted(name for name in await self._client.get_children(self.path) if name != READY)
        except NoNode:
            return []

    # Out.

    async def _leave(self, claim: Claim, members: set[str]) -> None:
        """Of those who are still in, the first waits for the last; all others go, and wait for the first.

        So the first is there until all others are through, and its going tells them so. Who came after our
        beginning is of no interest: otherwise who has left, and is back for the next round, would be waited
        for by the slow ones of this.
        """
        _, ours = split(claim.path)
        claim.unwatch()
        while True:
            present = await self._participants()
            if ours not in present:
                claim.forget()
            names = [name for name in present if name in members]
            if not names:
                return
            if names == [ours]:
                # kazoo's participants delete `ready` as they begin to leave, so it may be gone.
                is_ready = await self._client.exists(self._ready) is not None
                await self._try([*([Delete(self._ready)] if is_ready else []), Delete(claim.path)])
            elif ours in names and ours != names[0]:
                await claim.leave()
                members.discard(ours)
            else:
                await self._wait_until_gone(names[-1] if ours in names else names[0])

    async def _wait_until_gone(self, name: str) -> None:
        """Returns earlier if something else happens to it, or the session ends."""
        stat, change = await self._client.exists_and_watch(join(self.path, name))
        try:
            if stat is not None:
                with suppress(SessionExpired):
                    await change.wait()
        finally:
            change.cancel()
