"""A lock that ends before it can be somebody else's.

    async with client.lock("/locks/report", name="worker 7", timeout=30) as held:
        await client.transaction(held.fence()).set("/report", b"...").commit()

Who waits has a znode below the lock's path, ephemeral and sequential; the lowest number holds the lock;
everybody else watches just the one before it, so that a release wakes one contender and the queue is fair.
Layout and rules are those of kazoo's `Lock` (`<prefix>__lock__<number>`, the name as data), so both stand in
one queue.

The body is cancelled, and `LockLost` raised after it, when the right ends under it: before the session could
have ended on the server (`Session.deadline`), or when somebody deletes the holder's znode. Code that blocks
the event loop cannot be cancelled, nor can a process that is stopped: what it sends afterwards is refused if
it carries the token, `held.token` for stores outside (they keep the highest token they saw), `held.fence()`
for transactions here.

The answer to a create may be lost. Each contender's prefix is unique, so it looks for its znode before it
creates another (an idea of Netflix Curator). A contender that gives up takes its znode out of the queue; if
it is cut off just then, this happens in the background after the reconnect.
"""

import os
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Final, NamedTuple

import anyio

from coord_client.client import Client
from coord_client.session import SessionState
from coord_client.tenure import Tenure
from coord_client.transaction import Check
from coord_client.watches import WatchEvent
from coord_protocol.errors import (
    ConnectionLost,
    CoordError,
    LocalProtocolError,
    LockLost,
    LockTimeout,
    NoNode,
)
from coord_protocol.paths import join, split

LOCK_PATTERN: Final = "__lock__"  # between prefix and number, as kazoo has it
WITHDRAW_TIMEOUT: Final = 1.0  # for leaving the queue while the caller waits; past it, the background goes on


class Contender(NamedTuple):
    """Who stands in the queue, as everybody can see it."""

    name: str
    token: int
    """The fencing token that it has, or will have, as the holder: tokens of one lock only grow."""
    znode: str
    session_id: int


class Held:
    """The lock, while it is ours."""

    def __init__(self, path: str, name: str, znode: str, token: int, tenure: Tenure) -> None:
        self._tenure = tenure
        self.path = path
        self.name = name
        self.znode = znode
        self.token = token
        """The zxid at which our znode was created: higher than that of every holder before us."""

    def fence(self) -> Check:
        """Put it first in a transaction: refused (`NoNode`) if the lock is not ours any more by then."""
        return Check(self.znode, version=0)

    def release(self) -> None:
        """End the body here: it is cancelled, and then the lock is let go. No `LockLost` follows."""
        self._tenure.scope.cancel()

    def __repr__(self) -> str:
        return f"<lock {self.path} held by {self.name!r}, token {self.token}>"


class _Entry:
    """Our place in the queue, as far as we know it."""

    def __init__(self) -> None:
        self.session_id = 0
        self.prefix = os.urandom(16).hex() + LOCK_PATTERN
        self.znode: str | None = None
        """None before the create is answered: it may be there or not."""


