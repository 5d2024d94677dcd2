"""Having a right, and being stopped before it can be somebody else's.

What lock, read/write lock, semaphore and election hand out is a `Held`, while the body of their `async with`
runs. The body is cancelled, and `LockLost` raised after it, when the right ends under it: before the session
could have ended on the server (`Client.session_deadline`), or when somebody deletes or changes the znode that
the right rests on. Code that blocks the event loop cannot be cancelled, nor can a process that is stopped:
what it sends afterwards is refused if it carries the token, `held.token` for stores outside (they keep the
highest token they saw), `held.fence()` for transactions here. Who works where cancellation does not reach,
such as in a thread, asks `held.lost`, or lets `held.wait_lost()` wake it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Final, Generic, TypeVar

import anyio

from coord_client.client import Client
from coord_client.recipes.claims import Claim
from coord_client.tenure import Tenure
from coord_client.transaction import Check
from coord_protocol.errors import LocalProtocolError, LockLost

# Pings go out every third of the session's timeout, so a healthy session is confirmed for more than 0.6 of it.
LONGEST_MARGIN: Final = 0.5  # of the timeout

H = TypeVar("H", bound="Held")
T = TypeVar("T")


class Held:
    """A right, while it is ours."""

    def __init__(self, path: str, claim: Claim, tenure: Tenure) -> None:
        assert claim.znode is not None, "nothing is held"
        self.path = path
        self.name: str = claim.name
        """Ours, as others see it."""
        self.znode: str = claim.znode
        self.token: int = claim.token
        """The zxid at which our znode was created: higher than that of every holder before us."""
        self._version = claim.version
        self._tenure = tenure

    def fence(self) -> Check:
        """Put it first in a transaction: refused if the right is not ours any more by then.

        With `NoNode`; or with `BadVersion`, if somebody has written to our znode.
        """
        return Check(self.znode, self._version)

    def release(self) -> None:
        """End the body here: it is cancelled, and then the right is let go. No `LockLost` follows."""
        self._tenure.give_up()

    @property
    def deadline(self) -> float:
        """Until then, on the clock of `anyio.current_time()`, the right certainly lasts.

        It moves on with every answered ping. Not if somebody deletes our znode.
        """
        return self._tenure.deadline

    def remaining(self) -> float:
        """Seconds to the deadline; 0 if the right has ended, or was given up."""
        if self._tenure.ended is not None:
            return 0.0
        return self.deadline - anyio.current_time()

    @property
    def lost(self) -> str | None:
        """Why work under the right must stop, or had to (also after `release`); None while it may go on."""
        return self._tenure.ended

    def check(self) -> None:
        """Raises `LockLost` if work under the right must stop."""
        reason = self.lost
        if reason is not None:
            raise LockLost(f"{self!r}: {reason}")

    async def wait_lost(self) -> str:
        """Wait until work under the right must stop; then why.

        For tasks outside the body, which are not cancelled with it. Returns when the body is left, too.
        """
        return await self._tenure.wait_ended()

    def __repr__(self) -> str:
        return f"<{self.path} held by {self.name!r}, token {self.token}>"


@asynccontextmanager
async def holding(
    client: Client,
    claim: Claim,
    win: Callable[[], Awaitable[None]],
    held_from: Callable[[Claim, Tenure], H],
    *,
    margin: float,
) -> AsyncIterator[H]:
    """Win the right that `claim` stands for, have it during the body, and give it up.

    `margin`: seconds by which the body ends before the right. Raises what `win` does, and `LockLost`.
    """
    if not 0 <= margin <= LONGEST_MARGIN * client.session.timeout:
        longest = LONGEST_MARGIN * client.session.timeout
        raise LocalProtocolError(f"a margin of {margin:g} s: with this session it can be from 0 to {longest:g} s")
    lost = None
    try:
        await win()
        tenure = Tenure(client.session_deadline, margin=margin)
        held = held_from(claim, tenure)
        try:
            with client.session.guarding(tenure, claim.session_id), claim.telling(tenure.end), tenure.scope:
                yield held
            lost = tenure.lost
        finally:
            tenure.give_up()
    finally:
        await claim.leave()
    if lost is not None:
        raise LockLost(f"{held!r}: {lost}")


class Door(Generic[T]):
    """Lets one in at a time: a recipe's object can be entered again and again, but not within itself.

    To wait there for one's own right would be to wait forever.
    """

    def __init__(self, sign: str) -> None:
        self._sign = sign
        self._is_passed = False
        self._entered: AbstractAsyncContextManager[T] | None = None

    @asynccontextmanager
    async def through(self, scope: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
        """`scope`, if nobody is inside. Raises `LocalProtocolError` if somebody is."""
        if self._is_passed:
            raise LocalProtocolError(f"{self._sign} is in use, and not re-entrant; make one per holder")
        self._is_passed = True
        try:
            async with scope as held:
                yield held
        finally:
            self._is_passed = False

    async def enter(self, scope: AbstractAsyncContextManager[T]) -> T:
        """The same for an object that is a scope itself: its `__aenter__`."""
        entered = self.through(scope)
        held = await entered.__aenter__()
        self._entered = entered
        return held

    async def leave(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Its `__aexit__`."""
        entered, self._entered = self._entered, None
        assert entered is not None, "left without having been entered"
        return await entered.__aexit__(kind, error, trace)
