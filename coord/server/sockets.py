"""The sockets of a server, each a small object that its hub calls when the selector says it is ready.

They read what is there and write what they can, and keep at most a bounded rest. Nothing here waits.
"""

import socket
from collections.abc import Callable
from typing import Protocol

from coord.raft.codec import MalformedMessage
from coord.raft.types import MemberId
from coord.replica.inputs import Closed, ConnectionId, FromPeer, Input, Received
from coord.transport.codec import decode_frame
from coord_protocol.errors import FrameTooLarge
from coord_protocol.frames import FrameSplitter

# One recv. Most requests are far smaller; a client that pipelines fills it. Larger buys nothing on loopback (measured).
READ_BYTES = 64 * 1024
PEER_READ_BYTES = 256 * 1024

# A frame between members carries what a turn brought: a few runs of at most half a mebibyte, or forwarded blocks.
MAX_PEER_FRAME_BYTES = 64 * 1024 * 1024

# What may wait for a slow or dead peer before the link is given up. Raft's own window is smaller; this bounds the sum.
MAX_PEER_OUTPUT_BYTES = 64 * 1024 * 1024


class Output:
    """Bytes on their way out: sent at once as far as the kernel takes them, the rest when it takes more."""

    def __init__(self, sock: socket.socket, limit: int, want_write: Callable[[bool], None]) -> None:
        self._socket = sock
        self._limit = limit
        self._want_write = want_write
        self._rest: list[bytes | memoryview] = []
        self.size = 0

    def send(self, data: bytes) -> bool:
        """False if the connection is of no more use: broken, or its reader too far behind."""
        if self._rest:
            self._rest.append(data)
            self.size += len(data)
            return self.size <= self._limit
        try:
            sent = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            return False
        if sent < len(data):
            self._rest.append(memoryview(data)[sent:])
            self.size = len(data) - sent
            self._want_write(True)
        return self.size <= self._limit

    def flush(self) -> bool:
        """The socket takes more; False as in `send`."""
        try:
            while self._rest:
                sent = self._socket.send(self._rest[0])
                self.size -= sent
                if sent < len(self._rest[0]):
                    self._rest[0] = memoryview(self._rest[0])[sent:]
                    return True
                self._rest.pop(0)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        self._want_write(False)
        return True


class ClientSocket:
    """A client's connection after the hub has accepted it."""

    __slots__ = ("_hub", "address", "closing", "id", "is_known", "output", "socket")

    def __init__(
        self, sock: socket.socket, connection: ConnectionId, address: str, hub: "ClientHub", max_output: int
    ) -> None:
        self.socket = sock
        self.id = connection
        self.address = address
        self.closing = False
        self.is_known = False
        """The replica was told of it: not before its first bytes show that it is no four-letter word."""
        self.output = Output(sock, max_output, lambda on: hub.want_write(self, on))
        self._hub = hub

    def on_readable(self, batch: list[Input]) -> int:
        try:
            data = self.socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            data = b""
        if not data:
            if self.is_known:
                batch.append(Closed(self.id))
            self._hub.drop(self)
            return 0
        if not self.is_known and not self._hub.introduce(self, data, batch):
            return 0
        batch.append(Received(self.id, data))
        return len(data)

    def on_writable(self) -> None:
        if not self.output.flush():
            self._hub.lose(self)
        elif self.closing and not self.output.size:
            self._hub.drop(self)


class ClientHub(Protocol):
    """What a client's socket needs of its hub."""

    def want_write(self, client: ClientSocket, on: bool) -> None: ...

    def introduce(self, client: ClientSocket, data: bytes, batch: list[Input]) -> bool:
        """Its first bytes came. False if they were a four-letter word, which is then answered."""
        ...

    def drop(self, client: ClientSocket) -> None:
        """Close it; the replica knows or need not."""
        ...

    def lose(self, client: ClientSocket) -> None:
        """Close it and tell the replica."""
        ...


class PeerSocket:
    """The link to one member, in both directions, after its handshake."""

    def __init__(self, sock: socket.socket, member: MemberId, hub: "PeerHub") -> None:
        self.socket = sock
        self.member = member
        self.output = Output(sock, MAX_PEER_OUTPUT_BYTES, lambda on: hub.want_peer_write(self, on))
        self._splitter = FrameSplitter(MAX_PEER_FRAME_BYTES)
        self._hub = hub

    def on_readable(self, batch: list[Input]) -> int:
        try:
            data = self.socket.recv(PEER_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            data = b""
        if not data:
            self._hub.lose_peer(self)
            return 0
        try:
            for frame in self._splitter.feed(data):
                batch.append(FromPeer(self.member, decode_frame(frame)))
        except (FrameTooLarge, MalformedMessage):
            # Nothing that a member of our own kind sends; a new link starts with a clean stream.
            self._hub.lose_peer(self)
        return len(data)

    def on_writable(self) -> None:
        if not self.output.flush():
            self._hub.lose_peer(self)


class PeerHub(Protocol):
    """What a peer's socket needs of its hub."""

    def want_peer_write(self, peer: PeerSocket, on: bool) -> None: ...

    def lose_peer(self, peer: PeerSocket) -> None: ...
