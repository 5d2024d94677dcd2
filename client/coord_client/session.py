"""A session: one identity towards the cluster, over as many connections as it takes.

    CONNECTED  requests flow
    SUSPENDED  no connection; the session may live, and we look for a server that takes us back
    LOST       the session is over: ephemerals, locks and watches are gone; a new session is begun at once

What a lost connection means for a request: one that was never sent waits for the next connection, and so does
a read; a write that was sent raises `ConnectionLost`, as it may have happened. When the session is LOST, all
raise `SessionExpired`. Nothing waits longer than `retry_timeout` for a connection.

One task runs all this (`Session.run`), with a reader, a writer and a timer under it while there is a
connection. Callers only queue a request and wait for its event: whatever they queue in one turn of the event
loop leaves in one send, and whatever answers one receive brings wake their callers at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Final, Protocol

import anyio

from coord_client.addresses import Address, Itinerary
from coord_client.connection import (
    ANSWER_OFFSET,
    Connected,
    Connection,
    ConnectionEvent,
    Expired,
    Fate,
    Hello,
    Notified,
    Phase,
    Request,
)
from coord_client.signals import Mailbox, event_class
from coord_client.tenure import Tenure
from coord_client.watches import Kind, Watches
from coord_protocol.errors import (
    AuthFailed,
    ClientClosed,
    Code,
    ConnectionLost,
    CoordError,
    ExtensionUnavailable,
    SessionExpired,
    error_for,
)
from coord_protocol.extensions import NameSessionRequest, extension_error
from coord_protocol.requests import AuthPacket, OpCode

RECEIVE_BYTES: Final = 1 << 16
STATES_KEPT: Final = 64  # changes of state that an observer may be behind
LONGEST_ATTEMPT: Final = 5.0  # to reach one server and shake hands with it; less if the session's timeout is short
SHORTEST_ATTEMPT: Final = 0.5
CLOSE_TIMEOUT: Final = 2.0  # for the server to confirm the end of the session; after it, the session just runs out
_KINDS: Final[dict[int, Kind]] = {
    OpCode.GET_DATA: Kind.DATA,
    OpCode.EXISTS: Kind.DATA,
    OpCode.GET_CHILDREN2: Kind.CHILD,
}


class SessionState(Enum):
    """See the module's head."""

    CONNECTED = "connected"
    SUSPENDED = "suspended"
    LOST = "lost"


class Stream(Protocol):
    """What we need of a connection's bytes: `anyio.abc.SocketStream`, or a pair of queues in tests."""

    async def receive(self, max_bytes: int = ...) -> bytes:
        """Some bytes; raises `anyio.EndOfStream` at the end."""

    async def send(self, item: bytes) -> None:
        """All of `item`."""

    async def aclose(self) -> None:
        """Close it in both directions."""


Dial = Callable[[Address], Awaitable[Stream]]


async def dial_tcp(address: Address) -> Stream:
    """A TCP connection. Names are resolved each time: servers move."""
    return await anyio.connect_tcp(address.host, address.port)


