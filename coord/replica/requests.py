"""What an open connection may ask, and what becomes of it.

Two kinds. *Writes* become a command of the log (`coord.replica.writes`): decoded here, judged when applied,
identically everywhere. *Local* requests (reads, watches) are answered from this server's state, in their turn: at once
if the connection waits for nothing, else when everything before them is answered. `sync` is neither: it waits until
this server has applied what the leader had committed when it was asked (`coord.replica.syncs`).

A body that does not decode is answered with MarshallingError and the connection stays; an unknown opcode is answered
with Unimplemented and the connection is closed (ZOOKEEPER-PROTOCOL §4).
"""

from collections.abc import Callable, Mapping
from struct import Struct

from coord.raft import Raft
from coord.raft.types import Index, Place
from coord.replica import answers
from coord.replica.authentication import Authentication
from coord.replica.backup_requests import BackupRequests
from coord.replica.clients import Clients
from coord.replica.config import ReplicaConfig
from coord.replica.connection import BODY, Connection, Local, Phase, Slot
from coord.replica.durations import Durations
from coord.replica.inputs import Event, FrameTooLong
from coord.replica.leases import LeaseWrites
from coord.replica.member_requests import MemberRequests
from coord.replica.operators import how_to_become_one, is_operator
from coord.replica.outbox import Outbox
from coord.replica.snapshots import Snapshots
from coord.replica.syncs import Syncs
from coord.replica.writes import WRITES, Refused, Write
from coord.tree import commands
from coord.tree.machine import Machine, Outcome
from coord.tree.outcomes import NOT_OPERATOR
from coord_protocol.errors import Code, MarshallingError
from coord_protocol.extensions import SnapshotResponse
from coord_protocol.frames import LENGTH
from coord_protocol.requests import OpCode, SyncRequest, SyncResponse

_REQUEST_HEADER = Struct(">ii")
_REQUEST_HEADER_BYTES = 8

# What a client may send ahead of the answer to its handshake: auth, setWatches, its first requests.
MAX_EARLY_FRAMES = 4

_MARSHALLING_ERROR = int(Code.MARSHALLING_ERROR)
_SESSION_MOVED = int(Code.SESSION_MOVED)
_SESSION_EXPIRED = int(Code.SESSION_EXPIRED)


