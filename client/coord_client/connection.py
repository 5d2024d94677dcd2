"""One connection to one server, without I/O: bytes and times come in, events and bytes go out.

    HANDSHAKE  our ConnectRequest is in the output; the answer makes it OPEN or, if the session is over,
    CLOSED OPEN       requests go out in order, answers come back in that order (pings and notifications stand
    between them) CLOSED     timed out, broken by the peer, or closed by the owner; `take_unanswered` says
    what became of the requests

What its owner has to do: send what `take_bytes` gives, feed what arrives to `receive`, call `advance_time` at
`next_deadline`. `now` is the owner's monotonic clock, in seconds.

A session ends when the server has not heard of it for its timeout. We hold it alive only until `confirmed_at`
+ timeout·(1 − drift), where `confirmed_at` is when we *sent* the last ping, or the handshake, that was
answered. Answers to reads do not count: they prove that a server lives, not that the leader moved the
deadline. So a ping goes out every third of the timeout, whatever else does. Silence for two thirds closes the
connection.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from struct import Struct
from struct import error as struct_error
from typing import NamedTuple

from coord_client.signals import Event
from coord_client.watches import Change
from coord_protocol.errors import MarshallingError, RemoteProtocolError
from coord_protocol.extensions import EXTENSIONS_VERSION
from coord_protocol.frames import (
    AUTH_XID,
    NOTIFICATION_XID,
    PING_XID,
    REPLY_HEADER,
    REQUEST_HEADER,
    SET_WATCHES_XID,
    FrameSplitter,
    frame,
)
from coord_protocol.records import WatcherEvent
from coord_protocol.requests import ConnectRequest, ConnectResponse, OpCode

MAX_REPLY_BYTES = 64 << 20  # a listing may be larger than any request; beyond this it is no listing
MAX_XID = 2**31 - 1
_LENGTH_AND_HEADER = Struct(">iii")
_SPECIAL_XIDS: dict[int, int] = {
    OpCode.AUTH: AUTH_XID,
    OpCode.SET_WATCHES: SET_WATCHES_XID,
    OpCode.SET_WATCHES2: SET_WATCHES_XID,
}
_PING = frame(REQUEST_HEADER.pack(PING_XID, OpCode.PING))


class Phase(Enum):
    """See the module's head."""

    HANDSHAKE = auto()
    OPEN = auto()
    CLOSED = auto()


class Fate(Enum):
    """What became of a request."""

    WAITING = auto()
    ANSWERED = auto()
    UNSENT = auto()
    LOST = auto()


class Request:
    """A request, later with its answer: `err`, `zxid` and `frame`, whose record starts at ANSWER_OFFSET."""

    __slots__ = (
        "body",
        "done",
        "err",
        "fate",
        "frame",
        "is_repeatable",
        "opcode",
        "path",
        "watch",
        "xid",
        "zxid",
    )

    def __init__(
        self,
        opcode: int,
        body: bytes,
        path: str = "",
        *,
        is_repeatable: bool = False,
        watch: Change | None = None,
    ) -> None:
        self.opcode = opcode
        self.body = body
        self.path = path
        self.is_repeatable = is_repeatable
        """It may be asked twice."""
        self.watch = watch
        self.done: Event | None = None
        self.fate = Fate.WAITING
        self.xid = 0
        self.zxid = 0
        self.err = 0
        self.frame = b""


ANSWER_OFFSET = REPLY_HEADER.size


class Hello(NamedTuple):
    """What we open a connection with. `session_id` 0 asks for a new session."""

    timeout: float
    session_id: int = 0
    password: bytes = bytes(16)
    last_zxid: int = 0


class Connected(NamedTuple):
    """The server has accepted us. `extensions`: 0 for a plain ZooKeeper, else the version it offers."""

    session_id: int
    password: bytes
    timeout: float
    extensions: int


class Expired(NamedTuple):
    """The server does not know the session, or not any more."""


class Notified(NamedTuple):
    """A watch fired."""

    type: int
    path: str
    zxid: int


ConnectionEvent = Connected | Expired | Notified | Request


