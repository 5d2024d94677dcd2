"""Draw the steps of a sequence from its seed.

No model of the tree says what will succeed. A few names, used again and again by a few clients, make most requests
meet a znode, or just miss it; and some of everything is wrong on purpose.
"""

from collections.abc import Callable, Mapping
from random import Random
from struct import pack
from typing import Final, TypeVar

from coord_protocol.frames import MAX_FRAME_BYTES
from coord_protocol.jute import Record
from coord_protocol.records import ACL, OPEN_ACL_UNSAFE
from coord_protocol.requests import (
    AddWatchRequest,
    AuthPacket,
    CheckVersionRequest,
    CheckWatchesRequest,
    CreateRequest,
    CreateTTLRequest,
    DeleteRequest,
    ExistsRequest,
    GetACLRequest,
    GetAllChildrenNumberRequest,
    GetChildrenRequest,
    GetDataRequest,
    GetEphemeralsRequest,
    OpCode,
    RemoveWatchesRequest,
    SetACLRequest,
    SetDataRequest,
    SetWatches,
    SyncRequest,
    WatcherType,
)
from tests.differential.steps import Ask, Body, Break, Connect, Drop, Operations, Resume, Rewatch, Seen, Step

CLIENTS: Final = 3

_NAMES: Final = ("a", "b", "c")
_DEPTHS: Final = (1, 1, 1, 2, 2, 3)
_ODD_PATHS: Final = (
    *("", "/", "//", "a", "~/", "~//a", "~/a/", "~/a//b", "~/.", "~/..", "~/a/./b", "~/..a", "~/a/../b"),
    *("~/\0", "~/a\x01", "~/\x7f", "~/\x9f", "~/\ue000", "~/\ufff0", "~/\uffff", "~/\U0001f600", "~/é", "~/a b", "~/%"),
)
_DIGESTS: Final = ("bob:pw", "eve:secret", "nobody", ":", "a:b:c", "")
_IDENTITIES: Final = (
    *(("world", "anyone"), ("auth", ""), ("digest", "bob:ikIaKsbtGweaHnb/jKn7OHqbunM="), ("ip", "127.0.0.1")),
    *(("ip", "10.0.0.0/8"), ("ip", "127.0.0.0/8"), ("world", "anyone"), ("auth", "whoever")),
)
_ODD_IDENTITIES: Final = (
    *(("world", "nobody"), ("digest", "bob"), ("digest", "a:b:c"), ("digest", ":"), ("ip", "nowhere"), ("", "")),
    *(("ip", "127.0.0.1/33"), ("ip", ""), ("unknown", "x"), ("sasl", "bob"), ("super", "x")),
)
_FLOWING: Final = frozenset(
    {OpCode.CREATE, OpCode.CREATE2, OpCode.DELETE, OpCode.SET_DATA, OpCode.MULTI}
    | {OpCode.EXISTS, OpCode.GET_DATA, OpCode.GET_CHILDREN, OpCode.GET_CHILDREN2, OpCode.GET_ACL, OpCode.SYNC}
)
"""Those that ZooKeeper serves one after the other, too, when they come together (see `known.AVOIDED`)."""

Kind = tuple[OpCode, Body]
T = TypeVar("T")


def draw(seed: int, length: int, is_extended: bool = False) -> list[Step]:
    """The sequence of this seed; the first steps connect its clients. `is_extended`: with containers and TTLs."""
    drawer = Drawer(Random(seed), is_extended)
    opening: list[Step] = [Connect(client) for client in range(CLIENTS)]
    return opening + [drawer.step() for _ in range(length)]


