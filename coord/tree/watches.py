"""Who wants to hear of what: the watches of this server's own connections. Local, not replicated.

A watch belongs to a connection and dies with it; each server fires those of its own clients when it applies a
change, so the event is queued before any reply that could reveal the change (ZOOKEEPER-PROTOCOL §7).

Four tables, each from a path to the connections that watch it:

    data        getData, exists           one-shot     created, deleted, data changed
    child       getChildren               one-shot     deleted, children changed
    persistent  addWatch, mode 0          stays        all four
    recursive   addWatch, mode 1          stays        created, deleted, data changed; here and all below

One change tells a connection once, however many of its watches match: created, deleted and data changed
through `data`, `persistent` and `recursive`; deleted through `child` only those not told by the others; then
the parent's `child` and `persistent` ones hear that its children changed. The ACL at the time of the change
goes with the event: whoever delivers it keeps it from connections that may not read the znode
(CVE-2024-23944).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from coord.tree.acl import Acl
from coord.tree.znode import Znode
from coord_protocol.paths import parent_of
from coord_protocol.records import EventType
from coord_protocol.requests import WatcherType

Deliver = Callable[[int, int, str, int, Acl], None]
"""(connection, event type, path, zxid of the change, ACL of the znode that the event names).

It may drop watches, also those of connections that are still to be told of the same change.
"""


# Places in `_tables`. Not an enum: they are parts of keys, and the hash of an enum's member costs 0.3 µs.
_DATA: Final = 0
_CHILD: Final = 1
_PERSISTENT: Final = 2
_RECURSIVE: Final = 3

_TABLES_OF: Final = {
    WatcherType.CHILDREN: (_CHILD,),
    WatcherType.DATA: (_DATA,),
    WatcherType.PERSISTENT: (_PERSISTENT,),
    WatcherType.PERSISTENT_RECURSIVE: (_RECURSIVE,),
    WatcherType.ANY: (_DATA, _CHILD, _PERSISTENT, _RECURSIVE),
}

_CREATED: Final = EventType.CREATED
_DELETED: Final = EventType.DELETED
_DATA_CHANGED: Final = EventType.DATA_CHANGED
_CHILDREN_CHANGED: Final = EventType.CHILDREN_CHANGED

_NOBODY: dict[int, None] = {}


class WatchCount(NamedTuple):
    """For `mntr` and `wchs`."""

    connections: int
    paths: int
    watches: int


class Watches:
    """The tables, and the events that a change means for them."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._tables: tuple[dict[str, dict[int, None]], ...] = ({}, {}, {}, {})
        self._data, self._child, self._persistent, self._recursive = self._tables

        self.connections: dict[int, dict[tuple[int, str], None]] = {}
        """What each connection watches. Always this dict, and empty if nobody watches anything."""

    def add_data(self, connection: int, path: str) -> None:
        """For getData and exists."""
        self._add(_DATA, connection, path)

    def add_child(self, connection: int, path: str) -> None:
        """For getChildren."""
        self._add(_CHILD, connection, path)

    def add_persistent(self, connection: int, path: str) -> None:
        self._add(_PERSISTENT, connection, path)

    def add_recursive(self, connection: int, path: str) -> None:
        self._add(_RECURSIVE, connection, path)

    def contains(self, connection: int, path: str, watcher_type: WatcherType) -> bool:
        """checkWatches (§5.10): whether it has such a watch."""
        own = self.connections.get(connection, {})
        return any((table, path) in own for table in _TABLES_OF[watcher_type])

    def remove(self, connection: int, path: str, watcher_type: WatcherType) -> bool:
        """removeWatches (§5.10); False if it had no such watch."""
        own = self.connections.get(connection, {})
        found = [table for table in _TABLES_OF[watcher_type] if (table, path) in own]
        for table in found:
            self._forget(table, connection, path)
            watchers = self._tables[table][path]
            del watchers[connection]
            if not watchers:
                del self._tables[table][path]
        return bool(found)

    def drop(self, connection: int) -> None:
        """The connection is gone, and all its watches with it."""
        for table, path in self.connections.pop(connection, {}):
            watchers = self._tables[table][path]
            del watchers[connection]
            if not watchers:
                del self._tables[table][path]

    def fire_created(self, path: str, parent_path: str, zxid: int, acl: Acl, parent_acl: Acl) -> None:
        if path in self._data or path in self._persistent or self._recursive:
            for connection in self._take_watchers(path):
                self._deliver(connection, _CREATED, path, zxid, acl)
        self._fire_children_changed(parent_path, zxid, parent_acl)

    def fire_deleted(self, path: str, parent_path: str, zxid: int, acl: Acl, parent_acl: Acl) -> None:
        told = self._take_watchers(path)
        for connection in told:
            self._deliver(connection, _DELETED, path, zxid, acl)
        for connection in self._take_child_watchers(path):
            if connection not in told:
                self._deliver(connection, _DELETED, path, zxid, acl)
        self._fire_children_changed(parent_path, zxid, parent_acl)

    def fire_data_changed(self, path: str, zxid: int, acl: Acl) -> None:
        if path in self._data or path in self._persistent or self._recursive:
            for connection in self._take_watchers(path):
                self._deliver(connection, _DATA_CHANGED, path, zxid, acl)

    def set_watches(
        self,
        connection: int,
        relative_zxid: int,
        znodes: Mapping[str, Znode],
        data: Iterable[str],
        exist: Iterable[str],
        child: Iterable[str],
        persistent: Iterable[str] = (),
        recursive: Iterable[str] = (),
    ) -> list[tuple[EventType, str]]:
        """Take over what a client watched when its connection broke; it had seen all up to `relative_zxid`.

        Returns the events that it missed, in order: each stands for a one-shot watch that has fired
        meanwhile. The others are armed. Persistent ones lose what happened in between, as ZooKeeper's do.
        """
        missed: list[tuple[EventType, str]] = []
        for path in data:
            znode = znodes.get(path)
            if znode is None:
                missed.append((EventType.DELETED, path))
            elif znode.mzxid > relative_zxid:
                missed.append((EventType.DATA_CHANGED, path))
            else:
                self.add_data(connection, path)
        for path in exist:
            if path in znodes:
                missed.append((EventType.CREATED, path))
            else:
                self.add_data(connection, path)
        for path in child:
            znode = znodes.get(path)
            if znode is None:
                missed.append((EventType.DELETED, path))
            elif znode.pzxid > relative_zxid:
                missed.append((EventType.CHILDREN_CHANGED, path))
            else:
                self.add_child(connection, path)
        for path in persistent:
            self.add_persistent(connection, path)
        for path in recursive:
            self.add_recursive(connection, path)
        return missed

    def count(self) -> WatchCount:
        """Looks at every connection and watched path."""
        paths = set[str]().union(*self._tables)
        return WatchCount(len(self.connections), len(paths), sum(map(len, self.connections.values())))

    def _add(self, table: int, connection: int, path: str) -> None:
        self._tables[table].setdefault(path, {})[connection] = None
        self.connections.setdefault(connection, {})[table, path] = None

    def _forget(self, table: int, connection: int, path: str) -> None:
        own = self.connections[connection]
        del own[table, path]
        if not own:
            del self.connections[connection]

    def _take(self, table: int, path: str) -> dict[int, None]:
        """The watchers in a one-shot table, which are no longer in it."""
        watchers = self._tables[table].pop(path, None)
        if watchers is None:
            return _NOBODY
        for connection in watchers:
            self._forget(table, connection, path)
        return watchers

    # What these return is never a dict of a table: whoever delivers may close a connection, which drops its
    # watches.

    def _take_watchers(self, path: str) -> dict[int, None]:
        """Whom a change of the znode itself concerns, each once; the one-shot watches are used up."""
        watchers = self._take(_DATA, path)
        persistent = self._persistent.get(path)
        if persistent:
            watchers = watchers | persistent
        if self._recursive:
            above = path
            while True:
                recursive = self._recursive.get(above)
                if recursive:
                    watchers = watchers | recursive
                if above == "/":
                    break
                above = parent_of(above)
        return watchers

    def _take_child_watchers(self, path: str) -> dict[int, None]:
        """Whom a change of the znode's children concerns, each once; the one-shot watches are used up."""
        watchers = self._take(_CHILD, path)
        persistent = self._persistent.get(path)
        return watchers | persistent if persistent else watchers

    def _fire_children_changed(self, path: str, zxid: int, acl: Acl) -> None:
        if path in self._child or path in self._persistent:
            for connection in self._take_child_watchers(path):
                self._deliver(connection, _CHILDREN_CHANGED, path, zxid, acl)
