"""A snapshot of ZooKeeper's: `snapshot.` and the zxid at which it was begun, in hex.

    file header    "ZKSN", version 2, -1
    sessions       how many; id and timeout of each
    ACLs           how many; number and entries of each
    znodes         path, data, the number of its ACL, its stat; parents first, the root as ""; "/" after the last
    seal           Adler-32 of all before it (in 8 bytes), "/"
    digest         from 3.6 on: the zxid that it had come to at the end, version, digest of the tree; and a seal
    zxid           from 3.9 on: that of the name again; and a seal

It may be compressed, which its name then says. ZooKeeper writes it without any fsync before it goes on, so a crash may
leave a part of it: that does not end with "/", and ZooKeeper takes the one before it. So do we.
"""

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Final
from zlib import adler32

from coord.moving.jute import Fields, NotWhatZooKeeperWrites
from coord.moving.old_tree import OldTree, OldZnode
from coord.tree.acl import OPEN, Acl, shared

MAGIC: Final = b"ZKSN"
VERSION: Final = 2
FILE_HEADER: Final = Struct(">4siq")
SEAL_END: Final = b"\0\0\0\1/"
OPEN_ACL: Final = -1
"""The number of the ACL that all may do everything."""

_SEAL_BYTES: Final = 8 + len(SEAL_END)
_ZXID_BYTES: Final = 8
_STAT: Final = Struct(">qqqqqiiiqq")
"""Number of the ACL, then what is persisted of a Stat."""

ZNODES_PER_REPORT: Final = 10_000

OnRead = Callable[[int], None]
"""How many bytes of the content are read."""


class NotFinished(Exception):
    """The server died while it wrote it."""


@dataclass(frozen=True, slots=True)
class Fuzz:
    """While it was written the tree went on, up to this transaction; and what the tree was then."""

    zxid: int
    digest: int | None
    """None: made in another way than today's."""


def unpack(stored: bytes, is_gzip: bool) -> bytes:
    """The content of a snapshot file. Raises `NotFinished`, and `NotWhatZooKeeperWrites` if it is damaged."""
    content = stored
    if is_gzip:
        try:
            content = gzip.decompress(stored)
        except EOFError:
            raise NotFinished from None
        except (OSError, zlib.error) as error:
            raise NotWhatZooKeeperWrites(0, f"no sound gzip file: {error}") from None
    if not content.endswith(SEAL_END):
        raise NotFinished
    return content


def read_snapshot(content: bytes, tree: OldTree, on_read: OnRead) -> Fuzz | None:
    """All of it into the empty `tree`; None if it does not say how far it is fuzzy. Raises `NotWhatZooKeeperWrites`."""
    fields = Fields(content)
    magic, version, _ = FILE_HEADER.unpack_from(content, fields.take(FILE_HEADER.size))
    if magic != MAGIC or version != VERSION:
        raise NotWhatZooKeeperWrites(0, f"no snapshot: it begins with {magic!r} and version {version}")
    for _ in range(fields.int32()):
        session = fields.int64()
        tree.sessions[session] = fields.int32()
    acls: dict[int, Acl] = {OPEN_ACL: OPEN}
    for _ in range(fields.int32()):
        number = fields.int64()
        acls[number] = shared(fields.acl())
    _read_znodes(fields, acls, tree, on_read)
    _check_seal(fields)
    fuzz = None
    if fields.left > _ZXID_BYTES + _SEAL_BYTES or fields.left not in (0, _ZXID_BYTES + _SEAL_BYTES):
        fuzz = _read_digest(fields)
        _check_seal(fields)
    if fields.left:
        fields.int64()
        _check_seal(fields)
    if fields.left:
        raise NotWhatZooKeeperWrites(fields.offset, f"{fields.left} bytes are left over")
    return fuzz


def _read_znodes(fields: Fields, acls: dict[int, Acl], tree: OldTree, on_read: OnRead) -> None:
    count = 0
    begin = fields.offset
    while (path := fields.text()) != "/":
        data = fields.buffer()
        acl, czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, pzxid = fields.struct(_STAT)
        numbers = (czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, pzxid)
        if not tree.load(path or "/", OldZnode(data, acls.get(acl), *numbers)):
            raise NotWhatZooKeeperWrites(begin, f"{path} comes before its parent")
        count += 1
        if not count % ZNODES_PER_REPORT:
            on_read(fields.offset)
        begin = fields.offset
    if "/" not in tree.znodes:
        raise NotWhatZooKeeperWrites(fields.offset, "there is no root")


def _check_seal(fields: Fields) -> None:
    begin = fields.offset
    checksum = fields.int64()
    if checksum != adler32(memoryview(fields.content)[:begin]):
        raise NotWhatZooKeeperWrites(begin, "the checksum of what comes before it differs")
    end = fields.take(len(SEAL_END))
    if fields.content[end : fields.offset] != SEAL_END:
        raise NotWhatZooKeeperWrites(end, "a seal that does not end with '/'")


def _read_digest(fields: Fields) -> Fuzz | None:
    zxid, version = fields.int64(), fields.int32()
    if version < 2:
        fields.text()  # in hex, as early releases had it
        return Fuzz(zxid, None) if zxid else None
    digest = fields.int64() & 0xFFFF_FFFF_FFFF_FFFF
    return Fuzz(zxid, digest if version == 2 else None) if zxid else None
