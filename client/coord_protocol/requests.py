"""Every request of ZooKeeper 3.9 and its answer: opcode, record, record.

`REQUESTS` and `RESPONSES` are the tables by opcode; an opcode without a body is missing there. multi (14) and
multiRead (22) have a framing of their own, in `multi.py`; opcodes from 1000 on are in `extensions.py`.
"""

from enum import IntEnum
from typing import Annotated, Final

from coord_protocol.jute import Custom, Record, boolean, buffer, int32, int64, pathname, ustring
from coord_protocol.records import AclsField, ClientInfo, StatField


class OpCode(IntEnum):
    """What a request wants (ZooKeeper's `ZooDefs.OpCode`; ours from 1000 on)."""

    ERROR = -1
    NOTIFICATION = 0
    CREATE = 1
    DELETE = 2
    EXISTS = 3
    GET_DATA = 4
    SET_DATA = 5
    GET_ACL = 6
    SET_ACL = 7
    GET_CHILDREN = 8
    SYNC = 9
    PING = 11
    GET_CHILDREN2 = 12
    CHECK = 13
    MULTI = 14
    CREATE2 = 15
    RECONFIG = 16
    CHECK_WATCHES = 17
    REMOVE_WATCHES = 18
    CREATE_CONTAINER = 19
    DELETE_CONTAINER = 20
    CREATE_TTL = 21
    MULTI_READ = 22
    AUTH = 100
    SET_WATCHES = 101
    SASL = 102
    GET_EPHEMERALS = 103
    GET_ALL_CHILDREN_NUMBER = 104
    SET_WATCHES2 = 105
    ADD_WATCH = 106
    WHO_AM_I = 107
    CREATE_SESSION = -10
    CLOSE_SESSION = -11

    STATUS = 1001
    LEASE_GRANT = 1010
    LEASE_KEEP_ALIVE = 1011
    LEASE_REVOKE = 1012
    LEASE_INFO = 1013
    LEASE_LIST = 1014
    CREATE_WITH_LEASE = 1015
    NAME_SESSION = 1016
    END_LEASE = 1017
    SNAPSHOT = 1019
    CHANGE_MEMBERS = 1020
    TRANSFER_LEADERSHIP = 1021
    READ_SNAPSHOT = 1022
    READ_LOG = 1023


class CreateMode(IntEnum):
    """The `flags` of a create."""

    PERSISTENT = 0
    EPHEMERAL = 1
    PERSISTENT_SEQUENTIAL = 2
    EPHEMERAL_SEQUENTIAL = 3
    CONTAINER = 4
    PERSISTENT_WITH_TTL = 5
    PERSISTENT_SEQUENTIAL_WITH_TTL = 6


class AddWatchMode(IntEnum):
    """The `mode` of addWatch."""

    PERSISTENT = 0
    PERSISTENT_RECURSIVE = 1


class WatcherType(IntEnum):
    """The `type` of checkWatches and removeWatches. DATA covers the watches of exists."""

    CHILDREN = 1
    DATA = 2
    ANY = 3
    PERSISTENT = 4
    PERSISTENT_RECURSIVE = 5


ANY_VERSION: Final = -1
"""Matches every version."""


def _encode_flag(flag: bool | None) -> bytes:
    return b"" if flag is None else b"\1" if flag else b"\0"


def _decode_flag(frame: bytes, offset: int) -> tuple[bool | None, int]:
    return (frame[offset] != 0, offset + 1) if offset < len(frame) else (None, offset)


OptionalFlag = Annotated[bool | None, Custom(_encode_flag, _decode_flag)]


class ConnectRequest(Record):
    """The first packet of a connection; it has no header.

    `read_only` is None for clients up to 3.3, which end the record before it; they get their answer in the
    same form. `protocol_version` is 0 for ZooKeeper's clients; see `extensions.py` for ours.
    """

    protocol_version: int32
    last_zxid_seen: int64
    timeout_ms: int32
    session_id: int64
    password: buffer
    read_only: OptionalFlag


class ConnectResponse(Record):
    """The answer to `ConnectRequest`; no header either.

    A `timeout_ms` of 0 or less says that the session has expired.
    """

    protocol_version: int32
    timeout_ms: int32
    session_id: int64
    password: buffer
    read_only: OptionalFlag


class CreateRequest(Record):
    """create, create2 and createContainer; `flags` is a `CreateMode`."""

    path: pathname
    data: buffer
    acl: AclsField
    flags: int32


class CreateTTLRequest(Record):
    """createTTL."""

    path: pathname
    data: buffer
    acl: AclsField
    flags: int32
    ttl_ms: int64


class CreateResponse(Record):
    """The answer to create: the path, with its sequence number if it has one."""

    path: ustring


class Create2Response(Record):
    """The answer to create2, createContainer, createTTL and createWithLease."""

    path: ustring
    stat: StatField


class DeleteRequest(Record):
    path: pathname
    version: int32


class ExistsRequest(Record):
    path: pathname
    watch: boolean


class ExistsResponse(Record):
    stat: StatField


class GetDataRequest(Record):
    path: pathname
    watch: boolean


class GetDataResponse(Record):
    """Also the answer to reconfig."""

    data: buffer
    stat: StatField


