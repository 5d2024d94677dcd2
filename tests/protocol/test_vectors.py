"""The bytes that ZooKeeper and its clients really send, packet by packet."""

import pytest

from coord_protocol.errors import Code
from coord_protocol.frames import (
    AUTH_XID,
    NOTIFICATION_XID,
    PING_XID,
    REPLY_HEADER,
    REQUEST_HEADER,
    FrameSplitter,
    frame,
)
from coord_protocol.jute import Record
from coord_protocol.multi import (
    decode_multi_request,
    decode_multi_response,
    encode_multi_failure,
    encode_multi_request,
)
from coord_protocol.records import OPEN_ACL_UNSAFE, EventType, KeeperState, Stat, WatcherEvent
from coord_protocol.requests import (
    AuthPacket,
    CheckVersionRequest,
    ConnectRequest,
    ConnectResponse,
    CreateMode,
    CreateRequest,
    CreateResponse,
    ErrorResponse,
    GetDataRequest,
    GetDataResponse,
    OpCode,
    SetDataRequest,
)

NO_PASSWORD = "00" * 16
STAT = Stat(*range(1, 12))


def request(xid: int, opcode: int) -> bytes:
    return REQUEST_HEADER.pack(xid, opcode)


def reply(xid: int, zxid: int, err: int = 0) -> bytes:
    return REPLY_HEADER.pack(xid, zxid, err)


VECTORS: dict[str, tuple[str, bytes, Record | None]] = {
    "connect request": (
        f"0000002d 00000000 0000000000000000 00002710 0000000000000000 00000010 {NO_PASSWORD} 00",
        b"",
        ConnectRequest(0, 0, 10_000, 0, bytes(16), read_only=False),
    ),
    "connect request of an old client": (
        f"0000002c 00000000 0000000000000000 00002710 0000000000000000 00000010 {NO_PASSWORD}",
        b"",
        ConnectRequest(0, 0, 10_000, 0, bytes(16), read_only=None),
    ),
    "connect response": (
        "00000025 00000000 00002710 0100000000000001 00000010 000102030405060708090a0b0c0d0e0f 00",
        b"",
        ConnectResponse(0, 10_000, 0x0100000000000001, bytes(range(16)), read_only=False),
    ),
    "connect response to an old client": (
        "00000024 00000000 00002710 0100000000000001 00000010 000102030405060708090a0b0c0d0e0f",
        b"",
        ConnectResponse(0, 10_000, 0x0100000000000001, bytes(range(16)), read_only=None),
    ),
    "expired": (
        f"00000025 00000000 00000000 0000000000000000 00000010 {NO_PASSWORD} 00",
        b"",
        ConnectResponse(0, 0, 0, bytes(16), read_only=False),
    ),
    "create request": (
        "00000033 00000001 00000001 00000002 2f61 00000002 6869 00000001 0000001f 00000005 776f726c64"
        "00000006 616e796f6e65 00000003",
        request(1, OpCode.CREATE),
        CreateRequest("/a", b"hi", OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL),
    ),
    "create reply": (
        "00000020 00000001 0000000000000007 00000000 0000000c 2f6130303030303030303030",
        reply(1, 7),
        CreateResponse("/a0000000000"),
    ),
    "getData request": (
        "0000000f 00000002 00000004 00000002 2f61 01",
        request(2, OpCode.GET_DATA),
        GetDataRequest("/a", watch=True),
    ),
    "getData reply": (
        f"0000005a 00000002 0000000000000007 00000000 00000002 6869 {STAT.encode().hex()}",
        reply(2, 7),
        GetDataResponse(b"hi", STAT),
    ),
    "no node": ("00000010 00000004 0000000000000009 ffffff9b", reply(4, 9, Code.NO_NODE), None),
    "watch event": (
        "0000001e ffffffff 0000000000000008 00000000 00000003 00000003 00000002 2f61",
        reply(NOTIFICATION_XID, 8),
        WatcherEvent(EventType.DATA_CHANGED, KeeperState.SYNC_CONNECTED, "/a"),
    ),
    "ping": ("00000008 fffffffe 0000000b", request(PING_XID, OpCode.PING), None),
    "ping reply": ("00000010 fffffffe 0000000000000008 00000000", reply(PING_XID, 8), None),
    "auth": (
        "00000020 fffffffc 00000064 00000000 00000006 646967657374 00000006 626f623a7077",
        request(AUTH_XID, OpCode.AUTH),
        AuthPacket(0, "digest", b"bob:pw"),
    ),
    "auth reply": ("00000010 fffffffc 0000000000000000 00000000", reply(AUTH_XID, 0), None),
}


@pytest.mark.parametrize("name", VECTORS)
def test_packets_are_made_byte_for_byte(name: str) -> None:
    expected, header, record = VECTORS[name]

    assert frame(header + (record.encode() if record else b"")).hex() == expected.replace(" ", "")


@pytest.mark.parametrize("name", [name for name, vector in VECTORS.items() if vector[2]])
def test_packets_are_read(name: str) -> None:
    data, header, record = VECTORS[name]
    assert record is not None

    (body,) = FrameSplitter().feed(bytes.fromhex(data))

    assert body[: len(header)] == header
    assert type(record).decode(body, len(header)) == record


MULTI_REQUEST = (
    "0000000d 00 ffffffff 00000002 2f61 00000003"
    "00000005 00 ffffffff 00000002 2f61 00000001 78 00000003"
    "ffffffff 01 ffffffff"
)
MULTI_FAILURE = "ffffffff 00 ffffff99 ffffff99 ffffffff 00 fffffffe fffffffe ffffffff 01 ffffffff"


def test_multi_request() -> None:
    operations = [
        (OpCode.CHECK, CheckVersionRequest("/a", 3)),
        (OpCode.SET_DATA, SetDataRequest("/a", b"x", 3)),
    ]
    body = bytes.fromhex(MULTI_REQUEST)

    assert encode_multi_request(operations) == body
    assert decode_multi_request(body, 0) == operations
    assert len(frame(request(3, OpCode.MULTI) + body)) == 4 + 0x3C


def test_multi_failure() -> None:
    body = bytes.fromhex(MULTI_FAILURE)

    assert encode_multi_failure(2, 0, Code.BAD_VERSION) == body
    assert decode_multi_response(body, 0) == [
        (OpCode.ERROR, ErrorResponse(Code.BAD_VERSION)),
        (OpCode.ERROR, ErrorResponse(Code.RUNTIME_INCONSISTENCY)),
    ]
