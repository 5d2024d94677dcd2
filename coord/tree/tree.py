"""Paths and their znodes, and what a create or delete means for the parent.

One flat dictionary from whole paths: a lookup is one hash however deep the path. A parent lists its children
by the same strings, so a path is held once.
"""

from itertools import islice
from typing import Final

from msgspec.structs import replace

from coord.tree.acl import OPEN, READ_ONLY, Acl
from coord.tree.znode import Znode
from coord_protocol.extensions import EXTENSIONS_PATH, extensions_document

ROOT: Final = "/"
CONFIG_PATH: Final = "/zookeeper/config"
SYSTEM_PATHS: Final = frozenset({ROOT, "/zookeeper", "/zookeeper/quota", CONFIG_PATH, EXTENSIONS_PATH})
"""There from the beginning; nobody can delete them."""

SAMPLED_ZNODES: Final = 10_000
"""A millisecond's worth of looking."""


class Tree:
    """All znodes. Methods trust their caller: whether something may be done is judged in `transactions`."""

    def __init__(self) -> None:
        system = dict.fromkeys(sorted(SYSTEM_PATHS - {ROOT, "/zookeeper"}))
        self.znodes: dict[str, Znode] = {
            # Their children count as there, but not as created: ZooKeeper shows a cversion of -1 for a fresh
            # root.
            ROOT: _system_znode(children={"/zookeeper": None}),
            "/zookeeper": _system_znode(children=system),
            "/zookeeper/quota": _system_znode(),
            # ZooKeeper's own sets the ACL "to version -1", hence the odd aversion (PROTOCOL-NOTES,
            # reconfig/config).
            CONFIG_PATH: _system_znode(acl=READ_ONLY, aversion=-1),
            EXTENSIONS_PATH: _system_znode(acl=READ_ONLY, data=extensions_document()),
        }
        self.off_schemes: frozenset[str] = frozenset()
        """That no new ACL may name at the level in force (`coord.tree.levels`)."""

    def names(self, znode: Znode) -> list[str]:
        """The names of its children, sorted: ZooKeeper promises no order, we answer alike everywhere."""
        children = znode.children
        if not children:
            return []
        paths = sorted(children)
        start = paths[0].rfind("/") + 1
        return [path[start:] for path in paths]

    def descendants(self, path: str) -> int:
        """How many znodes are below `path`. Walks all of them."""
        below = 0
        paths = [path]
        while paths:
            children = self.znodes[paths.pop()].children
            if children:
                below += len(children)
                paths += children
        return below

    def data_bytes(self) -> int:
        """About the size of all paths and data, as `mntr` tells it: of a large tree only a part is looked at."""
        sample = list(islice(self.znodes.items(), SAMPLED_ZNODES))
        size = sum(len(path) + len(znode.data or b"") for path, znode in sample)
        return size * len(self.znodes) // len(sample)

    def add(self, path: str, znode: Znode, parent_path: str, parent: Znode, zxid: int) -> None:
        """Put a new znode under its parent, whose counters move."""
        children = parent.children
        if children is None:
            children = {path: None}
        else:
            children[path] = None
        znodes = self.znodes
        znodes[path] = znode
        znodes[parent_path] = replace(
            parent,
            pzxid=zxid,
            creates=parent.creates + 1,
            children=children,
            child_count=parent.child_count + 1,
            body=None,
        )

    def remove(self, path: str, parent_path: str, parent: Znode, zxid: int) -> None:
        """Take a znode without children from under its parent."""
        children = parent.children
        assert children is not None, "a parent lists its child"
        del children[path]
        znodes = self.znodes
        del znodes[path]
        znodes[parent_path] = replace(
            parent, pzxid=zxid, children=children or None, child_count=parent.child_count - 1, body=None
        )

    def undo_add(self, path: str, parent_path: str, parent: Znode) -> None:
        """As if `add` had not been; `parent` as it was given to it."""
        if parent.children is not None:
            del parent.children[path]
        del self.znodes[path]
        self.znodes[parent_path] = parent

    def undo_remove(self, path: str, znode: Znode, parent_path: str, parent: Znode) -> None:
        """As if `remove` had not been; `parent` as it was given to it."""
        assert parent.children is not None, "it listed this child"
        parent.children[path] = None
        self.znodes[path] = znode
        self.znodes[parent_path] = parent


def _system_znode(
    children: dict[str, None] | None = None, acl: Acl = OPEN, data: bytes = b"", aversion: int = 0
) -> Znode:
    return Znode(data, acl, 0, 0, 0, 0, 0, 0, aversion, 0, 0, children, len(children or ()))