class SetDataRequest(Record):
    """A null path is read as "", since ZooKeeper answers BadArguments, not MarshallingError, to it."""

    path: ustring
    data: buffer
    version: int32


class SetDataResponse(Record):
    stat: StatField


class GetACLRequest(Record):
    path: pathname


class GetACLResponse(Record):
    acl: AclsField
    stat: StatField


class SetACLRequest(Record):
    """`version` is compared with `Stat.aversion`. A null path is read as "", as in `SetDataRequest`."""

    path: ustring
    acl: AclsField
    version: int32


class SetACLResponse(Record):
    stat: StatField


class GetChildrenRequest(Record):
    """getChildren and getChildren2."""

    path: pathname
    watch: boolean


class GetChildrenResponse(Record):
    children: list[ustring]


class GetChildren2Response(Record):
    children: list[ustring]
    stat: StatField


class SyncRequest(Record):
    path: ustring


class SyncResponse(Record):
    path: ustring


class CheckVersionRequest(Record):
    """check; only inside a multi."""

    path: pathname
    version: int32


class ErrorResponse(Record):
    """The result of an operation of a multi that had none, and the answer to addWatch."""

    err: int32


class ReconfigRequest(Record):
    joining: ustring
    leaving: ustring
    new_members: ustring
    config_id: int64


class CheckWatchesRequest(Record):
    """`type` is a `WatcherType`."""

    path: pathname
    type: int32


class RemoveWatchesRequest(Record):
    """`type` is a `WatcherType`."""

    path: ustring
    type: int32


class AddWatchRequest(Record):
    """`mode` is an `AddWatchMode`."""

    path: ustring
    mode: int32


class AuthPacket(Record):
    """auth; its xid is -4. `type` is 0."""

    type: int32
    scheme: ustring
    auth: buffer


class SetWatches(Record):
    """What a client that came back still watches; its xid is -8."""

    relative_zxid: int64
    data: list[ustring]
    exist: list[ustring]
    child: list[ustring]


class SetWatches2(Record):
    """`SetWatches` with the persistent ones."""

    relative_zxid: int64
    data: list[ustring]
    exist: list[ustring]
    child: list[ustring]
    persistent: list[ustring]
    persistent_recursive: list[ustring]


class GetSASLRequest(Record):
    token: buffer


class SetSASLResponse(Record):
    token: buffer


class GetEphemeralsRequest(Record):
    prefix_path: ustring


class GetEphemeralsResponse(Record):
    ephemerals: list[ustring]


class GetAllChildrenNumberRequest(Record):
    path: pathname


class GetAllChildrenNumberResponse(Record):
    total_number: int32


class WhoAmIResponse(Record):
    client_info: list[ClientInfo]


REQUESTS: Final[dict[OpCode, type[Record]]] = {
    OpCode.CREATE: CreateRequest,
    OpCode.DELETE: DeleteRequest,
    OpCode.EXISTS: ExistsRequest,
    OpCode.GET_DATA: GetDataRequest,
    OpCode.SET_DATA: SetDataRequest,
    OpCode.GET_ACL: GetACLRequest,
    OpCode.SET_ACL: SetACLRequest,
    OpCode.GET_CHILDREN: GetChildrenRequest,
    OpCode.SYNC: SyncRequest,
    OpCode.GET_CHILDREN2: GetChildrenRequest,
    OpCode.CHECK: CheckVersionRequest,
    OpCode.CREATE2: CreateRequest,
    OpCode.RECONFIG: ReconfigRequest,
    OpCode.CHECK_WATCHES: CheckWatchesRequest,
    OpCode.REMOVE_WATCHES: RemoveWatchesRequest,
    OpCode.CREATE_CONTAINER: CreateRequest,
    OpCode.CREATE_TTL: CreateTTLRequest,
    OpCode.AUTH: AuthPacket,
    OpCode.SET_WATCHES: SetWatches,
    OpCode.SASL: GetSASLRequest,
    OpCode.GET_EPHEMERALS: GetEphemeralsRequest,
    OpCode.GET_ALL_CHILDREN_NUMBER: GetAllChildrenNumberRequest,
    OpCode.SET_WATCHES2: SetWatches2,
    OpCode.ADD_WATCH: AddWatchRequest,
}

RESPONSES: Final[dict[OpCode, type[Record]]] = {
    OpCode.CREATE: CreateResponse,
    OpCode.EXISTS: ExistsResponse,
    OpCode.GET_DATA: GetDataResponse,
    OpCode.SET_DATA: SetDataResponse,
    OpCode.GET_ACL: GetACLResponse,
    OpCode.SET_ACL: SetACLResponse,
    OpCode.GET_CHILDREN: GetChildrenResponse,
    OpCode.SYNC: SyncResponse,
    OpCode.GET_CHILDREN2: GetChildren2Response,
    OpCode.CREATE2: Create2Response,
    OpCode.RECONFIG: GetDataResponse,
    OpCode.CREATE_CONTAINER: Create2Response,
    OpCode.CREATE_TTL: Create2Response,
    OpCode.SASL: SetSASLResponse,
    OpCode.GET_EPHEMERALS: GetEphemeralsResponse,
    OpCode.GET_ALL_CHILDREN_NUMBER: GetAllChildrenNumberResponse,
    OpCode.ADD_WATCH: ErrorResponse,
    OpCode.WHO_AM_I: WhoAmIResponse,
}
