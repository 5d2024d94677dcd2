"""Strategies for bytes that went wrong: noise, and good bytes that were cut, flipped or grown."""

from itertools import pairwise
from struct import pack

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from coord_protocol.extensions import EXTENSION_REQUESTS
from coord_protocol.frames import REQUEST_HEADER, frame
from coord_protocol.multi import encode_multi_request
from coord_protocol.requests import REQUESTS, ConnectRequest, OpCode
from tests.protocol.strategies import NUMBERS, TEXTS, records_of

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other tests run beside these

NOISE = st.binary(max_size=60)

_LENGTHS = st.sampled_from([-(2**31), -1, 0, 1, 2**20, 2**30, 2**31 - 1]).map(lambda number: pack(">i", number))
"""What stands where a length or a count should be, and asks for memory."""


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Good bytes, most of them: cut off, with some bits flipped, with a lie for a length, or with more behind."""
    data = bytearray(draw(whole))
    match draw(st.sampled_from(["as it is", "cut", "flip", "lie", "more"])):
        case "cut":
            del data[draw(st.integers(0, len(data))) :]
        case "flip" if data:
            for place in draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=4)):
                data[place] ^= 1 << draw(st.integers(0, 7))
        case "lie" if len(data) >= 4:
            place = draw(st.integers(0, len(data) - 4))
            data[place : place + 4] = draw(_LENGTHS)
        case "more":
            data += draw(NOISE)
    return bytes(data)


OPCODES = st.sampled_from([int(opcode) for opcode in OpCode]) | NUMBERS["i"]

_RECORDS = {**REQUESTS, **EXTENSION_REQUESTS}
_WRITES_OF_A_MULTI = [OpCode.CREATE, OpCode.CREATE2, OpCode.DELETE, OpCode.SET_DATA, OpCode.CHECK, OpCode.CREATE_TTL]


@st.composite
def bodies(draw: st.DrawFn, opcode: int) -> bytes:
    """What may stand behind the header of such a request."""
    if opcode in (OpCode.MULTI, OpCode.MULTI_READ):
        parts = draw(st.lists(st.sampled_from(_WRITES_OF_A_MULTI), max_size=3))
        return encode_multi_request((part, draw(records_of(REQUESTS[part]))) for part in parts)
    record = _RECORDS.get(OpCode(opcode)) if opcode in set(OpCode) else None
    encoded: bytes = draw(NOISE) if record is None else draw(records_of(record)).encode()
    return encoded


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A whole frame whose body may be anything."""
    opcode = draw(OPCODES)
    body = draw(damaged(bodies(opcode)))
    return frame(REQUEST_HEADER.pack(draw(NUMBERS["i"]), opcode) + body)


HANDSHAKES = damaged(
    st.builds(
        ConnectRequest,
        st.sampled_from([0, 1000]) | NUMBERS["i"],
        NUMBERS["q"],
        NUMBERS["i"],
        st.just(0) | NUMBERS["q"],
        st.none() | st.binary(max_size=20),
        st.sampled_from([None, False, True]),
    ).map(lambda request: request.encode())
).map(frame)

TALK = st.lists(requests() | damaged(requests()) | TEXTS.map(str.encode), max_size=6)


def cut_up(data: bytes, cuts: list[int]) -> list[bytes]:
    """The same bytes in the pieces that a network may make of them."""
    edges = [0, *sorted({min(cut, len(data)) for cut in cuts}), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]
