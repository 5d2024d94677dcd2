"""Replicas without sockets, disks or clocks: a turn is a call, time is a number, and clients are lists of frames."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TypeVar

from coord.raft.config import Config
from coord.raft.stored import Stored
from coord.raft.types import MemberId
from coord.replica.config import ReplicaConfig
from coord.replica.inputs import (
    Closed,
    ConnectionId,
    Event,
    FromPeer,
    Input,
    Opened,
    PeerMessage,
    Persisted,
    Received,
)
from coord.replica.replica import Replica
from coord.tree.levels import FIRST, LEVEL
from coord_protocol.frames import REPLY_HEADER, REQUEST_HEADER, FrameSplitter, frame
from coord_protocol.jute import Record
from coord_protocol.requests import ConnectRequest, ConnectResponse, OpCode
from tests.replica.snapshot_disk import SnapshotDisk

R = TypeVar("R", bound=Record)

TIMEOUT_MS = 6000
CHANGE_PATIENCE = 2.0


class Client:
    """One connection: what it is sent is kept as frames until a test takes it."""

    def __init__(self, world: "World", member: MemberId, address: str) -> None:
        self.world = world
        self.member = member
        self.id = ConnectionId(next(world.connections))
        self.is_closed = False
        self.frames: list[bytes] = []
        self._splitter = FrameSplitter()
        world.clients[member, self.id] = self
        world.give(member, Opened(self.id, address))

    def send(self, data: bytes) -> None:
        self.world.give(self.member, Received(self.id, data))

    def hear(self, data: bytes) -> None:
        self.frames += self._splitter.feed(data)

    def leave(self) -> None:
        self.world.give(self.member, Closed(self.id))

    def connect(
        self, session: int = 0, password: bytes | None = None, last_zxid: int = 0, version: int = 0
    ) -> ConnectResponse:
        self.greet(session, password, last_zxid, version)
        self.world.settle()
        return ConnectResponse.decode(self.frames.pop(0))

    def greet(self, session: int = 0, password: bytes | None = None, last_zxid: int = 0, version: int = 0) -> None:
        self.send(frame(ConnectRequest(version, last_zxid, TIMEOUT_MS, session, password or bytes(16), False).encode()))

    def request(self, opcode: OpCode, record: Record | bytes = b"", xid: int = 1) -> None:
        body = record if isinstance(record, bytes) else record.encode()
        self.send(frame(REQUEST_HEADER.pack(xid, opcode) + body))

    def ask(self, opcode: OpCode, record: Record | bytes = b"", xid: int = 1) -> tuple[int, bytes]:
        """Send, settle, and take the one reply: its error code and its body."""
        self.request(opcode, record, xid)
        self.world.settle()
        got_xid, _, code, body = self.take()
        assert got_xid == xid
        assert not self.frames, "one request has one reply"
        return code, body

    def call(self, opcode: OpCode, record: Record, answer: type[R]) -> R:
        code, body = self.ask(opcode, record)
        assert code == 0
        return answer.decode(body)

    def take(self) -> tuple[int, int, int, bytes]:
        """xid, zxid, error code, body of the oldest frame."""
        head = self.frames.pop(0)
        return *REPLY_HEADER.unpack_from(head), head[REPLY_HEADER.size :]


class World:
    """`size` replicas, an instant network and instant disks."""

    def __init__(
        self,
        size: int = 1,
        max_outstanding_bytes: int = 1 << 24,
        heartbeat: float = 0.05,
        super_digest: str = "",
        snapshot_log_bytes: int = 1 << 30,
        snapshot_piece_pause: float = 0.0,
        *,
        lease_reads: bool = False,
        reconfig: bool = True,
        sasl_users: Mapping[str, str] | None = None,
        early: Collection[int] = (),
    ) -> None:
        """`early`: members that run a release of level 1."""
        self.now = 100.0
        self.directories = 0
        """How many there have been."""
        self.connections = count(1)
        self.clients: dict[tuple[MemberId, ConnectionId], Client] = {}
        self.events: list[Event] = []
        self.cut_off: set[MemberId] = set()
        self.replicas: dict[MemberId, Replica] = {}
        self.disks: dict[MemberId, SnapshotDisk] = {}
        self._inbox: dict[MemberId, list[Input]] = defaultdict(list)
        voters = tuple(MemberId(member) for member in range(1, size + 1))
        self._template = ReplicaConfig(
            Config(
                member=MemberId(1),
                voters=(),
                incarnation=1,
                heartbeat_interval=heartbeat,
                election_timeout=10 * heartbeat,
                lease_reads=lease_reads,
            ),
            max_outstanding_bytes=max_outstanding_bytes,
            super_digest=super_digest,
            sasl_users=sasl_users or {},
            change_patience=CHANGE_PATIENCE,
            reconfig=reconfig,
            snapshot_log_bytes=snapshot_log_bytes,
            retained_log_bytes=0,
            snapshot_piece_znodes=3,
            snapshot_piece_bytes=100,
            snapshot_piece_pause=snapshot_piece_pause,
        )
        for member in voters:
            self._start(member, voters, FIRST if member in early else LEVEL)
        self.run_until_led()

    def join(self, member: int, level: int = LEVEL) -> None:
        """Start a server with an empty directory that is to become a member."""
        self._start(MemberId(member), (), level)

    def _start(self, member: MemberId, voters: tuple[MemberId, ...], level: int) -> None:
        self.directories += 1
        config = replace(
            self._template,
            raft=replace(self._template.raft, member=member, voters=voters, incarnation=self.directories),
            client_address=f"host{member}:2181",
            peer_address=f"host{member}:2281",
            directory_id=self.directories,
            level=level,
        )
        jitter = partial(float, member / 10)
        self.disks[member] = SnapshotDisk(member)
        self.replicas[member] = Replica(
            config, Stored.nothing(), self.directories, self.now, jitter, bytes, on_event=self.events.append
        )

    def client(self, member: int = 1, address: str = "10.1.2.3") -> Client:
        return Client(self, MemberId(member), address)

    def give(self, member: MemberId, item: Input) -> None:
        self._inbox[member].append(item)

    def take_inbox(self, member: MemberId) -> bytes:
        """The bytes that wait for this replica, taken away from it."""
        return b"".join(item.data for item in self._inbox.pop(member) if isinstance(item, Received))

    @property
    def leader(self) -> Replica:
        return next(replica for replica in self.replicas.values() if replica.raft.is_leader)

    def run_until_led(self) -> None:
        for _ in range(400):
            self.pass_time(0.01)
            if all(r.machine.cluster is not None for m, r in self.replicas.items() if m not in self.cut_off):
                return
        raise AssertionError("no leader within 4 s")

    def pass_time(self, seconds: float, step: float = 0.01) -> None:
        """In steps, each settled."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + step)
            for member in self.replicas:
                self._turn(member)
            self.settle()

    def settle(self) -> None:
        """Turns until nobody has anything to take in, then those that a deadline of now asks for."""
        for _ in range(10_000):
            busy = [member for member in self.replicas if self._inbox[member]]
            if not busy:
                busy = [member for member, one in self.replicas.items() if one.next_deadline() <= self.now]
            if not busy:
                return
            for member in busy:
                self._turn(member)
        raise AssertionError("the replicas do not come to rest")

    def _turn(self, member: MemberId) -> None:
        replica = self.replicas[member]
        replica.advance_time(self.now, int(self.now * 1000))
        batch = self._inbox.pop(member, [])
        for item in batch:
            replica.handle(item)
        turn = replica.take_ready()
        for to, messages in turn.messages + turn.notices:
            self._deliver(member, to, list(messages))
        if turn.persist is not None:
            self.give(member, Persisted(turn.persist.token))
        replies = replica.apply(turn)
        for connection, data in replies.chunks:
            client = self.clients.get((member, connection))
            if client is not None:
                client.hear(data)
        for connection in replies.closing:
            client = self.clients.pop((member, connection), None)
            if client is not None:
                client.is_closed = True
        for work in replica.take_snapshot_work():
            self._inbox[member] += self.disks[member].work(work)

    def _deliver(self, sender: MemberId, to: MemberId, messages: list[PeerMessage]) -> None:
        if to in self.replicas and sender not in self.cut_off and to not in self.cut_off:
            self.give(to, FromPeer(sender, messages))
