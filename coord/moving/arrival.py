"""From ZooKeeper's tree to ours: a state that `coord.backup.founding` makes the directories of a new cluster from.

Sessions come as sessions, with their ephemeral znodes: they end with the first entry of the new cluster, as those of a
backup do. All members have to make the same of the same, and ZooKeeper's data has neither an id nor a secret of a
cluster. So both come from the bytes of the files: who can read them all can read everything there is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from msgspec.structs import replace

from coord.backup.errors import CannotFound
from coord.moving.old_tree import OldTree, OldZnode, is_session
from coord.raft.types import Index, Place, Term
from coord.storage.records import CHAIN_BYTES
from coord.tree.leases import Lease
from coord.tree.machine import Cluster, Machine
from coord.tree.tree import SYSTEM_PATHS
from coord.tree.watches import Watches
from coord.tree.znode import Znode
from coord_protocol.extensions import EXTENSIONS_PATH
from coord_protocol.paths import parent_of

QUOTA_PATH: Final = "/zookeeper/quota"
LIMITS: Final = "zookeeper_limits"
STATS: Final = "zookeeper_stats"

MAX_ZXID_BITS: Final = 61
"""Zxids go on above, and have a bit to spare."""

SECRET_BYTES: Final = 32
"""As the first leader of a new cluster makes it."""


@dataclass(slots=True)
class Arrived:
    """What stands for the log that there never was: where it would end, and a number for all of it."""

    end: Place
    chain: bytes
    is_final: bool = True


def arrive(tree: OldTree, zxid: int, fingerprint: bytes) -> tuple[Machine, Arrived]:
    """The state of a machine that has come to the transaction `zxid`. `fingerprint`: of the files that the tree is
    from. Raises `CannotFound`."""
    if zxid >> MAX_ZXID_BITS:
        raise CannotFound(f"zxid {zxid:#x} is of an epoch that no ensemble comes to: are these ZooKeeper's files?")
    if EXTENSIONS_PATH in tree.znodes:
        raise CannotFound(f"there is a znode {EXTENSIONS_PATH}, where coord has one of its own: remove it first")
    count_quotas(tree)
    machine = Machine(Watches(_nobody_watches))
    machine.applied_index = zxid
    keys = {path: path for path in tree.znodes}
    for path, old in tree.znodes.items():
        machine.znodes[path] = _znode(path, old, keys)
    _add_own(machine, [path for path in sorted(SYSTEM_PATHS) if path not in tree.znodes])
    for session in sorted(tree.sessions.keys() | tree.ephemerals.keys()):
        # An owner that is no session any more is one that ended while the snapshot was written.
        lease = Lease(session, tree.sessions.get(session, 0), epoch=1)
        for path in sorted(tree.ephemerals.get(session, {}), key=lambda path: (tree.znodes[path].czxid, path)):
            lease.add_key(path)
        machine.leases.restore(lease, lease.ttl_ms)
    machine.cluster = Cluster(1, _derived("secret", fingerprint)[:SECRET_BYTES])
    return machine, Arrived(Place(Index(zxid), Term(0)), _derived("chain", fingerprint)[:CHAIN_BYTES])


def count_quotas(tree: OldTree) -> None:
    """Bring the use of each quota up to date, which is in no log: ZooKeeper counts anew when it starts.

    What will have ended with its session does not count.
    """
    for path in tree.znodes:
        root, _, name = path.removeprefix(QUOTA_PATH).rpartition("/")
        if name == LIMITS and root and path.startswith(QUOTA_PATH):
            use = tree.znodes.get(f"{QUOTA_PATH}{root}/{STATS}")
            if use is not None:
                counted = [one for one in _subtree(tree, root) if not is_session(one.owner)]
                use.data = b"count=%d,bytes=%d" % (len(counted), sum(len(one.data or b"") for one in counted))


def owner_here(old: OldZnode) -> int:
    """Whose end deletes it. Containers and znodes with a TTL are plain ones here."""
    return old.owner if is_session(old.owner) else 0


def made_plain(tree: OldTree) -> int:
    """How many znodes were containers, or had a TTL, and will stay until somebody deletes them."""
    return sum(one.owner != owner_here(one) for one in tree.znodes.values())


def _znode(path: str, old: OldZnode, keys: dict[str, str]) -> Znode:
    if old.acl is None:
        raise CannotFound(f"the ACL of {path} is neither in the snapshot nor in a log: logs are missing or damaged")
    children = {keys[child]: None for child in sorted(old.children)}
    return Znode(
        old.data,
        old.acl,
        old.czxid,
        old.mzxid,
        old.pzxid,
        old.ctime,
        old.mtime,
        old.version,
        old.aversion,
        old.cversion & 0xFFFF_FFFF,  # Java's int has wrapped
        owner_here(old),
        children or None,
        len(children),
    )


def _subtree(tree: OldTree, root: str) -> Iterator[OldZnode]:
    paths = [root] if root in tree.znodes else []
    while paths:
        znode = tree.znodes[paths.pop()]
        yield znode
        paths += znode.children


def _add_own(machine: Machine, paths: list[str]) -> None:
    """What a fresh tree of ours has and ZooKeeper's has not: as it is there, where it counts as no create."""
    fresh = Machine(Watches(_nobody_watches)).znodes
    for path in paths:
        machine.znodes[path] = fresh[path]
        parent_path = parent_of(path)
        parent = machine.znodes[parent_path]
        children = {**(parent.children or {}), path: None}
        machine.znodes[parent_path] = replace(parent, children=children, child_count=len(children))


def _derived(what: str, seed: bytes) -> bytes:
    return sha256(what.encode() + b"\0" + seed).digest()


def _nobody_watches(connection: int, event: int, path: str, zxid: int, acl: object) -> None:
    """There are no clients."""
