"""All sockets of a server in one task: it waits on selectors of its own and then drains whatever is ready.

Why not a task per connection: measured for ARCHITECTURE §4, one core, 64 connections: 9.5 k echoes/s with a trio
stream and task each, 108 k/s this way. A selector's descriptor is itself pollable, so the wait nests in trio, and
nurseries, cancellation and timers stay trio's.

Two sets: `_links` has the peers, the wake-up pipe and, as one descriptor, `_gate`, which has the listener and all
clients. So a turn that may not read from clients (back-pressure) simply does not look at theirs.

Going to sleep through trio costs some 50 µs of a core for each wake-up. A server that was busy a moment ago will be so
again within a fraction of a millisecond, so the hub first waits in its own selector, for `LINGER` at most; other tasks
(signals, dialling) run at least every `SHARE` seconds. An idle server always sleeps in trio.
"""

import contextlib
import logging
import math
import socket
from collections import deque
from collections.abc import Sequence
from time import monotonic

import trio

from coord.admin.words import Words
from coord.raft.types import MemberId
from coord.replica.inputs import (
    Closed,
    ConnectionId,
    Input,
    Opened,
    PeerLost,
    PeerMessage,
    PeerUp,
    Replies,
)
from coord.server.poll import Poll
from coord.server.settings import Limits
from coord.server.sockets import ClientSocket, PeerSocket
from coord.transport.codec import encode_frame

log = logging.getLogger("coord.server")

# What a turn takes in at most. A megabyte of 150-byte writes is 7,000 commands, some 100 ms of work: enough to batch,
# not enough to miss heartbeats.
MAX_TURN_BYTES = 1024 * 1024

LINGER = 0.003
SHARE = 0.005

COMPLAINT_PAUSE = 1.0  # seconds between two lines about clients that hit a limit

# Seconds for a connection to say its first word, and for one that is to be closed to take what it is owed.
PATIENCE = 10.0

# Out of descriptors: seconds until we look again whether somebody has left.
ACCEPT_PAUSE = 0.1


