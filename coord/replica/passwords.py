"""Passwords of sessions and secrets of leases: derived, so that nobody has to store them.

HMAC-SHA256(cluster secret, id), cut to the 16 bytes that ZooKeeper's handshake has room for. The cluster secret is part
of the replicated state; whoever does not know it cannot forge the password of somebody else's session, as anybody can
with ZooKeeper, where it follows from the id and a constant (ZOOKEEPER-PROTOCOL §2).
"""

import hmac

PASSWORD_BYTES = 16

SECRET_BYTES = 32
"""Of the cluster's own secret, made up by its first leader."""


def password_of(cluster_secret: bytes, lease: int) -> bytes:
    return hmac.digest(cluster_secret, lease.to_bytes(8, "big", signed=True), "sha256")[:PASSWORD_BYTES]


def is_password_of(password: bytes | None, cluster_secret: bytes, lease: int) -> bool:
    """In constant time, so that the answer's delay tells nothing."""
    return hmac.compare_digest(password or b"", password_of(cluster_secret, lease))
