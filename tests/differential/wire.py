"""One TCP connection to a server, frame by frame, without a client's opinions of what may be sent."""

import socket
from collections import deque
from typing import Final

from coord_protocol.frames import FrameSplitter

PATIENCE: Final = 10.0  # seconds for a frame; an answer takes milliseconds
_READ_BYTES: Final = 65_536
_MAX_ANSWER_BYTES: Final = 1 << 26


class Silence(Exception):
    """No frame came, and no end of the connection either: the server hangs, or owes an answer."""


class Wire:
    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._splitter = FrameSplitter(_MAX_ANSWER_BYTES)
        self._frames: deque[bytes] = deque()

    def send(self, data: bytes) -> None:
        """Whether it went out shows in what is received."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self) -> bytes | None:
        """The next frame; None if the server has closed. Raises `Silence`."""
        while not self._frames:
            try:
                data = self._socket.recv(_READ_BYTES)
            except ConnectionResetError:
                return None
            except TimeoutError:
                raise Silence from None
            if not data:
                return None
            self._frames.extend(self._splitter.feed(data))
        return self._frames.popleft()

    def close(self) -> None:
        self._socket.close()
