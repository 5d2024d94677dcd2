"""The values that records of the wire are made of: `Stat`, `ACL`, `Id`, watch events, and their numbers."""

from enum import IntEnum, IntFlag
from struct import Struct
from struct import error as struct_error
from typing import Annotated, Final, NamedTuple

from coord_protocol.errors import MarshallingError
from coord_protocol.jute import Custom, Packed, Record, int32, ustring

STAT_STRUCT: Final = Struct(">qqqqiiiqiiq")


class Stat(NamedTuple):
    """What is known of a znode beside its data (ZooKeeper's `Stat`, 68 bytes)."""

    czxid: int
    """zxid of its creation. Of a lock's znode: the fencing token."""
    mzxid: int
    """zxid of the last write of its data."""
    ctime: int
    """Wall clock of its creation, in ms."""
    mtime: int
    """Wall clock of the last write of its data, in ms."""
    version: int
    """Writes of its data."""
    cversion: int
    """Creates and deletes of its children."""
    aversion: int
    """Writes of its ACL."""
    ephemeral_owner: int
    """Session or lease that it ends with; 0 if none."""
    data_length: int
    num_children: int
    pzxid: int
    """zxid of the last create or delete of a child."""

    def encode(self) -> bytes:
        """Its 68 bytes."""
        return STAT_STRUCT.pack(*self)


class Permission(IntFlag):
    """What an `ACL` grants on one znode; children do not inherit it."""

    READ = 1
    WRITE = 2
    CREATE = 4
    DELETE = 8
    ADMIN = 16
    ALL = 31


class Id(NamedTuple):
    """Who: a scheme of authentication, and a name in it."""

    scheme: str
    id: str


class ACL(NamedTuple):
    """What somebody may do."""

    perms: int
    scheme: str
    id: str


ANYONE: Final = Id("world", "anyone")
OPEN_ACL_UNSAFE: Final = (ACL(31, "world", "anyone"),)
"""Everybody may do everything: the usual choice inside one's own network."""
READ_ACL_UNSAFE: Final = (ACL(1, "world", "anyone"),)
"""Everybody may read."""
CREATOR_ALL_ACL: Final = (ACL(31, "auth", ""),)
"""Who creates the znode may do everything; the server puts the connection's identities in."""

_COUNT: Final = Struct(">i")
_PERMS_AND_LENGTH: Final = Struct(">ii")
_OPEN_ACL_BYTES: Final = bytes.fromhex("00000001 0000001f 00000005") + b"world" + b"\0\0\0\x06" + b"anyone"


def encode_acls(acls: tuple[ACL, ...]) -> bytes:
    """A vector of ACLs."""
    if acls == OPEN_ACL_UNSAFE:
        return _OPEN_ACL_BYTES
    pieces = [_COUNT.pack(len(acls))]
    for acl in acls:
        scheme = acl.scheme.encode("utf-8", "surrogatepass")
        name = acl.id.encode("utf-8", "surrogatepass")
        pieces += (_PERMS_AND_LENGTH.pack(acl.perms, len(scheme)), scheme, _COUNT.pack(len(name)), name)
    return b"".join(pieces)


def decode_acls(frame: bytes, offset: int) -> tuple[tuple[ACL, ...], int]:
    """A vector of ACLs, and the offset behind it. Null, as any negative count, is the empty one."""
    if frame.startswith(_OPEN_ACL_BYTES, offset):  # nearly every create carries just this
        return OPEN_ACL_UNSAFE, offset + len(_OPEN_ACL_BYTES)
    try:
        (count,) = _COUNT.unpack_from(frame, offset)
        offset += 4
        acls = []
        for _ in range(count):
            (perms,) = _COUNT.unpack_from(frame, offset)
            scheme, offset = _decode_text(frame, offset + 4)
            name, offset = _decode_text(frame, offset)
            acls.append(ACL(perms, scheme, name))
    except struct_error:
        raise MarshallingError(detail=f"ACL: cut off at byte {offset} of {len(frame)}") from None
    return tuple(acls), offset


def _decode_text(frame: bytes, offset: int) -> tuple[str, int]:
    (length,) = _COUNT.unpack_from(frame, offset)
    offset += 4
    if length == -1:
        return "", offset
    end = offset + length
    if length < 0 or end > len(frame):
        raise MarshallingError(detail=f"ACL: a length of {length} at byte {offset} of {len(frame)}")
    return frame[offset:end].decode("utf-8", "replace"), end


StatField = Annotated[Stat, Packed(STAT_STRUCT, Stat._make)]
AclsField = Annotated[tuple[ACL, ...], Custom(encode_acls, decode_acls)]


class EventType(IntEnum):
    """What a watch saw. The negative one and those from 5 on are made by clients, never by servers."""

    NONE = -1
    CREATED = 1
    DELETED = 2
    DATA_CHANGED = 3
    CHILDREN_CHANGED = 4
    DATA_WATCH_REMOVED = 5
    CHILD_WATCH_REMOVED = 6
    PERSISTENT_WATCH_REMOVED = 7


class KeeperState(IntEnum):
    """The `state` of a watch event; servers only ever send SYNC_CONNECTED."""

    UNKNOWN = -1
    DISCONNECTED = 0
    NO_SYNC_CONNECTED = 1
    SYNC_CONNECTED = 3
    AUTH_FAILED = 4
    CONNECTED_READ_ONLY = 5
    SASL_AUTHENTICATED = 6
    CLOSED = 7
    EXPIRED = -112


class WatcherEvent(Record):
    """The body of a notification (opcode 0, xid -1)."""

    type: int32
    state: int32
    path: ustring


class ClientInfo(Record):
    """One identity of a connection, as whoAmI lists it."""

    auth_scheme: ustring
    user: ustring
