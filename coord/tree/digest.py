"""One number for the whole replicated state, to compare members by.

Every part is hashed in an order that does not depend on how the state came about: znodes by path, leases by
id. What is derived (children, cached replies, the bound of the deadlines) and what is local (watches) stays
out; so does the data of /zookeeper/ext, which tells of the server's version and not of what the log did.
"""

from hashlib import blake2b
from typing import Final

import msgspec

from coord.tree.leases import Leases
from coord.tree.tree import Tree
from coord_protocol.extensions import EXTENSIONS_PATH

DIGEST_BYTES: Final = 16

_encode: Final = msgspec.msgpack.Encoder().encode  # one encoding per value, and it tells apart what is not equal


def digest(tree: Tree, leases: Leases, rest: object) -> bytes:
    """16 bytes. `rest`: what else is replicated, in lists and tuples, so that it has an order."""
    state = blake2b(_encode(rest), digest_size=DIGEST_BYTES)
    for _, lease in sorted(leases.table.items()):
        state.update(
            _encode(
                (
                    lease.id,
                    lease.ttl_ms,
                    lease.deadline_ms,
                    lease.name,
                    lease.meta,
                    lease.epoch,
                    lease.identities,
                    lease.keys_in_order(),
                )
            )
        )
    for path, znode in sorted(tree.znodes.items()):
        state.update(
            _encode(
                (
                    path,
                    znode.data if path != EXTENSIONS_PATH else None,
                    znode.acl,
                    znode.czxid,
                    znode.mzxid,
                    znode.pzxid,
                    znode.ctime_ms,
                    znode.mtime_ms,
                    znode.version,
                    znode.aversion,
                    znode.creates,
                    znode.owner,
                    znode.child_count,
                )
            )
        )
    return state.digest()