class Requests:
    def __init__(
        self,
        config: ReplicaConfig,
        raft: Raft,
        machine: Machine,
        outbox: Outbox,
        syncs: Syncs,
        clients: Clients,
        snapshots: Snapshots,
        local: Mapping[int, Local],
        on_event: Callable[[Event], None],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._max_frame = config.max_frame_bytes
        self._super_digest = config.super_digest
        self._machine = machine
        self._outbox = outbox
        self._syncs = syncs
        self._clients = clients
        self._snapshots = snapshots
        self._local = local
        self._on_event = on_event
        self._writes: Mapping[int, Write] = {**WRITES, **LeaseWrites(config, machine).table}
        self.members = MemberRequests(config, raft, machine, outbox, self)
        backups = BackupRequests(config, raft, machine, snapshots, self)
        authentication = Authentication(config, machine, outbox, clients, self, entropy)
        self._special: Mapping[int, Callable[[Connection, int, bytes], None]] = {
            OpCode.PING: self._ping,
            OpCode.SYNC: self._sync,
            OpCode.AUTH: authentication.auth,
            OpCode.SASL: authentication.sasl,
            OpCode.CLOSE_SESSION: self._close_session,
            OpCode.SNAPSHOT: self._snapshot,
            OpCode.RECONFIG: self.members.reconfig,
            OpCode.CHANGE_MEMBERS: self.members.change,
            OpCode.TRANSFER_LEADERSHIP: self.members.transfer,
            OpCode.READ_SNAPSHOT: backups.read_snapshot,
            OpCode.READ_LOG: backups.read_log,
        }
        self.latency = Durations()
        """Of writes, from their arrival to the turn that answered them. Sampled: one of each run applied."""
        self._newest: Slot | None = None
        """The slot whose outcome was the latest."""

    def receive(self, connection: Connection, data: bytes) -> None:
        """Bytes from a client: serve every frame that is whole, in order; keep the rest."""
        if connection.is_ending:
            return
        if connection.unread:
            data = connection.unread + data
            connection.unread = b""
        offset, size = 0, len(data)
        max_frame = self._max_frame
        unpack_length = LENGTH.unpack_from
        while offset + 4 <= size and connection.phase is not Phase.ATTACHING:
            (length,) = unpack_length(data, offset)
            if not 0 <= length <= max_frame:
                self._on_event(FrameTooLong(connection.address, length, max_frame))
                self._clients.close(connection)
                return
            end = offset + 4 + length
            if end > size:
                break
            frame = data[offset + 4 : end]
            offset = end
            if connection.phase is Phase.OPEN:
                self._serve(connection, frame)
                if connection.is_ending:
                    return
            elif connection.phase is Phase.HANDSHAKE:
                self._clients.greet(connection, frame)
            else:
                return
        if offset < size:
            connection.unread = data[offset:] if offset else data
            if connection.phase is Phase.ATTACHING and size - offset > MAX_EARLY_FRAMES * max_frame:
                self._clients.close(connection)

    def go_on(self, connection: Connection) -> None:
        """Serve what came while its handshake was not answered."""
        self.receive(connection, b"")

    def _serve(self, connection: Connection, frame: bytes) -> None:
        if len(frame) < _REQUEST_HEADER_BYTES:
            self._clients.close(connection)
            return
        connection.received += 1
        xid, op = _REQUEST_HEADER.unpack_from(frame)
        write = self._writes.get(op)
        if write is not None:
            make_command, encode = write
            try:
                command = make_command(connection, frame)
            except MarshallingError:
                self.refuse(connection, xid, _MARSHALLING_ERROR)
                return
            except Refused as refused:
                self.refuse(connection, xid, refused.code, refused.text)
                return
            slot = Slot(connection, xid, self._clients.now, encode)
            connection.pending.append(slot)
            self._outbox.add(command, slot)
            return
        if not connection.is_touched or connection.touched_at != self._clients.now:
            self._clients.touch(connection)
        local = self._local.get(op)
        if local is None:
            (self._special.get(op) or self._unknown)(connection, xid, frame)
        elif connection.pending:
            connection.pending.append(Slot(connection, xid, self._clients.now, local=local, frame=frame))
        else:
            self._answer_locally(connection, local, xid, frame)

    def on_outcome(self, zxid: int, outcome: Outcome) -> None:
        """A command of ours was applied: the oldest in the outbox."""
        slot = self._outbox.take_applied()
        connection = slot.connection
        if connection is None or slot.encode is None:
            assert slot.finish is not None
            slot.finish(slot, zxid, outcome)
            return
        if connection.phase is not Phase.OPEN:
            return
        if type(outcome) is int and outcome in (_SESSION_MOVED, _SESSION_EXPIRED):
            self._clients.close(connection)
            return
        self._newest = slot
        if slot.received_at > connection.covered_at:
            self._clients.cover(connection, slot.received_at)
        pending = connection.pending
        if pending[0] is slot:
            pending.popleft()
            self._clients.say(connection, slot.encode(slot.xid, zxid, outcome))
            if pending:
                self._drain(connection)
        else:  # a sync before it is not answered yet
            encode = slot.encode
            slot.local = lambda connection, xid, frame: encode(xid, self._machine.applied_index, outcome)

    def sample_latency(self) -> None:
        """Of whatever was answered since the last call, look at the newest."""
        if self._newest is not None:
            self.latency.add(self._clients.now - self._newest.received_at)
            self._newest = None

    def settle(self, slot: Slot, answer: Local) -> None:
        """The slot can be answered from now on: in its turn, with the zxid of that time."""
        slot.local = answer
        assert slot.connection is not None
        self._drain(slot.connection)

    def _drain(self, connection: Connection) -> None:
        """Answer what is first in order, as far as it can be answered."""
        pending = connection.pending
        while pending and pending[0].local is not None:
            first = pending.popleft()
            assert first.local is not None
            self._answer_locally(connection, first.local, first.xid, first.frame)
        if connection.is_ending and not pending:
            self._clients.close(connection)

    def _answer_locally(self, connection: Connection, local: Local, xid: int, frame: bytes) -> None:
        try:
            reply = local(connection, xid, frame)
        except MarshallingError:
            reply = answers.error(xid, self._machine.applied_index, _MARSHALLING_ERROR)
        self._clients.say(connection, reply)

    def refuse(self, connection: Connection, xid: int, code: int, text: str = "") -> None:
        """An answer that needs no state, but has its place in the order."""
        self._answer_in_turn(connection, xid, lambda _, xid, __: answers.error(xid, self._zxid, code, text))

    def settle_at_once(self, connection: Connection, xid: int, body: bytes = b"") -> None:
        """It is done; the answer has its place in the order."""
        self._answer_in_turn(connection, xid, lambda _, xid, __: answers.ok(xid, self._zxid, body))

    @property
    def _zxid(self) -> int:
        return self._machine.applied_index

    def _answer_in_turn(self, connection: Connection, xid: int, answer: Local) -> None:
        if connection.pending:
            connection.pending.append(Slot(connection, xid, self._clients.now, local=answer))
        else:
            self._answer_locally(connection, answer, xid, b"")

    # -- requests that are neither a plain write nor local

    def _ping(self, connection: Connection, xid: int, frame: bytes) -> None:
        """Answered when the keep-alive that carries it is committed (`Clients.flush_touches`)."""
        connection.pings += 1

    def _sync(self, connection: Connection, xid: int, frame: bytes) -> None:
        try:
            path = SyncRequest.decode(frame, BODY).path
        except MarshallingError:
            self.refuse(connection, xid, _MARSHALLING_ERROR)
            return
        slot = Slot(connection, xid, self._clients.now)
        connection.pending.append(slot)

        def answer(connection: Connection, xid: int, frame: bytes) -> bytes:
            return answers.ok(xid, self._machine.applied_index, SyncResponse(path).encode())

        def synced(index: Index) -> None:
            if connection.phase is Phase.OPEN:
                self.settle(slot, answer)

        self._syncs.add(synced)

    def _snapshot(self, connection: Connection, xid: int, frame: bytes) -> None:
        has_super = bool(self._super_digest)
        if not is_operator(connection, has_super):
            self.refuse(connection, xid, NOT_OPERATOR, how_to_become_one(has_super))
            return
        slot = Slot(connection, xid, self._clients.now)
        connection.pending.append(slot)

        def taken(place: Place) -> None:
            if connection.phase is Phase.OPEN:
                body = SnapshotResponse(place.index, self._snapshots.size).encode()
                self.settle(slot, lambda connection, xid, frame: answers.ok(xid, self._machine.applied_index, body))

        self._snapshots.request(taken)

    def _close_session(self, connection: Connection, xid: int, frame: bytes) -> None:
        slot = Slot(connection, xid, self._clients.now, finish=self._session_closed)
        connection.pending.append(slot)
        self._outbox.add(commands.close_session(connection.session, connection.epoch), slot)

    def _session_closed(self, slot: Slot, zxid: int, outcome: Outcome) -> None:
        connection = slot.connection
        assert connection is not None
        if connection.id in self._clients.table:
            self._clients.say(connection, answers.done(slot.xid, zxid, outcome))
            self._clients.close(connection)

    def _unknown(self, connection: Connection, xid: int, frame: bytes) -> None:
        """PROTOCOL-NOTES: Unimplemented with zxid −1, then close. What it asked before is answered before."""
        connection.is_ending = True
        self._answer_in_turn(connection, xid, lambda _, xid, __: answers.error(xid, -1, int(Code.UNIMPLEMENTED)))
        if not connection.pending:
            self._clients.close(connection)
