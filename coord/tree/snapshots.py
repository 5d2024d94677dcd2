"""The replicated state in pieces: a frozen view of a `Machine`, and a loader that builds one from it.

`freeze` copies one dictionary, 20 ms for a million znodes (measured): znodes are values that are replaced on write, so
whoever holds them holds the state of one moment. Leases and counters, which change in place, are copied; of a znode's
`children` nothing is read, for they go on changing. The view is then encoded piece by piece, while the machine goes on.

A piece is one msgpack array, a kind first; znodes come as columns, which costs half as much as rows:

    0  HEAD    level, applied_index, clock_ms, wall_ms, cluster or nil, members, origins, leases, znodes (how many)
    1  LEASES  [id, ttl_ms, deadline_ms, name, meta, epoch, identities, keys in order, their numbers, keys_made] …
    2  ZNODES  paths, data, ACLs, position of each znode's ACL among them, then a column for each number of it

The number in the head is the level in force, and says which form the pieces have: so far all levels have this one. A
member of the release before, which may be given our snapshot, can read it as long as that release's level is in force.

What follows from the rest is not in it: children, the bound of all deadlines, the owner's list of its keys apart from
their order. /zookeeper/ext has the data of whichever version reads it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from msgspec.structs import force_setattr

from coord.tree.acl import Acl, shared
from coord.tree.leases import Lease, Leases
from coord.tree.levels import FIRST, LEVEL, NewerLevel
from coord.tree.machine import Cluster, Machine, Taken
from coord.tree.members import Members, decode_members, encode_members
from coord.tree.tree import ROOT, Tree
from coord.tree.znode import Znode
from coord_protocol.errors import CoordError
from coord_protocol.extensions import EXTENSIONS_PATH, extensions_document
from coord_protocol.paths import parent_of
from coord_protocol.records import ACL

HEAD: Final = 0
LEASES: Final = 1
ZNODES: Final = 2

MAX_LEASES: Final = 500
"""In one piece; with a few keys each they take about as long as the znodes of a piece."""

_NUMBERS: Final = (
    "czxid",
    "mzxid",
    "pzxid",
    "ctime_ms",
    "mtime_ms",
    "version",
    "aversion",
    "creates",
    "owner",
    "child_count",
)

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Any]).decode


class DamagedState(CoordError):
    """The pieces do not make a state. The file's own checks were right, so a bug wrote it."""


class Frozen:
    """The state of a machine at one index, as it is written out."""

    def __init__(self, machine: Machine) -> None:
        """For `freeze`."""
        self.index = machine.applied_index
        self._rest = machine.znodes.copy()
        """Taken from the end on, so that what is written can be let go of."""
        self._count = len(self._rest)
        self._leases = [_lease_row(lease) for lease in machine.leases.table.values()]
        cluster = machine.cluster
        self._head: list[Any] | None = [
            HEAD,
            machine.levels.in_force,
            machine.applied_index,
            machine.clock_ms,
            machine.wall_ms,
            None if cluster is None else (cluster.id, cluster.secret),
            encode_members(machine.members),
            [(member, taken.incarnation, taken.last_seq) for member, taken in machine.origins.items()],
            len(self._leases),
            self._count,
        ]

    @property
    def progress(self) -> tuple[int, int]:
        """How many znodes are written, and how many there are."""
        return self._count - len(self._rest), self._count

    def next_piece(self, max_znodes: int, max_bytes: int) -> bytes | None:
        """The next piece; None when that was all. It has so many znodes at most, and ends with the one whose path and
        data reach so many bytes."""
        if self._head is not None:
            head, self._head = self._head, None
            return _encode(head)
        if self._leases:
            leases = self._leases[-min(MAX_LEASES, max_znodes) :]
            del self._leases[-len(leases) :]
            return _encode([LEASES, leases])
        rest = self._rest
        if not rest:
            return None
        paths: list[str] = []
        znodes: list[Znode] = []
        size = 0
        while rest and len(paths) < max_znodes and size < max_bytes:
            path, znode = rest.popitem()
            paths.append(path)
            znodes.append(znode)
            size += len(path) + len(znode.data or b"")
        return _encode(_columns(paths, znodes))


def freeze(machine: Machine) -> Frozen:
    """The state as of now, between two runs; what the machine does from now on does not show in it."""
    return Frozen(machine)


@dataclass(slots=True)
class State:
    """All that is replicated: what `Machine.adopt` goes on from."""

    level: int = FIRST
    applied_index: int = 0
    clock_ms: int = 0
    wall_ms: int = 0
    cluster: Cluster | None = None
    members: Members = field(default_factory=Members)
    origins: dict[int, Taken] = field(default_factory=dict)
    leases: Leases = field(default_factory=Leases)
    tree: Tree = field(default_factory=Tree)


