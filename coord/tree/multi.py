"""Several operations as one: under one zxid, each sees those before it, and all happen or none (§5.7).

They are done on the tree itself, and undone backwards if one is refused. The other way, an overlay that is
merged in the end, was rejected: every rule would have to look in two places, while znodes that are replaced
and not changed make undoing a matter of putting the old ones back. Nobody can look in between, and the events
wait until the end, so a refused multi leaves no trace: no counter moved, no watch used up.
"""

from collections.abc import Callable
from typing import Any, Final

from coord.tree import transactions
from coord.tree.commands import (
    HEAD,
    LENGTH_OF_COMMAND,
    Kind,
    decode_create,
    decode_path,
    decode_set_data,
)
from coord.tree.leases import Leases, Session
from coord.tree.outcomes import MultiDone, MultiFailed, Outcome
from coord.tree.tree import Tree
from coord.tree.watches import Watches
from coord_protocol.paths import parent_of


class Multi:
    """One multi being applied."""

    def __init__(self, tree: Tree, leases: Leases, watches: Watches, session: Session, zxid: int, wall_ms: int) -> None:
        self._tree = tree
        self._leases = leases
        self._watches = watches
        self._session = session
        self._zxid = zxid
        self._wall_ms = wall_ms

        self._undo: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        """What takes back the operations done so far: functions and their arguments."""

        self._events: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        """What they owe to watches, with the ACLs of the moment."""

    def apply(self, data: bytes, offset: int, end: int) -> MultiDone | MultiFailed:
        """Do the operations in data[offset:end]."""
        start = offset
        results: list[tuple[int, Outcome]] = []
        while offset < end:
            kind, length, _, _, number, path_length = HEAD.unpack_from(data, offset)
            body = offset + HEAD.size
            offset += length
            outcome = _OPERATIONS[kind](self, data, body, offset, number, path_length)
            if isinstance(outcome, int):
                for undo, arguments in reversed(self._undo):
                    undo(*arguments)
                return MultiFailed(len(results), outcome, _count(data, start, end))
            results.append((kind, outcome))
        for fire, arguments in self._events:
            fire(*arguments)
        return MultiDone(results)

    def _create(self, data: bytes, body: int, end: int, number: int, path_length: int) -> Outcome:
        path, content, acl, mode, lease_id = decode_create(data, body, end, number, path_length)
        tree, session, zxid = self._tree, self._session, self._zxid
        parent_path = parent_of(path)
        parent = tree.znodes.get(parent_path)
        outcome = transactions.create(
            tree, self._leases, session, path, content, acl, mode, lease_id, zxid, self._wall_ms
        )
        if isinstance(outcome, int):
            return outcome
        assert parent is not None, "what was created has a parent"
        path, znode = outcome.path, outcome.znode  # by now with its number, if it is sequential
        self._undo.append((tree.undo_add, (path, parent_path, parent)))
        if znode.owner:
            self._undo.append((self._leases.table[znode.owner].undo_key, (path,)))
        if self._watches.connections:
            arguments = (path, parent_path, zxid, znode.acl, parent.acl)
            self._events.append((self._watches.fire_created, arguments))
        return outcome

    def _delete(self, data: bytes, body: int, end: int, version: int, path_length: int) -> Outcome:
        path = decode_path(data, body, path_length)
        tree, zxid = self._tree, self._zxid
        parent_path = parent_of(path)
        parent, znode = tree.znodes.get(parent_path), tree.znodes.get(path)
        holder = self._leases.table[znode.owner] if znode is not None and znode.owner else None
        order = holder.keys[path] if holder is not None else 0
        outcome = transactions.delete(tree, self._leases, self._session, path, version, zxid)
        if isinstance(outcome, int):
            return outcome
        assert parent is not None, "what was deleted had a parent"
        self._undo.append((tree.undo_remove, (path, outcome, parent_path, parent)))
        if holder is not None:
            self._undo.append((holder.keys.__setitem__, (path, order)))
        if self._watches.connections:
            arguments = (path, parent_path, zxid, outcome.acl, parent.acl)
            self._events.append((self._watches.fire_deleted, arguments))
        return None

    def _set_data(self, data: bytes, body: int, end: int, version: int, path_length: int) -> Outcome:
        path, content = decode_set_data(data, body, end, path_length)
        tree, zxid = self._tree, self._zxid
        old = tree.znodes.get(path)
        outcome = transactions.set_data(tree.znodes, self._session, path, content, version, zxid, self._wall_ms)
        if isinstance(outcome, int):
            return outcome
        self._undo.append((tree.znodes.__setitem__, (path, old)))
        if self._watches.connections:
            self._events.append((self._watches.fire_data_changed, (path, zxid, outcome.acl)))
        return outcome

    def _check(self, data: bytes, body: int, end: int, version: int, path_length: int) -> Outcome:
        return transactions.check(self._tree.znodes, self._session, decode_path(data, body, path_length), version)


_OPERATIONS: Final[dict[int, Callable[[Multi, bytes, int, int, int, int], Outcome]]] = {
    Kind.CREATE: Multi._create,
    Kind.DELETE: Multi._delete,
    Kind.SET_DATA: Multi._set_data,
    Kind.CHECK: Multi._check,
}


def _count(data: bytes, offset: int, end: int) -> int:
    """How many operations there are."""
    count = 0
    while offset < end:
        offset += LENGTH_OF_COMMAND.unpack_from(data, offset + 1)[0]
        count += 1
    return count
