"""What one transaction of a log says, and has done to the tree.

    header    session, cxid, zxid, time, type
    body      a record by the type (`zookeeper.jute`, module org.apache.zookeeper.txn); none for an old closeSession
    digest    from 3.6 on, if the server was so configured: version, digest of the tree afterwards

What failed is in the log too: as an error, or as a multi with an error in it, of which nothing counts.
"""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final

from coord.moving.jute import Fields, NotWhatZooKeeperWrites
from coord.moving.old_tree import CONTAINER, OldTree, owner_for

_HEADER: Final = Struct(">qiqqi")
_DIGEST: Final = Struct(">iq")

DIGEST_VERSION: Final = 2
"""The way of making it that all releases have."""


class Type(IntEnum):
    """Numbers of ZooKeeper's `OpCode`, as far as logs have them."""

    CREATE = 1
    DELETE = 2
    SET_DATA = 5
    SET_ACL = 7
    CHECK = 13
    MULTI = 14
    CREATE2 = 15
    RECONFIG = 16
    CREATE_CONTAINER = 19
    DELETE_CONTAINER = 20
    CREATE_TTL = 21
    ERROR = -1
    CREATE_SESSION = -10
    CLOSE_SESSION = -11


@dataclass(frozen=True, slots=True)
class Transaction:
    """Read as far as its header."""

    session: int
    zxid: int
    time_ms: int
    type: int
    body: Fields

    def apply_to(self, tree: OldTree) -> int | None:
        """Do it; returns the digest of the tree afterwards, if it says so. Raises `NotWhatZooKeeperWrites`."""
        self._apply(tree, self.type, self.body)
        left = self.body.left
        if left not in (0, _DIGEST.size):
            raise NotWhatZooKeeperWrites(self.body.offset, f"{left} bytes are left over")
        if not left:
            return None
        version, digest = self.body.struct(_DIGEST)
        return digest & 0xFFFF_FFFF_FFFF_FFFF if version == DIGEST_VERSION else None

    def _apply(self, tree: OldTree, type_: int, body: Fields) -> None:
        match type_:
            case Type.CREATE | Type.CREATE2 | Type.CREATE_CONTAINER | Type.CREATE_TTL:
                self._create(tree, type_, body)
            case Type.DELETE | Type.DELETE_CONTAINER:
                tree.delete(body.text(), self.zxid)
            case Type.SET_DATA | Type.RECONFIG:
                path, data, version = body.text(), body.buffer(), body.int32()
                tree.set_data(path, data, version, self.zxid, self.time_ms)
            case Type.SET_ACL:
                path, acl, version = body.text(), body.acl(), body.int32()
                tree.set_acl(path, acl, version)
            case Type.CHECK:
                body.text(), body.int32()
            case Type.ERROR:
                body.int32()
            case Type.CREATE_SESSION:
                tree.sessions[self.session] = body.int32()
            case Type.CLOSE_SESSION:
                # Exactly a digest is left where the server was told not to name the paths. Its first number is 2, and
                # two paths need more than the eight bytes after it.
                has_paths = body.left and not (body.left == _DIGEST.size and _version_at(body) == DIGEST_VERSION)
                tree.close_session(self.session, body.texts() if has_paths else [], self.zxid)
            case Type.MULTI:
                self._multi(tree, body)
            case _:
                raise NotWhatZooKeeperWrites(body.offset, f"a transaction of type {type_}, which ZooKeeper 3.9 has not")

    def _create(self, tree: OldTree, type_: int, body: Fields) -> None:
        path, data, acl = body.text(), body.buffer(), body.acl()
        owner = 0
        if type_ in (Type.CREATE, Type.CREATE2):
            owner = self.session if body.boolean() else 0
        elif type_ == Type.CREATE_CONTAINER:
            owner = CONTAINER
        parent_cversion = body.int32()
        if type_ == Type.CREATE_TTL:
            owner = owner_for(body.int64())
        tree.create(path, data, acl, owner, parent_cversion, self.zxid, self.time_ms)

    def _multi(self, tree: OldTree, body: Fields) -> None:
        parts = []
        for _ in range(max(0, body.int32())):
            type_, length = body.int32(), body.int32()
            begin = body.take(max(0, length))
            parts.append((type_, Fields(body.content, begin, body.offset)))
        if any(type_ == Type.ERROR for type_, _ in parts):
            return
        for type_, part in parts:
            if type_ == Type.MULTI:
                raise NotWhatZooKeeperWrites(part.offset, "a multi within a multi")
            self._apply(tree, type_, part)
            if part.left:
                raise NotWhatZooKeeperWrites(part.offset, f"{part.left} bytes are left over in a part of a multi")


def read_transaction(fields: Fields) -> Transaction:
    """Raises `NotWhatZooKeeperWrites`."""
    session, _, zxid, time_ms, type_ = fields.struct(_HEADER)
    return Transaction(session, zxid, time_ms, type_, fields)


def _version_at(fields: Fields) -> int:
    return Fields(fields.content, fields.offset, fields.end).int32()
