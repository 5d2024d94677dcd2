"""Single operations on the tree: judged, then done.

Each function answers with an int, the error code of the rule that refuses (outcomes), or with what it did; a
refusal has changed nothing. The order of the questions is part of the protocol, because it decides which of
two errors a client sees (ZOOKEEPER-PROTOCOL §5, PROTOCOL-NOTES). It is judged here, when the command is
applied, so that it sees all that was ordered before it.

A path that names a znode is valid, for only valid ones were ever created. So paths are taken apart and
checked only where there is no znode.
"""

from typing import Final

from msgspec.structs import replace

from coord.tree.acl import ADMIN, CREATE, DELETE, OPEN, READ, WRITE, Acl, fix_up, permits
from coord.tree.commands import CONTAINER, EPHEMERAL, PERSISTENT, SEQUENTIAL
from coord.tree.leases import Lease, Leases, Session
from coord.tree.outcomes import (
    BAD_ARGUMENTS,
    BAD_VERSION,
    INVALID_ACL,
    NO_AUTH,
    NO_CHILDREN_FOR_EPHEMERALS,
    NO_LEASE,
    NO_NODE,
    NODE_EXISTS,
    NOT_EMPTY,
    UNIMPLEMENTED,
    Created,
)
from coord.tree.tree import SYSTEM_PATHS, Tree
from coord.tree.znode import MAX_INT32, MIN_INT32, Znode
from coord_protocol.paths import is_valid_path, with_sequence

Znodes = dict[str, Znode]

ANY_VERSION: Final = -1

_LAST_PLAIN_MODE: Final = SEQUENTIAL | EPHEMERAL
_LAST_MODE: Final = 6  # 5 and 6: znodes with a TTL


def create(
    tree: Tree,
    leases: Leases,
    session: Session,
    path: str,
    data: bytes | None,
    acl: Acl,
    mode: int,
    lease_id: int,
    zxid: int,
    wall_ms: int,
) -> Created | int:
    """create, create2, createContainer, createWithLease (§5.1). With a lease it is the owner, whatever the mode says.

    A container is a plain znode that the server may delete "at some point" after its last child: ours does not yet.
    Curator puts its locks into containers and takes no other answer.
    """
    if mode > _LAST_PLAIN_MODE:
        if mode != CONTAINER:
            return UNIMPLEMENTED if mode <= _LAST_MODE else BAD_ARGUMENTS
        mode = PERSISTENT
    holder: Lease | None = session if mode & EPHEMERAL else None
    if lease_id:
        holder = leases.lease(lease_id)
        if holder is None:
            return NO_LEASE
    slash = path.rfind("/")
    is_plain = path.isascii() and path.isprintable()
    if slash < 0 or (not is_plain and "\0" in path):
        return BAD_ARGUMENTS
    if acl is not OPEN:
        fixed = fix_up(acl, session.identities, tree.off_schemes)
        if fixed is None:
            return INVALID_ACL
        acl = fixed
    znodes = tree.znodes
    parent_path = path[:slash] or "/"
    parent = znodes.get(parent_path)
    if parent is None:
        return NO_NODE
    if parent.acl is not OPEN and not permits(parent.acl, CREATE, session.identities):
        return NO_AUTH
    if mode & SEQUENTIAL:
        path = with_sequence(path, parent.creates)
    # The parent exists, so all but the name is valid, and most names are seen to be so without the grammar of
    # paths (0.5 µs less). Left to it: what ends like "", "." or "..", and "//name", whose parent seems to be
    # the root.
    if (not is_plain or slash == 1 or path[-1] in "/.") and not is_valid_path(path):
        return BAD_ARGUMENTS
    if path in znodes:
        return NODE_EXISTS
    if parent.owner:
        return NO_CHILDREN_FOR_EPHEMERALS
    owner = 0
    if holder is not None:
        owner = holder.id
        holder.add_key(path)
    znode = Znode(data, acl, zxid, zxid, zxid, wall_ms, wall_ms, 0, 0, 0, owner, None, 0)
    tree.add(path, znode, parent_path, parent, zxid)
    return Created(path, znode)


def delete(tree: Tree, leases: Leases, session: Session, path: str, version: int, zxid: int) -> Znode | int:
    """delete (§5.2). Answers with the znode that is gone."""
    slash = path.rfind("/")
    if slash < 0 or "\0" in path or path in SYSTEM_PATHS:
        return BAD_ARGUMENTS
    znodes = tree.znodes
    parent_path = path[:slash] or "/"
    parent = znodes.get(parent_path)
    if parent is None:
        return NO_NODE
    if parent.acl is not OPEN and not permits(parent.acl, DELETE, session.identities):
        return NO_AUTH
    znode = znodes.get(path)
    if znode is None:
        return NO_NODE
    if ANY_VERSION != version != znode.version:
        return BAD_VERSION
    if znode.child_count:
        return NOT_EMPTY
    if znode.owner:
        del leases.table[znode.owner].keys[path]
    tree.remove(path, parent_path, parent, zxid)
    return znode


def set_data(
    znodes: Znodes, session: Session, path: str, data: bytes | None, version: int, zxid: int, wall_ms: int
) -> Znode | int:
    """setData (§5.3)."""
    old = znodes.get(path)
    if old is None:
        return NO_NODE if is_valid_path(path) else BAD_ARGUMENTS
    acl = old.acl
    if acl is not OPEN and not permits(acl, WRITE, session.identities):
        return NO_AUTH
    old_version = old.version
    if ANY_VERSION != version != old_version:
        return BAD_VERSION
    version = old_version + 1 if old_version != MAX_INT32 else MIN_INT32
    znode = replace(old, data=data, mzxid=zxid, mtime_ms=wall_ms, version=version, body=None)
    znodes[path] = znode
    return znode


def set_acl(tree: Tree, session: Session, path: str, acl: Acl, version: int) -> Znode | int:
    """setACL (§5.5): only aversion moves, and no watch fires."""
    znodes = tree.znodes
    old = znodes.get(path)
    if old is None and not is_valid_path(path):
        return BAD_ARGUMENTS
    fixed = fix_up(acl, session.identities, tree.off_schemes)
    if fixed is None:
        return INVALID_ACL
    if old is None:
        return NO_NODE
    if not permits(old.acl, ADMIN, session.identities):
        return NO_AUTH
    if ANY_VERSION != version != old.aversion:
        return BAD_VERSION
    aversion = old.aversion + 1 if old.aversion != MAX_INT32 else MIN_INT32
    znode = replace(old, acl=fixed, aversion=aversion, body=None)
    znodes[path] = znode
    return znode


def check(znodes: Znodes, session: Session, path: str, version: int) -> int | None:
    """check, inside a multi: None if the znode has this version."""
    znode = znodes.get(path)
    if znode is None:
        return NO_NODE if is_valid_path(path) else BAD_ARGUMENTS
    if not permits(znode.acl, READ, session.identities):
        return NO_AUTH
    if ANY_VERSION != version != znode.version:
        return BAD_VERSION
    return None
