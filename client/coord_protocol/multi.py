"""The framing of multi (14) and multiRead (22), in both directions.

Each operation, and each result, has a header before it (type, done, err), and one with `done` set ends the
list. A refused multi is answered like a successful one (error code 0 in the header of the reply), but each
result is an error: 0 for those before the culprit, its own code, RUNTIME_INCONSISTENCY for those after. Of a
multiRead each operation fails by itself.

What decodes, and as which operation, follows ZooKeeper (measured, 3.8): the flags decide between a create and
a createContainer, whatever opcode they came with; create2 becomes create; createTTL without a TTL flag
becomes create; a TTL flag without a ttl does not decode; neither does a read among writes, nor a write among
reads.
"""

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Final

from coord_protocol.errors import Code, MarshallingError
from coord_protocol.jute import Record
from coord_protocol.requests import (
    CheckVersionRequest,
    Create2Response,
    CreateMode,
    CreateRequest,
    CreateResponse,
    CreateTTLRequest,
    DeleteRequest,
    ErrorResponse,
    GetChildrenRequest,
    GetChildrenResponse,
    GetDataRequest,
    GetDataResponse,
    OpCode,
    SetDataRequest,
    SetDataResponse,
)

_HEADER: Final = Struct(">i?i")
END: Final = _HEADER.pack(-1, True, -1)

_WRITES: Final[dict[int, type[Record]]] = {
    OpCode.CREATE: CreateRequest,
    OpCode.CREATE2: CreateRequest,
    OpCode.CREATE_CONTAINER: CreateRequest,
    OpCode.CREATE_TTL: CreateTTLRequest,
    OpCode.DELETE: DeleteRequest,
    OpCode.SET_DATA: SetDataRequest,
    OpCode.CHECK: CheckVersionRequest,
}
_READS: Final[dict[int, type[Record]]] = {
    OpCode.GET_DATA: GetDataRequest,
    OpCode.GET_CHILDREN: GetChildrenRequest,
}
_RESULTS: Final[dict[int, type[Record] | None]] = {
    OpCode.ERROR: ErrorResponse,
    OpCode.CREATE: CreateResponse,
    OpCode.CREATE2: Create2Response,
    OpCode.DELETE: None,
    OpCode.SET_DATA: SetDataResponse,
    OpCode.CHECK: None,
    OpCode.GET_DATA: GetDataResponse,
    OpCode.GET_CHILDREN: GetChildrenResponse,
}
_TTL_FLAGS: Final = (CreateMode.PERSISTENT_WITH_TTL, CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL)

Operation = tuple[OpCode, Record]
Result = tuple[OpCode, Record | None]


def decode_multi_request(frame: bytes, offset: int) -> list[Operation]:
    """The writes of a multi, each with the opcode it counts as.

    Raises `MarshallingError` where ZooKeeper answers so.
    """
    return [_as_zookeeper_sees_it(opcode, record) for opcode, record in _decode_operations(frame, offset, _WRITES)]


def decode_multi_read_request(frame: bytes, offset: int) -> list[Operation]:
    """The reads of a multiRead. Raises `MarshallingError`."""
    return _decode_operations(frame, offset, _READS)


def _decode_operations(frame: bytes, offset: int, allowed: dict[int, type[Record]]) -> list[Operation]:
    operations: list[Operation] = []
    while True:
        opcode, done, _, offset = _header_at(frame, offset)
        if done:
            return operations
        record = allowed.get(opcode)
        if record is None:
            raise MarshallingError(
                detail=f"operation {len(operations)} of a multi: opcode {opcode} is not allowed there"
            )
        request, offset = record.decode_from(frame, offset)
        operations.append((OpCode(opcode), request))


def _as_zookeeper_sees_it(opcode: OpCode, record: Record) -> Operation:
    if isinstance(record, CreateTTLRequest):
        if record.flags in _TTL_FLAGS:
            return opcode, record
        record = CreateRequest(record.path, record.data, record.acl, record.flags)
    if isinstance(record, CreateRequest):
        if record.flags in _TTL_FLAGS:
            raise MarshallingError(record.path, "a create with a TTL flag, but without a ttl")
        is_container = record.flags == CreateMode.CONTAINER
        return (OpCode.CREATE_CONTAINER if is_container else OpCode.CREATE), record
    return opcode, record


def encode_multi_request(operations: Iterable[Operation]) -> bytes:
    """The body of a multi or multiRead."""
    return _encode_list((opcode, record, -1) for opcode, record in operations)


def encode_multi_response(results: Iterable[Result]) -> bytes:
    """The body of the answer.

    A result's opcode is CREATE (with `CreateResponse`), CREATE2 (with `Create2Response`: also for containers
    and TTL), SET_DATA, DELETE and CHECK (with None), GET_DATA, GET_CHILDREN, or ERROR (with `ErrorResponse`).
    """
    return _encode_list(
        (opcode, record, record.err if isinstance(record, ErrorResponse) else 0) for opcode, record in results
    )


def encode_multi_failure(count: int, culprit: int, code: int) -> bytes:
    """The body of the answer to a multi of `count` operations, refused because of the one at `culprit`."""
    codes = [Code.OK] * culprit + [code] + [Code.RUNTIME_INCONSISTENCY] * (count - culprit - 1)
    return encode_multi_response((OpCode.ERROR, ErrorResponse(each)) for each in codes)


def _encode_list(items: Iterable[tuple[OpCode, Record | None, int]]) -> bytes:
    pieces = []
    for opcode, record, err in items:
        pieces.append(_HEADER.pack(opcode, False, err))
        if record is not None:
            pieces.append(record.encode())
    pieces.append(END)
    return b"".join(pieces)


def decode_multi_response(frame: bytes, offset: int) -> list[Result]:
    """The results of a multi or multiRead, as in `encode_multi_response`. Raises `MarshallingError`."""
    results: list[Result] = []
    while True:
        opcode, done, _, offset = _header_at(frame, offset)
        if done:
            return results
        if opcode not in _RESULTS:
            raise MarshallingError(detail=f"result {len(results)} of a multi: type {opcode} is unknown")
        record = _RESULTS[opcode]
        if record is None:
            results.append((OpCode(opcode), None))
        else:
            result, offset = record.decode_from(frame, offset)
            results.append((OpCode(opcode), result))


def culprit_of(results: Sequence[Result]) -> tuple[int, int] | None:
    """Of a refused multi: which operation was at fault, and its code. None if the multi was applied."""
    for index, (_, record) in enumerate(results):
        if isinstance(record, ErrorResponse) and record.err not in (Code.OK, Code.RUNTIME_INCONSISTENCY):
            return index, record.err
    return None


def _header_at(frame: bytes, offset: int) -> tuple[int, bool, int, int]:
    """Type, done and err of the header at `offset`, and the offset behind it."""
    end = offset + _HEADER.size
    if end > len(frame):
        raise MarshallingError(detail="a multi without its end")
    return *_HEADER.unpack_from(frame, offset), end
