"""A simulated client: real bytes on the wire, and the life of a session across servers, breaks and expiry.

It does what an honest SDK does: one connection at a time, the next server when one falls silent for two
thirds of the timeout, a ping every third of it, its watches set again after each re-attach, a new session
when the old one is gone. And it believes in its session as the SDK does (ARCHITECTURE §6): until the moment
at which it *sent* the last confirmed ping or handshake, plus the timeout less the drift that clocks may have,
by its own clock.

What it asks is written as a script, a generator that yields what it waits for:

    call = client.call(OpCode.SET_DATA, SetDataRequest(...))    sent at once, or lost without a connection
    yield call                                                  until it is answered or lost
    yield 0.3                                                   for so long
    yield News(5.0)                                             until something happens, or for so long
"""

from collections import deque
from collections.abc import Callable

from coord.sim.clock import MachineClock
from coord.sim.exclusivity import Belief
from coord.sim.session import Call, Contact, Habits, News, Script, Session, Surroundings, Wait
from coord.sim.sight import Sight
from coord.sim.streams import Wire
from coord.sim.verdict import Violation
from coord_protocol.extensions import EXTENSIONS_VERSION
from coord_protocol.frames import (
    NOTIFICATION_XID,
    PING_XID,
    REPLY_HEADER,
    REQUEST_HEADER,
    SET_WATCHES_XID,
    FrameSplitter,
    frame,
)
from coord_protocol.jute import Record
from coord_protocol.records import EventType, WatcherEvent
from coord_protocol.requests import ConnectRequest, ConnectResponse, OpCode, SetWatches2


