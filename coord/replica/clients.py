"""The connections of this server's clients: from the handshake to the last byte they are owed.

Sessions themselves are replicated (`coord.tree.leases`); what lives here is local: who is connected to us, with which
session, and whether a reply may leave (see `coord.replica.connection`).
"""

from coord.replica import answers
from coord.replica.config import ReplicaConfig
from coord.replica.connection import Connection, Phase, Slot
from coord.replica.inputs import ConnectionId, Replies
from coord.replica.outbox import Outbox
from coord.replica.passwords import PASSWORD_BYTES, is_password_of, password_of
from coord.replica.syncs import Syncs
from coord.tree import commands
from coord.tree.leases import Lease, grace_ms
from coord.tree.machine import Machine, Outcome
from coord.tree.watches import Watches
from coord_protocol.errors import MarshallingError
from coord_protocol.extensions import EXTENSIONS_VERSION
from coord_protocol.frames import PING_XID, frame
from coord_protocol.requests import ConnectRequest, ConnectResponse


class Clients:
    def __init__(self, config: ReplicaConfig, machine: Machine, watches: Watches, outbox: Outbox, syncs: Syncs) -> None:
        self._config = config
        self._machine = machine
        self._watches = watches
        self._outbox = outbox
        self._syncs = syncs
        self.now = 0.0
        self.table: dict[ConnectionId, Connection] = {}
        self.by_session: dict[int, Connection] = {}
        self._strangers: dict[ConnectionId, Connection] = {}
        """Connections whose handshake has not come, in order of arrival."""
        self._speaking: list[Connection] = []
        self._held: dict[ConnectionId, Connection] = {}
        self._closing: list[ConnectionId] = []
        self._impatient: list[Connection] = []
        self._touched: list[Connection] = []
        self._flush_at = 0.0
        self._is_flush_urgent = False
        self._received_before = 0
        self._sent_before = 0

    def count_traffic(self) -> tuple[int, int]:
        """Requests received, and replies and notifications sent, since the start."""
        connections = self.table.values()
        return (
            self._received_before + sum(connection.received for connection in connections),
            self._sent_before + sum(connection.sent for connection in connections),
        )

    # -- connections come and go

    def open(self, connection: ConnectionId, address: str) -> None:
        self.table[connection] = self._strangers[connection] = Connection(connection, address, self.now)

    def forget(self, connection: ConnectionId) -> None:
        """The hub has closed it. Its watches go with it; its session stays."""
        gone = self.table.pop(connection, None)
        if gone is None:
            return
        gone.phase = Phase.CLOSING
        self._received_before += gone.received
        self._sent_before += gone.sent
        self._strangers.pop(connection, None)
        self._held.pop(connection, None)
        if self.by_session.get(gone.session) is gone:
            del self.by_session[gone.session]
        self._watches.drop(connection)

    def close(self, connection: Connection) -> None:
        """Send what it is owed, then close it; nothing more is read from it."""
        if connection.phase is not Phase.CLOSING:
            self.forget(connection.id)
            self._closing.append(connection.id)

    def close_strangers(self) -> None:
        """Close connections that were silent for too long."""
        deadline = self.now - self._config.handshake_deadline
        while self._strangers:
            first = next(iter(self._strangers.values()))
            if first.opened_at > deadline:
                break
            self.close(first)

    def session_changed(self, session: int) -> None:
        """The session ended, or has another connection now: ours, if it is not that one, is of no use any more."""
        connection = self.by_session.get(session)
        if connection is not None:
            lease = self._machine.leases.session(session)
            if lease is None or lease.epoch > connection.epoch:
                self.close(connection)

    # -- the handshake (ZOOKEEPER-PROTOCOL §2, §10)

    def greet(self, connection: Connection, first_frame: bytes) -> None:
        try:
            request = ConnectRequest.decode(first_frame)
        except MarshallingError:
            self.close(connection)
            return
        self._strangers.pop(connection.id, None)
        connection.phase = Phase.ATTACHING
        connection.knows_read_only = request.read_only is not None
        connection.has_extensions = request.protocol_version == EXTENSIONS_VERSION
        low, high = self._config.min_session_timeout, self._config.max_session_timeout
        timeout_ms = round(min(max(request.timeout_ms / 1000, low), high) * 1000)
        if not request.session_id and request.last_zxid_seen <= self._machine.applied_index:
            self._create_session(connection, timeout_ms)
            return
        # Whoever has been here before must not see less than it saw: wait for all that is committed. If even that
        # is less, the data was lost or restored, and only a new session can help (python-zk/kazoo#42).
        self._syncs.add(lambda index: self._attach(connection, request, timeout_ms, seen_by_all=index))

    def _attach(self, connection: Connection, request: ConnectRequest, timeout_ms: int, seen_by_all: int) -> None:
        if connection.phase is not Phase.ATTACHING:
            return
        if request.last_zxid_seen > seen_by_all:
            self._refuse(connection)
        elif not request.session_id:
            self._create_session(connection, timeout_ms)
        elif self._machine.cluster is None or not is_password_of(
            request.password, self._machine.cluster.secret, request.session_id
        ):
            self._refuse(connection)
        else:
            command = commands.attach_session(request.session_id, timeout_ms, connection.address)
            self._outbox.add(command, Slot(connection, 0, self.now, finish=self._attached))

    def _create_session(self, connection: Connection, timeout_ms: int) -> None:
        command = commands.create_session(timeout_ms, connection.address)
        self._outbox.add(command, Slot(connection, 0, self.now, finish=self._attached))

    def _attached(self, slot: Slot, zxid: int, outcome: Outcome) -> None:
        connection = slot.connection
        assert connection is not None
        if connection.phase is not Phase.ATTACHING:
            return  # it left meanwhile; its session expires if nobody attaches to it
        if not isinstance(outcome, Lease):
            self._refuse(connection)
            return
        cluster = self._machine.cluster
        assert cluster is not None, "the first leader puts the secret into the log before anything else"
        connection.phase = Phase.OPEN
        connection.session, connection.epoch = outcome.id, zxid
        connection.timeout_ms = outcome.ttl_ms
        connection.patience = (outcome.ttl_ms / 3 + grace_ms(outcome.ttl_ms)) / 1000
        connection.covered_at = slot.received_at
        connection.identities = outcome.identities
        former = self.by_session.get(outcome.id)
        if former is not None:
            self.close(former)
        self.by_session[outcome.id] = connection
        if connection.unread:
            self._impatient.append(connection)
        self._answer_handshake(connection, outcome.ttl_ms, outcome.id, password_of(cluster.secret, outcome.id))

    @property
    def has_impatient(self) -> bool:
        return bool(self._impatient)

    def take_impatient(self) -> list[Connection]:
        """Connections opened since the last call whose first requests came ahead of the answer to the handshake."""
        impatient, self._impatient = self._impatient, []
        return impatient

    def _refuse(self, connection: Connection) -> None:
        """The session is gone, or the password is not its own: the client starts a new one."""
        self._answer_handshake(connection, 0, 0, bytes(PASSWORD_BYTES))
        self.close(connection)

    def _answer_handshake(self, connection: Connection, timeout_ms: int, session: int, password: bytes) -> None:
        response = ConnectResponse(
            protocol_version=EXTENSIONS_VERSION if connection.has_extensions else 0,
            timeout_ms=timeout_ms,
            session_id=session,
            password=password,
            read_only=False if connection.knows_read_only else None,
        )
        self.say(connection, frame(response.encode()))

    # -- signs of life

    def touch(self, connection: Connection) -> None:
        """Its client was heard just now."""
        connection.touched_at = self.now
        if not connection.is_touched:
            connection.is_touched = True
            self._touched.append(connection)
            if connection.id in self._held:
                self._is_flush_urgent = True

    def flush_touches(self) -> None:
        """Once a tick, or at once if somebody's reply waits for it: all signs of life as one command."""
        if not self._touched or not (self._is_flush_urgent or self.now >= self._flush_at):
            return
        self._flush_at = self.now + self._config.tick
        self._is_flush_urgent = False
        promises = []
        for connection in self._touched:
            connection.is_touched = False
            promises.append((connection, connection.touched_at, connection.pings))
            connection.pings = 0
        self._touched = []

        def keep(slot: Slot, zxid: int, outcome: Outcome) -> None:
            for connection, touched_at, pings in promises:
                if connection.phase is Phase.OPEN:
                    self.cover(connection, touched_at)
                    for _ in range(pings):
                        self.say(connection, answers.ok(PING_XID, zxid))

        alive = [(one.session, one.epoch) for one, _, _ in promises if one.session]
        self._outbox.add(commands.keep_alive(alive), Slot(None, 0, self.now, finish=keep))

    def cover(self, connection: Connection, heard_at: float) -> None:
        """A sign of life that arrived at `heard_at` is committed."""
        connection.covered_at = max(connection.covered_at, heard_at)
        if self._held and self._held.pop(connection.id, None) is not None:
            self._speaking.append(connection)

    def next_deadline(self) -> float:
        flush_at = float("inf")
        if self._touched:
            flush_at = self.now if self._is_flush_urgent else self._flush_at
        if not self._strangers:
            return flush_at
        first = next(iter(self._strangers.values()))
        return min(flush_at, first.opened_at + self._config.handshake_deadline)

    # -- what they are told

    def say(self, connection: Connection, data: bytes) -> None:
        connection.out.append(data)
        connection.sent += 1
        if not connection.is_speaking:
            connection.is_speaking = True
            self._speaking.append(connection)

    def take_replies(self) -> Replies:
        """One chunk for every connection that may be told something now; the others are held (see `is_covered`)."""
        now = self.now
        chunks: list[tuple[ConnectionId, bytes]] = []
        for connection in self._speaking:
            if connection.is_covered(now) or connection.phase is Phase.CLOSING:
                chunks.append((connection.id, b"".join(connection.out)))
                connection.out.clear()
                connection.is_speaking = False
            else:
                self._held[connection.id] = connection
                if connection.is_touched:
                    self._is_flush_urgent = True
        self._speaking = []
        closing, self._closing = self._closing, []
        return Replies(chunks, closing)
