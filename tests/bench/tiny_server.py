"""A server on a real socket that knows enough of ZooKeeper's protocol to be loaded, and may misbehave.

One thread, one dictionary, no durability: what the generator must find wrong is put in by `spoil`.
"""

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from coord_protocol.errors import Code
from coord_protocol.frames import REPLY_HEADER, REQUEST_HEADER, FrameSplitter, frame
from coord_protocol.records import Stat
from coord_protocol.requests import (
    ConnectRequest,
    ConnectResponse,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    GetDataRequest,
    GetDataResponse,
    OpCode,
    SetDataRequest,
    SetDataResponse,
    SyncRequest,
    SyncResponse,
)

STAT = Stat(*[0] * 11)

Reply = tuple[int, int, int]
"""xid, zxid and error code."""


@dataclass
class TinyServer:
    address: tuple[str, int]
    spoil: Callable[[OpCode, Reply], Reply | None] = lambda _, reply: reply
    """Called for each reply to a set, get, or sync, with what is right; None: no answer at all."""
    znodes: dict[str, bytes] = field(default_factory=dict)
    created: int = 0
    zxid: int = 0
    requests: int = 0
    """Sets, gets and syncs."""
    hang_up_after: int | None = None
    """So many of them, each connection that sends one more is closed, once."""

    has_closed: bool = False
    """The last request was to close the session; the connection is to follow."""

    def answer(self, request: bytes) -> bytes | None:
        """The frame that answers, or None; raises EOFError to hang up."""
        xid, number = REQUEST_HEADER.unpack_from(request)
        opcode, body = OpCode(number), request[REQUEST_HEADER.size :]
        code, record = self._apply(opcode, body)
        reply: Reply | None = (xid, self.zxid, code)
        if opcode in {OpCode.SET_DATA, OpCode.GET_DATA, OpCode.SYNC}:
            self.requests += 1
            if self.hang_up_after is not None and self.requests > self.hang_up_after:
                self.hang_up_after = None
                raise EOFError
            reply = self.spoil(opcode, (xid, self.zxid, code))
        if reply is None:
            return None
        return frame(REPLY_HEADER.pack(*reply) + (record if reply[2] == 0 else b""))

    def _apply(self, opcode: OpCode, body: bytes) -> tuple[int, bytes]:
        match opcode:
            case OpCode.CREATE:
                create = CreateRequest.decode(body)
                self.znodes[create.path] = create.data or b""
                self.created += 1
                self.zxid += 1
                return Code.OK, CreateResponse(create.path).encode()
            case OpCode.DELETE:
                if self.znodes.pop(DeleteRequest.decode(body).path, None) is None:
                    return Code.NO_NODE, b""
                return Code.OK, b""
            case OpCode.SET_DATA:
                change = SetDataRequest.decode(body)
                assert change.path in self.znodes
                self.znodes[change.path] = change.data or b""
                self.zxid += 1
                return Code.OK, SetDataResponse(STAT).encode()
            case OpCode.GET_DATA:
                return Code.OK, GetDataResponse(self.znodes[GetDataRequest.decode(body).path], STAT).encode()
            case OpCode.SYNC:
                return Code.OK, SyncResponse(SyncRequest.decode(body).path).encode()
            case OpCode.CLOSE_SESSION:
                self.has_closed = True
                return Code.OK, b""
        raise AssertionError(f"the load does not send {opcode.name}")


def serve(server: TinyServer, listener: socket.socket, stop: socket.socket) -> None:
    """Until a byte comes from `stop`."""
    splitters: dict[socket.socket, FrameSplitter] = {}
    greeted: set[socket.socket] = set()
    while True:
        ready, _, _ = select.select([listener, stop, *splitters], [], [])
        if stop in ready:
            break
        for each in ready:
            if each is listener:
                splitters[listener.accept()[0]] = FrameSplitter()
                continue
            try:
                data = each.recv(65536)
                if not data:
                    raise EOFError
                replies = []
                for request in splitters[each].feed(data):
                    if each in greeted:
                        replies.append(server.answer(request))
                    else:
                        greeted.add(each)
                        hello = ConnectRequest.decode(request)
                        session = hello.session_id or len(greeted)
                        replies.append(frame(ConnectResponse(0, hello.timeout_ms, session, bytes(16), False).encode()))
                each.sendall(b"".join(reply for reply in replies if reply is not None))
                if server.has_closed:
                    server.has_closed = False
                    raise EOFError
            except (OSError, EOFError):
                del splitters[each]
                each.close()
    for each in splitters:
        each.close()


@contextmanager
def tiny_server() -> Iterator[TinyServer]:
    listener = socket.create_server(("127.0.0.1", 0))
    ours, theirs = socket.socketpair()
    host, port = listener.getsockname()
    server = TinyServer((host, port))
    thread = threading.Thread(target=serve, args=(server, listener, theirs))
    thread.start()
    try:
        yield server
    finally:
        ours.send(b"!")
        thread.join()
        for each in (listener, ours, theirs):
            each.close()