class Client:
    def __init__(self, habits: Habits, clock: MachineClock, around: Surroundings) -> None:
        self.habits = habits
        self.number = habits.number
        self.clock = clock
        self.timeline = around.timeline
        self.chance = around.chance
        self._streams = around.streams
        self._trace = around.trace
        self._book = around.book
        self._members = around.members
        self._on_neglect = around.on_neglect
        self.session: Session | None = None
        self.contact = Contact.NONE
        self.news = 0
        """Counts what happened, so that a script can tell whether anything did."""

        self.is_stopping = False
        """Scripts end at the next opportunity."""

        self.is_finished = False
        self.answered = 0
        self.connection_number = 0
        """Counts connections that came to stand."""

        self.served_since = 0.0
        """When the present connection came to stand, in true time."""

        self._wire: Wire | None = None
        self._frames = FrameSplitter()
        self._pending: deque[Call] = deque()
        self._pings: deque[float] = deque()
        self._heard_at = 0.0
        self._pinged_at = 0.0
        self._greeted_at = 0.0
        self._last_xid = 0
        self._attempt = 0
        self._script: Script | None = None
        self._wait: Wait | None = None
        self._wait_number = 0

    @property
    def who(self) -> str:
        return f"client {self.number}" + (f" (session {self.session.id})" if self.session else "")

    @property
    def sight(self) -> Sight:
        """Of the session; only where an answer of it was just read."""
        assert self.session is not None
        return self.session.sight

    def believes(self, session: Session) -> bool:
        """Whether it would still act as the holder of what this session owns."""
        return not session.is_closing and self.clock.now() < session.believed_until

    # -- the script

    def run(self, script: Script) -> None:
        self._script = script
        self.timeline.after(self.chance.uniform(0, 0.5), self._resume, self._wait_number)
        self.timeline.after(self.chance.uniform(0, 0.3), self._connect, self._attempt)

    def call(self, opcode: OpCode, request: Record | bytes, on_answer: Callable[[Call], None] | None = None) -> Call:
        """Send a request. Without a connection it is lost at once, and was certainly not sent."""
        self._last_xid += 1
        call = Call(opcode, self._last_xid, self.clock.now(), on_answer)
        if self._wire is None or self.contact is not Contact.OPEN:
            call.is_done = True
            call.was_sent = False
            return call
        body = request if isinstance(request, bytes) else request.encode()
        self._pending.append(call)
        if opcode == OpCode.CLOSE_SESSION and self.session is not None:
            self.session.is_closing = True
        self._streams.send_up(self._wire, frame(REQUEST_HEADER.pack(call.xid, opcode) + body))
        return call

    def connected(self) -> Script:
        """Wait for a connection; the session may be another one then."""
        while self.contact is not Contact.OPEN:
            yield News(1.0)

    def vanish(self) -> None:
        """The client's machine is gone for good: nobody is told, nothing is closed."""
        self.is_finished = True
        self._wire = None
        self._attempt += 1
        self.contact = Contact.NONE

    def state(self) -> str:
        """For messages about clients that do not come to an end."""
        waiting = [f"{call.opcode.name} {call.xid}" for call in self._pending]
        return f"{self.who}: {self.contact.value}, waits for {self._wait}, unanswered {waiting}"

    def _resume(self, wait_number: int) -> None:
        if wait_number != self._wait_number or self._script is None:
            return
        self._wait_number += 1
        while True:
            try:
                wait = next(self._script)
            except StopIteration:
                self._script = None
                self.is_finished = True
                return
            if isinstance(wait, Call) and wait.is_done:
                continue
            break
        self._wait = wait
        if isinstance(wait, float):
            self.timeline.after(wait, self._resume, self._wait_number)
        elif isinstance(wait, News):
            self.timeline.after(wait.seconds, self._resume, self._wait_number)

    def _happened(self, call: Call | None = None) -> None:
        """Wake the script if this is what it waits for; not now but next, so that the rest of a batch comes
        first.
        """
        self.news += 1
        if isinstance(self._wait, News) or (call is not None and self._wait is call):
            self._wait = None
            self.timeline.after(0.0, self._resume, self._wait_number)

    # -- connecting

    def _connect(self, attempt: int) -> None:
        if attempt != self._attempt or self.contact is not Contact.NONE:
            return
        members = self._members()
        home = self.habits.home
        member = home if home is not None and home in members else self.chance.choice(members)
        self.contact = Contact.DIALING
        self._frames = FrameSplitter()
        self._wire = self._streams.dial(self.number, self.habits.address, self, member)
        self._heard_at = self.clock.now()
        patience = self._timeout / 3
        self.timeline.after(patience, self._give_up_handshake, self._attempt)

    @property
    def _timeout(self) -> float:
        return self.session.timeout if self.session is not None else self.habits.timeout

    def _give_up_handshake(self, attempt: int) -> None:
        if attempt == self._attempt and self.contact in (Contact.DIALING, Contact.GREETING):
            self.disconnect()

    def on_open(self, wire: Wire) -> None:
        if wire is not self._wire:
            return
        self.contact = Contact.GREETING
        session = self.session
        request = ConnectRequest(
            protocol_version=EXTENSIONS_VERSION,
            last_zxid_seen=session.sight.last_zxid if session else 0,
            timeout_ms=round(self.habits.timeout * 1000),
            session_id=session.id if session else 0,
            password=session.password if session else bytes(16),
            read_only=False,
        )
        self._greeted_at = self.clock.now()
        self._streams.send_up(wire, frame(request.encode()))
        if session is not None:
            self._set_watches(wire, session.sight)

    def _set_watches(self, wire: Wire, sight: Sight) -> None:
        """What was watched is watched again; sent ahead of the handshake's answer, as Java's client does."""
        if not (sight.data_watches or sight.child_watches or sight.persistent or sight.recursive):
            return
        self._trace.mark("watches set again")
        missing = [path for path, mark in sight.data_watches.items() if not mark]
        present = [path for path, mark in sight.data_watches.items() if mark]
        request = SetWatches2(
            sight.last_zxid, present, missing, list(sight.child_watches), list(sight.persistent), list(sight.recursive)
        )
        self._pending.append(Call(OpCode.SET_WATCHES2, SET_WATCHES_XID, self.clock.now()))
        self._streams.send_up(wire, frame(REQUEST_HEADER.pack(SET_WATCHES_XID, OpCode.SET_WATCHES2) + request.encode()))

    def disconnect(self) -> None:
        """Leave this connection: what it still owed us is lost. Another will be tried soon."""
        wire, self._wire = self._wire, None
        if wire is not None and wire.client_end is not None:
            self._streams.close_client_end(wire)
        self.contact = Contact.NONE
        self._attempt += 1
        self._pings.clear()
        if self.session is not None:
            self.session.sight.on_disconnect()
            if self.session.is_closing:
                self.session = None
        pending = list(self._pending)
        self._pending.clear()
        for call in pending:
            call.is_done = True
            self._happened(call)
        self._happened()
        if not self.is_finished:
            self.timeline.after(self.chance.uniform(0.01, 0.2), self._connect, self._attempt)

    def on_closed(self, wire: Wire) -> None:
        if wire is self._wire:
            self.disconnect()

    # -- what arrives

    def on_data(self, wire: Wire, data: bytes) -> None:
        if wire is not self._wire:
            return
        self._trace.note(self.timeline.now, "to client", self.number, wire.id, data)
        self._heard_at = self.clock.now()
        for packet in self._frames.feed(data):
            if self.contact is Contact.OPEN:
                self._on_reply(packet)
            else:
                self._on_welcome(ConnectResponse.decode(packet))
            if wire is not self._wire:
                return

    def _on_welcome(self, response: ConnectResponse) -> None:
        if response.timeout_ms <= 0:
            self._on_expired()
            return
        session = self.session
        timeout = response.timeout_ms / 1000
        assert response.password is not None
        if session is None:
            session = Session(response.session_id, response.password, timeout, Sight(""), 0.0)
            self.session = begun = session
            session.sight.who = self.who
            self._confirm(session, self._greeted_at)
            belief = Belief(self.who, lambda: self.believes(begun), lambda: begun.is_closing)
            self._book.granted(session.id, belief)
        if (response.session_id, response.password) != (session.id, session.password):
            raise Violation(
                "re-attach gives the same session",
                f"{self.who} was answered with session {response.session_id}",
            )
        self.contact = Contact.OPEN
        self.connection_number += 1
        self.served_since = self.timeline.now
        self._confirm(session, self._greeted_at)
        self._pinged_at = self.clock.now()
        self._watch_over(self._attempt)
        self._happened()

    def _confirm(self, session: Session, sent_at: float) -> None:
        """A sign of life sent at `sent_at` is known to be in the log."""
        session.believed_until = max(session.believed_until, sent_at + session.timeout * (1 - self.habits.drift))

    def _on_expired(self) -> None:
        """The servers have forgotten the session. Whether they may have is judged by the book as well."""
        self._trace.mark("session expired")
        self._on_neglect(self, "was told that its session has expired")
        self.session = None
        self.disconnect()

    def _on_reply(self, packet: bytes) -> None:
        xid, zxid, error = REPLY_HEADER.unpack_from(packet)
        session = self.session
        assert session is not None
        if xid == NOTIFICATION_XID:
            event = WatcherEvent.decode(packet, REPLY_HEADER.size)
            session.sight.on_event(EventType(event.type), event.path)
            self._happened()
            return
        session.sight.on_reply(zxid)
        if xid == PING_XID:
            if not self._pings:
                raise Violation("one pong per ping", f"{self.who} got a pong unasked")
            self._confirm(session, self._pings.popleft())
            return
        if not self._pending or self._pending[0].xid != xid:
            raise Violation(
                "replies in the order of the requests",
                f"{self.who} got xid {xid}, waits for {[call.xid for call in self._pending]}",
            )
        call = self._pending.popleft()
        call.is_done = True
        call.error, call.zxid, call.body = error, zxid, packet[REPLY_HEADER.size :]
        self.answered += 1
        if call.on_answer is not None:
            call.on_answer(call)
        self._happened(call)
        if call.opcode == OpCode.CLOSE_SESSION and error == 0:
            self.disconnect()

    # -- keeping alive

    def _watch_over(self, attempt: int) -> None:
        """While the connection stands: ping every third of the timeout, leave after two thirds of silence."""
        if attempt != self._attempt or self.contact is not Contact.OPEN:
            return
        now = self.clock.now()
        third = self._timeout / 3
        if now >= self._heard_at + 2 * third:
            self._trace.mark("client left a silent server")
            self._on_neglect(self, "heard nothing for two thirds of its timeout")
            self.disconnect()
            return
        if now >= self._pinged_at + third and self._wire is not None:
            self._pinged_at = now
            self._pings.append(now)
            self._streams.send_up(self._wire, frame(REQUEST_HEADER.pack(PING_XID, OpCode.PING)))
        due = min(self._pinged_at + third, self._heard_at + 2 * third)
        self.timeline.at(self.clock.true_time_of(due) + 1e-6, self._watch_over, attempt)
