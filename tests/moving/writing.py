"""Writes the files of ZooKeeper as older releases have them, of which none is installed here.

From the description of the format (`coord.moving`, `zookeeper.jute`), and on purpose not with what reads it.
"""

import struct
from zlib import adler32

Acl = list[tuple[int, str, str]]
OPEN: Acl = [(31, "world", "anyone")]
SEAL_END = b"\0\0\0\1/"


def text(value: str | bytes | None) -> bytes:
    if value is None:
        return struct.pack(">i", -1)
    encoded = value.encode() if isinstance(value, str) else value
    return struct.pack(">i", len(encoded)) + encoded


def acl(entries: Acl) -> bytes:
    return struct.pack(">i", len(entries)) + b"".join(
        struct.pack(">i", perms) + text(scheme) + text(name) for perms, scheme, name in entries
    )


def seal(content: bytes) -> bytes:
    return content + struct.pack(">q", adler32(content)) + SEAL_END


class SnapshotFile:
    """Of ZooKeeper 3.4; `digest` and `zxid` make it one of 3.6 and of 3.9."""

    def __init__(self, sessions: dict[int, int] | None = None, acls: dict[int, Acl] | None = None) -> None:
        self.content = b"ZKSN" + struct.pack(">iq", 2, -1)
        self.content += struct.pack(">i", len(sessions or {}))
        for session, timeout in (sessions or {}).items():
            self.content += struct.pack(">qi", session, timeout)
        self.content += struct.pack(">i", len(acls or {}))
        for number, entries in (acls or {}).items():
            self.content += struct.pack(">q", number) + acl(entries)

    def znode(
        self,
        path: str,
        data: bytes | None = b"",
        *,
        acl: int = -1,
        zxid: int = 0,
        time_ms: int = 0,
        version: int = 0,
        cversion: int = 0,
        owner: int = 0,
        pzxid: int | None = None,
    ) -> "SnapshotFile":
        self.content += text("" if path == "/" else path) + text(data) + struct.pack(">q", acl)
        self.content += struct.pack(">qqqq", zxid, zxid, time_ms, time_ms)
        self.content += struct.pack(">iiiqq", version, cversion, 0, owner, zxid if pzxid is None else pzxid)
        return self

    def finished(self, digest: tuple[int, int, int] | None = None, zxid: int | None = None) -> bytes:
        """`digest`: zxid, version, digest."""
        content = seal(self.content + text("/"))
        if digest is not None:
            content = seal(content + struct.pack(">qiq", *digest))
        if zxid is not None:
            content = seal(content + struct.pack(">q", zxid))
        return content


def entry(zxid: int, type_: int, body: bytes, session: int = 1, time_ms: int = 5000) -> bytes:
    payload = struct.pack(">qiqqi", session, 7, zxid, time_ms, type_) + body
    return struct.pack(">qi", adler32(payload), len(payload)) + payload + b"B"


def log_file(*entries: bytes, padding: int = 1000) -> bytes:
    return b"ZKLG" + struct.pack(">iq", 2, 0) + b"".join(entries) + bytes(padding)


def create(
    path: str, data: bytes | None, parent_cversion: int, *, ephemeral: bool = False, entries: Acl = OPEN
) -> bytes:
    return text(path) + text(data) + acl(entries) + struct.pack(">?i", ephemeral, parent_cversion)


def set_data(path: str, data: bytes | None, version: int) -> bytes:
    return text(path) + text(data) + struct.pack(">i", version)


def multi(*parts: tuple[int, bytes]) -> bytes:
    return struct.pack(">i", len(parts)) + b"".join(struct.pack(">i", type_) + text(body) for type_, body in parts)
