"""From the frame of a request that changes something to the command that goes into the log.

A frame is decoded here, once, on the server that has the client; whether what it asks is possible is decided when the
command is applied. `WRITES` has one row per opcode: the function that makes the command, and the one that makes the
reply from its outcome. The former may raise `MarshallingError` or `Refused`, which the caller answers.
"""

from collections.abc import Callable, Mapping

from coord.replica import answers
from coord.replica.connection import BODY, Connection, Encode
from coord.tree import commands
from coord_protocol.errors import MarshallingError
from coord_protocol.extensions import NameSessionRequest
from coord_protocol.multi import decode_multi_request
from coord_protocol.requests import (
    CheckVersionRequest,
    CreateRequest,
    CreateTTLRequest,
    DeleteRequest,
    OpCode,
    SetACLRequest,
    SetDataRequest,
)

Write = tuple[Callable[[Connection, bytes], bytes], Encode]
"""What makes the command of a frame, and what makes the reply of its outcome."""


class Refused(Exception):
    """What is asked cannot be granted, whatever the state: answered in its turn, without the log."""

    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def _create(connection: Connection, frame: bytes) -> bytes:
    request = CreateRequest.decode(frame, BODY)
    return commands.create(connection.session, connection.epoch, request.path, request.data, request.acl, request.flags)


def _create_ttl(connection: Connection, frame: bytes) -> bytes:
    request = CreateTTLRequest.decode(frame, BODY)
    return commands.create(connection.session, connection.epoch, request.path, request.data, request.acl, request.flags)


def _delete(connection: Connection, frame: bytes) -> bytes:
    request = DeleteRequest.decode(frame, BODY)
    return commands.delete(connection.session, connection.epoch, request.path, request.version)


def _set_data(connection: Connection, frame: bytes) -> bytes:
    request = SetDataRequest.decode(frame, BODY)
    return commands.set_data(connection.session, connection.epoch, request.path, request.data, request.version)


def _set_acl(connection: Connection, frame: bytes) -> bytes:
    request = SetACLRequest.decode(frame, BODY)
    return commands.set_acl(connection.session, connection.epoch, request.path, request.acl, request.version)


def _multi(connection: Connection, frame: bytes) -> bytes:
    session, epoch = connection.session, connection.epoch
    operations = []
    for _, request in decode_multi_request(frame, BODY):
        match request:
            case CreateRequest() | CreateTTLRequest():
                operation = commands.create(session, epoch, request.path, request.data, request.acl, request.flags)
            case DeleteRequest():
                operation = commands.delete(session, epoch, request.path, request.version)
            case SetDataRequest():
                operation = commands.set_data(session, epoch, request.path, request.data, request.version)
            case CheckVersionRequest():
                operation = commands.check(session, epoch, request.path, request.version)
            case _:
                raise MarshallingError(detail=f"{type(request).__name__} has no place in a multi")
        operations.append(operation)
    return commands.multi(session, epoch, operations)


def _name_session(connection: Connection, frame: bytes) -> bytes:
    request = NameSessionRequest.decode(frame, BODY)
    return commands.name_session(connection.session, connection.epoch, request.name)


WRITES: Mapping[int, Write] = {
    OpCode.CREATE: (_create, answers.created),
    OpCode.CREATE2: (_create, answers.created2),
    OpCode.CREATE_CONTAINER: (_create, answers.created2),
    OpCode.CREATE_TTL: (_create_ttl, answers.created2),
    OpCode.DELETE: (_delete, answers.done),
    OpCode.SET_DATA: (_set_data, answers.stat),
    OpCode.SET_ACL: (_set_acl, answers.stat),
    OpCode.MULTI: (_multi, answers.multi),
    OpCode.NAME_SESSION: (_name_session, answers.done),
}
