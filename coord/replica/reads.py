"""Requests that are answered from this server's state alone: reads, and what concerns its own watches.

Each handler takes (connection, xid, frame) and gives the reply frame. They are called in the connection's turn, when
everything before them is answered, so a session sees its own writes; what others write it sees when this server has
applied it (`sync` first, if that is not enough). A watch is set only where the request succeeds; `exists` of a missing
znode is the one exception (ZOOKEEPER-PROTOCOL §5.4).
"""

from collections.abc import Callable, Mapping
from struct import Struct

from coord.replica import answers
from coord.replica.connection import BODY, Connection, Local
from coord.tree.acl import ADMIN, OPEN, READ, permits, shown_to
from coord.tree.machine import Machine
from coord.tree.watches import Watches
from coord.tree.znode import Znode
from coord_protocol.errors import Code, MarshallingError
from coord_protocol.extensions import LeaseInfoRequest, LeaseListRequest, LeaseListResponse, StatusResponse
from coord_protocol.jute import Record
from coord_protocol.multi import Result, decode_multi_read_request, encode_multi_response
from coord_protocol.records import STAT_STRUCT, ClientInfo, Stat
from coord_protocol.requests import (
    AddWatchMode,
    AddWatchRequest,
    CheckWatchesRequest,
    ErrorResponse,
    ExistsRequest,
    GetACLRequest,
    GetACLResponse,
    GetAllChildrenNumberRequest,
    GetAllChildrenNumberResponse,
    GetChildrenRequest,
    GetChildrenResponse,
    GetDataRequest,
    GetDataResponse,
    GetEphemeralsRequest,
    GetEphemeralsResponse,
    OpCode,
    RemoveWatchesRequest,
    SetWatches,
    SetWatches2,
    WatcherType,
    WhoAmIResponse,
)

_NO_NODE = int(Code.NO_NODE)
_NO_AUTH = int(Code.NO_AUTH)

_unpack_length = Struct(">i").unpack_from

_NO_ZXID = -1


