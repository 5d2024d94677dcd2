"""One vertex of the tree: a value that is replaced, never changed.

A write puts a new `Znode` into the tree where the old one was. So whoever holds one holds the state of one
moment: a multi reports each operation's own Stat and is undone by putting the old ones back, a snapshot is a
view, and a cached reply cannot go stale, because the cache dies with its znode.

It costs no more than to change one: a new one is built in C in 0.3 µs (`msgspec.structs.replace`), as long
as it takes to set five fields. The other plain way, a class with slots, was rejected: the garbage collector
walks those, and it does not even see these (`gc=False`; ARCHITECTURE §4).
"""

import struct
from typing import Final

import msgspec
from msgspec.structs import force_setattr

from coord.tree.acl import Acl
from coord_protocol.records import STAT_STRUCT

_LENGTH: Final = struct.Struct(">i")
_NULL: Final = _LENGTH.pack(-1)
_pack_length: Final = _LENGTH.pack
_pack_stat: Final = STAT_STRUCT.pack

MAX_INT32: Final = 2**31 - 1
MIN_INT32: Final = -(2**31)

# The cache keeps a second copy of the data. What it saves is one allocation and the 0.5 µs of packing a Stat,
# which stops to matter where copying the data takes as long.
MAX_CACHED_DATA_BYTES: Final = 4096


def wrap32(number: int) -> int:
    """What Java's int makes of it.

    >>> wrap32(2**31 - 1), wrap32(2**31)
    (2147483647, -2147483648)
    """
    return (number + 0x8000_0000) % 0x1_0000_0000 - 0x8000_0000


class Znode(msgspec.Struct, frozen=True, gc=False):
    """Data, ACL and what a Stat is made of (ZOOKEEPER-PROTOCOL §6)."""

    data: bytes | None
    """None and b"" are told apart by readers."""

    acl: Acl
    czxid: int
    mzxid: int
    """zxid of the creation or of the latest set_data."""

    pzxid: int
    """zxid of the latest create or delete of a child; czxid before the first."""

    ctime_ms: int
    mtime_ms: int
    version: int
    """Count of set_data, wrapped to 32 bits."""

    aversion: int
    """Count of set_acl, wrapped to 32 bits."""

    creates: int
    """How many children were ever created: the next number of a sequential child. It never goes back."""

    owner: int
    """The session or lease whose end deletes this znode; 0 for none."""

    children: dict[str, None] | None
    """Paths of the children, the very strings that are keys of the tree; None, for less memory, while none.

    The one part that is shared and changed: between a znode and those that it replaces, or is replaced by.
    Hence:
    """

    child_count: int
    """How many children there were at this moment, whatever `children` holds by now."""

    body: bytes | None = None
    """The reply to getData, once somebody has asked for it."""

    def stat_bytes(self) -> bytes:
        """The Stat as the wire has it: 68 bytes."""
        data = self.data
        children = self.child_count
        # A child's create adds one, and so does its delete.
        cversion = 2 * self.creates - children
        if cversion > MAX_INT32:
            cversion = wrap32(cversion)
        return _pack_stat(
            self.czxid,
            self.mzxid,
            self.ctime_ms,
            self.mtime_ms,
            self.version,
            cversion,
            self.aversion,
            self.owner,
            0 if data is None else len(data),
            children,
            self.pzxid,
        )

    def get_data_body(self) -> bytes:
        """The body of a reply to getData: the data as a buffer, then the Stat."""
        body = self.body
        if body is not None:
            return body
        data = self.data
        if data is None:
            body = _NULL + self.stat_bytes()
        else:
            body = b"".join((_pack_length(len(data)), data, self.stat_bytes()))
        if len(body) <= MAX_CACHED_DATA_BYTES:
            force_setattr(self, "body", body)
        return body
