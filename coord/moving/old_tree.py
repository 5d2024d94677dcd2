"""The tree as ZooKeeper has it, and what its transactions do to it.

A snapshot of ZooKeeper's is fuzzy: it is written while the tree changes, and has some of what came after it was begun,
in some znodes and not in others. All of that is in the logs as well, and is done again. So what a transaction finds
done already is no error, and numbers never go back (`DataTree` in ZooKeeper's source, which this follows). One thing
is better here: a create of any kind that finds its znode there brings the parent's numbers up to date; ZooKeeper does
so only for the oldest kind, and may give out a sequence number twice after it was started again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from struct import Struct
from typing import Final
from zlib import crc32

from coord.tree.acl import Acl
from coord_protocol.paths import parent_of

CONTAINER: Final = -(1 << 63)
"""What a container has as its owner."""


_TTL_BITS: Final = 40
_TTL_MARK: Final = 0xFF_0000
"""The first three bytes of the owner of a znode with a TTL. That of a session of server 255 begins with 0xff as well,
but what follows are bytes of a clock."""

_DIGESTED: Final = Struct(">qqqqqiiiq")
_SYSTEM: Final = "/zookeeper/"


def ttl_of(owner: int) -> int | None:
    """The TTL, in milliseconds, that the owner of a znode stands for; None if it stands for something else.

    >>> ttl_of(-(1 << 56) | 60_000), ttl_of(CONTAINER), ttl_of(0x1_0000_0000_0000)
    (60000, None, None)
    """
    bits = owner & 0xFFFF_FFFF_FFFF_FFFF
    return bits & ((1 << _TTL_BITS) - 1) if bits >> _TTL_BITS == _TTL_MARK else None


def owner_for(ttl_ms: int) -> int:
    """The owner that stands for it.

    >>> ttl_of(owner_for(60_000))
    60000
    """
    return ttl_ms - (1 << 56)


def is_session(owner: int) -> bool:
    return owner not in (0, CONTAINER) and ttl_of(owner) is None


@dataclass(slots=True)
class OldZnode:
    """Its numbers are those of ZooKeeper's `StatPersisted`."""

    data: bytes | None
    acl: Acl | None
    """None: the snapshot was begun before there was such an ACL. The log has it."""

    czxid: int
    mzxid: int
    ctime: int
    mtime: int
    version: int
    cversion: int
    """How many children were ever created; not what clients see."""

    aversion: int
    owner: int
    pzxid: int
    children: set[str] = field(default_factory=set)
    """Their paths."""


@dataclass(slots=True)
class OldTree:
    """What a snapshot and the logs after it make."""

    znodes: dict[str, OldZnode] = field(default_factory=dict)
    sessions: dict[int, int] = field(default_factory=dict)
    """The timeout of each, in milliseconds."""

    ephemerals: dict[int, dict[str, None]] = field(default_factory=dict)
    """Paths, by session."""

    def load(self, path: str, znode: OldZnode) -> bool:
        """One of a snapshot, in which parents come before their children; False if there is no parent."""
        if path != "/":
            parent = self.znodes.get(parent_of(path))
            if parent is None:
                return False
            parent.children.add(path)
        self.znodes[path] = znode
        self._own(path, znode.owner)
        return True

    def create(
        self, path: str, data: bytes | None, acl: Acl, owner: int, parent_cversion: int, zxid: int, time_ms: int
    ) -> None:
        parent = self.znodes.get(parent_of(path))
        if parent is None:
            return  # it was deleted before the snapshot came to it
        if parent_cversion > parent.cversion:
            parent.cversion = parent_cversion
            parent.pzxid = zxid
        present = self.znodes.get(path)
        if present is not None:
            present.acl = acl
            return
        parent.children.add(path)
        self.znodes[path] = OldZnode(data, acl, zxid, zxid, time_ms, time_ms, 0, 0, 0, owner, zxid)
        self._own(path, owner)

    def delete(self, path: str, zxid: int) -> None:
        parent = self.znodes.get(parent_of(path))
        if parent is None:
            return
        parent.children.discard(path)
        parent.pzxid = max(parent.pzxid, zxid)
        znode = self.znodes.pop(path, None)
        if znode is not None and is_session(znode.owner):
            self.ephemerals.get(znode.owner, {}).pop(path, None)

    def set_data(self, path: str, data: bytes | None, version: int, zxid: int, time_ms: int) -> None:
        znode = self.znodes.get(path)
        if znode is not None:
            znode.data, znode.version, znode.mzxid, znode.mtime = data, version, zxid, time_ms

    def set_acl(self, path: str, acl: Acl, version: int) -> None:
        znode = self.znodes.get(path)
        if znode is not None:
            znode.acl, znode.aversion = acl, version

    def close_session(self, session: int, paths: Iterable[str], zxid: int) -> None:
        """`paths`: those of its znodes that the transaction names, from 3.6 on; it may have others by now."""
        self.sessions.pop(session, None)
        for path in [*paths, *self.ephemerals.pop(session, {})]:
            if path in self.znodes:
                self.delete(path, zxid)

    def digest(self) -> int:
        """What ZooKeeper, from 3.6 on, notes with each transaction: the sum over all znodes but its own ones."""
        return sum(self._digests()) & 0xFFFF_FFFF_FFFF_FFFF

    def _digests(self) -> Iterator[int]:
        for path, one in self.znodes.items():
            if not path.startswith(_SYSTEM):
                start = crc32(one.data or b"", crc32(b"" if path == "/" else path.encode()))
                numbers = (one.czxid, one.mzxid, one.pzxid, one.ctime, one.mtime)
                versions = (one.version, one.cversion, one.aversion)
                yield crc32(_DIGESTED.pack(*numbers, *versions, one.owner), start)

    def _own(self, path: str, owner: int) -> None:
        if is_session(owner):
            self.ephemerals.setdefault(owner, {})[path] = None