class Hub:
    def __init__(self, limits: Limits, words: Words) -> None:
        self._limits = limits
        self._words = words
        self._links: Poll[list[Input]] = Poll()
        self._gate = _Gate()
        self._links.add(self._gate, self._gate)
        self._clients: dict[ConnectionId, ClientSocket] = {}
        self._per_address: dict[str, int] = {}
        self._peers: dict[MemberId, PeerSocket] = {}
        self._peer_gone: dict[MemberId, trio.Event] = {}
        self._posted: deque[Input] = deque()
        self._wake = _WakePipe()
        self._links.add(self._wake, self._wake)
        self._is_waiting = False
        self._expiring: dict[ConnectionId, tuple[float, ClientSocket]] = {}
        """Clients that must have said something, or be gone, by a time; the earliest first."""
        self._resting: _Listener | None = None
        self._rests_until = math.inf
        self._next_id = 0
        self._busy_until = 0.0
        self._shared_at = 0.0
        self._complaint_at = -COMPLAINT_PAUSE
        self.refused_connections = 0
        self.dropped_connections = 0
        """Of those taken in, closed because they left too much unread, or broke while we sent."""

    # -- for the driver

    async def gather(self, until: float, take_clients: bool) -> Sequence[Input]:
        """See `coord.server.driver.Hub`."""
        batch: list[Input] = []
        self._gate.is_open = take_clients
        now = monotonic()
        if now - self._shared_at > SHARE:
            await trio.lowlevel.checkpoint()
            self._shared_at = now
        until = min(until, self._tidy_up(now))
        if now < self._busy_until:
            self._linger(batch, min(until - now, LINGER))
        else:
            self._collect(batch, 0.0)
        if not batch and until > monotonic():
            await self._sleep(until)
            self._collect(batch, 0.0)
        if batch:
            self._busy_until = monotonic() + LINGER
        return batch

    def send(self, messages: Sequence[tuple[MemberId, Sequence[PeerMessage]]]) -> None:
        for member, parts in messages:
            peer = self._peers.get(member)
            if peer is not None and not peer.output.send(encode_frame(parts)):
                self.lose_peer(peer)

    def reply(self, replies: Replies) -> None:
        clients = self._clients
        for connection, data in replies.chunks:
            client = clients.get(connection)
            if client is not None and not client.output.send(data):
                self.lose(client)
        for connection in replies.closing:
            client = clients.get(connection)
            if client is not None:
                self._close_when_sent(client)

    def post(self, item: Input) -> None:
        """An input from elsewhere, also from another thread; it is in the next turn's batch."""
        self._posted.append(item)
        if self._is_waiting:
            self._wake.wake()

    def complain(self, text: str, *details: object) -> None:
        """Log it, but not so often that a runaway client fills the disk."""
        now = monotonic()
        if now >= self._complaint_at + COMPLAINT_PAUSE:
            self._complaint_at = now
            log.warning(text, *details)

    # -- connections come and go

    def listen(self, listener: socket.socket) -> None:
        """Accept clients from this listening, non-blocking socket from now on."""
        self._gate.clients.add(listener, _Listener(listener, self))

    def stop_listening(self, listener: socket.socket) -> None:
        if self._resting is None:
            self._gate.clients.remove(listener)
        self._resting = None
        listener.close()

    def rest(self, listener: "_Listener") -> None:
        """Accept nobody for a while: there are no descriptors left, and the backlog would keep us awake."""
        self._gate.clients.remove(listener)
        self._resting = listener
        self._rests_until = monotonic() + ACCEPT_PAUSE

    def accept(self, sock: socket.socket, address: str) -> None:
        """Take a client's connection in, unless a limit says no; then it is closed at once."""
        count = self._per_address.get(address, 0)
        limits = self._limits
        if len(self._clients) >= limits.max_connections:
            self._refuse(sock, address, f"limits.max_connections = {limits.max_connections}")
            return
        if count >= limits.max_connections_per_address:
            self._refuse(sock, address, f"limits.max_connections_per_address = {limits.max_connections_per_address}")
            return
        self._next_id += 1
        client = ClientSocket(sock, ConnectionId(self._next_id), address, self, self._limits.max_output_bytes)
        self._per_address[address] = count + 1
        self._clients[client.id] = client
        self._expiring[client.id] = monotonic() + PATIENCE, client
        self._gate.clients.add(sock, client)

    def adopt_peer(self, member: MemberId, sock: socket.socket) -> trio.Event:
        """A link to `member` stands; it replaces an older one. The event is set when it is lost."""
        old = self._peers.get(member)
        if old is not None:
            self.lose_peer(old)
        peer = PeerSocket(sock, member, self)
        self._peers[member] = peer
        gone = self._peer_gone[member] = trio.Event()
        self._links.add(sock, peer)
        self.post(PeerUp(member))
        return gone

    def drop_peer(self, member: MemberId) -> None:
        """Close the link to `member`, if there is one."""
        peer = self._peers.get(member)
        if peer is not None:
            self.lose_peer(peer)

    @property
    def connections(self) -> int:
        return len(self._clients)

    def endpoint(self, connection: ConnectionId) -> str:
        """`host:port` of a client; empty if it has left."""
        client = self._clients.get(connection)
        if client is None:
            return ""
        try:
            host, port, *_ = client.socket.getpeername()
        except OSError:
            return client.address
        return f"{host}:{port}"

    def close(self) -> None:
        """Close everything; nothing is sent any more."""
        for client in list(self._clients.values()):
            self.drop(client)
        for peer in list(self._peers.values()):
            self.lose_peer(peer)
        self._gate.close()
        self._links.close()
        self._wake.close()

    # -- for the sockets

    def want_write(self, client: ClientSocket, on: bool) -> None:
        self._gate.clients.want_write(client.socket, on)

    def want_peer_write(self, peer: PeerSocket, on: bool) -> None:
        self._links.want_write(peer.socket, on)

    def introduce(self, client: ClientSocket, data: bytes, batch: list[Input]) -> bool:
        answer = self._words.answer(data)
        if answer is None:
            client.is_known = True
            del self._expiring[client.id]
            batch.append(Opened(client.id, client.address))
            return True
        if client.output.send(answer):
            self._close_when_sent(client)
        else:
            self.drop(client)
        return False

    def drop(self, client: ClientSocket) -> None:
        if self._clients.pop(client.id, None) is None:
            return
        left = self._per_address[client.address] - 1
        if left:
            self._per_address[client.address] = left
        else:
            del self._per_address[client.address]
        self._expiring.pop(client.id, None)
        self._gate.clients.remove(client.socket)
        client.socket.close()

    def lose(self, client: ClientSocket) -> None:
        self.dropped_connections += 1
        if client.output.size > self._limits.max_output_bytes:
            self.complain(
                "disconnected the client at %s: it left more unread than limits.max_output_bytes = %d",
                client.address,
                self._limits.max_output_bytes,
            )
        if client.is_known:
            self._posted.append(Closed(client.id))
        self.drop(client)

    def lose_peer(self, peer: PeerSocket) -> None:
        if self._peers.get(peer.member) is not peer:
            return
        del self._peers[peer.member]
        self._links.remove(peer.socket)
        peer.socket.close()
        self._peer_gone.pop(peer.member).set()
        self.post(PeerLost(peer.member))

    # -- inside

    def _refuse(self, sock: socket.socket, address: str, limit: str) -> None:
        self.refused_connections += 1
        sock.close()
        self.complain("refused a client from %s: %s is reached (%d so far)", address, limit, self.refused_connections)

    def _close_when_sent(self, client: ClientSocket) -> None:
        client.closing = True
        if not client.output.size:
            self.drop(client)
            return
        self._expiring.pop(client.id, None)
        self._expiring[client.id] = monotonic() + PATIENCE, client

    def _tidy_up(self, now: float) -> float:
        """Drop those whose time is over, accept again; returns when to look next."""
        while self._expiring:
            deadline, client = next(iter(self._expiring.values()))
            if deadline > now:
                break
            self.drop(client)
        else:
            deadline = math.inf
        if self._resting is None:
            return deadline
        if now >= self._rests_until:
            listener, self._resting = self._resting, None
            self._gate.clients.add(listener, listener)
        return min(deadline, self._rests_until)

    def _collect(self, batch: list[Input], wait: float) -> None:
        self._links.dispatch(batch, wait, math.inf)
        posted = self._posted
        while posted:
            batch.append(posted.popleft())

    def _linger(self, batch: list[Input], wait: float) -> None:
        """Wait here, without trio. As in `_sleep`: a thread that missed the flag has posted before we look."""
        self._is_waiting = True
        try:
            self._collect(batch, 0.0 if self._posted else max(0.0, wait))
        finally:
            self._is_waiting = False

    async def _sleep(self, until: float) -> None:
        """Wait in trio until a socket is ready, something is posted, or the clock reads `until`."""
        if not self._gate.is_open:
            self._links.remove(self._gate)
        self._is_waiting = True
        try:
            if not self._posted:
                with trio.move_on_after(max(0.0, until - monotonic())):
                    await trio.lowlevel.wait_readable(self._links.fileno())
        finally:
            self._is_waiting = False
            self._shared_at = monotonic()
            if not self._gate.is_open:
                self._links.add(self._gate, self._gate)