class Lock:
    """See the module's head. `async with` it again and again, but not within itself: it is not re-entrant.

    `extra_patterns`: what else stands before the number in names of contenders, such as "-lock-" of
    Curator's.
    """

    def __init__(
        self,
        client: Client,
        path: str,
        *,
        name: str | None = None,
        timeout: float | None = None,
        extra_patterns: tuple[str, ...] = (),
    ) -> None:
        self.path = path
        self.name = name if name is not None else client.name or ""
        self.timeout = timeout
        """To wait for the lock; 0: take it only if it is free; None: wait for as long as it takes."""
        self._client = client
        patterns = "|".join(re.escape(pattern) for pattern in (LOCK_PATTERN, *extra_patterns))
        self._number_of = re.compile(rf"(?:{patterns})(-?\d{{10}})$").search
        self._scope: AbstractAsyncContextManager[Held] | None = None

    async def __aenter__(self) -> Held:
        """Raises `LockTimeout`, `SessionExpired`, `ConnectionLost`; no contender of ours is left behind."""
        if self._scope is not None:
            raise LocalProtocolError(f"{self.path}: this Lock is in use; make one per holder")
        self._scope = self._hold()
        try:
            return await self._scope.__aenter__()
        except BaseException:
            self._scope = None
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        scope, self._scope = self._scope, None
        assert scope is not None, "left without having been entered"
        return await scope.__aexit__(kind, error, trace)

    @asynccontextmanager
    async def _hold(self) -> AsyncIterator[Held]:
        entry = _Entry()
        lost = None
        try:
            held, tenure = await self._acquire(entry)
            with self._client.session.guarding(tenure, entry.session_id), tenure.scope:
                yield held
            lost = tenure.lost
        finally:
            await self._withdraw(entry)
        if lost is not None:
            raise LockLost(f"{held!r}: {lost}")

    # Getting it.

    async def _acquire(self, entry: _Entry) -> tuple[Held, Tenure]:
        taken: tuple[Held, Tenure] | None = None
        with anyio.CancelScope() as scope:
            if self.timeout:
                scope.deadline = anyio.current_time() + self.timeout
            while taken is None and await self._wait_for_turn(entry):
                taken = await self._take(entry)
        if taken is None:
            raise LockTimeout(f"{self.path}: not won in {self.timeout:g} s")
        return taken

    async def _wait_for_turn(self, entry: _Entry) -> bool:
        """False if we will not wait (`timeout` 0) and it is not our turn."""
        while True:
            if entry.znode is None:
                await self._enter(entry)
                assert entry.znode is not None, "entered the queue without a place in it"
            queue = await self._queue()
            _, ours = split(entry.znode)
            if ours not in queue:
                entry.znode = None  # somebody took us out, so we queue up again
                continue
            position = queue.index(ours)
            if position == 0:
                return True
            if self.timeout == 0:
                return False
            try:
                _, change = await self._client.get_and_watch(join(self.path, queue[position - 1]))
            except NoNode:
                continue
            try:
                await change.wait()
            finally:
                change.cancel()

    async def _enter(self, entry: _Entry) -> None:
        """Create our znode, unless an earlier try has."""
        path = join(self.path, entry.prefix)
        while entry.znode is None:
            await self._client.session.wait_connected()
            # The create goes out in just this session, or not at all: there is no pause before it is queued,
            # and what waits for a connection does not outlive a session.
            entry.session_id = self._client.session_id
            try:
                entry.znode = await self._client.create(path, self.name.encode(), ephemeral=True, sequence=True)
            except NoNode:
                await self._client.ensure_path(self.path)
            except ConnectionLost as error:
                if error.definite:
                    raise
                await self._find(entry)

    async def _find(self, entry: _Entry) -> None:
        """Look for the znode of a create whose answer was lost."""
        # The new server may lag behind what the old one has passed on; after the sync it does not.
        await self._client.sync(self.path)
        try:
            children = await self._client.get_children(self.path)
        except NoNode:
            return
        ours = [child for child in children if child.startswith(entry.prefix)]
        if ours:
            entry.znode = join(self.path, ours[0])

    async def _take(self, entry: _Entry) -> tuple[Held, Tenure] | None:
        """It is our turn. None if our znode is gone again."""
        assert entry.znode is not None, "nobody's turn"
        try:
            (_, stat), change = await self._client.get_and_watch(entry.znode)
        except NoNode:
            return None
        tenure = Tenure(self._client.session_deadline)

        def on_change(event: WatchEvent) -> None:
            tenure.end(f"somebody touched its znode: {event.type.name}")

        change.on_fire = on_change
        return Held(self.path, self.name, entry.znode, stat.czxid, tenure), tenure

    async def _queue(self) -> list[str]:
        """Names of the contenders, the holder's first."""
        try:
            children = await self._client.get_children(self.path)
        except NoNode:
            return []
        numbered = [(int(match[1]), match.string) for match in map(self._number_of, children) if match]
        return [name for _, name in sorted(numbered)]

    # Giving it up.

    async def _withdraw(self, entry: _Entry) -> None:
        """Take our znode out of the queue: now if possible, else as soon as possible."""
        with anyio.move_on_after(WITHDRAW_TIMEOUT, shield=True):
            if self._client.state is SessionState.CONNECTED and await self._try_withdraw(entry):
                return
        self._client.start_soon(self._withdraw_later, entry)

    async def _withdraw_later(self, entry: _Entry) -> None:
        while not await self._try_withdraw(entry):
            await anyio.lowlevel.checkpoint()

    async def _try_withdraw(self, entry: _Entry) -> bool:
        """True if there is no more to do. Waits for a connection, within the session's patience."""
        client = self._client
        try:
            if client.session_id != entry.session_id:
                return True  # it went with its session, or was never created
            if entry.znode is None:
                await self._find(entry)
            if entry.znode is not None:
                await client.delete(entry.znode)
        except ConnectionLost:
            return False
        except CoordError:
            return True  # gone, or not ours to delete: the session's end removes it in any case
        return True

    # Looking at it.

    async def contenders(self) -> list[Contender]:
        """The queue, the holder first. Empty if nobody wants the lock."""
        found = [await self._look_at(name) for name in await self._queue()]
        return [contender for contender in found if contender is not None]

    async def holder(self) -> Contender | None:
        """Who holds the lock, if anybody does."""
        for name in await self._queue():
            contender = await self._look_at(name)
            if contender is not None:
                return contender
        return None

    async def _look_at(self, name: str) -> Contender | None:
        znode = join(self.path, name)
        try:
            data, stat = await self._client.get(znode)
        except NoNode:
            return None
        return Contender(data.decode(errors="replace"), stat.czxid, znode, stat.ephemeral_owner)
