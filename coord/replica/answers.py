"""From the outcome of a command to the bytes of its reply.

One function per kind of write; each takes (xid, zxid, outcome) and gives a whole frame with its length. An outcome
that is an int is an error code, whose reply has a header and nothing else (ZOOKEEPER-PROTOCOL §3), unless it is one
of ours, which explains itself.
"""

import struct

from coord.tree.commands import Kind
from coord.tree.outcomes import Created, MultiDone, MultiFailed, Outcome
from coord.tree.znode import Znode
from coord_protocol.errors import Code
from coord_protocol.extensions import ExtensionFailure
from coord_protocol.multi import Result, encode_multi_failure, encode_multi_response
from coord_protocol.records import STAT_STRUCT, KeeperState, Stat, WatcherEvent
from coord_protocol.requests import CreateResponse, OpCode, SetDataResponse, SetSASLResponse

_HEAD = struct.Struct(">iiqi")  # frame length, then the reply header: xid, zxid, err
_pack_head = _HEAD.pack
_HEAD_BYTES = 16  # of the reply header alone, which is all that an error has
_pack_length = struct.Struct(">i").pack

_FIRST_OF_OURS = -1000
"""Codes from here down are followed by an `ExtensionFailure`."""

_TEXTS = {
    Code.NO_LEASE: "it has ended, was revoked or never was, or the secret is not its own; grant a new one",
}


def ok(xid: int, zxid: int, body: bytes = b"") -> bytes:
    return _pack_head(_HEAD_BYTES + len(body), xid, zxid, 0) + body


def error(xid: int, zxid: int, code: int, text: str = "") -> bytes:
    """`text` is for our own codes only; the others have no room for it."""
    if code > _FIRST_OF_OURS:
        return _pack_head(_HEAD_BYTES, xid, zxid, code)
    failure = ExtensionFailure(code, text or _TEXTS.get(Code(code), ""), "", zxid).encode()
    return _pack_head(_HEAD_BYTES + len(failure), xid, zxid, code) + failure


def sasl_failed(xid: int) -> bytes:
    """The one error with a body, as ZooKeeper sends it (§8): an empty token."""
    body = SetSASLResponse(None).encode()
    return _pack_head(_HEAD_BYTES + len(body), xid, 0, Code.AUTH_FAILED) + body


def notification(zxid: int, event_type: int, path: str) -> bytes:
    """An event: xid -1, and the zxid of the change as ZooKeeper 3.9 sends it (-1 for what setWatches finds)."""
    body = WatcherEvent(event_type, KeeperState.SYNC_CONNECTED, path).encode()
    return _pack_head(_HEAD_BYTES + len(body), -1, zxid, 0) + body


def done(xid: int, zxid: int, outcome: Outcome) -> bytes:
    """delete, and whatever else answers with a header only."""
    return error(xid, zxid, outcome) if type(outcome) is int else _pack_head(_HEAD_BYTES, xid, zxid, 0)


def stat(xid: int, zxid: int, outcome: Outcome) -> bytes:
    """setData, setACL."""
    if type(outcome) is int:
        return error(xid, zxid, outcome)
    assert isinstance(outcome, Znode)
    return ok(xid, zxid, outcome.stat_bytes())


def created(xid: int, zxid: int, outcome: Outcome) -> bytes:
    if type(outcome) is int:
        return error(xid, zxid, outcome)
    assert isinstance(outcome, Created)
    path = outcome.path.encode()
    return _pack_head(_HEAD_BYTES + 4 + len(path), xid, zxid, 0) + _pack_length(len(path)) + path


def created2(xid: int, zxid: int, outcome: Outcome) -> bytes:
    """create2, createWithLease."""
    if type(outcome) is int:
        return error(xid, zxid, outcome)
    assert isinstance(outcome, Created)
    path = outcome.path.encode()
    return ok(xid, zxid, _pack_length(len(path)) + path + outcome.znode.stat_bytes())


def multi(xid: int, zxid: int, outcome: Outcome) -> bytes:
    """A failed multi has a header without error; what failed is told inside (§5.7)."""
    if type(outcome) is int:
        return error(xid, zxid, outcome)
    if isinstance(outcome, MultiFailed):
        return ok(xid, zxid, encode_multi_failure(outcome.count, outcome.position, outcome.code))
    assert isinstance(outcome, MultiDone)
    return ok(xid, zxid, encode_multi_response([_multi_result(*result) for result in outcome.results]))


def _multi_result(kind: int, result: Outcome) -> Result:
    match kind:
        case Kind.CREATE:
            assert isinstance(result, Created)
            return OpCode.CREATE, CreateResponse(result.path)
        case Kind.SET_DATA:
            assert isinstance(result, Znode)
            return OpCode.SET_DATA, SetDataResponse(Stat._make(STAT_STRUCT.unpack(result.stat_bytes())))
        case Kind.DELETE:
            return OpCode.DELETE, None
        case _:
            return OpCode.CHECK, None
