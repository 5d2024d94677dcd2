"""Codecs: what goes out comes back, and whatever comes in is a record or a MarshallingError."""

import tracemalloc
from contextlib import suppress
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord_protocol.errors import MarshallingError
from coord_protocol.extensions import LeaseInfo, LeaseListResponse
from coord_protocol.jute import Record, boolean, int32, pathname, ustring
from coord_protocol.records import (
    ACL,
    CREATOR_ALL_ACL,
    OPEN_ACL_UNSAFE,
    ClientInfo,
    Stat,
    decode_acls,
    encode_acls,
)
from coord_protocol.requests import (
    ConnectRequest,
    CreateRequest,
    GetChildrenResponse,
    GetDataRequest,
    GetDataResponse,
    SetDataRequest,
    SetWatches2,
    SyncRequest,
    WhoAmIResponse,
)
from tests.protocol.strategies import ALL_RECORDS, records_of


@given(st.data(), st.sampled_from(ALL_RECORDS), st.binary(max_size=9))
def test_every_record_comes_back_as_it_went(data: st.DataObject, record: type[Record], before: bytes) -> None:
    """Also behind other bytes, with the offset behind it told exactly."""
    sent = data.draw(records_of(record))
    body = sent.encode()

    received, end = record.decode_from(before + body, len(before))

    assert received == sent
    assert end == len(before) + len(body)
    assert record.decode(before + body, len(before)) == sent


@given(st.data(), st.sampled_from([record for record in ALL_RECORDS if record is not ConnectRequest]))
def test_bytes_behind_a_record_are_ignored(data: st.DataObject, record: type[Record]) -> None:
    """ZooKeeper ignores them (measured); a handshake is the exception, since its last byte is optional."""
    sent = data.draw(records_of(record))
    if type(sent).__name__ == "ConnectResponse":
        return

    assert record.decode(sent.encode() + b"more") == sent


@given(st.sampled_from(ALL_RECORDS), st.binary(max_size=120), st.integers(0, 8))
def test_any_bytes_decode_or_are_refused(record: type[Record], frame: bytes, offset: int) -> None:
    """Never another exception: the server answers MarshallingError and goes on."""
    with suppress(MarshallingError):
        record.decode(frame, offset)


@given(st.data(), st.sampled_from(ALL_RECORDS))
def test_a_cut_record_is_refused(data: st.DataObject, record: type[Record]) -> None:
    """Every field matters: a record cut anywhere does not decode, except before an optional last byte."""
    sent = data.draw(records_of(record))
    body = sent.encode()
    if record.__name__ in {"ConnectRequest", "ConnectResponse"} and sent.read_only is not None:
        body = body[:-1]

    for cut in range(len(body)):
        with pytest.raises(MarshallingError):
            record.decode(body[:cut])


@given(st.data(), st.sampled_from(ALL_RECORDS), st.integers(0, 200), st.integers(0, 255))
def test_a_changed_byte_never_breaks_a_decoder(
    data: st.DataObject, record: type[Record], position: int, value: int
) -> None:
    body = bytearray(data.draw(records_of(record)).encode())
    if body:
        body[position % len(body)] = value
    with suppress(MarshallingError):
        record.decode(bytes(body))


