"""What of a multi decodes, and as what (each line of the tables was measured on ZooKeeper 3.8)."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord_protocol.errors import Code, MarshallingError
from coord_protocol.jute import Record
from coord_protocol.multi import (
    END,
    culprit_of,
    decode_multi_read_request,
    decode_multi_request,
    decode_multi_response,
    encode_multi_failure,
    encode_multi_request,
    encode_multi_response,
)
from coord_protocol.records import OPEN_ACL_UNSAFE, Stat
from coord_protocol.requests import (
    CheckVersionRequest,
    Create2Response,
    CreateMode,
    CreateRequest,
    CreateResponse,
    CreateTTLRequest,
    DeleteRequest,
    ErrorResponse,
    ExistsRequest,
    GetChildrenRequest,
    GetChildrenResponse,
    GetDataRequest,
    GetDataResponse,
    OpCode,
    SetDataRequest,
    SetDataResponse,
)
from tests.protocol.strategies import records_of

STAT = Stat(*range(11))


def create(flags: int) -> CreateRequest:
    return CreateRequest("/a", b"x", OPEN_ACL_UNSAFE, flags)


def create_ttl(flags: int) -> CreateTTLRequest:
    return CreateTTLRequest("/a", b"x", OPEN_ACL_UNSAFE, flags, 5)


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ((OpCode.CREATE, create(0)), (OpCode.CREATE, create(0))),
        ((OpCode.CREATE2, create(1)), (OpCode.CREATE, create(1))),
        ((OpCode.CREATE, create(4)), (OpCode.CREATE_CONTAINER, create(4))),
        ((OpCode.CREATE_CONTAINER, create(4)), (OpCode.CREATE_CONTAINER, create(4))),
        ((OpCode.CREATE_CONTAINER, create(0)), (OpCode.CREATE, create(0))),
        ((OpCode.CREATE, create(9)), (OpCode.CREATE, create(9))),  # refused when applied: BadArguments
        ((OpCode.CREATE_TTL, create_ttl(5)), (OpCode.CREATE_TTL, create_ttl(5))),
        ((OpCode.CREATE_TTL, create_ttl(0)), (OpCode.CREATE, create(0))),
        ((OpCode.CREATE_TTL, create_ttl(4)), (OpCode.CREATE_CONTAINER, create(4))),
    ],
)
def test_creates_count_as_their_flags_say(sent: tuple[OpCode, Record], seen: tuple[OpCode, Record]) -> None:
    assert decode_multi_request(encode_multi_request([sent]), 0) == [seen]


@pytest.mark.parametrize(
    "operations",
    [
        [(OpCode.CREATE, create(CreateMode.PERSISTENT_WITH_TTL))],
        [(OpCode.GET_DATA, GetDataRequest("/", watch=False))],
        [(OpCode.CHECK, CheckVersionRequest("/", -1)), (OpCode.GET_DATA, GetDataRequest("/", watch=False))],
        [(OpCode.EXISTS, ExistsRequest("/", watch=False))],
    ],
)
def test_what_does_not_belong_into_a_multi_is_refused(operations: list[tuple[OpCode, Record]]) -> None:
    with pytest.raises(MarshallingError):
        decode_multi_request(encode_multi_request(operations), 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        END[:-1],
        encode_multi_request([(OpCode.CHECK, CheckVersionRequest("/", -1))])[: -len(END)],
        bytes.fromhex("0000000d 00 ffffffff ffffffff 00000003") + END,  # a null path
        bytes.fromhex("00000063 00 ffffffff") + END,  # an unknown type
    ],
)
def test_a_broken_multi_is_refused(body: bytes) -> None:
    with pytest.raises(MarshallingError):
        decode_multi_request(body, 0)
    with pytest.raises(MarshallingError):
        decode_multi_read_request(body, 0)


def test_an_empty_multi_is_legal() -> None:
    assert decode_multi_request(END, 0) == []
    assert decode_multi_read_request(END, 0) == []
    assert decode_multi_response(END, 0) == []


def test_done_ends_the_list_whatever_type_it_carries() -> None:
    assert decode_multi_request(bytes.fromhex("00000001 01 00000000"), 0) == []


def test_a_multi_read_takes_reads_only() -> None:
    reads: list[tuple[OpCode, Record]] = [
        (OpCode.GET_DATA, GetDataRequest("/a", watch=False)),
        (OpCode.GET_CHILDREN, GetChildrenRequest("/", watch=False)),
    ]

    assert decode_multi_read_request(encode_multi_request(reads), 0) == reads
    with pytest.raises(MarshallingError):
        decode_multi_read_request(encode_multi_request([(OpCode.DELETE, DeleteRequest("/a", 0))]), 0)


def test_results_come_back_as_they_went() -> None:
    results: list[tuple[OpCode, Record | None]] = [
        (OpCode.CREATE, CreateResponse("/a")),
        (OpCode.CREATE2, Create2Response("/b", STAT)),
        (OpCode.SET_DATA, SetDataResponse(STAT)),
        (OpCode.DELETE, None),
        (OpCode.CHECK, None),
        (OpCode.GET_DATA, GetDataResponse(b"x", STAT)),
        (OpCode.GET_CHILDREN, GetChildrenResponse(["a"])),
        (OpCode.ERROR, ErrorResponse(Code.NO_NODE)),
    ]

    assert decode_multi_response(encode_multi_response(results), 0) == results


def test_the_culprit_of_a_refused_multi_is_found() -> None:
    """[check ok, delete missing, check]: 0 before, the code, -2 after."""
    refused = decode_multi_response(encode_multi_failure(3, 1, Code.NO_NODE), 0)

    assert [record.err for _, record in refused if isinstance(record, ErrorResponse)] == [0, -101, -2]
    assert culprit_of(refused) == (1, Code.NO_NODE)
    assert culprit_of([(OpCode.DELETE, None)]) is None


@given(st.lists(records_of(DeleteRequest) | records_of(SetDataRequest), max_size=5))
def test_any_writes_come_back(requests: list[Record]) -> None:
    opcodes = {DeleteRequest: OpCode.DELETE, SetDataRequest: OpCode.SET_DATA}
    operations = [(opcodes[type(request)], request) for request in requests]

    assert decode_multi_request(encode_multi_request(operations), 0) == operations


@given(st.binary(max_size=100))
def test_any_bytes_decode_or_are_refused(body: bytes) -> None:
    for decode in (decode_multi_request, decode_multi_read_request, decode_multi_response):
        with suppress(MarshallingError):
            decode(body, 0)