class Drawer:
    def __init__(self, random: Random, is_extended: bool) -> None:
        self._random = random
        self._modes_drawn = {0: 12.0, 1: 4.0, 2: 4.0, 3: 2.0, 7: 0.2, -1: 0.2}
        if is_extended:
            self._modes_drawn |= {4: 2.0, 5: 0.3, 6: 0.3}
        self._client = 0
        self._has_rights = random.random() < 0.3
        """Whether ACLs matter in this sequence. In most they do not, so that what they refuse hides nothing."""
        self._persistent = random.sample(["~", *(self._plain_path() for _ in range(6))], 3)
        self._modes = {path: random.choice((0, 1)) for path in self._persistent}
        """Of the paths that have persistent watches in this sequence: each only one mode, and no other watch."""
        self._requests: Mapping[Callable[[], Kind], int] = {
            self._create: 24,
            self._delete: 12,
            self._set_data: 10,
            self._exists: 8,
            self._get_data: 8,
            self._get_children: 8,
            self._multi: 8,
            self._multi_read: 2,
            self._add_watch: 4,
            self._remove_watches: 4,
            self._set_acl: 3,
            self._get_acl: 3,
            self._sync: 2,
            self._count: 2,
            self._ephemerals: 2,
            self._auth: 2,
            self._set_watches: 1,
            self._bare: 2,
            self._garbage: 3,
            self._create_container: 4 if is_extended else 0,
            self._create_ttl: 4 if is_extended else 0,
        }
        self._creates_of_a_multi = [self._create, self._create, self._create]
        if is_extended:
            self._creates_of_a_multi += [self._create_container, self._create_ttl]

    def step(self) -> Step:
        random = self._random
        if random.random() < 0.3:  # else the client of the step before goes on
            self._client = random.randrange(CLIENTS)
        client = self._client
        dice = random.random()
        if dice < 0.015:
            return Drop(client)
        if dice < 0.05:
            return Resume(client, random.choice((Seen.ALL_IT_SAW, Seen.NOTHING)), random.random() < 0.95)
        if dice < 0.07:
            return self._rewatch(client)
        if dice < 0.08:
            return Connect(client, random.choice((30_000, 10_000, 40_000, 1 << 30)), random.random() < 0.7)
        if dice < 0.085:
            return Break(client, self._no_frame())
        (make,) = random.choices(list(self._requests), list(self._requests.values()))
        opcode, body = make()
        xid = random.choice((0, 1, -3, -7, 2**31 - 1, -(2**31))) if random.random() < 0.02 else None
        return Ask(client, opcode, body, xid, flows=opcode in _FLOWING and random.random() < 0.3)

    # -- requests

    def _create(self) -> Kind:
        return self._random.choice((OpCode.CREATE, OpCode.CREATE2)), self._create_request()

    def _create_request(self) -> CreateRequest:
        (mode,) = self._random.choices(list(self._modes_drawn), list(self._modes_drawn.values()))
        return CreateRequest(self._path(), self._data(), self._acl(), mode)

    def _create_container(self) -> Kind:
        return OpCode.CREATE_CONTAINER, CreateRequest(self._path(), self._data(), self._acl(), self._odd(4, (0, 1, 2)))

    def _create_ttl(self) -> Kind:
        """None of these times is over while the sequence lasts."""
        mode = self._odd(self._random.choice((5, 6)), (0, 2, 4, 7))
        ttl_ms = self._odd(self._random.choice((10**8, 2**40 - 1)), (0, -1, 2**40, -(2**63)))
        return OpCode.CREATE_TTL, CreateTTLRequest(self._path(), self._data(), self._acl(), mode, ttl_ms)

    def _delete(self) -> Kind:
        return OpCode.DELETE, DeleteRequest(self._path(), self._version())

    def _set_data(self) -> Kind:
        return OpCode.SET_DATA, SetDataRequest(self._path(), self._data(), self._version())

    def _exists(self) -> Kind:
        path = self._path()
        return OpCode.EXISTS, ExistsRequest(path, self._may_watch_once(path))

    def _get_data(self) -> Kind:
        path = self._path()
        return OpCode.GET_DATA, GetDataRequest(path, self._may_watch_once(path))

    def _get_children(self) -> Kind:
        opcode = self._random.choice((OpCode.GET_CHILDREN, OpCode.GET_CHILDREN2))
        path = self._parent()
        return opcode, GetChildrenRequest(path, self._may_watch_once(path))

    def _set_acl(self) -> Kind:
        path = self._odd(self._plain_path(), ("", "a", "~/a/", "~//a"))  # not the root: it is everybody's
        return OpCode.SET_ACL, SetACLRequest(path, self._acl(), self._version())

    def _get_acl(self) -> Kind:
        return OpCode.GET_ACL, GetACLRequest(self._path())

    def _sync(self) -> Kind:
        return OpCode.SYNC, SyncRequest(self._path())

    def _count(self) -> Kind:
        return OpCode.GET_ALL_CHILDREN_NUMBER, GetAllChildrenNumberRequest(self._parent())

    def _ephemerals(self) -> Kind:
        return OpCode.GET_EPHEMERALS, GetEphemeralsRequest(self._random.choice(("", "/", "~", "~/a", self._path())))

    def _add_watch(self) -> Kind:
        path = self._random.choice(self._persistent)
        return OpCode.ADD_WATCH, AddWatchRequest(path, self._odd(self._modes[path], (2, -1)))

    def _remove_watches(self) -> Kind:
        path = self._parent()
        watcher_type = WatcherType.ANY if path in self._modes else self._odd(self._random.choice((1, 2, 3)), (0, 6, -1))
        if self._flag():
            return OpCode.REMOVE_WATCHES, RemoveWatchesRequest(path, int(watcher_type))
        return OpCode.CHECK_WATCHES, CheckWatchesRequest(path, int(watcher_type))

    def _auth(self) -> Kind:
        scheme = self._odd("digest", ("ip", "unknown", ""))
        return OpCode.AUTH, AuthPacket(0, scheme, self._random.choice(_DIGESTS).encode())

    def _set_watches(self) -> Kind:
        lists = [self._paths_watched_once() for _ in range(3)]
        return OpCode.SET_WATCHES, SetWatches(0, *lists)

    def _bare(self) -> Kind:
        """Requests of a header only; now and then one that ends the session, or that nobody knows."""
        usual = (OpCode.PING, *(OpCode.WHO_AM_I,) * 4) * 2
        return self._random.choice((*usual, OpCode.CLOSE_SESSION, OpCode.NOTIFICATION)), b""

    def _multi(self) -> Kind:
        allowed = (self._create_operation, self._create_operation, self._delete, self._set_data, self._check)
        return OpCode.MULTI, self._operations(allowed, self._get_data)

    def _multi_read(self) -> Kind:
        return OpCode.MULTI_READ, self._operations((self._get_data, self._list), self._delete)

    def _operations(self, allowed: tuple[Callable[[], Kind], ...], foreign: Callable[[], Kind]) -> Operations:
        operations = []
        for _ in range(self._random.choice((0, 1, 2, 2, 3, 4))):
            opcode, body = self._odd(self._random.choice(allowed), (foreign,), 0.01)()
            assert isinstance(body, Record)
            operations.append((opcode, body))
        return tuple(operations)

    def _create_operation(self) -> Kind:
        return self._random.choice(self._creates_of_a_multi)()

    def _check(self) -> Kind:
        return OpCode.CHECK, CheckVersionRequest(self._path(), self._version())

    def _list(self) -> Kind:
        return OpCode.GET_CHILDREN, GetChildrenRequest(self._parent(), False)

    # -- what is wrong by its form

    def _garbage(self) -> Kind:
        """A body that is cut off, longer than its record, or anything at all."""
        random = self._random
        opcode, body = self._create() if self._flag() else self._get_data()
        assert isinstance(body, Record)
        encoded = body.encode()
        match random.randrange(4):
            case 0:
                return opcode, encoded[: random.randrange(len(encoded))]
            case 1:
                return opcode, b"\xff\xff\xff\xff" + encoded[4:]
            case 2:
                return opcode, b"\0\0\0\2/\xff" + encoded[4:]
            case _:
                known = (OpCode.DELETE, OpCode.SET_DATA, OpCode.EXISTS, OpCode.MULTI, OpCode.SET_ACL, OpCode.SYNC)
                return random.choice(known), random.randbytes(random.randrange(30))

    def _no_frame(self) -> bytes:
        lengths = (-1, -(2**31), MAX_FRAME_BYTES + 1, 2**31 - 1, 0, 4, 7)
        length = self._random.choice(lengths)
        return pack(">i", length) + bytes(length if 0 < length < 8 else 0)

    # -- values

    def _rewatch(self, client: int) -> Rewatch:
        once = [tuple(self._paths_watched_once()) for _ in range(3)]
        for_good = [tuple(path for path, mode in self._modes.items() if mode == which) for which in (0, 1)]
        return Rewatch(client, self._random.choice(list(Seen)), *once, *for_good)

    def _paths_watched_once(self) -> list[str]:
        paths = [self._plain_path() for _ in range(self._random.choice((0, 0, 1, 2)))]
        return [path for path in paths if path not in self._modes]

    def _may_watch_once(self, path: str) -> bool:
        return path not in self._modes and self._flag()

    def _path(self) -> str:
        return self._odd(self._plain_path(), _ODD_PATHS, 0.03)

    def _parent(self) -> str:
        """More often than not a znode that has, or had, children."""
        return "~" if self._random.random() < 0.3 else self._path()

    def _plain_path(self) -> str:
        return "~" + "".join("/" + self._random.choice(_NAMES) for _ in range(self._random.choice(_DEPTHS)))

    def _version(self) -> int:
        return self._random.choices((-1, 0, 1, 2, -2), (10, 3, 2, 1, 0.3))[0]

    def _data(self) -> bytes | None:
        return self._random.choice((None, b"", b"x", b"some data"))

    def _acl(self) -> tuple[ACL, ...]:
        if not self._has_rights:
            return OPEN_ACL_UNSAFE
        return tuple(self._acl_entry() for _ in range(self._random.choices((0, 1, 2, 3), (1, 10, 6, 2))[0]))

    def _acl_entry(self) -> ACL:
        scheme, name = self._odd(self._random.choice(_IDENTITIES), _ODD_IDENTITIES)
        return ACL(self._random.choice((31, 31, 31, 1, 2, 4, 8, 16, 0, 30)), scheme, name)

    def _flag(self) -> bool:
        return self._random.random() < 0.5

    def _odd(self, usual: T, odd: tuple[T, ...], chance: float = 0.05) -> T:
        return self._random.choice(odd) if self._random.random() < chance else usual
