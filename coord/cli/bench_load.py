"""The load itself: many sessions in one thread, each with a window of requests under way.

A closed loop: a session sends another request when one is answered. Sockets are raw and non-blocking under
one epoll, because a load generator that needs more processor than the servers measures itself. Work is paid
per chunk received, not per request, where that is possible: replies come in the order of the requests, so
what one chunk answers of what one chunk asked has one latency, and is counted at once.

Every reply is checked: its number must be the next, its zxid not below the last one that the session has
seen, its error code is counted.

    CONNECTING   the socket is not there yet
    GREETING     the handshake is sent
    READY        requests flow
    WAITING      lost; connected again after `RECONNECT_NS` (only if the load is to survive that)
"""

import errno
import os
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from struct import Struct

from coord.cli.bench_histogram import FINE_BELOW, FINE_SHIFT, Histogram
from coord.cli.bench_workloads import Template, Workload
from coord_protocol.errors import CoordError
from coord_protocol.frames import LENGTH, REQUEST_HEADER, frame
from coord_protocol.requests import ConnectRequest, ConnectResponse, OpCode

REPLY = Struct(">iiqi")  # length, xid, zxid, error code
REPLY_BYTES, unpack_reply, pack_xid = REPLY.size, REPLY.unpack_from, LENGTH.pack
RECEIVE_BYTES = 2 * 1024 * 1024  # at least one whole reply, and that may be of a megabyte
GREETING_BYTES = 4096
SECOND_NS = 1_000_000_000
RECONNECT_NS = 10_000_000  # at once would hammer a dead port; later would be our delay, not theirs
PATIENCE_NS = 10 * SECOND_NS  # to connect and greet, when nothing is being killed
IMPATIENCE_NS = 1 * SECOND_NS  # the same when something is: on to the next server
DRAIN_NS = 5 * SECOND_NS  # for the last answers after the end
SESSION_TIMEOUT_MS = 30_000
CONNECTS_AT_ONCE = 64  # below the backlog of any listening socket


Address = tuple[str, int]
"""IP address and port."""

Meter = Callable[[], float]
Action = tuple[float, Callable[[], None]]
"""Seconds after the end of the warm-up, and what to do then."""


def nothing() -> float:
    """The meter of those who measure no more than the load does."""
    return 0.0


class LoadError(Exception):
    """The load could not be made; the message names the address and what to do."""


class State(Enum):
    CONNECTING = 1
    GREETING = 2
    READY = 3
    WAITING = 4


@dataclass(slots=True, eq=False)
class Session:
    number: int
    requests: Iterator[Template]
    target: int
    """Which of the addresses; it moves on when a connection is lost."""
    connection: socket.socket | None = None
    state: State = State.WAITING
    deadline: int = 0
    """WAITING: when to connect. CONNECTING, GREETING: when to give up."""
    session_id: int = 0
    password: bytes = bytes(16)
    zxid: int = 0
    next_xid: int = 0
    awaited_xid: int = 0
    batches: deque[list[int]] = field(default_factory=deque)
    """Operations under way, as sent: [how many, when]."""
    rest: bytes = b""
    """The start of a reply that has not arrived as a whole."""
    unsent: bytes = b""


@dataclass(slots=True)
class Measured:
    """What was counted from the end of the warm-up to the end."""

    seconds: float = 0.0
    latencies: Histogram = field(default_factory=Histogram)
    """Of operations without an error, in nanoseconds."""
    errors: Counter[int] = field(default_factory=Counter)
    """Replies by error code."""
    out_of_order: int = 0
    went_back: int = 0
    """Replies with a zxid below one that the session had seen."""
    lost: int = 0
    """Operations under way on a connection that broke."""
    reconnects: int = 0
    expired: int = 0
    """Sessions that the servers gave up meanwhile."""
    unanswered: int = 0
    """Operations without an answer some seconds after the end."""
    longest_gap_ns: int = 0
    """Longest time without any successful operation."""
    gap_started: float = 0.0
    """Seconds after the end of the warm-up."""
    generator_cpu: float = 0.0
    """Seconds of processor time that this process took."""
    metered: float = 0.0
    """What the caller's meter advanced by."""


