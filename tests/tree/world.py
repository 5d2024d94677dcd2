"""A machine and its clients, for tests: each call is a run of one command, checked by the invariants."""

from collections.abc import Sequence
from typing import Final

from coord.raft.types import Index, MemberId, Run, Term
from coord.tree import commands
from coord.tree.acl import Acl
from coord.tree.leases import Lease
from coord.tree.machine import Machine, Origin, Outcome
from coord.tree.watches import Watches
from coord.tree.znode import Znode
from coord_protocol.records import STAT_STRUCT, EventType, Stat
from tests.tree.invariants import check_invariants

PERSISTENT: Final = 0
EPHEMERAL: Final = 1
SEQUENTIAL: Final = 2
EPHEMERAL_SEQUENTIAL: Final = 3

AclList = Sequence[tuple[int, str, str]]
ANYONE: Final[AclList] = ((31, "world", "anyone"),)

HERE: Final = Origin(MemberId(1), 1)
Event = tuple[int, EventType, str]
"""(connection, type, path)."""


class World:
    """One member that takes in all commands itself, in block after block."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.event_zxids: list[int] = []
        self.event_acls: list[Acl] = []
        self.watches = Watches(self._deliver)
        self.machine = Machine(self.watches)
        self.clock_ms = 1_000
        self.wall_ms = 1_700_000_000_000
        self._next_seq = 1

    def apply(self, *encoded: bytes) -> list[Outcome]:
        """One run of these commands, or of none: a tick."""
        outcomes: list[Outcome] = []
        blocks = [commands.block(*HERE, self._next_seq, encoded)] if encoded else []
        self._next_seq += len(encoded)
        self.machine.apply(
            run_of(self.machine.applied_index + 1, max(1, len(encoded)), self.clock_ms, self.wall_ms, blocks),
            HERE,
            lambda zxid, outcome: outcomes.append(outcome),
        )
        check_invariants(self.machine)
        return outcomes

    def do(self, command: bytes) -> Outcome:
        return self.apply(command)[0]

    def pass_time(self, milliseconds: int) -> None:
        """The lease clock moves by so much, in an entry of its own."""
        self.clock_ms += milliseconds
        self.apply()

    def session(self, timeout_ms: int = 10_000, address: str = "10.0.0.1", name: str = "") -> "Client":
        session = self.do(commands.create_session(timeout_ms, address, name))
        assert isinstance(session, Lease)
        return Client(self, session.id, session.epoch)

    @property
    def zxid(self) -> int:
        return self.machine.applied_index

    def exists(self, path: str) -> bool:
        return path in self.machine.znodes

    def znode(self, path: str) -> Znode:
        return self.machine.znodes[path]

    def stat(self, path: str) -> Stat:
        return stat_of(self.znode(path))

    def children(self, path: str) -> list[str]:
        return self.machine.tree.names(self.znode(path))

    def take_events(self) -> list[Event]:
        events, self.events = self.events, []
        self.event_zxids, self.event_acls = [], []
        return events

    def _deliver(self, connection: int, event_type: int, path: str, zxid: int, acl: Acl) -> None:
        self.events.append((connection, EventType(event_type), path))
        self.event_zxids.append(zxid)
        self.event_acls.append(acl)


class Client:
    """A session's connection; what it calls is answered by the command's outcome."""

    def __init__(self, world: World, session: int, epoch: int) -> None:
        self.world = world
        self.session = session
        self.epoch = epoch

    def create(
        self,
        path: str,
        data: bytes | None = b"",
        acl: AclList = ANYONE,
        mode: int = PERSISTENT,
        lease: int = 0,
    ) -> Outcome:
        return self.world.do(commands.create(self.session, self.epoch, path, data, acl, mode, lease))

    def delete(self, path: str, version: int = -1) -> Outcome:
        return self.world.do(commands.delete(self.session, self.epoch, path, version))

    def set_data(self, path: str, data: bytes | None = b"new", version: int = -1) -> Outcome:
        return self.world.do(commands.set_data(self.session, self.epoch, path, data, version))

    def set_acl(self, path: str, acl: AclList, version: int = -1) -> Outcome:
        return self.world.do(commands.set_acl(self.session, self.epoch, path, acl, version))

    def add_auth(self, scheme: str, name: str) -> Outcome:
        return self.world.do(commands.add_auth(self.session, self.epoch, scheme, name))

    def multi(self, *operations: bytes) -> Outcome:
        return self.world.do(commands.multi(self.session, self.epoch, operations))

    def grant(self, ttl_ms: int = 5_000, name: str = "", meta: bytes = b"") -> int:
        lease = self.world.do(commands.lease_grant(self.session, self.epoch, ttl_ms, name, meta))
        assert isinstance(lease, Lease)
        return lease.id

    def keep_lease_alive(self, *leases: int) -> Outcome:
        return self.world.do(commands.lease_keep_alive(self.session, self.epoch, leases))

    def revoke(self, lease: int) -> Outcome:
        return self.world.do(commands.lease_revoke(self.session, self.epoch, lease))

    def end(self, lease: int, *, is_vouched_for: bool = False) -> Outcome:
        return self.world.do(commands.end_lease(self.session, self.epoch, lease, is_vouched_for=is_vouched_for))

    def keep_alive(self) -> Outcome:
        return self.world.do(commands.keep_alive([(self.session, self.epoch)]))

    def close(self) -> Outcome:
        return self.world.do(commands.close_session(self.session, self.epoch))

    @property
    def is_alive(self) -> bool:
        return self.world.machine.leases.session(self.session) is not None


# Operations of a multi


def creating(path: str, data: bytes | None = b"", acl: AclList = ANYONE, mode: int = PERSISTENT) -> bytes:
    return commands.create(0, 0, path, data, acl, mode)


def deleting(path: str, version: int = -1) -> bytes:
    return commands.delete(0, 0, path, version)


def setting(path: str, data: bytes | None = b"new", version: int = -1) -> bytes:
    return commands.set_data(0, 0, path, data, version)


def checking(path: str, version: int = -1) -> bytes:
    return commands.check(0, 0, path, version)


def run_of(first: int, count: int, clock_ms: int, wall_ms: int, blocks: Sequence[bytes]) -> Run:
    return Run(Index(first), count, Term(1), commands.run_data(clock_ms, wall_ms, blocks))


def stat_of(znode: Znode) -> Stat:
    return Stat._make(STAT_STRUCT.unpack(znode.stat_bytes()))
