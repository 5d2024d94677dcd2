"""Frames: every packet, in both directions, is a length (int) and as many bytes.

    request       REQUEST_HEADER xid, opcode · record
    reply         REPLY_HEADER   xid, zxid, error code · record, only if the code is 0
    notification  a reply with xid -1 and a WatcherEvent

The first packet each way is the handshake, without a header. Replies come in the order of the requests; only
pings and notifications may stand between them.
"""

from struct import Struct
from typing import Final

from coord_protocol.errors import FrameTooLarge

LENGTH: Final = Struct(">i")
REQUEST_HEADER: Final = Struct(">ii")
REPLY_HEADER: Final = Struct(">iqi")

NOTIFICATION_XID: Final = -1
PING_XID: Final = -2
AUTH_XID: Final = -4
SET_WATCHES_XID: Final = -8

MAX_FRAME_BYTES: Final = 1_048_575  # ZooKeeper's jute.maxbuffer default, as clients expect


def frame(body: bytes) -> bytes:
    """`body` with its length before it."""
    return LENGTH.pack(len(body)) + body


class FrameSplitter:
    """Cuts a stream of bytes into frames. It holds at most one unfinished frame."""

    __slots__ = ("_needed", "_rest", "max_bytes")

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self.max_bytes = max_bytes
        self._rest = bytearray()
        self._needed = 4
        """Bytes in `_rest` before it is worth looking at it again."""

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that `data` completes, without their lengths.

        Raises `FrameTooLarge`, which carries the whole frames before the bad length; the stream is then of no
        use.
        """
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return []
            data = bytes(self._rest)
            self._rest.clear()
        frames: list[bytes] = []
        size = len(data)
        offset = 0
        unpack_length = LENGTH.unpack_from
        while offset + 4 <= size:
            (length,) = unpack_length(data, offset)
            if not 0 <= length <= self.max_bytes:
                raise FrameTooLarge(length, self.max_bytes, frames)
            end = offset + 4 + length
            if end > size:
                self._needed = 4 + length
                break
            frames.append(data[offset + 4 : end])
            offset = end
        else:
            self._needed = 4
        if offset < size:
            self._rest += data[offset:]
        return frames

    @property
    def rest(self) -> bytes:
        """The bytes of the unfinished frame, if any."""
        return bytes(self._rest)
