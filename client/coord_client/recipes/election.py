"""A leader for a group: a lock, with the words of leadership.

    election = client.election("/workers/leader", name="worker 7")
    async with election as leadership:
        ...                                    # we lead; cancelled before anybody else can

    async with election.watch_leader() as leaders:
        async for leader in leaders:           # others see who leads, and since which token
            ...

Candidates queue up as in `coord_client.recipes.lock`, which also says when the body is cancelled. kazoo's
`Election` uses the same layout, so its candidates take part.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from types import TracebackType

from coord_client.client import Client
from coord_client.recipes.lock import Contender, Held, Lock
from coord_client.transaction import Check
from coord_client.watches import Change
from coord_protocol.errors import NoNode


class Leadership:
    """Being the leader."""

    def __init__(self, held: Held) -> None:
        self._held = held

    @property
    def token(self) -> int:
        """Higher than that of every leader before: what is older than it should be refused."""
        return self._held.token

    @property
    def name(self) -> str:
        """Ours."""
        return self._held.name

    @property
    def znode(self) -> str:
        """Ours in the queue of candidates."""
        return self._held.znode

    def fence(self) -> Check:
        """Put it first in a transaction: it is refused (`NoNode`) if we do not lead any more by then."""
        return self._held.fence()

    def resign(self) -> None:
        """End the body here: it is cancelled, and then the next candidate leads. No `LockLost` follows."""
        self._held.release()


class Election:
    """See the module's head."""

    def __init__(self, client: Client, path: str, *, name: str | None = None, timeout: float | None = None) -> None:
        self.path = path
        self._client = client
        self._lock = Lock(client, path, name=name, timeout=timeout)

    async def __aenter__(self) -> Leadership:
        """Returns when we lead. Raises as `Lock` does: `LockTimeout`, `SessionExpired`, `ConnectionLost`."""
        return Leadership(await self._lock.__aenter__())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._lock.__aexit__(kind, error, trace)

    async def leader(self) -> Contender | None:
        """Who leads, if anybody does."""
        return await self._lock.holder()

    async def candidates(self) -> list[Contender]:
        """All who stand for election, the leader first."""
        return await self._lock.contenders()

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
