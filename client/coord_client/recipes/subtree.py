"""A part of the tree in memory: what was read last, and what became different by a newer read.

Whatever is shown has its parent shown as well, up to the root of the subtree; and what is shown of one path is
never replaced by something older (`Stat.mzxid`).
"""

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from coord_client.client import Znode
from coord_protocol.paths import join, parent_of, split


class ChangeKind(Enum):
    """What a change of a cache tells."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    LIVE = "live"
    """From here on the cache is kept current."""
    STALE = "stale"
    """From here on changes may be missed. They are made up for before the next LIVE."""


class TreeChange(NamedTuple):
    """What became different for one path; of LIVE and STALE, the root of the cache."""

    kind: ChangeKind
    path: str
    old: Znode | None
    new: Znode | None


class Subtree:
    """See the module's head."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._znodes: dict[str, Znode] = {}
        self._names: dict[str, set[str]] = {}
        """Children by parent; no entry is empty."""

    def get(self, path: str) -> Znode | None:
        """None if there is no such znode here."""
        return self._znodes.get(path)

    def children(self, path: str) -> list[str]:
        """Their names, sorted."""
        return sorted(self._names.get(path, ()))

    def __len__(self) -> int:
        return len(self._znodes)

    def __iter__(self) -> Iterator[str]:
        """Paths in tree order: parents before children, siblings by name."""
        return iter(sorted(self._znodes, key=lambda path: path.split("/")))

    def has_place_for(self, path: str) -> bool:
        """Whether `path` is the root, or its parent is here."""
        return path == self.root or parent_of(path) in self._znodes

    def put(self, path: str, znode: Znode) -> TreeChange | None:
        """Take what a read gave. None if nothing but the counts in the `Stat` is new."""
        assert self.has_place_for(path), "a znode needs its parent"
        old = self._znodes.get(path)
        if old is not None and znode.stat.mzxid < old.stat.mzxid:
            return None
        self._znodes[path] = znode
        if old is not None:
            if znode.stat.mzxid == old.stat.mzxid:
                return None
            return TreeChange(ChangeKind.CHANGED, path, old, znode)
        if path != self.root:
            parent, name = split(path)
            self._names.setdefault(parent, set()).add(name)
        return TreeChange(ChangeKind.ADDED, path, None, znode)

    def remove(self, path: str) -> list[TreeChange]:
        """There is no such znode, so there is nothing below it either. Children come before their parents."""
        doomed = [path] if path in self._znodes else []
        for each in doomed:  # it grows meanwhile
            doomed += [join(each, name) for name in self._names.pop(each, ())]
        changes = [TreeChange(ChangeKind.REMOVED, each, self._znodes.pop(each), None) for each in reversed(doomed)]
        if doomed and path != self.root:
            parent, name = split(path)
            siblings = self._names[parent]
            siblings.remove(name)
            if not siblings:
                del self._names[parent]
        return changes