class Load:
    """One run of a workload against a list of servers."""

    def __init__(
        self,
        addresses: Sequence[Address],
        workload: Workload,
        *,
        sessions: int,
        outstanding: int,
        survives_loss: bool = False,
    ) -> None:
        self._addresses = addresses
        self._outstanding = outstanding
        self._survives_loss = survives_loss
        self._sessions = [
            Session(number, workload.requests(number), number % len(addresses)) for number in range(sessions)
        ]
        self._per = workload.requests_per_operation
        self._is_single = outstanding == 1 and workload.requests_per_operation == 1
        self._buffer = memoryview(bytearray(RECEIVE_BYTES))
        """Read into by all: to make bytes of this size for each recv would cost more than the recv."""
        self._by_file: dict[int, Session] = {}
        self._epoll = select.epoll()
        self._starting = 0
        """Sessions in CONNECTING or GREETING."""
        self._ready = 0
        self._is_issuing = False
        self._last_success = 0
        self._measured = Measured()

    @property
    def issued(self) -> list[int]:
        """Operations begun, by session."""
        return [session.next_xid // self._per for session in self._sessions]

    def run(
        self,
        warmup: float,
        duration: float,
        meter: Meter = nothing,
        actions: Sequence[Action] = (),
    ) -> Measured:
        """Connect, warm up, measure, drain and close. Raises `LoadError`.

        `meter` is read at both ends of the measurement; each of `actions` is called so many seconds into it.
        """
        try:
            return self._run(warmup, duration, meter, actions)
        finally:
            for session in self._sessions:
                if session.connection is not None:
                    session.connection.close()
            self._epoll.close()

    def _run(self, warmup: float, duration: float, meter: Meter, actions: Sequence[Action]) -> Measured:
        while self._ready < len(self._sessions):
            self._turn(self._tick(time.perf_counter_ns()))
        self._is_issuing = True
        for session in self._sessions:
            self._issue(session, self._outstanding)
        self._turn_until(time.perf_counter_ns() + int(warmup * SECOND_NS))

        measured = self._measured = Measured()
        start = self._last_success = time.perf_counter_ns()
        cpu, metered = time.process_time(), meter()
        for after, action in sorted(actions, key=lambda each: each[0]):
            self._turn_until(start + int(after * SECOND_NS))
            action()
        self._turn_until(start + int(duration * SECOND_NS))
        end = time.perf_counter_ns()
        measured.generator_cpu, measured.metered = time.process_time() - cpu, meter() - metered
        measured.seconds = (end - start) / SECOND_NS
        self._note_gap(end)
        measured.gap_started = (measured.gap_started - start) / SECOND_NS

        self._is_issuing = False
        self._measured = Measured()  # what still comes is not counted
        drained = time.perf_counter_ns() + DRAIN_NS
        while any(session.batches for session in self._sessions) and time.perf_counter_ns() < drained:
            self._turn(drained)
        measured.unanswered = sum(count for session in self._sessions for count, _ in session.batches)
        self._say_goodbye()
        return measured

    def _turn_until(self, deadline: int) -> None:
        now = time.perf_counter_ns()
        while now < deadline:
            self._turn(min(deadline, self._tick(now)))
            now = time.perf_counter_ns()

    def _turn(self, deadline: int) -> None:
        """Serve all sockets that are ready; wait for one until `deadline` at the latest."""
        seconds = max(0.0, (deadline - time.perf_counter_ns()) / SECOND_NS)
        for file, event in self._epoll.poll(seconds):
            session = self._by_file.get(file)
            if session is None:
                continue
            try:
                if session.state is State.READY:
                    if event != select.EPOLLIN and event & select.EPOLLOUT:
                        self._send_rest(session)
                    if event != select.EPOLLOUT:
                        self._receive(session)
                elif session.state is State.CONNECTING:
                    self._greet(session)
                else:
                    self._on_greeting(session)
            except (OSError, EOFError) as error:
                self._on_loss(session, error)

    # The hot path

    def _receive(self, session: Session) -> None:
        """Check and count the replies that have arrived, and send as many requests."""
        assert session.connection is not None
        data, offset, size = self._buffer, 0, len(session.rest)
        if size:
            data[:size] = session.rest
            size += session.connection.recv_into(data[size:])
        else:
            size = session.connection.recv_into(data)
        now = time.perf_counter_ns()
        if size == len(session.rest):
            raise EOFError
        if self._is_single and not session.rest and self._answer_single(session, size, now):
            return
        zxid, awaited, failed = session.zxid, session.awaited_xid, 0
        while size - offset >= REPLY_BYTES:
            length, xid, seen, code = unpack_reply(data, offset)
            end = offset + length + 4
            if end > size:
                break
            offset = end
            if xid != awaited:
                if xid < 0:  # nobody asked for it
                    continue
                self._measured.out_of_order += 1
            awaited += 1
            if seen < zxid:
                self._measured.went_back += 1
            zxid = seen
            if code:
                failed += 1
                self._measured.errors[code] += 1
        session.rest = bytes(data[offset:size]) if offset < size else b""
        session.zxid = zxid
        done = awaited // self._per - session.awaited_xid // self._per
        session.awaited_xid = awaited
        if done:
            self._count(session, done, failed, now)
            if self._is_issuing:
                self._issue(session, done)

    def _answer_single(self, session: Session, size: int, now: int) -> bool:
        """All of `_receive` in one go, for one whole and faultless reply to the one request under way.

        With one outstanding the generator works hardest for each; this halves it.
        """
        length, xid, seen, code = unpack_reply(self._buffer)
        if length + 4 != size or size < REPLY_BYTES or xid != session.awaited_xid or code or seen < session.zxid:
            return False
        batch = session.batches[0]
        latency = now - batch[1]
        if latency < FINE_BELOW:
            self._measured.latencies.fine[latency >> FINE_SHIFT] += 1
        else:
            self._measured.latencies.add(latency, 1)
        if now - self._last_success > self._measured.longest_gap_ns:
            self._note_gap(now)
        self._last_success = now
        session.zxid = seen
        session.awaited_xid = xid = xid + 1
        if self._is_issuing:
            before, after = next(session.requests)
            session.next_xid = xid + 1
            batch[1] = now
            self._send(session, before + pack_xid(xid) + after)
        else:
            session.batches.clear()
        return True

    def _count(self, session: Session, done: int, failed: int, now: int) -> None:
        failed = min(failed, done)  # of one operation several requests may have failed
        if failed < done:
            if now - self._last_success > self._measured.longest_gap_ns:
                self._note_gap(now)
            self._last_success = now
        batches, add = session.batches, self._measured.latencies.add
        while done:
            batch = batches[0]
            answered = min(batch[0], done)
            if answered > failed:
                add(now - batch[1], answered - failed)
                failed = 0
            else:
                failed -= answered
            done -= answered
            if answered == batch[0]:
                batches.popleft()
            else:
                batch[0] -= answered

    def _issue(self, session: Session, count: int) -> None:
        """Begin so many operations."""
        parts: list[bytes] = []
        xid = session.next_xid
        for before, after in islice(session.requests, count * self._per):
            parts += (before, pack_xid(xid), after)
            xid += 1
        session.next_xid = xid
        session.batches.append([count, time.perf_counter_ns()])
        self._send(session, b"".join(parts))

    def _send(self, session: Session, data: bytes) -> None:
        assert session.connection is not None
        if session.unsent:
            session.unsent += data
            return
        try:
            sent = session.connection.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            session.unsent = data[sent:]
            self._epoll.modify(session.connection, select.EPOLLIN | select.EPOLLOUT)

    def _send_rest(self, session: Session) -> None:
        assert session.connection is not None
        sent = session.connection.send(session.unsent)
        session.unsent = session.unsent[sent:]
        if not session.unsent:
            self._epoll.modify(session.connection, select.EPOLLIN)

    def _note_gap(self, now: int) -> None:
        if now - self._last_success > self._measured.longest_gap_ns:
            self._measured.longest_gap_ns = now - self._last_success
            self._measured.gap_started = self._last_success

    # Connections

    def _tick(self, now: int) -> int:
        """Connect and give up where it is time; returns when to look again."""
        if self._ready == len(self._sessions):
            return now + SECOND_NS
        for session in self._sessions:
            if session.state is State.READY or now < session.deadline:
                continue
            try:
                if session.state is not State.WAITING:
                    raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
                if self._starting < CONNECTS_AT_ONCE:
                    self._connect(session, now)
            except OSError as error:
                self._on_loss(session, error)
        return now + RECONNECT_NS // 10

    def _connect(self, session: Session, now: int) -> None:
        family = socket.AF_INET6 if ":" in self._addresses[session.target][0] else socket.AF_INET
        session.connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        session.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session.state = State.CONNECTING
        session.deadline = now + (IMPATIENCE_NS if self._survives_loss else PATIENCE_NS)
        self._starting += 1
        self._by_file[session.connection.fileno()] = session
        self._epoll.register(session.connection, select.EPOLLIN | select.EPOLLOUT)
        code = session.connection.connect_ex(self._addresses[session.target])
        if code not in {0, errno.EINPROGRESS}:
            raise OSError(code, os.strerror(code))

    def _greet(self, session: Session) -> None:
        assert session.connection is not None
        code = session.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        session.state = State.GREETING
        self._epoll.modify(session.connection, select.EPOLLIN)
        hello = ConnectRequest(0, session.zxid, SESSION_TIMEOUT_MS, session.session_id, session.password, False)
        session.connection.send(frame(hello.encode()))

    def _on_greeting(self, session: Session) -> None:
        assert session.connection is not None
        session.rest += session.connection.recv(GREETING_BYTES) or self._end()
        if len(session.rest) < 4 or len(session.rest) < 4 + LENGTH.unpack_from(session.rest)[0]:
            return
        try:
            answer = ConnectResponse.decode(session.rest, 4)
        except CoordError:
            raise OSError(errno.EPROTO, "it does not speak ZooKeeper's protocol") from None
        session.rest = b""
        if answer.timeout_ms <= 0:
            self._measured.expired += 1
            session.session_id, session.password, session.zxid = 0, bytes(16), 0
            raise EOFError
        session.session_id, session.password = answer.session_id, answer.password or b""
        session.state = State.READY
        self._starting -= 1
        self._ready += 1
        if self._is_issuing:
            self._issue(session, self._outstanding)

    @staticmethod
    def _end() -> bytes:
        raise EOFError

    def _on_loss(self, session: Session, error: OSError | EOFError) -> None:
        """Give the connection up, for good or for another try."""
        if not self._survives_loss:
            raise LoadError(self._explain(session, error)) from None
        if session.connection is not None:
            del self._by_file[session.connection.fileno()]
            session.connection.close()
            session.connection = None
        if session.state is State.READY:
            self._ready -= 1
            self._measured.reconnects += 1
        elif session.state is not State.WAITING:
            self._starting -= 1
        lost = sum(count for count, _ in session.batches)
        self._measured.lost += lost
        session.batches.clear()
        session.rest = session.unsent = b""
        session.next_xid = session.awaited_xid = -(-session.next_xid // self._per) * self._per
        session.target = (session.target + 1) % len(self._addresses)
        session.state = State.WAITING
        session.deadline = time.perf_counter_ns() + RECONNECT_NS

    def _explain(self, session: Session, error: OSError | EOFError) -> str:
        host, port = self._addresses[session.target][:2]
        address = f"{host}:{port}"
        why = "it closed the connection" if isinstance(error, EOFError) else error.strerror or str(error)
        if session.state is State.READY:
            return (
                f"session {session.number} lost its connection to {address} after"
                f" {session.awaited_xid // self._per} operations: {why}."
                " See the server's log; with --survive-loss sessions connect again"
            )
        if session.state is State.GREETING:
            return (
                f"no session at {address}: {why}. Has the ensemble a quorum (echo srvr | nc {host} {port}),"
                f" and does the server allow {len(self._sessions)} connections from one address?"
            )
        return f"cannot connect to {address}: {why}. Is a server listening there? See --hosts"

    def _say_goodbye(self) -> None:
        """Close the sessions, so that the servers need not wait for them to expire. Best effort."""
        goodbye = frame(REQUEST_HEADER.pack(0, OpCode.CLOSE_SESSION))
        waiting = []
        for session in self._sessions:
            if session.state is State.READY and session.connection is not None:
                try:
                    session.connection.setblocking(True)
                    session.connection.settimeout(1.0)
                    session.connection.sendall(goodbye)
                    waiting.append(session.connection)
                except OSError:
                    continue  # it will expire
        deadline = time.perf_counter_ns() + SECOND_NS
        for each in waiting:
            try:
                while time.perf_counter_ns() < deadline and each.recv(GREETING_BYTES):
                    pass
            except OSError:
                continue
