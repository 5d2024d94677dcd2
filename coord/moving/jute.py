"""The fields of ZooKeeper's files, one after another; who reads on where none is left learns at which offset.

Not `coord_protocol.jute`: that decodes single messages, which are short and come from somewhere else. Here a file is
one long record, of which the place of the first wrong byte matters.
"""

from struct import Struct
from typing import Final

from coord_protocol.errors import MarshallingError
from coord_protocol.records import ACL, decode_acls

_INT: Final = Struct(">i")
_LONG: Final = Struct(">q")


class NotWhatZooKeeperWrites(Exception):
    """At this offset; everything before it can be read."""

    def __init__(self, offset: int, what: str) -> None:
        super().__init__(f"offset {offset}: {what}")
        self.offset = offset
        self.what = what


class Fields:
    """Reads `content[offset:end]`. All methods raise `NotWhatZooKeeperWrites`."""

    __slots__ = ("content", "end", "offset")

    def __init__(self, content: bytes, offset: int = 0, end: int | None = None) -> None:
        self.content = content
        self.offset = offset
        self.end = len(content) if end is None else end

    @property
    def left(self) -> int:
        return self.end - self.offset

    def take(self, size: int) -> int:
        """Pass over so many bytes; returns where they begin."""
        begin = self.offset
        if not 0 <= size <= self.end - begin:
            raise NotWhatZooKeeperWrites(begin, f"{size} bytes should follow, and there are {self.end - begin}")
        self.offset = begin + size
        return begin

    def int32(self) -> int:
        number: int = _INT.unpack_from(self.content, self.take(4))[0]
        return number

    def int64(self) -> int:
        number: int = _LONG.unpack_from(self.content, self.take(8))[0]
        return number

    def boolean(self) -> bool:
        return self.content[self.take(1)] != 0

    def struct(self, struct: Struct) -> tuple[int, ...]:
        return struct.unpack_from(self.content, self.take(struct.size))

    def buffer(self) -> bytes | None:
        length = self.int32()
        if length == -1:
            return None
        begin = self.take(length)
        return self.content[begin : self.offset]

    def text(self) -> str:
        begin = self.offset
        try:
            return (self.buffer() or b"").decode()
        except UnicodeDecodeError as error:
            raise NotWhatZooKeeperWrites(begin, f"no UTF-8: {error}") from None

    def texts(self) -> list[str]:
        return [self.text() for _ in range(max(0, self.int32()))]

    def acl(self) -> tuple[ACL, ...]:
        begin = self.offset
        try:
            acl, self.offset = decode_acls(self.content, begin)
        except MarshallingError as error:
            raise NotWhatZooKeeperWrites(begin, str(error)) from None
        if self.offset > self.end:
            raise NotWhatZooKeeperWrites(begin, "an ACL that does not end")
        return acl