class Loader:
    """Builds a state from its pieces, in their order."""

    def __init__(self, known: int = LEVEL) -> None:
        """`known`: the highest level that this release knows."""
        self._known = known
        self._state = State()
        self._znodes: dict[str, Znode] = {}
        self._children: dict[str, dict[str, None]] = {}
        self._lease_count = -1
        self._znode_count = -1

    def add(self, piece: bytes) -> None:
        """Raises `DamagedState`, and `NewerLevel` if a later release wrote it."""
        try:
            kind, *values = _decode(piece)
            if (self._znode_count < 0) != (kind == HEAD):
                raise DamagedState("the head of a state comes first, and once")
            if kind == HEAD and values[0] > self._known:  # before anything that may have changed
                raise NewerLevel("a snapshot", values[0], self._known)
            match kind:
                case 0:
                    self._take_head(*values)
                case 1:
                    for row in values[0]:
                        self._take_lease(*row)
                case 2:
                    self._take_znodes(*values)
                case _:
                    raise DamagedState(f"a piece of kind {kind}")
        except (msgspec.MsgspecError, ValueError, TypeError, IndexError) as error:
            raise DamagedState(f"a piece of a state is not what a server writes: {error}") from error

    def finish(self) -> State:
        """The state, of which all pieces were added. Raises `DamagedState` if they were not."""
        state = self._state
        found = (len(state.leases.table), len(self._znodes))
        if found != (self._lease_count, self._znode_count):
            raise DamagedState(
                f"{found[0]} leases and {found[1]} znodes where {self._lease_count} and {self._znode_count} should be"
            )
        if ROOT not in self._znodes:
            raise DamagedState("there is no root")
        for path, children in self._children.items():
            parent = self._znodes.get(path)
            if parent is None or parent.child_count != len(children):
                raise DamagedState(f"{path} should have {len(children)} children")
            force_setattr(parent, "children", children)
        ext = self._znodes.get(EXTENSIONS_PATH)
        if ext is not None:
            force_setattr(ext, "data", extensions_document())
        state.tree.znodes = self._znodes
        return state

    def _take_head(
        self,
        level: int,
        applied_index: int,
        clock_ms: int,
        wall_ms: int,
        cluster: list[Any] | None,
        members: bytes,
        origins: list[list[int]],
        lease_count: int,
        znode_count: int,
    ) -> None:
        state = self._state
        state.level = level
        state.applied_index, state.clock_ms, state.wall_ms = applied_index, clock_ms, wall_ms
        state.cluster = None if cluster is None else Cluster(*cluster)
        state.members = decode_members(members)
        state.origins = {member: Taken(incarnation, last_seq) for member, incarnation, last_seq in origins}
        self._lease_count, self._znode_count = lease_count, znode_count

    def _take_lease(
        self,
        id_: int,
        ttl_ms: int,
        deadline_ms: int,
        name: str,
        meta: bytes,
        epoch: int,
        identities: list[list[str]],
        keys: list[str],
        orders: list[int],
        keys_made: int,
    ) -> None:
        lease = Lease(id_, ttl_ms, name=name, meta=meta, epoch=epoch)
        lease.identities = tuple((scheme, user) for scheme, user in identities)
        lease.keys = dict(zip(keys, orders, strict=True))
        lease.keys_made = keys_made
        self._state.leases.restore(lease, deadline_ms)

    def _take_znodes(
        self,
        paths: list[str],
        datas: list[bytes | None],
        acls: list[list[list[Any]]],
        places: list[int],
        *columns: list[int],
    ) -> None:
        known: list[Acl] = [shared(tuple(ACL(*entry) for entry in acl)) for acl in acls]
        none = [None] * len(paths)
        czxids, mzxids, pzxids, ctimes, mtimes, versions, aversions, creates, owners, counts = columns
        mine = map(
            Znode,
            datas,
            [known[place] for place in places],
            czxids,
            _same(mzxids, czxids),
            _same(pzxids, czxids),
            ctimes,
            _same(mtimes, ctimes),
            versions,
            aversions,
            creates,
            owners,
            none,
            counts,
        )
        znodes, children = self._znodes, self._children
        before = len(znodes)
        znodes.update(zip(paths, mine, strict=True))
        if len(znodes) != before + len(paths):
            raise DamagedState("a znode comes twice")
        for path in paths:
            if path != ROOT:
                parent = parent_of(path)
                siblings = children.get(parent)
                if siblings is None:
                    children[parent] = {path: None}
                else:
                    siblings[path] = None


def _same(numbers: list[int], others: list[int]) -> list[int]:
    """`numbers`, as the very objects of `others` where they are equal: a number takes 32 bytes."""
    if numbers == others:
        return others
    return [other if number == other else number for number, other in zip(numbers, others, strict=True)]


def _lease_row(lease: Lease) -> tuple[Any, ...]:
    return (
        lease.id,
        lease.ttl_ms,
        lease.deadline_ms,
        lease.name,
        lease.meta,
        lease.epoch,
        lease.identities,
        list(lease.keys),
        list(lease.keys.values()),
        lease.keys_made,
    )


def _columns(paths: Sequence[str], znodes: Sequence[Znode]) -> list[Any]:
    places: dict[Acl, int] = {}
    positions = [places.setdefault(znode.acl, len(places)) for znode in znodes]
    numbers = [[getattr(znode, name) for znode in znodes] for name in _NUMBERS]
    return [ZNODES, paths, [znode.data for znode in znodes], list(places), positions, *numbers]
