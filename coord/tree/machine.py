"""Apply: what a run of the log does to the state. Every member does it alike, in the same order.

    for each run:      the lease clock moves; sessions and leases whose deadline it passed end
      each block:      commands that were applied before are skipped, so a member may send what it likes again
        each command:  is its session alive, and is this its present connection? Then it is judged and done

Every command takes one index, whatever becomes of it; that index is the zxid of what it changed. What ends
with the run itself carries the zxid of the run's first entry.

*Once, and in order.* A member numbers the commands it takes in 1, 2, 3 … for as long as its process lives
(its incarnation). The state holds per member the number of the last one applied. Of a block that starts
earlier only the new rest is applied; one that leaves a gap is passed over whole, for what is missing will
come again, in front of it; so is one of an earlier incarnation, whose clients are long gone.

A server spends its time here, so the loop is flat: one unpacking, one look for the session, one table of
methods. Measured: 2.6 µs for a set_data, 5.3 µs for a create, and 3 µs for each run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from coord.raft.configuration import Membership, decode_configuration
from coord.raft.types import MemberId, Run
from coord.tree.acl import SUPER
from coord.tree.commands import (
    BLOCK_HEAD,
    FIRST_WITHOUT_SESSION,
    HEAD,
    LENGTH_OF_COMMAND,
    RUN_HEAD,
    VERSION,
    Kind,
    UnreadableLog,
    decode_announcement,
    decode_bytes,
    decode_cluster,
    decode_create,
    decode_number,
    decode_numbers,
    decode_pairs,
    decode_path,
    decode_raise,
    decode_set_acl,
    decode_set_data,
    decode_text,
)
from coord.tree.configuration import Addresses, configuration_text
from coord.tree.digest import digest
from coord.tree.leases import End, Ended, Lease, Leases, Session
from coord.tree.levels import LEVEL, Levels
from coord.tree.members import Members, decode_change, encode_members
from coord.tree.multi import Multi
from coord.tree.outcomes import (
    NO_LEASE,
    NOT_OPERATOR,
    SESSION_EXPIRED,
    SESSION_MOVED,
    UNIMPLEMENTED,
    ChangeRefused,
    Created,
    MultiDone,
    MultiFailed,
    Outcome,
)
from coord.tree.transactions import create, delete, set_acl, set_data
from coord.tree.tree import CONFIG_PATH, Tree
from coord.tree.watches import Watches
from coord.tree.znode import Znode
from coord.version import __version__
from coord_protocol.paths import parent_of

if TYPE_CHECKING:
    from coord.tree.snapshots import State

__all__ = [
    "Cluster",
    "Created",
    "Machine",
    "MultiDone",
    "MultiFailed",
    "OnOutcome",
    "Origin",
    "Outcome",
    "Taken",
]

OnOutcome = Callable[[int, Outcome], None]
"""(zxid, outcome), right after the command was applied."""

Handler = Callable[[bytes, int, int, Session, int, int, int], Outcome]
"""(the run's data, where in it the body begins, where it ends, session, zxid, number, path_length)."""

HandlerWithoutSession = Callable[[bytes, int, int, int], Outcome]
"""(the run's data, where in it the body begins, where it ends, zxid)."""

_unpack_run_head = RUN_HEAD.unpack_from
_RUN_HEAD_BYTES = RUN_HEAD.size
_unpack_block_head = BLOCK_HEAD.unpack_from
_BLOCK_HEAD_BYTES = BLOCK_HEAD.size
_unpack_head = HEAD.unpack_from
_unpack_length = LENGTH_OF_COMMAND.unpack_from
_HEAD_BYTES = HEAD.size
_KINDS = 256


class Origin(NamedTuple):
    """Who took commands in from clients: a member, for as long as its process lives."""

    member: MemberId
    incarnation: int


@dataclass(slots=True)
class Taken:
    """How far a member's commands are applied."""

    incarnation: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class Cluster:
    """Made up once, by the first leader ever; the secret makes the passwords of sessions and leases."""

    id: int
    secret: bytes


class Machine:
    """The replicated state. `watches` is told of every change, and is no part of it."""

    def __init__(self, watches: Watches, level: int = LEVEL) -> None:
        """`level`: the highest that this release knows."""
        self.watches = watches
        self._watching = watches.connections
        """Empty while nobody watches anything, which is all that most writes ask."""

        self.tree = Tree()
        self.znodes = self.tree.znodes
        self.leases = Leases()
        self.cluster: Cluster | None = None
        self.members = Members()
        self.levels = Levels(level)
        self.origins: dict[int, Taken] = {}
        """By member. Ints, like `applied_index`: to call a NewType costs 0.15 µs."""

        self.applied_index = 0
        """How far the log is applied; exact also within `on_outcome`, in the middle of a run."""

        self.clock_ms = 0
        """The lease clock: what leaders counted while in office and awake. It never goes back."""

        self.departed: list[tuple[int, int]] = []
        """(session, epoch) of the connections that lost their session in the latest run: it ended, or it
        moved to another connection. Local."""

        self.ended: list[Ended] = []
        """The sessions and leases that ended in the latest run. Local."""

        self.wall_ms = 0
        """The leader's wall clock when it made the present run: only ever shown, as ctime and mtime."""

        self._all_handlers: dict[int, Handler] = {
            Kind.CREATE: self._create,
            Kind.DELETE: self._delete,
            Kind.SET_DATA: self._set_data,
            Kind.SET_ACL: self._set_acl,
            Kind.MULTI: self._multi,
            Kind.CLOSE_SESSION: self._close_session,
            Kind.ADD_AUTH: self._add_auth,
            Kind.NAME_SESSION: self._name_session,
            Kind.LEASE_GRANT: self._lease_grant,
            Kind.LEASE_KEEP_ALIVE: self._lease_keep_alive,
            Kind.LEASE_REVOKE: self._lease_revoke,
            Kind.END_LEASE: self._end_lease,
            Kind.CHANGE_MEMBERS: self._change_members,
        }
        self._all_handlers_without_session: dict[int, HandlerWithoutSession] = {
            Kind.CREATE_SESSION: self._create_session,
            Kind.ATTACH_SESSION: self._attach_session,
            Kind.KEEP_ALIVE: self._keep_alive,
            Kind.INIT_CLUSTER: self._init_cluster,
            Kind.ANNOUNCE: self._announce,
            Kind.GIVE_UP_CHANGE: self._give_up_change,
            Kind.RAISE_LEVEL: self._raise_level,
        }
        self._handlers: list[Handler] = [self._unknown] * _KINDS
        self._handlers_without_session: list[HandlerWithoutSession] = [self._unknown] * _KINDS
        """By kind, as the level in force has it."""

        self._see_to_level()

    def apply(self, run: Run, origin: Origin, on_outcome: OnOutcome) -> None:
        """Do what the run says. `on_outcome` hears of the commands of `origin` that were not skipped."""
        zxid: int = run.first
        assert zxid == self.applied_index + 1, "runs are applied in the order of the log, each once"
        self.departed = []
        self.ended = []
        data = run.data
        if run.is_configuration:
            self._configure(run)
        elif data:
            version, clock_ms, self.wall_ms = _unpack_run_head(data)
            if version != VERSION:
                raise UnreadableLog(f"entry {zxid} has log version {version}; this is version {VERSION}")
            if clock_ms > self.clock_ms:
                self.clock_ms = clock_ms
                if clock_ms > self.leases.bound_ms:
                    self._end_overdue(zxid)
            offset = _RUN_HEAD_BYTES
            end = len(data)
            while offset < end:
                member, incarnation, first_seq, count, length = _unpack_block_head(data, offset)
                offset += _BLOCK_HEAD_BYTES
                seen = self._take_block(member, incarnation, first_seq, count)
                if seen < count:
                    is_own = origin == (member, incarnation)
                    self._apply_block(data, offset, offset + length, zxid, seen, on_outcome if is_own else None)
                offset += length
                zxid += count
            assert zxid == run.first + run.count or end == _RUN_HEAD_BYTES, "a run has an index for each command"
        self.applied_index = run.first + run.count - 1

    def adopt(self, state: "State") -> None:
        """Go on from this state, that of a snapshot; what was before is dropped. Nobody's watches hear of it."""
        self.tree, self.znodes, self.leases = state.tree, state.tree.znodes, state.leases
        self.cluster, self.members, self.origins = state.cluster, state.members, state.origins
        self.applied_index, self.clock_ms, self.wall_ms = state.applied_index, state.clock_ms, state.wall_ms
        self.levels = Levels(self.levels.known)
        self.levels.put_in_force(state.level, f"the snapshot at index {state.applied_index}")
        self._see_to_level()
        self.departed, self.ended = [], []

    def digest(self) -> bytes:
        """16 bytes over all that is replicated: equal on all members at the same applied_index. Slow."""
        cluster = self.cluster
        rest = (
            self.applied_index,
            self.clock_ms,
            (cluster.id, cluster.secret) if cluster is not None else None,
            encode_members(self.members),
            self.levels.in_force,
            [(member, taken.incarnation, taken.last_seq) for member, taken in sorted(self.origins.items())],
        )
        return digest(self.tree, self.leases, rest)

    def _take_block(self, member: int, incarnation: int, first_seq: int, count: int) -> int:
        """How many of the block's commands, from its first on, to skip; the others count as applied now."""
        taken = self.origins.get(member)
        if taken is None:
            if not self.members.knows(member):
                return count  # it was removed; what it still sends may have been applied when it was a member
            taken = self.origins[member] = Taken(incarnation, 0)
        elif incarnation > taken.incarnation:
            taken.incarnation = incarnation
            taken.last_seq = 0
        elif incarnation < taken.incarnation:
            return count
        seen = taken.last_seq + 1 - first_seq
        if seen < 0:
            return count
        if seen < count:
            taken.last_seq = first_seq + count - 1
        return seen

    def _apply_block(
        self, data: bytes, offset: int, end: int, zxid: int, seen: int, on_outcome: OnOutcome | None
    ) -> None:
        """Apply the commands in data[offset:end] but for the first `seen`; the first has index `zxid`."""
        if seen:
            for _ in range(seen):
                offset += _unpack_length(data, offset + 1)[0]
            zxid += seen
        handlers = self._handlers
        session_of = self.leases.table.get
        clock_ms = self.clock_ms
        while offset < end:
            kind, length, session_id, epoch, number, path_length = _unpack_head(data, offset)
            body = offset + _HEAD_BYTES
            offset += length
            outcome: Outcome
            session = session_of(session_id)
            if session is not None and session.epoch == epoch:
                session.deadline_ms = clock_ms + session.span_ms
                outcome = handlers[kind](data, body, offset, session, zxid, number, path_length)
            elif kind >= FIRST_WITHOUT_SESSION:
                outcome = self._handlers_without_session[kind](data, body, offset, zxid)
            elif session is None or not session.epoch:
                outcome = SESSION_EXPIRED
            else:
                outcome = SESSION_MOVED
            if on_outcome is not None:
                self.applied_index = zxid  # what is asked from within `on_outcome` is answered as of here
                on_outcome(zxid, outcome)
            zxid += 1

    # Operations on znodes

    def _create(
        self, data: bytes, body: int, end: int, session: Session, zxid: int, number: int, path_length: int
    ) -> Outcome:
        path, content, acl, mode, lease_id = decode_create(data, body, end, number, path_length)
        outcome = create(self.tree, self.leases, session, path, content, acl, mode, lease_id, zxid, self.wall_ms)
        if self._watching and type(outcome) is Created:
            path = outcome.path
            parent = parent_of(path)
            self.watches.fire_created(path, parent, zxid, outcome.znode.acl, self.znodes[parent].acl)
        return outcome

    def _delete(
        self, data: bytes, body: int, end: int, session: Session, zxid: int, version: int, path_length: int
    ) -> Outcome:
        path = decode_path(data, body, path_length)
        outcome = delete(self.tree, self.leases, session, path, version, zxid)
        if isinstance(outcome, int):
            return outcome
        if self._watching:
            parent = parent_of(path)
            self.watches.fire_deleted(path, parent, zxid, outcome.acl, self.znodes[parent].acl)
        return None

    def _set_data(
        self, data: bytes, body: int, end: int, session: Session, zxid: int, version: int, path_length: int
    ) -> Outcome:
        path, content = decode_set_data(data, body, end, path_length)
        outcome = set_data(self.znodes, session, path, content, version, zxid, self.wall_ms)
        if self._watching and type(outcome) is Znode:
            self.watches.fire_data_changed(path, zxid, outcome.acl)
        return outcome

    def _set_acl(
        self, data: bytes, body: int, end: int, session: Session, zxid: int, version: int, path_length: int
    ) -> Outcome:
        path, acl = decode_set_acl(data, body, end, path_length)
        return set_acl(self.tree, session, path, acl, version)

    def _multi(self, data: bytes, body: int, end: int, session: Session, zxid: int, *_: int) -> Outcome:
        multi = Multi(self.tree, self.leases, self.watches, session, zxid, self.wall_ms)
        return multi.apply(data, body, end)

    # Sessions

    def _create_session(self, data: bytes, offset: int, end: int, zxid: int) -> Outcome:
        timeout_ms, offset = decode_number(data, offset)
        address, offset = decode_text(data, offset)
        session = Lease(zxid, timeout_ms)
        session.epoch = zxid
        session.identities = (("ip", address),)
        session.name = decode_text(data, offset)[0]
        self.leases.add(session, self.clock_ms)
        return session

    def _attach_session(self, data: bytes, offset: int, end: int, zxid: int) -> Outcome:
        session_id, offset = decode_number(data, offset)
        session = self.leases.session(session_id)
        if session is None:
            return SESSION_EXPIRED
        timeout_ms, offset = decode_number(data, offset)
        address = decode_text(data, offset)[0]
        self.departed.append((session_id, session.epoch))
        session.epoch = zxid
        session.identities = (("ip", address),)
        self.leases.renew(session, timeout_ms, self.clock_ms)
        return session

    def _keep_alive(self, data: bytes, offset: int, end: int, zxid: int) -> Outcome:
        sessions = self.leases.table
        clock_ms = self.clock_ms
        for session_id, epoch in decode_pairs(data, offset, end):
            session = sessions.get(session_id)
            if session is not None and session.epoch == epoch:
                session.deadline_ms = clock_ms + session.span_ms
        return None

    def _add_auth(self, data: bytes, offset: int, end: int, session: Session, zxid: int, *_: int) -> Outcome:
        scheme, offset = decode_text(data, offset)
        identity = (scheme, decode_text(data, offset)[0])
        if identity not in session.identities:
            session.identities += (identity,)
        return None

    def _name_session(self, data: bytes, offset: int, end: int, session: Session, zxid: int, *_: int) -> Outcome:
        session.name = decode_text(data, offset)[0]
        return None

    def _close_session(self, data: bytes, offset: int, end: int, session: Session, zxid: int, *_: int) -> Outcome:
        self._end(session, End.CLOSED, zxid)
        return None

    # Leases

    def _lease_grant(self, data: bytes, offset: int, end: int, session: Session, zxid: int, *_: int) -> Outcome:
        ttl_ms, offset = decode_number(data, offset)
        name, offset = decode_text(data, offset)
        lease = Lease(zxid, ttl_ms, name=name, meta=decode_bytes(data, offset)[0])
        self.leases.add(lease, self.clock_ms)
        return lease

    def _lease_keep_alive(self, data: bytes, offset: int, end: int, session: Session, zxid: int, *_: int) -> Outcome:
        remaining = []
        for lease_id in decode_numbers(data, offset, end):
            lease = self.leases.lease(lease_id)
            if lease is not None:
                lease.deadline_ms = self.clock_ms + lease.span_ms
            remaining.append(-1 if lease is None else lease.ttl_ms)
        return remaining

    def _lease_revoke(self, data: bytes, offset: int, end: int, session: Session, zxid: int, *_: int) -> Outcome:
        lease = self.leases.lease(decode_number(data, offset)[0])
        if lease is None:
            return NO_LEASE
        self._end(lease, End.REVOKED, zxid)
        return None

    def _end_lease(
        self, data: bytes, offset: int, end: int, session: Session, zxid: int, is_vouched_for: int, *_: int
    ) -> Outcome:
        # Judged here and not where the request came in: a client may send it right behind its credentials.
        if not is_vouched_for and SUPER not in session.identities:
            return NOT_OPERATOR
        lease = self.leases.table.get(decode_number(data, offset)[0])
        if lease is None:
            return NO_LEASE
        self._end(lease, End.REVOKED, zxid)
        return None

    def _end_overdue(self, zxid: int) -> None:
        for lease in self.leases.overdue(self.clock_ms):
            self._end(lease, End.EXPIRED, zxid)

    def _end(self, lease: Lease, how: End, zxid: int) -> None:
        """The session or lease is over: its keys go with it, in the order they came, as one change."""
        self.leases.remove(lease)
        self.ended.append(Ended(lease, how))
        if lease.is_session:
            self.departed.append((lease.id, lease.epoch))
        for path in lease.keys_in_order():
            parent_path = parent_of(path)
            acl, parent = self.znodes[path].acl, self.znodes[parent_path]
            self.tree.remove(path, parent_path, parent, zxid)
            if self._watching:
                self.watches.fire_deleted(path, parent_path, zxid, acl, parent.acl)

    # The cluster

    def _init_cluster(self, data: bytes, offset: int, end: int, zxid: int) -> Outcome:
        if self.cluster is None:
            self.cluster = Cluster(*decode_cluster(data, offset))
        return None

    def _announce(self, data: bytes, offset: int, end: int, zxid: int) -> Outcome:
        member, directory, client_address, peer_address, level = decode_announcement(data, offset, end)
        self.levels.announced[MemberId(member)] = level
        addresses = Addresses(client_address, peer_address, directory)
        announced = self.members.announced
        if announced.get(MemberId(member)) != addresses:  # else nobody who watches the configuration need hear of it
            announced[MemberId(member)] = addresses
            self._show_configuration(zxid)
        return None

    def _configure(self, run: Run) -> None:
        self.members.configured(Membership(run.first, decode_configuration(run.data)))
        for member in [member for member in self.origins if not self.members.knows(member)]:
            del self.origins[member]  # one that comes back with an empty directory counts from 1 again
        for member in [member for member in self.levels.announced if not self.members.knows(member)]:
            del self.levels.announced[member]
        self._show_configuration(run.first)

    def _show_configuration(self, zxid: int) -> None:
        old = self.znodes[CONFIG_PATH]
        # Version -1, always: ZooKeeper writes the configuration with the version that means "any".
        self.znodes[CONFIG_PATH] = replace(
            old,
            data=configuration_text(self.members.membership, self.members.announced, zxid),
            mzxid=zxid,
            mtime_ms=self.wall_ms,
            version=-1,
            body=None,
        )
        if self._watching:
            self.watches.fire_data_changed(CONFIG_PATH, zxid, old.acl)

    def _change_members(self, data: bytes, offset: int, end: int, session: Session, zxid: int, *_: int) -> Outcome:
        return self.members.ask(decode_change(data[offset:end]), zxid)

    def _give_up_change(self, data: bytes, offset: int, end: int, zxid: int) -> Outcome:
        index, offset = decode_number(data, offset)
        self.members.give_up(index, decode_text(data, offset)[0])
        return None

    # Levels

    def refusal(self, kind: int) -> ChangeRefused | None:
        """Why such a command must not be in the log yet; None if it may."""
        if kind not in self.levels.off:
            return None
        return ChangeRefused(UNIMPLEMENTED, self.levels.refusal(kind, self.members.membership.configuration.members))

    def _raise_level(self, data: bytes, offset: int, end: int, zxid: int) -> Outcome:
        # Who knows it is told by the leader: a member whose state comes from a snapshot has not heard all of them.
        level, members = decode_raise(data, offset, end)
        if level > self.levels.in_force and set(self.members.membership.configuration.members) <= set(members):
            self.levels.put_in_force(level, f"what follows entry {zxid}")
            self._see_to_level()
        return None

    def _see_to_level(self) -> None:
        """What waits for a higher level is refused, what is not known at all stops us. In place: this may be in the
        middle of a block."""
        self.tree.off_schemes = self.levels.off_schemes
        off = {kind: self._refuse if self.levels.knows(kind) else self._unknown for kind in self.levels.off}
        for kind, handler in self._all_handlers.items():
            self._handlers[kind] = off.get(kind, handler)
        for kind, handler_without in self._all_handlers_without_session.items():
            self._handlers_without_session[kind] = off.get(kind, handler_without)

    def _refuse(self, data: bytes, body: int, end: int, *_: object) -> Outcome:
        """The servers let none of it into the log; should one do so, then all do the same: nothing."""
        return self.refusal(data[body - _HEAD_BYTES])

    def _unknown(self, data: bytes, body: int, end: int, *_: object) -> Outcome:
        kind = data[body - _HEAD_BYTES]
        raise UnreadableLog(
            f"the log after entry {self.applied_index} has a command of kind {kind}, which this release, coord"
            f" {__version__}, does not know: start the release that the other members run"
        )
