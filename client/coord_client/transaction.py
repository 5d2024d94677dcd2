"""Operations that happen together or not at all.

    results = await (
        client.transaction(held.fence())       # refused as a whole if the lock is not ours any more
        .set("/jobs/7", b"done")
        .delete("/todo/7")
        .commit()
    )

`commit` raises the error of the operation that was at fault; its `op_index` tells which one that was. The
results are one per operation: the path of a create, the `Stat` of a set, None of a delete or check.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Self

from coord_protocol.errors import ApiError, CoordError, error_for
from coord_protocol.jute import Record
from coord_protocol.multi import Operation, Result, culprit_of
from coord_protocol.records import ACL, OPEN_ACL_UNSAFE, Stat
from coord_protocol.requests import (
    ANY_VERSION,
    CheckVersionRequest,
    Create2Response,
    CreateMode,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    OpCode,
    SetDataRequest,
    SetDataResponse,
)


def create_mode(*, ephemeral: bool, sequence: bool) -> CreateMode:
    """The flags of a create."""
    if sequence:
        return CreateMode.EPHEMERAL_SEQUENTIAL if ephemeral else CreateMode.PERSISTENT_SEQUENTIAL
    return CreateMode.EPHEMERAL if ephemeral else CreateMode.PERSISTENT


class Check(NamedTuple):
    """Goes through if `path` exists and has `version`."""

    path: str
    version: int = ANY_VERSION

    def request(self, path: str) -> Operation:
        """What goes over the wire, with `path` as the server names it."""
        return OpCode.CHECK, CheckVersionRequest(path, self.version)


class Create(NamedTuple):
    """Creates `path`."""

    path: str
    data: bytes = b""
    ephemeral: bool = False
    sequence: bool = False
    acl: tuple[ACL, ...] = OPEN_ACL_UNSAFE

    def request(self, path: str) -> Operation:
        """What goes over the wire, with `path` as the server names it."""
        mode = create_mode(ephemeral=self.ephemeral, sequence=self.sequence)
        return OpCode.CREATE, CreateRequest(path, self.data, self.acl, mode)


class Set(NamedTuple):
    """Writes the data of `path`, if it has `version`."""

    path: str
    data: bytes
    version: int = ANY_VERSION

    def request(self, path: str) -> Operation:
        """What goes over the wire, with `path` as the server names it."""
        return OpCode.SET_DATA, SetDataRequest(path, self.data, self.version)


class Delete(NamedTuple):
    """Deletes `path`, if it has `version`."""

    path: str
    version: int = ANY_VERSION

    def request(self, path: str) -> Operation:
        """What goes over the wire, with `path` as the server names it."""
        return OpCode.DELETE, DeleteRequest(path, self.version)


Op = Check | Create | Set | Delete
OpResult = str | Stat | None


class Transaction:
    """Collects operations; nothing is sent before `commit`."""

    def __init__(self, send: Callable[[list[Op]], Awaitable[list[OpResult]]], *first: Op) -> None:
        self._send = send
        self.operations: list[Op] = list(first)

    def check(self, path: str, version: int = ANY_VERSION) -> Self:
        """Go on only if `path` exists and has `version`."""
        self.operations.append(Check(path, version))
        return self

    def create(
        self,
        path: str,
        data: bytes = b"",
        *,
        ephemeral: bool = False,
        sequence: bool = False,
        acl: tuple[ACL, ...] = OPEN_ACL_UNSAFE,
    ) -> Self:
        """Create `path`."""
        self.operations.append(Create(path, data, ephemeral, sequence, acl))
        return self

    def set(self, path: str, data: bytes, version: int = ANY_VERSION) -> Self:
        """Write the data of `path`."""
        self.operations.append(Set(path, data, version))
        return self

    def delete(self, path: str, version: int = ANY_VERSION) -> Self:
        """Delete `path`."""
        self.operations.append(Delete(path, version))
        return self

    async def commit(self) -> list[OpResult]:
        """All of it, or the error of the operation that was at fault."""
        return await self._send(self.operations)


def failure_of(operations: list[Op], results: list[Result]) -> CoordError | None:
    """The error of a refused transaction; None if it was applied."""
    culprit = culprit_of(results)
    if culprit is None:
        return None
    index, code = culprit
    error = error_for(code, operations[index].path, f"operation {index + 1} of {len(operations)}")
    if isinstance(error, ApiError):
        error.op_index = index
    return error


def result_of(record: Record | None, shown: Callable[[str], str]) -> OpResult:
    """What a caller gets for one operation; `shown` makes the server's path the client's."""
    match record:
        case CreateResponse() | Create2Response():
            return shown(record.path)
        case SetDataResponse():
            return record.stat
        case _:
            return None
