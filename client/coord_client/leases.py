"""Leases: rights with a length of their own, kept alive by a scope that ends before they do.

    async with client.lease(ttl=10, name="nightly") as lease:
        await lease.create("/nightly/owner", b"db7")      # it vanishes with the lease
        ...                                               # cancelled before the lease can end

A lease is nobody's but of whoever knows its key. It outlives the connection, the session and even the process
that asked for it, if somebody goes on to keep it alive: `detach` lets go of it without ending it, and
`client.resume_lease(key)` takes it up again, here or elsewhere. Left in any other way, it is revoked, and its
znodes are gone at once.

The body is cancelled, and `LeaseLost` raised after it, when the lease ends under it:

- before it can have ended on the server: we believe in it until ttl·(1 - drift) after we *sent* the latest
  keep-alive that was confirmed. Keep-alives go out every third of the ttl. They go on through reconnects and
  new sessions, of which the body hears nothing;
- when the server says that it is gone, since somebody revoked it, or an operator ended it. We hear that with the
  next keep-alive, so for up to a third of the ttl the body may run on without its znodes.

A server that leaves a keep-alive unanswered for a third of the shortest ttl is left for another, as it is for
pings of the session. So of the ttl one third goes by before the keep-alive is due, one in waiting for the
answer, and in the last the next server is asked. Other requests under way meet with `ConnectionLost` then.

Lost answers: a grant is asked for again (the lease that nobody knows of ends by itself, without ever having
had a znode), and so is a keep-alive. A create is not, as it may have happened: `ConnectionLost`, not definite.
The znode is ours if its `Stat.ephemeral_owner` is `lease.id`.

Fencing: code that blocks the event loop cannot be cancelled, nor can a process that is stopped. What it writes
afterwards is refused if it carries a token (`coord_client.fencing`). That of a znode is its `Stat.czxid`
(`include_stat=True`), which grows from each holder of a path to the next. The lease's id is a zxid, too, that of
the grant; but who waits for a path may have an older lease than who holds it, so ids are no tokens where a path
is contended for. For transactions here there is `lease.fence(path)`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, overload

import anyio

from coord_client.connection import ANSWER_OFFSET, Request
from coord_client.session import SessionState
from coord_client.signals import new_event
from coord_client.tenure import Tenure
from coord_client.transaction import Check
from coord_protocol.errors import (
    ClientClosed,
    ConnectionLost,
    CoordError,
    LeaseLost,
    LocalProtocolError,
    NoLease,
    SessionExpired,
)
from coord_protocol.extensions import (
    LEASE_SECRET_BYTES,
    LeaseAndSecret,
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
)
from coord_protocol.paths import sequence_of
from coord_protocol.records import ACL, OPEN_ACL_UNSAFE, Stat
from coord_protocol.requests import OpCode

if TYPE_CHECKING:
    from coord_client.client import Client

DEFAULT_TTL: Final = 30.0
KEEP_ALIVES_PER_TTL: Final = 3  # as pings per session timeout: two may fail before the lease is lost
MAX_LEASES_PER_REQUEST: Final = 10_000  # of 28 bytes each: well below the megabyte that a server accepts
REFUSED_PAUSE: Final = 0.2  # seconds between a keep-alive that a server refused and the next
REVOKE_TIMEOUT: Final = 1.0  # for revoking while the caller waits; past it, the background goes on


@dataclass(frozen=True, slots=True, repr=False)
class LeaseKey:
    """What it takes to use a lease: who knows it may keep the lease alive, put znodes under it and end it.

    `str` gives it as text to be stored, and `parse` takes that back; its `repr` does not tell the secret.

    >>> key = LeaseKey(0x1A2B, bytes(range(16)))
    >>> str(key), key
    ('1a2b-000102030405060708090a0b0c0d0e0f', <key of lease 0x1a2b>)
    >>> LeaseKey.parse(str(key)) == key
    True
    """

    id: int
    secret: bytes

    @classmethod
    def parse(cls, text: str) -> LeaseKey:
        """Raises `LocalProtocolError` for what is no key; its text does not repeat the key."""
        number, _, secret = text.strip().partition("-")
        try:
            key = cls(int(number, 16), bytes.fromhex(secret))
        except ValueError:
            key = cls(0, b"")
        if key.id <= 0 or len(key.secret) != LEASE_SECRET_BYTES:
            raise LocalProtocolError(f"a lease's key is its id, '-' and {2 * LEASE_SECRET_BYTES} hex digits")
        return key

    def __str__(self) -> str:
        return f"{self.id:x}-{self.secret.hex()}"

    def __repr__(self) -> str:
        return f"<key of lease {self.id:#x}>"


class Lease:
    """A lease, while we keep it alive."""

    def __init__(self, client: Client, key: LeaseKey, name: str, ttl: float, confirmed_at: float) -> None:
        self.key = key
        """What takes it up again, elsewhere or later."""
        self.id: int = key.id
        self.name = name
        self.ttl = ttl
        self._client = client
        self._confirmed_at = confirmed_at
        """When we sent the latest request that proves it alive."""
        self._tenure = Tenure(confirmed_at + ttl * (1 - client.session.drift), rests_on="lease")
        self._is_detached = False

    @property
    def deadline(self) -> float:
        """Until then, on the clock of `anyio.current_time()`, it certainly lives. Keep-alives move it."""
        return self._tenure.deadline

    def remaining(self) -> float:
        """Seconds until the deadline; 0 once it has passed, or the lease has ended, or was left."""
        return self.deadline - anyio.current_time() if self.lost is None else 0.0

    @property
    def lost(self) -> str | None:
        """Why work under the lease must stop, or had to; None while it may go on."""
        return self._tenure.ended

    def check(self) -> None:
        """Raises `LeaseLost` if work under the lease must stop."""
        reason = self.lost
        if reason is not None:
            raise LeaseLost(f"{self!r}: {reason}")

    async def wait_lost(self) -> str:
        """Wait until work under the lease must stop; then why.

        For tasks outside the body, which are not cancelled with it. Returns when the body is left, too.
        """
        return await self._tenure.wait_ended()

    def detach(self) -> LeaseKey:
        """Leaving the scope will not end the lease: it lives on for its ttl, or for as long as somebody takes it up.

        Returns what that takes.
        """
        self._is_detached = True
        return self.key

    @overload
    async def create(
        self,
        path: str,
        data: bytes = ...,
        *,
        sequence: bool = ...,
        acl: tuple[ACL, ...] = ...,
        make_parents: bool = ...,
        include_stat: Literal[False] = ...,
    ) -> str: ...

    @overload
    async def create(
        self,
        path: str,
        data: bytes = ...,
        *,
        sequence: bool = ...,
        acl: tuple[ACL, ...] = ...,
        make_parents: bool = ...,
        include_stat: Literal[True],
    ) -> tuple[str, Stat]: ...

    async def create(
        self,
        path: str,
        data: bytes = b"",
        *,
        sequence: bool = False,
        acl: tuple[ACL, ...] = OPEN_ACL_UNSAFE,
        make_parents: bool = False,
        include_stat: bool = False,
    ) -> str | tuple[str, Stat]:
        """As `Client.create`: a znode that ends with the lease. Raises `NoLease`, too, if that has ended."""
        created, stat = await self._client.create(
            path, data, sequence=sequence, acl=acl, make_parents=make_parents, lease=self.key, include_stat=True
        )
        return (created, stat) if include_stat else created

    def fence(self, path: str) -> Check:
        """Put it first in a transaction: refused (`NoNode`) if our znode at `path` is gone by then.

        Only for znodes made with `sequence`: at any other path somebody else may have created his own since.
        """
        if sequence_of(path) is None:
            raise LocalProtocolError(f"{path}: no fence, as others may create it after us; make it with sequence=True")
        return Check(path)

    def __repr__(self) -> str:
        return f"<lease {self.id:#x} {self.name!r} of {self.ttl:g} s>"

    # For the keeper.

    def _due_at(self) -> float:
        return self._confirmed_at + self.ttl / KEEP_ALIVES_PER_TTL

    def _soon_at(self) -> float:
        """From then on, a keep-alive of others takes it along."""
        return self._confirmed_at + self.ttl / KEEP_ALIVES_PER_TTL / 2

    def _on_keep_alive(self, sent_at: float, remaining_ms: int) -> None:
        if remaining_ms < 0:
            self._tenure.end("it has ended on the server: revoked, or not kept alive in time")
            return
        self._confirmed_at = sent_at
        self._tenure.extend(sent_at + remaining_ms / 1000 * (1 - self._client.session.drift))


class LeaseKeeper:
    """The leases that a client holds, all kept alive together, by one task: a request for all that are due."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._session = client.session
        self._held: list[Lease] = []
        self._news = new_event()
        """Set when a lease was added, which may be due before the others."""
        self._is_running = False

    def grant(self, ttl: float, name: str, meta: bytes) -> AbstractAsyncContextManager[Lease]:
        """A new lease, as a scope."""
        return self._hold(partial(self._granted, ttl, name, meta))

    def resume(self, key: LeaseKey) -> AbstractAsyncContextManager[Lease]:
        """A lease that was granted before, as a scope."""
        return self._hold(partial(self._resumed, key))

    @asynccontextmanager
    async def _hold(self, take: Callable[[], Awaitable[Lease]]) -> AsyncIterator[Lease]:
        lease = await take()
        lost = None
        try:
            self._held.append(lease)
            self._news.set()
            if not self._is_running:
                self._is_running = True
                self._client.start_soon(self._keep_all_alive)
            with lease._tenure.scope:
                yield lease
            lost = lease._tenure.lost
        finally:
            lease._tenure.give_up()
            await self._let_go(lease)
        if lost is not None:
            raise LeaseLost(f"{lease!r}: {lost}")

    # Getting it.

    async def _granted(self, ttl: float, name: str, meta: bytes) -> Lease:
        if not 0 < ttl < float("inf"):
            raise LocalProtocolError(f"a lease's ttl is a number of seconds, not {ttl}")
        body = LeaseGrantRequest(round(ttl * 1000), name, meta, 0).encode()
        answer, sent_at = await self._ask_until_answered(OpCode.LEASE_GRANT, body)
        granted = LeaseGrantResponse.decode(answer.frame, ANSWER_OFFSET)
        key = LeaseKey(granted.lease_id, granted.secret or b"")
        return Lease(self._client, key, name, granted.ttl_ms / 1000, sent_at)

    async def _resumed(self, key: LeaseKey) -> Lease:
        body = LeaseKeepAliveRequest([LeaseAndSecret(key.id, key.secret)]).encode()
        answer, sent_at = await self._ask_until_answered(OpCode.LEASE_KEEP_ALIVE, body)
        (remaining_ms,) = LeaseKeepAliveResponse.decode(answer.frame, ANSWER_OFFSET).remaining_ms
        if remaining_ms < 0:
            raise NoLease(detail=f"{key.id:#x} has ended, or the secret is not its own")
        info = await self._client.lease_info(key.id)
        return Lease(self._client, key, info.name, info.ttl_ms / 1000, sent_at)

    async def _ask_until_answered(self, opcode: OpCode, body: bytes) -> tuple[Request, float]:
        """The answer, and a time before its request was sent.

        Raises `ConnectionLost` if no server can be reached.
        """
        while True:
            await self._session.wait_connected()
            # Taken anew for each try: what waited for a connection would be believed in for too short a time.
            sent_at = anyio.current_time()
            try:
                return await self._session.call_extension(Request(opcode, body)), sent_at
            except ConnectionLost as error:
                if error.definite:
                    raise

    # Keeping it.

    async def _keep_all_alive(self) -> None:
        """For as long as there are any. Ends with the client, and they with it."""
        try:
            while self._held:
                due_at = min(lease._due_at() for lease in self._held)
                if anyio.current_time() < due_at:
                    self._news = new_event()
                    with anyio.CancelScope(deadline=due_at):
                        await self._news.wait()
                elif await self._is_connected():
                    await self._keep_alive()
                else:
                    break
        finally:
            self._is_running = False
            for lease in self._held:
                lease._tenure.end("the client was closed")

    async def _keep_alive(self) -> None:
        """One request for all that are due, and for those that soon will be, so that they fall into step."""
        # A lost one has nobody to tell it to, and its body is ending.
        self._held = [lease for lease in self._held if lease._tenure.lost is None]
        sent_at = anyio.current_time()
        due = [lease for lease in self._held if sent_at >= lease._soon_at()][:MAX_LEASES_PER_REQUEST]
        if not due:
            return
        body = LeaseKeepAliveRequest([LeaseAndSecret(lease.id, lease.key.secret) for lease in due]).encode()
        patience = min(lease.ttl for lease in due) / KEEP_ALIVES_PER_TTL
        try:
            with anyio.fail_after(patience):
                answer = await self._session.call_extension(Request(OpCode.LEASE_KEEP_ALIVE, body))
            remaining_ms = LeaseKeepAliveResponse.decode(answer.frame, ANSWER_OFFSET).remaining_ms
        except TimeoutError:
            await self._session.leave_server(f"it left a keep-alive of leases unanswered for {patience:g} s")
            return
        except (ConnectionLost, SessionExpired, ClientClosed):
            return  # they are still due: on the next connection, whatever its session
        except CoordError:
            await anyio.sleep(REFUSED_PAUSE)
            return
        for lease, each_remaining_ms in zip(due, remaining_ms, strict=True):
            lease._on_keep_alive(sent_at, each_remaining_ms)

    async def _is_connected(self) -> bool:
        """Waits for a connection, for as long as it takes; False if there will be none, as the client was closed."""
        with self._session.observe() as states:
            async for state in states:
                if self._session.is_closed or state is SessionState.CONNECTED:
                    break
        return not self._session.is_closed

    # Giving it up.

    async def _let_go(self, lease: Lease) -> None:
        """Keep it alive no longer, and revoke it: now if possible, else as soon as possible."""
        if lease in self._held:
            self._held.remove(lease)
        if lease._is_detached:
            return
        with anyio.move_on_after(REVOKE_TIMEOUT, shield=True):
            if self._session.state is SessionState.CONNECTED and await self._try_revoke(lease):
                return
        if not self._session.is_closed:
            self._client.start_soon(self._revoke_later, lease)

    async def _revoke_later(self, lease: Lease) -> None:
        with anyio.CancelScope(deadline=lease._confirmed_at + lease.ttl):  # from then on it ends by itself
            while await self._is_connected() and not await self._try_revoke(lease):
                pass

    async def _try_revoke(self, lease: Lease) -> bool:
        """True if there is no more to do."""
        try:
            await self._client.revoke_lease(lease.key)
        except (ConnectionLost, SessionExpired):
            return False
        except CoordError:
            return True  # it has ended already, or the client has: then it runs out
        return True