class Reads:
    """The handlers, by opcode, in `handlers`."""

    def __init__(self, machine: Machine, watches: Watches, status: Callable[[], str]) -> None:
        """`status` makes the JSON document that tells about this server."""
        self._machine = machine
        self._watches = watches
        self._status = status
        self.handlers: Mapping[int, Local] = {
            OpCode.GET_DATA: self._get_data,
            OpCode.EXISTS: self._exists,
            OpCode.GET_CHILDREN: self._get_children,
            OpCode.GET_CHILDREN2: self._get_children2,
            OpCode.GET_ACL: self._get_acl,
            OpCode.GET_ALL_CHILDREN_NUMBER: self._get_all_children_number,
            OpCode.GET_EPHEMERALS: self._get_ephemerals,
            OpCode.WHO_AM_I: self._who_am_i,
            OpCode.MULTI_READ: self._multi_read,
            OpCode.SET_WATCHES: self._set_watches,
            OpCode.SET_WATCHES2: self._set_watches2,
            OpCode.ADD_WATCH: self._add_watch,
            OpCode.REMOVE_WATCHES: self._remove_watches,
            OpCode.CHECK_WATCHES: self._check_watches,
            OpCode.STATUS: self._tell_status,
            OpCode.LEASE_INFO: self._lease_info,
            OpCode.LEASE_LIST: self._lease_list,
        }

    # Znodes

    def _get_data(self, connection: Connection, xid: int, frame: bytes) -> bytes:
        # The commonest request of all: taken apart by hand, in half the time its record takes.
        end = 12 + _unpack_length(frame, 8)[0] if len(frame) > 12 else 0
        if not 12 <= end < len(frame):
            request = GetDataRequest.decode(frame, BODY)  # a null path, or one that is cut off
            path, watch = request.path, request.watch
        else:
            path, watch = frame[12:end].decode(errors="replace"), frame[end] != 0
        znode = self._machine.znodes.get(path or "/")
        zxid = self._machine.applied_index
        if znode is None:
            return answers.error(xid, zxid, _NO_NODE)
        if znode.acl is not OPEN and not permits(znode.acl, READ, connection.identities):
            return answers.error(xid, zxid, _NO_AUTH)
        if watch:
            self._watches.add_data(connection.id, path)
        return answers.ok(xid, zxid, znode.body or znode.get_data_body())

    def _exists(self, connection: Connection, xid: int, frame: bytes) -> bytes:
        request = ExistsRequest.decode(frame, BODY)
        path = request.path
        znode = self._machine.znodes.get(path or "/")
        zxid = self._machine.applied_index
        if znode is None:
            if "\0" in path:
                return answers.error(xid, zxid, int(Code.BAD_ARGUMENTS))
            if request.watch:
                self._watches.add_data(connection.id, path)
            return answers.error(xid, zxid, _NO_NODE)
        if not permits(znode.acl, READ, connection.identities):
            return answers.error(xid, zxid, _NO_AUTH)
        if request.watch:
            self._watches.add_data(connection.id, path)
        return answers.ok(xid, zxid, znode.stat_bytes())

    def _get_children(self, connection: Connection, xid: int, frame: bytes) -> bytes:
        found = self._list(connection, frame)
        if isinstance(found, int):
            return self._error(xid, found)
        return self._ok(xid, GetChildrenResponse(self._machine.tree.names(found)))

    def _get_children2(self, connection: Connection, xid: int, frame: bytes) -> bytes:
        found = self._list(connection, frame)
        if isinstance(found, int):
            return self._error(xid, found)
        names = GetChildrenResponse(self._machine.tree.names(found)).encode()
        return answers.ok(xid, self._machine.applied_index, names + found.stat_bytes())

    def _list(self, connection: Connection, frame: bytes) -> Znode | int:
        request = GetChildrenRequest.decode(frame, BODY)
        found = self._look_up(connection, request.path, READ)
        if request.watch and not isinstance(found, int):
            self._watches.add_child(connection.id, request.path or "/")
        return found

    def _get_acl(self, connection: Connection, xid: int, frame: bytes) -> bytes:
        found = self._look_up(connection, GetACLRequest.decode(frame, BODY).path, READ | ADMIN)
        if isinstance(found, int):
            return self._error(xid, found)
        return self._ok(xid, GetACLResponse(shown_to(found.acl, connection.identities), _stat(found)))

    def _get_all_children_number(self, connection: Connection, xid: int, frame: bytes) -> bytes:
        path = GetAllChildrenNumberRequest.decode(frame, BODY).path or "/"
        found = self._look_up(connection, path, READ)
        if isinstance(found, int):
            return self._error(xid, found)
        return self._ok(xid, GetAllChildrenNumberResponse(self._machine.tree.descendants(path)))

    def _get_ephemerals(self, connection: Connection, xid: int, frame: bytes) -> bytes:
        prefix = GetEphemeralsRequest.decode(frame, BODY).prefix_path
        session = self._machine.leases.session(connection.session)
        keys = session.keys if session is not None else ()
        return self._ok(xid, GetEphemeralsResponse(sorted(key for key in keys if key.startswith(prefix))))

    def _multi_read(self, connection: Connection, xid: int, frame: bytes) -> bytes:
        results: list[Result] = []
        for opcode, request in decode_multi_read_request(frame, BODY):
            assert isinstance(request, GetDataRequest | GetChildrenRequest)
            found = self._look_up(connection, request.path, READ)
            if isinstance(found, int):
                results.append((OpCode.ERROR, ErrorResponse(found)))
            elif opcode is OpCode.GET_DATA:
                results.append((opcode, GetDataResponse(found.data, _stat(found))))
            else:
                results.append((opcode, GetChildrenResponse(self._machine.tree.names(found))))
        return answers.ok(xid, self._machine.applied_index, encode_multi_response(results))

    def _look_up(self, connection: Connection, path: str, perms: int) -> Znode | int:
        """The znode, or the code of why not."""
        znode = self._machine.znodes.get(path or "/")
        if znode is None:
            return _NO_NODE
        return znode if permits(znode.acl, perms, connection.identities) else _NO_AUTH

    # Watches

    def _set_watches(self, connection: Connection, xid: int, frame: bytes) -> bytes:
        request = SetWatches.decode(frame, BODY)
        return self._rearm(connection, xid, request, [], [])

    def _set_watches2(self, connection: Connection, xid: int, frame: bytes) -> bytes:
        request = SetWatches2.decode(frame, BODY)
        return self._rearm(connection, xid, request, request.persistent, request.persistent_recursive)

    def _rearm(
        self,
        connection: Connection,
        xid: int,
        request: SetWatches | SetWatches2,
        persistent: list[str],
        recursive: list[str],
    ) -> bytes:
        """What was missed comes before the reply (§7)."""
        missed = self._watches.set_watches(
            connection.id,
            request.relative_zxid,
            self._machine.znodes,
            request.data,
            request.exist,
            request.child,
            persistent,
            recursive,
        )
        events = [
            answers.notification(_NO_ZXID, event_type, path)
            for event_type, path in missed
            if self._may_hear_of(connection, path)
        ]
        return b"".join(events) + answers.ok(xid, self._machine.applied_index)

    def _may_hear_of(self, connection: Connection, path: str) -> bool:
        znode = self._machine.znodes.get(path)
        return znode is None or permits(znode.acl, READ, connection.identities)

    def _add_watch(self, connection: Connection, xid: int, frame: bytes) -> bytes:
        request = AddWatchRequest.decode(frame, BODY)
        match request.mode:
            case AddWatchMode.PERSISTENT:
                self._watches.add_persistent(connection.id, request.path)
            case AddWatchMode.PERSISTENT_RECURSIVE:
                self._watches.add_recursive(connection.id, request.path)
            case _:
                raise MarshallingError(request.path, f"no watch has mode {request.mode}")
        return self._ok(xid, ErrorResponse(0))

    def _remove_watches(self, connection: Connection, xid: int, frame: bytes) -> bytes:
        request = RemoveWatchesRequest.decode(frame, BODY)
        had_one = self._watches.remove(connection.id, request.path, _watcher_type(request))
        return self._error(xid, 0 if had_one else int(Code.NO_WATCHER))

    def _check_watches(self, connection: Connection, xid: int, frame: bytes) -> bytes:
        request = CheckWatchesRequest.decode(frame, BODY)
        is_there = self._watches.contains(connection.id, request.path, _watcher_type(request))
        return self._error(xid, 0 if is_there else int(Code.NO_WATCHER))

    # The connection and the server

    def _who_am_i(self, connection: Connection, xid: int, frame: bytes) -> bytes:
        """Of a digest only the name, which is before the colon."""
        return self._ok(
            xid,
            WhoAmIResponse(
                [
                    ClientInfo(scheme, name.partition(":")[0] if scheme == "digest" else name)
                    for scheme, name in connection.identities
                ]
            ),
        )

    def _tell_status(self, connection: Connection, xid: int, frame: bytes) -> bytes:
        return self._ok(xid, StatusResponse(self._status()))

    # Leases

    def _lease_info(self, connection: Connection, xid: int, frame: bytes) -> bytes:
        lease = LeaseInfoRequest.decode(frame, BODY).lease_id
        info = self._machine.leases.info(lease, self._machine.clock_ms)
        return self._error(xid, int(Code.NO_LEASE)) if info is None else self._ok(xid, info)

    def _lease_list(self, connection: Connection, xid: int, frame: bytes) -> bytes:
        kind = LeaseListRequest.decode(frame, BODY).kind
        if kind not in ("", "lease", "session"):
            raise MarshallingError(detail=f'kind {kind!r}: expected "lease", "session" or "" for both')
        return self._ok(xid, LeaseListResponse(self._machine.leases.infos(kind, self._machine.clock_ms)))

    def _ok(self, xid: int, record: Record) -> bytes:
        return answers.ok(xid, self._machine.applied_index, record.encode())

    def _error(self, xid: int, code: int) -> bytes:
        return answers.error(xid, self._machine.applied_index, code)


def _stat(znode: Znode) -> Stat:
    return Stat._make(STAT_STRUCT.unpack(znode.stat_bytes()))


def _watcher_type(request: CheckWatchesRequest | RemoveWatchesRequest) -> WatcherType:
    try:
        return WatcherType(request.type)
    except ValueError:
        raise MarshallingError(request.path, f"no watch is of type {request.type}") from None
