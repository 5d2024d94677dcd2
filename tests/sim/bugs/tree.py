"""Bugs of the tree: operations, multi, watches, and the order of events and replies."""

from typing import Any

import pytest
from msgspec.structs import replace

from coord.replica.clients import Clients
from coord.tree import machine
from coord.tree.machine import Machine
from coord.tree.multi import Multi
from coord.tree.transactions import set_data
from coord.tree.tree import Tree
from coord.tree.watches import Watches
from coord_protocol.requests import WatcherType
from tests.sim.bugs.registry import bug

# -- operations


@bug
def failed_multi_leaves_traces(patch: pytest.MonkeyPatch) -> None:
    class Leaky(Multi):
        """Forgets how to undo as soon as it has done something."""

        _undo = property(lambda self: [], lambda self, value: None)

    patch.setattr(machine, "Multi", Leaky)


@bug
def changes_of_data_are_not_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Watches, "fire_data_changed", lambda self, path, zxid, acl: None)


@bug
def one_shot_watch_stays(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Watches, "_take", lambda self, table, path: dict(self._tables[table].get(path, {})))


@bug
def persistent_watch_is_used_up(patch: pytest.MonkeyPatch) -> None:
    take = Watches._take_watchers

    def take_all(self: Watches, path: str) -> dict[int, None]:
        watchers = dict(take(self, path))
        for connection in watchers:
            self.remove(connection, path, WatcherType.PERSISTENT)
        return watchers

    patch.setattr(Watches, "_take_watchers", take_all)


@bug
def watches_of_a_broken_connection_miss_what_happened(patch: pytest.MonkeyPatch) -> None:
    """ZOOKEEPER-3145, etcd #18089: the event between disconnect and setWatches."""
    set_watches = Watches.set_watches

    def set_without_looking(self: Watches, connection: int, relative_zxid: int, *rest: Any, **more: Any) -> Any:
        return set_watches(self, connection, 1 << 60, *rest, **more)

    patch.setattr(Watches, "set_watches", set_without_looking)


@bug
def recursive_watch_stops_at_the_parent(patch: pytest.MonkeyPatch) -> None:
    take = Watches._take_watchers

    def take_near(self: Watches, path: str) -> Any:
        recursive, self._recursive = self._recursive, {}
        watchers = take(self, path)
        self._recursive = recursive
        return watchers

    patch.setattr(Watches, "_take_watchers", take_near)


def _is_event(data: bytes) -> bool:
    """Whether it is one frame, and that an event."""
    return data.startswith((len(data) - 4).to_bytes(4, "big") + b"\xff\xff\xff\xff")


@bug
def events_come_after_the_replies_that_reveal_them(patch: pytest.MonkeyPatch) -> None:
    take_replies = Clients.take_replies

    def take_sorted(self: Clients) -> Any:
        for connection in self._speaking:
            connection.out.sort(key=_is_event)
        return take_replies(self)

    patch.setattr(Clients, "take_replies", take_sorted)


@bug
def version_is_not_compared(patch: pytest.MonkeyPatch) -> None:
    def set_anyway(znodes: Any, session: Any, path: str, data: Any, version: int, zxid: int, wall_ms: int) -> Any:
        return set_data(znodes, session, path, data, -1, zxid, wall_ms)

    patch.setattr(machine, "set_data", set_anyway)


@bug
def sequence_numbers_are_given_again_after_a_delete(patch: pytest.MonkeyPatch) -> None:
    remove = Tree.remove

    def remove_and_count_down(self: Tree, path: str, parent_path: str, parent: Any, zxid: int) -> None:
        remove(self, path, parent_path, parent, zxid)
        self.znodes[parent_path] = replace(self.znodes[parent_path], creates=parent.creates - 1)

    patch.setattr(Tree, "remove", remove_and_count_down)


@bug
def state_depends_on_the_server(patch: pytest.MonkeyPatch) -> None:
    """Row 18."""
    apply = Machine.apply

    def apply_and_differ(self: Machine, run: Any, origin: Any, on_outcome: Any) -> None:
        apply(self, run, origin, on_outcome)
        if origin.member == 2 and run.first > 50:
            self.wall_ms += 1
            self.clock_ms += 1

    patch.setattr(Machine, "apply", apply_and_differ)
