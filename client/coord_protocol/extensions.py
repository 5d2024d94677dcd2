"""What we speak beyond ZooKeeper: status, leases, named sessions, and what operators need.

Discovery without probing, since an unknown opcode makes ZooKeeper close the connection. In the handshake: a
client offers `protocol_version` = EXTENSIONS_VERSION; ZooKeeper ignores that and answers 0, we answer
EXTENSIONS_VERSION, and who sent 0 always gets 0. For people and plain clients: the read-only znode
EXTENSIONS_PATH.

    1001 status            StatusRequest            StatusResponse
    1010 leaseGrant        LeaseGrantRequest        LeaseGrantResponse
    1011 leaseKeepAlive    LeaseKeepAliveRequest    LeaseKeepAliveResponse
    1012 leaseRevoke       LeaseRevokeRequest       no body
    1013 leaseInfo         LeaseInfoRequest         LeaseInfo
    1014 leaseList         LeaseListRequest         LeaseListResponse
    1015 createWithLease   CreateWithLeaseRequest   Create2Response
    1016 nameSession       NameSessionRequest       no body
    1017 endLease          EndLeaseRequest          no body
    1019 snapshot          SnapshotRequest          SnapshotResponse
    1020 changeMembers     ChangeMembersRequest     no body
    1021 transferLeadership TransferLeadershipRequest no body
    1022 readSnapshot      ReadSnapshotRequest      ReadSnapshotResponse
    1023 readLog           ReadLogRequest           ReadLogResponse

An error code from -1000 down is followed by an `ExtensionFailure`; standard opcodes never get such a code.
"""

from struct import Struct
from typing import Final
from zlib import crc32

from coord_protocol.errors import CoordError, ExtensionError, MarshallingError, error_for
from coord_protocol.jute import Record, boolean, buffer, int32, int64, pathname, ustring
from coord_protocol.records import AclsField
from coord_protocol.requests import Create2Response, OpCode

EXTENSIONS_VERSION: Final = 1000
EXTENSIONS_PATH: Final = "/zookeeper/ext"
LEASE_SECRET_BYTES: Final = 16


class StatusRequest(Record):
    """What is known of the server and its cluster."""


class StatusResponse(Record):
    json: ustring


class LeaseGrantRequest(Record):
    """`lease_id` 0 asks for a new one."""

    ttl_ms: int64
    name: ustring
    meta: buffer
    lease_id: int64


class LeaseGrantResponse(Record):
    """`secret`: 16 bytes; who knows it may keep the lease alive, use it and revoke it."""

    lease_id: int64
    ttl_ms: int64
    secret: buffer


class LeaseAndSecret(Record):
    lease_id: int64
    secret: buffer


class LeaseKeepAliveRequest(Record):
    leases: list[LeaseAndSecret]


class LeaseKeepAliveResponse(Record):
    """In the order of the request; -1: gone, or the secret is not its own."""

    remaining_ms: list[int64]


class LeaseRevokeRequest(Record):
    lease_id: int64
    secret: buffer


class LeaseInfoRequest(Record):
    lease_id: int64


class LeaseInfo(Record):
    """A lease as others may see it.

    `kind`: "lease" or "session"; `keys`: paths of the znodes that end with it; `address`: the IP address that
    a session's client has connected from, "" for a plain lease.
    """

    lease_id: int64
    kind: ustring
    name: ustring
    ttl_ms: int64
    remaining_ms: int64
    keys: list[ustring]
    meta: buffer
    address: ustring


class LeaseListRequest(Record):
    """`kind`: "lease", "session", or "" for both."""

    kind: ustring


class LeaseListResponse(Record):
    leases: list[LeaseInfo]


class CreateWithLeaseRequest(Record):
    """A create whose znode ends with the lease."""

    path: pathname
    data: buffer
    acl: AclsField
    flags: int32
    lease_id: int64
    secret: buffer


class NameSessionRequest(Record):
    """Names the connection's session: shown as the holder's name in lists."""

    name: ustring


class EndLeaseRequest(Record):
    """An operator ends a lease or session of somebody else, without its secret: as revoked, or as closed.

    For connections that have proved `super`, and for those from the server's own machine if it has no super
    digest; others get `NotOperator`.
    """

    lease_id: int64


class SnapshotRequest(Record):
    """An operator wants a snapshot of this server's state on its disk, now; others get `NotOperator`."""


class SnapshotResponse(Record):
    """It is durable, and has everything that was applied when it was asked for.

    `zxid`: what it has; the newest one had all that already if it is not higher than before. `file_bytes`: its
    size, 0 if this server did not write it since it was started.
    """

    zxid: int64
    file_bytes: int64


class JoiningMember(Record):
    """A member that is to be there. `address`: HOST:PORT for other members; "" leaves that of a present one."""

    member: int32
    address: ustring
    is_learner: boolean


class ChangeMembersRequest(Record):
    """An operator wants other members; others get `NotOperator`. Answered when the change has begun.

    `version`: index of the configuration that this is meant for, -1 for whichever there is.
    """

    joining: list[JoiningMember]
    leaving: list[int32]
    version: int64


