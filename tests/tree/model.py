"""The rules once more, as plainly as they can be written: no bytes, no caches, no undo; a multi works on a
copy.

Written from ZOOKEEPER-PROTOCOL §5 to §8 and PROTOCOL-NOTES, not from the code under test, with which it
shares nothing but the numbers of error codes and events.
"""

import copy
import ipaddress
from dataclasses import dataclass, field
from typing import Any, Final

from coord_protocol.errors import Code
from coord_protocol.records import EventType

READ, WRITE, CREATE, DELETE, ADMIN = 1, 2, 4, 8, 16
SYSTEM: Final = ["/", "/zookeeper", "/zookeeper/config", "/zookeeper/ext", "/zookeeper/quota"]
OPEN: Final = [(31, "world", "anyone")]

Result = Any
"""An error code, or what was done as a tuple that begins with a word."""


@dataclass
class Vertex:
    data: bytes | None
    acl: list[tuple[int, str, str]]
    zxid: int
    wall: int
    owner: int = 0
    mzxid: int = 0
    pzxid: int = 0
    mtime: int = 0
    version: int = 0
    aversion: int = 0
    creates: int = 0

    def __post_init__(self) -> None:
        self.mzxid = self.pzxid = self.zxid
        self.mtime = self.wall


@dataclass
class Right:
    id: int
    ttl: int
    deadline: int
    epoch: int
    name: str
    identities: list[tuple[str, str]]
    keys: list[str] = field(default_factory=list)

    @property
    def span(self) -> int:
        return self.ttl + min(self.ttl // 10, 500)


@dataclass
class State:
    vertices: dict[str, Vertex]
    rights: dict[int, Right]
    watches: list[tuple[str, int, str]]
    """(kind, connection, path)."""
    events: list[tuple[int, EventType, str, int]]
    """(connection, type, path, zxid)."""


class Model:
    def __init__(self) -> None:
        vertices = {path: Vertex(b"", OPEN, 0, 0) for path in SYSTEM}
        for path in ("/zookeeper/config", "/zookeeper/ext"):
            vertices[path].acl = [(READ, "world", "anyone")]
        vertices["/zookeeper/config"].aversion = -1
        self.state = State(vertices, {}, [], [])
        self.clock = 0
        self.zxid = 0
        self.wall = 0

    # What a test looks at

    def children(self, path: str) -> list[str]:
        prefix = path if path == "/" else f"{path}/"
        below = [other[len(prefix) :] for other in self.state.vertices if other.startswith(prefix)]
        return sorted(name for name in below if name and "/" not in name)

    def stat(self, path: str) -> tuple[int, ...]:
        v = self.state.vertices[path]
        children = len(self.children(path))
        cversion = 2 * v.creates - children
        return (
            v.zxid, v.mzxid, v.wall, v.mtime, v.version, cversion, v.aversion, v.owner, len(v.data or b""),
            children, v.pzxid
        )  # fmt: skip

    # Time and commands

    def begin_run(self, first: int, clock: int, wall: int) -> None:
        self.zxid, self.wall = first, wall
        self.clock = max(self.clock, clock)
        over = [right for right in self.state.rights.values() if right.deadline < self.clock]
        for right in sorted(over, key=lambda right: (right.deadline, right.id)):
            self._end(right)

    def do(self, zxid: int, command: tuple[Any, ...]) -> Result:
        self.zxid = zxid
        name, *arguments = command
        if name in ("create_session", "attach_session", "keep_alive"):
            return getattr(self, f"_{name}")(*arguments)
        session_id, epoch, *arguments = arguments
        session = self.state.rights.get(session_id)
        if session is None or session.epoch == 0:
            return Code.SESSION_EXPIRED
        if session.epoch != epoch:
            return Code.SESSION_MOVED
        session.deadline = self.clock + session.span
        return getattr(self, f"_{name}")(session, *arguments)

    def _create_session(self, ttl: int, address: str) -> Result:
        right = Right(self.zxid, ttl, 0, self.zxid, "", [("ip", address)])
        right.deadline = self.clock + right.span
        self.state.rights[self.zxid] = right
        return ("lease", right.id, ttl, right.epoch)

    def _attach_session(self, session_id: int, ttl: int, address: str) -> Result:
        session = self.state.rights.get(session_id)
        if session is None or session.epoch == 0:
            return Code.SESSION_EXPIRED
        session.ttl, session.epoch, session.identities = ttl, self.zxid, [("ip", address)]
        session.deadline = self.clock + session.span
        return ("lease", session_id, ttl, self.zxid)

    def _keep_alive(self, touches: list[tuple[int, int]]) -> Result:
        for session_id, epoch in touches:
            session = self.state.rights.get(session_id)
            if session is not None and session.epoch == epoch:
                session.deadline = self.clock + session.span
        return ("done",)

    def _close_session(self, session: Right) -> Result:
        self._end(session)
        return ("done",)

    def _add_auth(self, session: Right, scheme: str, name: str) -> Result:
        if (scheme, name) not in session.identities:
            session.identities.append((scheme, name))
        return ("done",)

    def _lease_grant(self, session: Right, ttl: int, name: str) -> Result:
        right = Right(self.zxid, ttl, 0, 0, name, [])
        right.deadline = self.clock + right.span
        self.state.rights[self.zxid] = right
        return ("lease", right.id, ttl, 0)

    def _lease_keep_alive(self, session: Right, ids: list[int]) -> Result:
        left = []
        for lease_id in ids:
            lease = self.state.rights.get(lease_id)
            if lease is None or lease.epoch:
                left.append(-1)
            else:
                lease.deadline = self.clock + lease.span
                left.append(lease.ttl)
        return ("left", left)

    def _lease_revoke(self, session: Right, lease_id: int) -> Result:
        lease = self.state.rights.get(lease_id)
        if lease is None or lease.epoch:
            return Code.NO_LEASE
        self._end(lease)
        return ("done",)

    def _end_lease(self, session: Right, lease_id: int, is_vouched_for: bool) -> Result:
        if not is_vouched_for and ("super", "") not in session.identities:
            return Code.NOT_OPERATOR
        right = self.state.rights.get(lease_id)
        if right is None:
            return Code.NO_LEASE
        self._end(right)
        return ("done",)

    def _end(self, right: Right) -> None:
        del self.state.rights[right.id]
        for path in list(right.keys):
            self._remove(path)

    # Znodes

    def _create(
        self,
        session: Right,
        path: str,
        data: bytes | None,
        acl: list[tuple[int, str, str]],
        mode: int,
        lease_id: int,
    ) -> Result:
        vertices = self.state.vertices
        if mode not in range(7):
            return Code.BAD_ARGUMENTS
        if mode > 4:
            return Code.UNIMPLEMENTED
        owner = session if mode in (1, 3) else None
        if lease_id:
            owner = self.state.rights.get(lease_id)
            if owner is None or owner.epoch:
                return Code.NO_LEASE
        if "/" not in path or "\0" in path:
            return Code.BAD_ARGUMENTS
        stored = fix_up(acl, session.identities)
        if stored is None:
            return Code.INVALID_ACL
        parent_path = path.rpartition("/")[0] or "/"
        parent = vertices.get(parent_path)
        if parent is None:
            return Code.NO_NODE
        if not may(parent.acl, CREATE, session.identities):
            return Code.NO_AUTH
        if mode in (2, 3):
            path += f"{parent.creates:010}"
        if not is_path(path):
            return Code.BAD_ARGUMENTS
        if path in vertices:
            return Code.NODE_EXISTS
        if parent.owner:
            return Code.NO_CHILDREN_FOR_EPHEMERALS
        vertices[path] = Vertex(data, stored, self.zxid, self.wall, owner.id if owner else 0)
        parent.creates += 1
        parent.pzxid = self.zxid
        if owner:
            owner.keys.append(path)
        self._tell(EventType.CREATED, path, ("data", "persistent"))
        self._tell_children(parent_path)
        return ("created", path, self.stat(path))

    def _delete(self, session: Right, path: str, version: int) -> Result:
        vertices = self.state.vertices
        if "/" not in path or "\0" in path or path in SYSTEM:
            return Code.BAD_ARGUMENTS
        parent = vertices.get(path.rpartition("/")[0] or "/")
        if parent is None:
            return Code.NO_NODE
        if not may(parent.acl, DELETE, session.identities):
            return Code.NO_AUTH
        if path not in vertices:
            return Code.NO_NODE
        if version not in (-1, vertices[path].version):
            return Code.BAD_VERSION
        if self.children(path):
            return Code.NOT_EMPTY
        self._remove(path)
        return ("done",)

    def _remove(self, path: str) -> None:
        vertex = self.state.vertices.pop(path)
        owner = self.state.rights.get(vertex.owner)
        if owner:
            owner.keys.remove(path)
        parent_path = path.rpartition("/")[0] or "/"
        self.state.vertices[parent_path].pzxid = self.zxid
        told = self._tell(EventType.DELETED, path, ("data", "persistent"))
        self._tell(EventType.DELETED, path, ("child",), but=told)
        self._tell_children(parent_path)

    def _set_data(self, session: Right, path: str, data: bytes | None, version: int) -> Result:
        if not is_path(path):
            return Code.BAD_ARGUMENTS
        vertex = self.state.vertices.get(path)
        if vertex is None:
            return Code.NO_NODE
        if not may(vertex.acl, WRITE, session.identities):
            return Code.NO_AUTH
        if version not in (-1, vertex.version):
            return Code.BAD_VERSION
        vertex.data, vertex.mzxid, vertex.mtime = data, self.zxid, self.wall
        vertex.version += 1
        self._tell(EventType.DATA_CHANGED, path, ("data", "persistent"))
        return ("znode", self.stat(path))

    def _set_acl(self, session: Right, path: str, acl: list[tuple[int, str, str]], version: int) -> Result:
        if not is_path(path):
            return Code.BAD_ARGUMENTS
        stored = fix_up(acl, session.identities)
        if stored is None:
            return Code.INVALID_ACL
        vertex = self.state.vertices.get(path)
        if vertex is None:
            return Code.NO_NODE
        if not may(vertex.acl, ADMIN, session.identities):
            return Code.NO_AUTH
        if version not in (-1, vertex.aversion):
            return Code.BAD_VERSION
        vertex.acl = stored
        vertex.aversion += 1
        return ("znode", self.stat(path))

    def _check(self, session: Right, path: str, version: int) -> Result:
        if not is_path(path):
            return Code.BAD_ARGUMENTS
        vertex = self.state.vertices.get(path)
        if vertex is None:
            return Code.NO_NODE
        if not may(vertex.acl, READ, session.identities):
            return Code.NO_AUTH
        return ("done",) if version in (-1, vertex.version) else Code.BAD_VERSION

    def _multi(self, session: Right, operations: list[tuple[Any, ...]]) -> Result:
        before = copy.deepcopy(self.state)
        results = []
        for position, (name, _, _, *arguments) in enumerate(operations):
            result = getattr(self, f"_{name}")(self.state.rights[session.id], *arguments)
            if isinstance(result, Code):
                self.state = before
                return ("failed", position, result, len(operations))
            results.append((name, result))
        return ("multi", results)

    # Watches

    def _tell(self, event: EventType, path: str, kinds: tuple[str, ...], but: list[int] | None = None) -> list[int]:
        """To whoever watches `path` with one of `kinds`, or its subtree; one-shot watches are used up."""
        told: list[int] = []
        for watch in list(self.state.watches):
            kind, connection, watched = watch
            if kind == "recursive":
                is_above = watched in ("/", path) or path.startswith(f"{watched}/")
                is_meant = "data" in kinds and is_above
            else:
                is_meant = kind in kinds and watched == path
            if not is_meant:
                continue
            if kind in ("data", "child"):
                self.state.watches.remove(watch)
            if connection not in told and connection not in (but or ()):
                told.append(connection)
                self.state.events.append((connection, event, path, self.zxid))
        return told

    def _tell_children(self, path: str) -> None:
        self._tell(EventType.CHILDREN_CHANGED, path, ("child", "persistent"))


def is_path(path: str) -> bool:
    if path == "/":
        return True
    return path.startswith("/") and all(
        name not in ("", ".", "..") and all(is_character(character) for character in name)
        for name in path[1:].split("/")
    )


def is_character(character: str) -> bool:
    code = ord(character)
    ranges = [(0, 0x1F), (0x7F, 0x9F), (0xD800, 0xF8FF), (0xFFF0, 0x10FFFF)]
    return not any(low <= code <= high for low, high in ranges)


def may(acl: list[tuple[int, str, str]], perms: int, identities: list[tuple[str, str]]) -> bool:
    if ("super", "") in identities:
        return True
    for granted, scheme, name in acl:
        if not granted & perms:
            continue
        if (scheme, name) == ("world", "anyone") or (scheme, name) in identities:
            return True
        if scheme == "ip":
            network = ipaddress.ip_network(name, strict=False)
            if any(s == "ip" and ipaddress.ip_address(address) in network for s, address in identities):
                return True
    return False


def fix_up(acl: list[tuple[int, str, str]], identities: list[tuple[str, str]]) -> list[tuple[int, str, str]] | None:
    fixed: list[tuple[int, str, str]] = []
    for i, (perms, scheme, name) in enumerate(acl):
        if (perms, scheme, name) in acl[:i]:
            continue
        if scheme == "auth":
            mine = [(perms, s, n) for s, n in identities if s == "digest"]
            if not mine:
                return None
            fixed += mine
        elif (scheme, name) == ("world", "anyone") or scheme == "ip" or (scheme == "digest" and ":" in name):
            fixed.append((perms, scheme, name))
        else:
            return None
    return fixed or None
