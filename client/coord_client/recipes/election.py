"""A leader for a group: a lock, with the words of leadership.

    election = client.election("/workers/leader", name="worker 7")
    async with election as leadership:
        ...                                    # we lead; cancelled before anybody else can
        await leadership.hand_over("worker 2")  # or resign(): the body ends, and then somebody else leads

    async with election.watch_leader() as leaders:
        async for leader in leaders:           # others see who leads, and since which token
            ...

Fair: candidates queue up as for a `Lock` (`coord_client.recipes.queueing`). kazoo's `Election` uses the same
layout, so its candidates take part; with `layout="curator"` those of Curator's `LeaderSelector`.

If the session is lost, the body is cancelled before anybody else can lead, and `LockLost` raised after it
(`coord_client.recipes.holding`). If an answer is lost, a candidate looks whether its znode is there before it
creates another, and a leader that hands over looks whether it has (`coord_client.recipes.claims`).

Handing over has a price for the candidates that are skipped: they lose their places, and queue up anew behind
all others, each with a round trip or two (`Queue.leave_to`). kazoo's and Curator's do so as well.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import partial
from types import TracebackType

import anyio

from coord_client.client import Client
from coord_client.recipes.claims import Claim
from coord_client.recipes.holding import Door, Held, holding
from coord_client.recipes.queueing import LOCK_RULES, Contender, Layout, Queue
from coord_client.tenure import Tenure
from coord_client.watches import Change
from coord_protocol.errors import NoCandidate, NoNode


class Leadership(Held):
    """Being the leader: what every right offers, and two ways to end it.

    The token is higher than that of every leader before: what comes with an older one should be refused.
    """

    def __init__(self, queue: Queue, claim: Claim, tenure: Tenure) -> None:
        super().__init__(queue.path, claim, tenure)
        self._queue = queue
        self._claim = claim

    def resign(self) -> None:
        """End the body here: it is cancelled, and then the next candidate leads. No `LockLost` follows."""
        self.release()

    async def hand_over(self, name: str) -> None:
        """End the body here: it is cancelled, and then the candidate `name` leads. No `LockLost` follows.

        Raises `NoCandidate`, and we lead on, if nobody else of that name stands for election. If the successor
        is gone when the body has ended, the next candidate leads.
        """
        self.check()
        others = [each for each in await self._queue.contenders() if each.znode != self.znode]
        successor = next((each for each in others if each.name == name), None)
        if successor is None:
            standing = ", ".join(repr(each.name) for each in others) or "nobody else"
            raise NoCandidate(f"{self.path}: no candidate {name!r}; there stands {standing}")
        self._claim.remove = partial(self._queue.leave_to, self._claim, successor.znode)
        self.release()
        await anyio.lowlevel.checkpoint()  # in the body, it ends here


class Election:
    """See the module's head. `timeout` and `margin` as with `Lock`."""

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
        self.margin = margin
        self._client = client
        self._queue = Queue(client, path, LOCK_RULES[layout])
        self._door: Door[Leadership] = Door(f"{path}: this Election")

    async def __aenter__(self) -> Leadership:
        """Returns when we lead. Raises as `Lock` does: `LockTimeout`, `SessionExpired`, `ConnectionLost`."""
        return await self._door.enter(self._lead())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._door.leave(kind, error, trace)

    def _lead(self) -> AbstractAsyncContextManager[Leadership]:
        claim = self._queue.new_claim(self.name)
        win = partial(self._queue.win, claim, self.timeout)
        return holding(self._client, claim, win, partial(Leadership, self._queue), margin=self.margin)

    async def leader(self) -> Contender | None:
        """Who leads, if anybody does."""
        return await self._queue.first()

    async def candidates(self) -> list[Contender]:
        """All who stand for election, the leader first."""
        return await self._queue.contenders()

    @asynccontextmanager
    async def watch_leader(self) -> AsyncIterator[AsyncIterator[Contender | None]]:
        """`async with election.watch_leader() as leaders: async for leader in leaders: …`

        The leader now, and each new one; None while nobody leads. A leader that came and went between two
        looks is skipped. Ends with `SessionExpired` when the session does.
        """
        async with aclosing(self._leaders()) as leaders:
            yield leaders

    async def _leaders(self) -> AsyncGenerator[Contender | None, None]:
        shown: Contender | None = None
        is_first = True
        while True:
            leader = await self.leader()
            if is_first or leader != shown:
                yield leader
                shown, is_first = leader, False
            await self._wait_for_change(leader)

    async def _wait_for_change(self, leader: Contender | None) -> None:
        """Return when somebody else may lead.

        A leader's znode is watched alone: new candidates wake nobody.
        """
        is_stale, change = await self._look_with_watch(leader)
        if change is None:
            return
        try:
            if not is_stale:
                await change.wait()
        finally:
            change.cancel()

    async def _look_with_watch(self, leader: Contender | None) -> tuple[bool, Change | None]:
        """Whether what we know is out of date already, and the next change of it."""
        try:
            if leader is not None:
                _, change = await self._client.get_and_watch(leader.znode)
                return False, change
            children, change = await self._client.get_children_and_watch(self.path)
            return bool(children), change
        except NoNode:
            if leader is not None:
                return True, None
        stat, change = await self._client.exists_and_watch(self.path)
        return stat is not None, change