class Connection:
    """See the module's head."""

    def __init__(self, hello: Hello, now: float) -> None:
        self.phase = Phase.HANDSHAKE
        self.timeout = hello.timeout
        self.last_zxid = hello.last_zxid
        self.confirmed_at = now
        """When we sent the last ping, or the handshake, that was answered.

        Until then: when we made the handshake.
        """
        self.closed_because = ""
        self._heard_at = now
        self._ping_sent_at: float | None = None
        self._splitter = FrameSplitter(MAX_REPLY_BYTES)
        self._xid = 0
        self._unsent: list[Request] = []
        self._pending: deque[Request] = deque()
        """Sent and not answered yet, in order."""
        request = ConnectRequest(
            EXTENSIONS_VERSION,
            hello.last_zxid,
            round(hello.timeout * 1000),
            hello.session_id,
            hello.password,
            read_only=False,
        )
        self._output = [frame(request.encode())]

    def submit(self, request: Request) -> None:
        """Queue a request; it goes out with the next `take_bytes`."""
        self._unsent.append(request)

    def take_bytes(self) -> bytes:
        """All that is to be sent. Requests in it count as sent from here on."""
        output = self._output
        if self.phase is Phase.OPEN:
            requests = self._unsent
            self._unsent = []
            self._pending += requests
            for request in requests:
                body = request.body
                opcode = request.opcode
                xid = request.xid = _SPECIAL_XIDS.get(opcode) or self._next_xid()
                output += (_LENGTH_AND_HEADER.pack(len(body) + REQUEST_HEADER.size, xid, opcode), body)
        self._output = []
        return b"".join(output)

    def _next_xid(self) -> int:
        self._xid = self._xid + 1 if self._xid < MAX_XID else 1
        return self._xid

    def receive(self, data: bytes, now: float) -> list[ConnectionEvent]:
        """What `data` brings, in order; requests among the events are answered ones.

        Closes the connection if the bytes make no sense; what came before them still counts.
        """
        events: list[ConnectionEvent] = []
        if self.phase is Phase.CLOSED:
            return events
        self._heard_at = now
        try:
            for body in self._splitter.feed(data):
                if self.phase is Phase.OPEN:
                    self._on_packet(body, events)
                else:
                    self._on_handshake(body, events)
        except (RemoteProtocolError, MarshallingError, struct_error) as error:
            self.close(f"the server sent what no server sends: {error}")
        return events

    def _on_packet(self, body: bytes, events: list[ConnectionEvent]) -> None:
        xid, zxid, err = REPLY_HEADER.unpack_from(body)
        if xid == NOTIFICATION_XID:
            event = WatcherEvent.decode(body, ANSWER_OFFSET)
            events.append(Notified(event.type, event.path, zxid))
            return
        self.last_zxid = max(self.last_zxid, zxid)
        if xid == PING_XID:
            if self._ping_sent_at is not None:
                self.confirmed_at = self._ping_sent_at
                self._ping_sent_at = None
            return
        if not self._pending or self._pending[0].xid != xid:
            expected = self._pending[0].xid if self._pending else "none"
            raise RemoteProtocolError(f"an answer to request {xid}, where {expected} was to come")
        request = self._pending.popleft()
        request.fate = Fate.ANSWERED
        request.zxid = zxid
        request.err = err
        request.frame = body
        events.append(request)

    def _on_handshake(self, body: bytes, events: list[ConnectionEvent]) -> None:
        response = ConnectResponse.decode(body)
        if response.timeout_ms <= 0:
            events.append(Expired())
            self.close("the session has expired")
            return
        self.phase = Phase.OPEN
        self.timeout = response.timeout_ms / 1000
        extensions = response.protocol_version if response.protocol_version >= EXTENSIONS_VERSION else 0
        events.append(Connected(response.session_id, response.password or b"", self.timeout, extensions))

    def _ping_due_at(self) -> float:
        return self.confirmed_at + self.timeout / 3

    def _silent_at(self) -> float:
        since = self._heard_at
        if self._ping_sent_at is not None:
            since = min(since, self._ping_sent_at)  # other answers come, but nobody confirms the session
        return since + self.timeout * 2 / 3

    def next_deadline(self) -> float:
        """When to call `advance_time`, at the latest."""
        if self._ping_sent_at is None and self.phase is Phase.OPEN:
            return min(self._ping_due_at(), self._silent_at())
        return self._silent_at()

    def advance_time(self, now: float) -> bool:
        """True if a ping was due: it is in the output. Closes the connection if nothing came for too long."""
        if self.phase is not Phase.CLOSED and now >= self._silent_at():
            self.close(f"the server was silent for two thirds of {self.timeout:g} s")
        if self.phase is not Phase.OPEN or self._ping_sent_at is not None or now < self._ping_due_at():
            return False
        self._ping_sent_at = now  # it leaves a little later, so we err to the safe side
        self._output.append(_PING)
        return True

    def close(self, reason: str) -> None:
        """No more bytes in or out. The first reason is kept."""
        if self.phase is not Phase.CLOSED:
            self.phase = Phase.CLOSED
            self.closed_because = reason

    def take_unanswered(self) -> list[Request]:
        """Of a closed connection: the requests without an answer.

        LOST ones were sent, UNSENT ones had no effect.
        """
        assert self.phase is Phase.CLOSED, "requests of an open connection may still be answered"
        for request in self._pending:
            request.fate = Fate.LOST
        for request in self._unsent:
            request.fate = Fate.UNSENT
        requests = [*self._pending, *self._unsent]
        self._pending.clear()
        self._unsent.clear()
        return requests