class TransferLeadershipRequest(Record):
    """An operator wants `member` to lead, or, with 0, any other voter; for the leader. Answered when it has begun."""

    member: int32


class ReadSnapshotRequest(Record):
    """An operator wants some bytes of the file of a snapshot, for a backup; others get `NotOperator`.

    `zxid`: what it has; of the newest, or the one before. `file_id`: of the file that the bytes before `offset` are of,
    0 for none. `length`: at most; the server may send less.
    """

    zxid: int64
    file_id: int64
    offset: int64
    length: int32


class ReadSnapshotResponse(Record):
    """`file_bytes` 0: it is not there any more, or this is another server. From offset 0 and with another `file_id`: it
    is there, but in another file. The file has checksums of its own."""

    file_id: int64
    file_bytes: int64
    offset: int64
    data: buffer


class ReadLogRequest(Record):
    """An operator wants what was applied after an entry, for a backup; others get `NotOperator`.

    `zxid`, `term`: of the entry, which ends a run. `max_bytes`: about as much, but at least one run.
    """

    zxid: int64
    term: int64
    max_bytes: int32


class LoggedRun(Record):
    """Entries that were made together. `check`: `check_of_run`."""

    first: int64
    count: int64
    term: int64
    is_configuration: boolean
    data: buffer
    check: int64


class ReadLogResponse(Record):
    """`cluster`: its id; 0: the server does not know it yet. `is_held`: this server's log has that entry, and goes on
    from there; else it is cut off, or was never in it. `last_zxid`: how far the log is applied."""

    cluster: int64
    is_held: boolean
    last_zxid: int64
    runs: list[LoggedRun]


_RUN_FIELDS = Struct(">qqq?")


def check_of_run(first: int, count: int, term: int, is_configuration: bool, data: bytes) -> int:
    """CRC-32. TCP's own checksum lets one damaged packet in 65,536 pass, and a backup is read when nothing else is
    left."""
    return crc32(data, crc32(_RUN_FIELDS.pack(first, count, term, is_configuration)))


class ExtensionFailure(Record):
    """Follows an error code from -1000 down. `leader_hint`: address of whom to ask instead, or ""."""

    code: int32
    text: ustring
    leader_hint: ustring
    zxid: int64


EXTENSION_REQUESTS: Final[dict[OpCode, type[Record]]] = {
    OpCode.STATUS: StatusRequest,
    OpCode.LEASE_GRANT: LeaseGrantRequest,
    OpCode.LEASE_KEEP_ALIVE: LeaseKeepAliveRequest,
    OpCode.LEASE_REVOKE: LeaseRevokeRequest,
    OpCode.LEASE_INFO: LeaseInfoRequest,
    OpCode.LEASE_LIST: LeaseListRequest,
    OpCode.CREATE_WITH_LEASE: CreateWithLeaseRequest,
    OpCode.NAME_SESSION: NameSessionRequest,
    OpCode.END_LEASE: EndLeaseRequest,
    OpCode.SNAPSHOT: SnapshotRequest,
    OpCode.CHANGE_MEMBERS: ChangeMembersRequest,
    OpCode.TRANSFER_LEADERSHIP: TransferLeadershipRequest,
    OpCode.READ_SNAPSHOT: ReadSnapshotRequest,
    OpCode.READ_LOG: ReadLogRequest,
}

EXTENSION_RESPONSES: Final[dict[OpCode, type[Record]]] = {
    OpCode.STATUS: StatusResponse,
    OpCode.LEASE_GRANT: LeaseGrantResponse,
    OpCode.LEASE_KEEP_ALIVE: LeaseKeepAliveResponse,
    OpCode.LEASE_INFO: LeaseInfo,
    OpCode.LEASE_LIST: LeaseListResponse,
    OpCode.CREATE_WITH_LEASE: Create2Response,
    OpCode.SNAPSHOT: SnapshotResponse,
    OpCode.READ_SNAPSHOT: ReadSnapshotResponse,
    OpCode.READ_LOG: ReadLogResponse,
}


def extensions_document() -> bytes:
    """The data of EXTENSIONS_PATH: JSON with the version and the names of the requests."""
    names = ", ".join(f'"{_camel_case(opcode.name)}"' for opcode in EXTENSION_REQUESTS)
    return f'{{"version": {EXTENSIONS_VERSION}, "names": [{names}]}}'.encode()


def _camel_case(name: str) -> str:
    first, *others = name.lower().split("_")
    return first + "".join(other.capitalize() for other in others)


def extension_error(code: int, frame: bytes, offset: int, path: str = "") -> CoordError:
    """The exception for an error code from -1000 down, with what its `ExtensionFailure` at `offset` tells."""
    try:
        failure = ExtensionFailure.decode(frame, offset)
    except MarshallingError:
        return error_for(code, path)
    error = error_for(code, path, failure.text)
    if isinstance(error, ExtensionError):
        error.leader_hint = failure.leader_hint
        error.zxid = failure.zxid
    return error