class _Gate:
    """All clients and the listener, as one source among the links. Shut, nothing is read from any of them."""

    def __init__(self) -> None:
        self.is_open = True
        self.clients: Poll[list[Input]] = Poll()
        self.fileno = self.clients.fileno
        self.close = self.clients.close

    def on_readable(self, batch: list[Input]) -> int:
        return self.clients.dispatch(batch, 0.0, MAX_TURN_BYTES) if self.is_open else 0

    def on_writable(self) -> None:
        raise AssertionError("never registered for writing")


class _Listener:
    """A listening socket; takes in everybody who waits."""

    def __init__(self, sock: socket.socket, hub: Hub) -> None:
        self._socket = sock
        self._hub = hub
        self.fileno = sock.fileno

    def on_readable(self, batch: list[Input]) -> int:
        while True:
            try:
                sock, address = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return 0
            except OSError as error:
                # Out of descriptors, most likely. The client stays in the backlog and is taken in when others leave.
                self._hub.complain("cannot accept a client: %s; raise the limit of open files (ulimit -n)", error)
                self._hub.rest(self)
                return 0
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._hub.accept(sock, address[0])

    def on_writable(self) -> None:
        raise AssertionError("never registered for writing")


class _WakePipe:
    """Lets another task or thread end the hub's sleep."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        return self._reader.fileno()

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: then it wakes up anyway
            self._writer.send(b"\0")

    def on_readable(self, batch: list[Input]) -> int:
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)
        return 0

    def on_writable(self) -> None:
        raise AssertionError("never registered for writing")

    def close(self) -> None:
        self._reader.close()
        self._writer.close()