class Session:
    """See the module's head. Times are those of `anyio.current_time()`."""

    def __init__(
        self,
        itinerary: Itinerary,
        *,
        timeout: float,
        retry_timeout: float,
        drift: float,
        chroot: str = "",
        name: str | None = None,
        credentials: list[tuple[str, bytes]],
        dial: Dial = dial_tcp,
    ) -> None:
        self.state = SessionState.SUSPENDED
        self.session_id = 0
        self.timeout = timeout
        """As asked for; once connected, as the server granted it."""
        self.drift = drift
        self.extensions = 0
        self.watches = Watches(chroot)
        self.credentials = credentials
        """Schemes and their data; sent on each connection before anything else."""
        self.last_error: Exception | str = "no server was tried yet"
        self._new_event = event_class()
        self._itinerary = itinerary
        self._requested_timeout = timeout
        self._retry_timeout = retry_timeout
        self._name = name
        self._dial = dial
        self._password = bytes(16)
        self._last_zxid = 0
        self._confirmed_at = float("-inf")
        self._connection: Connection | None = None
        self._serving: anyio.CancelScope | None = None
        """Of the tasks that serve the connection, while there is one."""
        self._wake_writer = self._new_event()
        self._is_writer_awake = False
        self._state_changed = self._new_event()
        self._tenures: list[Tenure] = []
        """Rights that end with the session: told of each new deadline, and of the end."""
        self._observers: list[Mailbox[SessionState]] = []
        self._losses = 0
        """Sessions lost so far: a caller that waited through a loss can tell."""
        self._is_closed = False
        self._refused: AuthFailed | None = None
        self._last_rearm: Request | None = None

    @property
    def deadline(self) -> float:
        """Until then the session certainly lives; nobody may believe longer in what ends with it."""
        return self._confirmed_at + self.timeout * (1 - self.drift)

    @property
    def is_closed(self) -> bool:
        """The client's scope is being left, or has been."""
        return self._is_closed

    # What callers use.

    async def call(self, request: Request) -> Request:
        """Send a request and wait for its answer.

        Raises the error it was answered with; see the module's head.
        """
        give_up_at: float | None = None
        losses = self._losses
        while True:
            connection = self._connection
            if connection is None:
                if give_up_at is None:
                    give_up_at = anyio.current_time() + self._retry_timeout
                connection = await self._next_connection(give_up_at, losses)
            request.fate = Fate.WAITING
            done = request.done = self._new_event()
            connection.submit(request)
            if not self._is_writer_awake:
                self._awake_writer()
            await done.wait()
            if request.fate is Fate.ANSWERED:
                if request.err:
                    raise self._error_of(request)
                return request
            if self._is_closed:
                raise ClientClosed(definite=request.fate is Fate.UNSENT)
            if request.fate is Fate.LOST and not request.is_repeatable:
                raise ConnectionLost

    async def call_extension(self, request: Request) -> Request:
        """As `call`, for what a plain ZooKeeper does not know.

        Raises `ExtensionUnavailable`, and sends nothing, if the server is one.
        """
        await self.wait_connected()
        if not self.extensions:
            name = OpCode(request.opcode).name
            raise ExtensionUnavailable(f"{name}: the server offers no extensions; it is a plain ZooKeeper")
        return await self.call(request)

    async def wait_connected(self) -> None:
        """As an operation would: raises `ConnectionLost`, `SessionExpired`, `ClientClosed`."""
        if self._connection is None:
            await self._next_connection(anyio.current_time() + self._retry_timeout, self._losses)

    async def leave_server(self, reason: str) -> None:
        """Give up the connection, as if it had broken, if there is another server to go to."""
        if self._connection is not None and self._serving is not None and len(self._itinerary.addresses) > 1:
            self._connection.close(reason)
            self._serving.cancel()
            await self._state_changed.wait()

    @contextmanager
    def observe(self) -> Iterator[Mailbox[SessionState]]:
        """The state now, and each later one. An observer that is far behind misses the oldest."""
        box: Mailbox[SessionState] = Mailbox(STATES_KEPT)
        box.put(self.state)
        self._observers.append(box)
        try:
            yield box
        finally:
            self._observers.remove(box)

    @contextmanager
    def guarding(self, tenure: Tenure, session_id: int) -> Iterator[None]:
        """Within it, `tenure` follows this session's deadline, and ends with the session `session_id`."""
        self._tenures.append(tenure)
        if session_id != self.session_id:
            tenure.end("the session has expired")
        else:
            tenure.extend(self.deadline)
        try:
            yield
        finally:
            self._tenures.remove(tenure)

    async def close(self) -> None:
        """End the session: the server drops its ephemerals at once, if it can be told.

        Never raises, never hangs.
        """
        connection = self._connection
        self._connection = None
        self._is_closed = True
        if connection is not None:
            request = Request(OpCode.CLOSE_SESSION, b"")
            done = request.done = self._new_event()
            connection.submit(request)
            self._awake_writer()
            with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await done.wait()
        failure = ClientClosed()
        self.watches.fail(failure)
        for tenure in self._tenures:
            tenure.end("the client was closed")
        for box in self._observers:
            box.close()
        self._announce()

    async def _next_connection(self, give_up_at: float, losses: int) -> Connection:
        """The connection to come, of the session that has seen `losses` before it."""
        with anyio.CancelScope(deadline=give_up_at):
            while True:
                if self._is_closed:
                    raise ClientClosed(definite=True)
                if self._losses != losses:
                    raise SessionExpired(definite=True)
                if self._connection is not None:
                    return self._connection
                await self._state_changed.wait()
        raise ConnectionLost(f"not sent, as no server could be reached: {self.last_error}", definite=True)

    def _error_of(self, request: Request) -> CoordError:
        path = self.watches.shown(request.path)
        if request.err <= Code.EXTENSION_ERROR:
            return extension_error(request.err, request.frame, ANSWER_OFFSET, path)
        return error_for(request.err, path)

    # The one task.

    async def run(self) -> None:
        """Connect, serve, reconnect, until cancelled.

        Raises `AuthFailed` if a server refuses the credentials.
        """
        while not self._is_closed:
            stream, connection = await self._establish()
            connected_at = anyio.current_time()
            try:
                await self._serve(stream, connection)
            finally:
                self._on_disconnected(connection)
                await _close_now(stream)
            self._itinerary.arrived(anyio.current_time() - connected_at)
            if self._refused is not None:
                raise self._refused

    async def _establish(self) -> tuple[Stream, Connection]:
        """Try servers until one takes us."""
        while True:
            pause, address = self._itinerary.next_stop()
            await anyio.sleep(pause)
            try:
                with anyio.fail_after(self._attempt_timeout()):
                    stream = await self._dial(address)
                    try:
                        return stream, await self._shake_hands(stream)
                    except BaseException:
                        await _close_now(stream)
                        raise
            except anyio.EndOfStream:
                self.last_error = f"{address}: it closed the connection instead of an answer"
            except TimeoutError:
                self.last_error = f"{address}: no answer in {self._attempt_timeout():g} s"
            except (OSError, anyio.BrokenResourceError, ConnectionLost) as error:
                self.last_error = f"{address}: {error or type(error).__name__}"

    def _attempt_timeout(self) -> float:
        """Short enough to try every server before two thirds of the session's timeout have gone."""
        share = self._requested_timeout * 2 / 3 / len(self._itinerary.addresses)
        return max(SHORTEST_ATTEMPT, min(LONGEST_ATTEMPT, share))

    async def _shake_hands(self, stream: Stream) -> Connection:
        hello = Hello(self._requested_timeout, self.session_id, self._password, self._last_zxid)
        connection = Connection(hello, anyio.current_time())
        await stream.send(connection.take_bytes())
        while connection.phase is Phase.HANDSHAKE:
            data = await stream.receive(RECEIVE_BYTES)
            self._on_events(connection, connection.receive(data, anyio.current_time()))
        if connection.phase is Phase.CLOSED:
            raise ConnectionLost(connection.closed_because)
        return connection

    async def _serve(self, stream: Stream, connection: Connection) -> None:
        """Until the connection is closed."""
        async with anyio.create_task_group() as tasks:
            self._serving = tasks.cancel_scope
            tasks.start_soon(self._write, stream, connection)
            tasks.start_soon(self._keep_time, connection, tasks.cancel_scope)
            await self._read(stream, connection)
            tasks.cancel_scope.cancel()

    async def _read(self, stream: Stream, connection: Connection) -> None:
        try:
            while connection.phase is Phase.OPEN:
                data = await stream.receive(RECEIVE_BYTES)
                self._on_events(connection, connection.receive(data, anyio.current_time()))
        except anyio.EndOfStream:
            connection.close("the server closed the connection")
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            connection.close(f"the connection broke: {error}")

    async def _write(self, stream: Stream, connection: Connection) -> None:
        try:
            while True:
                data = connection.take_bytes()
                if data:
                    await stream.send(data)
                else:
                    self._wake_writer = self._new_event()
                    self._is_writer_awake = False
                    await self._wake_writer.wait()
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            await _close_now(stream)  # the reader finds it closed, and says so

    async def _keep_time(self, connection: Connection, scope: anyio.CancelScope) -> None:
        while connection.phase is Phase.OPEN:
            await anyio.sleep_until(connection.next_deadline())
            if connection.advance_time(anyio.current_time()):
                self._awake_writer()
        scope.cancel()

    def _awake_writer(self) -> None:
        self._is_writer_awake = True
        self._wake_writer.set()

    # What happens on a connection.

    def _on_events(self, connection: Connection, events: list[ConnectionEvent]) -> None:
        for event in events:
            if type(event) is Request:
                done = event.done
                if event.watch is not None:
                    self._arm(event)
                if done is None:
                    self._on_own_answer(connection, event)
                else:
                    done.set()
            elif type(event) is Notified:
                self.watches.notify(event.type, event.path, event.zxid)
            elif type(event) is Connected:
                self._on_connected(connection, event)
            elif type(event) is Expired:
                self._on_expired()
                return
        self._last_zxid = max(self._last_zxid, connection.last_zxid)
        if connection.confirmed_at > self._confirmed_at and self.session_id:
            self._confirmed_at = connection.confirmed_at
            for tenure in self._tenures:
                tenure.extend(self.deadline)

    def _arm(self, request: Request) -> None:
        """A watch stands if its read succeeded; that of exists also if there was nothing."""
        assert request.watch is not None, "no watch to arm"
        if request.err == Code.OK:
            self.watches.arm(_KINDS[request.opcode], request.path, request.watch)
        elif request.err == Code.NO_NODE and request.opcode == OpCode.EXISTS:
            self.watches.arm(Kind.EXIST, request.path, request.watch)

    def _on_connected(self, connection: Connection, event: Connected) -> None:
        self.session_id = event.session_id
        self._password = event.password
        self.timeout = event.timeout
        self.extensions = event.extensions
        for scheme, auth in self.credentials:
            connection.submit(Request(OpCode.AUTH, AuthPacket(0, scheme, auth).encode(), scheme))
        self._last_rearm = None
        for packet in self.watches.rearm(self._last_zxid):
            self._last_rearm = Request(OpCode.SET_WATCHES2, packet.encode())
            connection.submit(self._last_rearm)
        if self._name and self.extensions:
            connection.submit(Request(OpCode.NAME_SESSION, NameSessionRequest(self._name).encode()))
        self._connection = connection
        self._become(SessionState.CONNECTED)

    def _on_own_answer(self, connection: Connection, request: Request) -> None:
        """The answer to what `_on_connected` sent."""
        if request.opcode == OpCode.AUTH and request.err:
            self._refused = AuthFailed(detail=f"{request.path} credentials were refused")
            connection.close("the credentials were refused")
        elif request is self._last_rearm and not request.err:
            self.watches.tell_gap()

    def _on_expired(self) -> None:
        self._losses += 1
        self.session_id = 0
        self._password = bytes(16)
        self._last_zxid = 0
        self._confirmed_at = float("-inf")
        self.watches.fail(SessionExpired())
        for tenure in self._tenures:
            tenure.end("the session has expired")
        self._become(SessionState.LOST)

    def _on_disconnected(self, connection: Connection) -> None:
        connection.close("the client gave it up")
        self._connection = None
        self._serving = None
        self.last_error = connection.closed_because
        for request in connection.take_unanswered():
            if request.done is not None:
                request.done.set()
        self._become(SessionState.SUSPENDED)

    def _become(self, state: SessionState) -> None:
        self.state = state
        for box in self._observers:
            box.put_over_oldest(state)
        self._announce()

    def _announce(self) -> None:
        """Wake who waits for a change of state."""
        self._state_changed.set()
        self._state_changed = self._new_event()


async def _close_now(stream: Stream) -> None:
    """Close without ceremony, also when cancelled."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        await stream.aclose()