@pytest.mark.parametrize(
    ("record", "body"),
    [
        (GetChildrenResponse, pack(">i", 2**31 - 1)),
        (GetChildrenResponse, pack(">i", 1_000_000) + bytes(64)),
        (SetDataRequest, pack(">i", 2**31 - 1) + b"/a"),
        (SetDataRequest, pack(">i2si", 2, b"/a", 2**31 - 1)),
        (CreateRequest, pack(">i2sii", 2, b"/a", 0, 2**31 - 1)),
        (SetWatches2, pack(">qi", 0, 2**30)),
        (WhoAmIResponse, pack(">i", 2**30)),
    ],
)
def test_a_length_is_not_believed(record: type[Record], body: bytes) -> None:
    """A count of two thousand million in a frame of a few bytes must not cost memory."""
    with pytest.raises(MarshallingError):
        record.decode(body)  # compiles the codec, which does cost memory, once

    tracemalloc.start()
    try:
        with pytest.raises(MarshallingError):
            record.decode(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000


def test_null_text_is_empty_but_a_null_path_is_refused() -> None:
    """kazoo writes "" as null, so `sync("")` has one; to a null path ZooKeeper answers MarshallingError."""
    null = pack(">i", -1)

    assert SyncRequest.decode(null) == SyncRequest("")
    with pytest.raises(MarshallingError):
        GetDataRequest.decode(null + b"\0")


def test_null_and_empty_buffers_stay_apart() -> None:
    for data in (None, b""):
        assert SetDataRequest.decode(SetDataRequest("/a", data, 0).encode()).data == data


@pytest.mark.parametrize("length", [-2, -(2**31)])
def test_lengths_below_null_are_refused(length: int) -> None:
    for body in (pack(">i", length) + b"\0", pack(">i2si", 2, b"/a", length) + bytes(4)):
        with pytest.raises(MarshallingError):
            SetDataRequest.decode(body)


@pytest.mark.parametrize("count", [-1, -5])
def test_a_negative_count_is_an_empty_vector(count: int) -> None:
    """ZooKeeper's index over a vector of -5 is at its end at once (measured)."""
    assert GetChildrenResponse.decode(pack(">i", count)).children == []
    assert decode_acls(pack(">i", count), 0) == ((), 4)


def test_invalid_utf8_becomes_a_replacement_character() -> None:
    """Which is no character of a path, so the path rules refuse it, as ZooKeeper does."""
    surrogates_of_java = b"\xed\xa0\xbd\xed\xb8\x80"  # Java writes characters above U+FFFF as two surrogates

    path = GetDataRequest.decode(pack(">i", 8) + b"/\xff" + surrogates_of_java + b"\0").path

    assert set(path[1:]) == {"\ufffd"}


def test_a_lone_surrogate_can_be_sent() -> None:
    """The server's path rules answer it; the encoder must not fail in a way of its own."""
    sent = GetDataRequest("/\ud800", False).encode()

    assert "\ufffd" in GetDataRequest.decode(sent).path


@pytest.mark.parametrize("version", [2**31, -(2**31) - 1])
def test_a_number_that_does_not_fit_is_refused(version: int) -> None:
    with pytest.raises(MarshallingError, match="SetDataRequest"):
        SetDataRequest("/a", b"", version).encode()


def test_any_byte_but_zero_is_true() -> None:
    assert GetDataRequest.decode(b"\0\0\0\1/\2").watch is True


@given(st.lists(st.sampled_from([OPEN_ACL_UNSAFE[0], ACL(1, "digest", "bob:x"), ACL(31, "", "")]), max_size=3))
def test_acls_come_back_whatever_stands_first(acls: list[ACL]) -> None:
    """The shortcut for the open ACL must not hide what follows it."""
    body = encode_acls(tuple(acls))

    assert decode_acls(body + b"tail", 0) == (tuple(acls), len(body))


def test_the_open_acl_is_one_object() -> None:
    """Nearly all znodes carry it, so it should not be made a million times."""
    assert decode_acls(encode_acls((ACL(31, "world", "anyone"),)), 0)[0] is OPEN_ACL_UNSAFE
    assert decode_acls(encode_acls(CREATOR_ALL_ACL), 0)[0] == CREATOR_ALL_ACL


def test_records_compare_and_print_by_their_fields() -> None:
    request = GetDataRequest("/a", watch=True)

    assert request == GetDataRequest(path="/a", watch=True)
    assert request != GetDataRequest("/b", True)
    assert request != SyncRequest("/a")
    assert repr(request) == "GetDataRequest(path='/a', watch=True)"
    with pytest.raises(TypeError, match="unhashable"):
        hash(request)


def test_records_within_records_and_vectors_decode() -> None:
    infos = [
        LeaseInfo(7, "lease", "n", 9, 3, ["/a", "/b"], None, ""),
        LeaseInfo(8, "session", "", 1, 2, [], b"m", "10.0.0.7"),
    ]

    assert LeaseListResponse.decode(LeaseListResponse(infos).encode()).leases == infos
    identities = WhoAmIResponse([ClientInfo("ip", "::1")])
    assert WhoAmIResponse.decode(identities.encode()) == identities


def test_a_stat_is_a_plain_tuple_of_68_bytes() -> None:
    stat = Stat(*range(11))

    assert len(stat.encode()) == 68
    assert GetDataResponse.decode(GetDataResponse(None, stat).encode()).stat == stat


def test_a_kept_bound_method_works_before_and_after_compilation() -> None:
    class Pair(Record):
        path: pathname
        watch: boolean
        number: int32
        text: ustring

    decode: Any = Pair.decode
    body = Pair("/a", True, 7, "t").encode()

    assert decode(body) == decode(body) == Pair("/a", True, 7, "t")
