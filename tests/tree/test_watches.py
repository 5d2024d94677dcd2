"""Watches (ZOOKEEPER-PROTOCOL §7, §5.10): who hears of what, once, and in which order."""

import pytest

from coord.tree.acl import OPEN, Acl
from coord.tree.watches import WatchCount, Watches
from coord_protocol.records import EventType
from coord_protocol.requests import WatcherType
from tests.tree.world import EPHEMERAL, Client, World

CREATED = EventType.CREATED
DELETED = EventType.DELETED
DATA_CHANGED = EventType.DATA_CHANGED
CHILDREN_CHANGED = EventType.CHILDREN_CHANGED

ME, YOU = 7, 8


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    return world.session()


def test_create_tells_data_watchers_of_the_path_and_child_watchers_of_the_parent(world: World, client: Client) -> None:
    """§7 table, row create; the znode's event comes first."""
    world.watches.add_child(ME, "/")
    world.watches.add_data(ME, "/a")
    world.watches.add_data(YOU, "/")

    client.create("/a")

    assert world.take_events() == [(ME, CREATED, "/a"), (ME, CHILDREN_CHANGED, "/")]


def test_set_data_tells_data_watchers_only(world: World, client: Client) -> None:
    """§7 table, row setData."""
    client.create("/a")
    world.watches.add_data(ME, "/a")
    world.watches.add_child(YOU, "/a")
    world.watches.add_child(YOU, "/")

    client.set_data("/a")

    assert world.take_events() == [(ME, DATA_CHANGED, "/a")]


def test_delete_tells_data_and_child_watchers_then_the_parents(world: World, client: Client) -> None:
    """§7 table, row delete; PROTOCOL-NOTES: once per connection even if it has both."""
    client.create("/a")
    world.watches.add_child(ME, "/a")
    world.watches.add_data(ME, "/a")
    world.watches.add_child(YOU, "/a")
    world.watches.add_child(ME, "/")

    client.delete("/a")

    assert world.take_events() == [
        (ME, DELETED, "/a"),
        (YOU, DELETED, "/a"),
        (ME, CHILDREN_CHANGED, "/"),
    ]
    client.create("/a")
    client.delete("/a")
    assert world.take_events() == [], "all of them were used up, told or not"


def test_set_acl_tells_nobody(world: World, client: Client) -> None:
    """§5.5: fires no watch."""
    client.create("/a")
    for add in (world.watches.add_data, world.watches.add_persistent, world.watches.add_recursive):
        add(ME, "/a")

    client.set_acl("/a", ((31, "world", "anyone"),))

    assert world.take_events() == []


def test_refused_commands_tell_nobody(world: World, client: Client) -> None:
    """§7: watches hear of changes."""
    client.create("/a")
    world.watches.add_recursive(ME, "/")
    world.watches.add_child(ME, "/")

    client.create("/a")
    client.set_data("/a", version=9)
    client.delete("/a", version=9)

    assert world.take_events() == []


def test_one_shot_watches_fire_once(world: World, client: Client) -> None:
    """§7: removed when they fire."""
    client.create("/a")
    world.watches.add_data(ME, "/a")
    world.watches.add_child(ME, "/a")

    for _ in range(2):
        client.set_data("/a")
        client.create(f"/a/{world.zxid}")

    assert world.take_events() == [(ME, DATA_CHANGED, "/a"), (ME, CHILDREN_CHANGED, "/a")]


def test_setting_a_watch_twice_is_one(world: World, client: Client) -> None:
    """§7: the key is (path, connection)."""
    client.create("/a")
    world.watches.add_data(ME, "/a")
    world.watches.add_data(ME, "/a")

    client.set_data("/a")

    assert world.take_events() == [(ME, DATA_CHANGED, "/a")]


def test_persistent_watch_stays_and_hears_all_four(world: World, client: Client) -> None:
    """§7: events 1, 2, 3 for P and 4 for P, never removed; nothing of what is below but that it changed."""
    world.watches.add_persistent(ME, "/p")

    client.create("/p")
    client.set_data("/p")
    client.create("/p/a")
    client.set_data("/p/a")
    client.delete("/p/a")
    client.delete("/p")

    assert world.take_events() == [
        (ME, CREATED, "/p"),
        (ME, DATA_CHANGED, "/p"),
        (ME, CHILDREN_CHANGED, "/p"),
        (ME, CHILDREN_CHANGED, "/p"),
        (ME, DELETED, "/p"),
    ]


def test_recursive_watch_hears_of_the_subtree_but_never_of_children(world: World, client: Client) -> None:
    """§7: 1, 2, 3 for P and all descendants, never 4; no sibling whose name only begins alike."""
    world.watches.add_recursive(ME, "/p")

    for path in ("/p", "/p/a", "/p/a/b", "/pq"):
        client.create(path)
    client.set_data("/p/a/b")
    client.delete("/p/a/b")

    assert world.take_events() == [
        (ME, CREATED, "/p"),
        (ME, CREATED, "/p/a"),
        (ME, CREATED, "/p/a/b"),
        (ME, DATA_CHANGED, "/p/a/b"),
        (ME, DELETED, "/p/a/b"),
    ]


def test_recursive_watch_on_the_root_hears_of_everything(world: World, client: Client) -> None:
    """§7: any ancestor."""
    world.watches.add_recursive(ME, "/")

    client.create("/a")
    client.create("/a/b")

    assert world.take_events() == [(ME, CREATED, "/a"), (ME, CREATED, "/a/b")]


def test_connection_is_told_once_however_many_of_its_watches_match(world: World, client: Client) -> None:
    """§7: at most one copy of one event."""
    client.create("/p")
    for add, path in (
        (world.watches.add_data, "/p/a"),
        (world.watches.add_child, "/p/a"),
        (world.watches.add_persistent, "/p/a"),
        (world.watches.add_recursive, "/p/a"),
        (world.watches.add_recursive, "/p"),
        (world.watches.add_recursive, "/"),
        (world.watches.add_persistent, "/p"),
        (world.watches.add_child, "/p"),
    ):
        add(ME, path)

    client.create("/p/a")
    client.set_data("/p/a")
    client.delete("/p/a")

    assert world.take_events() == [
        (ME, CREATED, "/p/a"),
        (ME, CHILDREN_CHANGED, "/p"),
        (ME, DATA_CHANGED, "/p/a"),
        (ME, DELETED, "/p/a"),
        (ME, CHILDREN_CHANGED, "/p"),
    ]


def test_events_carry_the_zxid_and_the_acl_of_the_change(world: World, client: Client) -> None:
    """§7: notification zxid; ACL filter by the changed znode, for children by the parent."""
    secret = ((31, "ip", "10.0.0.1"),)
    world.watches.add_recursive(ME, "/")
    world.watches.add_child(ME, "/")

    client.create("/a", acl=secret)

    assert world.event_zxids == [world.zxid, world.zxid]
    assert world.event_acls == [secret, OPEN]
    world.take_events()
    client.delete("/a")
    assert world.event_acls == [secret], "a deleted znode's own"


def test_events_are_queued_before_the_outcome_is_known(world: World, client: Client) -> None:
    """§7 (b): the event of a change comes before any reply that reveals it, also the writer's own."""
    from coord.tree import commands
    from tests.tree.world import HERE, run_of

    world.watches.add_data(ME, "/a")
    seen: list[int] = []
    block = commands.block(
        *HERE, 2, [commands.create(client.session, client.epoch, "/a", b"", ((31, "world", "anyone"),), 0)]
    )

    world.machine.apply(
        run_of(world.zxid + 1, 1, 1_000, 0, [block]),
        HERE,
        lambda zxid, outcome: seen.append(len(world.events)),
    )

    assert seen == [1]


def test_closing_a_session_deletes_its_ephemerals_one_after_the_other(world: World, client: Client) -> None:
    """§7: as delete, per ephemeral; §6: all with one zxid."""
    client.create("/p")
    for name in ("b", "a"):
        client.create(f"/p/{name}", mode=EPHEMERAL)
    world.watches.add_persistent(ME, "/p")
    world.watches.add_data(ME, "/p/a")
    world.watches.add_data(ME, "/p/b")

    client.close()

    assert world.event_zxids == [world.zxid] * 4
    assert world.take_events() == [
        (ME, DELETED, "/p/b"),
        (ME, CHILDREN_CHANGED, "/p"),
        (ME, DELETED, "/p/a"),
        (ME, CHILDREN_CHANGED, "/p"),
    ]
    assert world.stat("/p").pzxid == world.zxid


def test_watches_die_with_their_connection(world: World, client: Client) -> None:
    """§7: bound to the connection, gone when it closes."""
    client.create("/a")
    for connection in (ME, YOU):
        world.watches.add_data(connection, "/a")
        world.watches.add_persistent(connection, "/a")
        world.watches.add_recursive(connection, "/")
        world.watches.add_child(connection, "/a")

    world.watches.drop(ME)
    client.set_data("/a")

    assert world.take_events() == [(YOU, DATA_CHANGED, "/a")]
    world.watches.drop(YOU)
    world.watches.drop(YOU)
    assert world.watches.count() == WatchCount(0, 0, 0)
    assert not world.watches.connections, "the one test that a write without watches pays for"


def test_connection_may_be_closed_while_it_is_told(client: Client) -> None:
    """A slow reader is closed when its buffer is full, which happens in the middle of delivering."""
    told: list[int] = []

    def deliver(connection: int, event_type: int, path: str, zxid: int, acl: Acl) -> None:
        told.append(connection)
        for other in (ME, YOU):
            watches.drop(other)

    watches = Watches(deliver)
    for connection in (ME, YOU):
        watches.add_data(connection, "/a")
        watches.add_persistent(connection, "/a")
        watches.add_recursive(connection, "/")
        watches.add_child(connection, "/a")
        watches.add_persistent(connection, "/")

    watches.fire_deleted("/a", "/", 5, OPEN, OPEN)

    assert told == [ME, YOU]


@pytest.mark.parametrize(
    ("watcher_type", "add"),
    [
        (WatcherType.CHILDREN, "add_child"),
        (WatcherType.DATA, "add_data"),
        (WatcherType.PERSISTENT, "add_persistent"),
        (WatcherType.PERSISTENT_RECURSIVE, "add_recursive"),
    ],
)
def test_watches_are_checked_and_removed_by_their_type(watcher_type: WatcherType, add: str) -> None:
    """§5.10: not registered, NoWatcher; `Any` is every type."""
    told: list[EventType] = []
    watches = Watches(lambda connection, event_type, path, zxid, acl: told.append(EventType(event_type)))
    getattr(watches, add)(ME, "/a")
    others = set(WatcherType) - {watcher_type, WatcherType.ANY}

    assert watches.contains(ME, "/a", watcher_type)
    assert watches.contains(ME, "/a", WatcherType.ANY)
    assert not watches.contains(ME, "/b", watcher_type)
    assert not watches.contains(YOU, "/a", watcher_type)
    assert not any(watches.contains(ME, "/a", other) or watches.remove(ME, "/a", other) for other in others)
    assert watches.remove(ME, "/a", watcher_type)
    assert not watches.remove(ME, "/a", watcher_type)

    watches.fire_created("/a", "/", 1, OPEN, OPEN)
    watches.fire_deleted("/a", "/", 1, OPEN, OPEN)
    assert told == []
    assert not watches.connections


def test_removing_any_removes_all_types_at_once(world: World) -> None:
    """§5.10 type 3."""
    watches = world.watches
    for add in (watches.add_data, watches.add_child, watches.add_persistent, watches.add_recursive):
        add(ME, "/a")
    watches.add_data(ME, "/b")
    watches.add_data(YOU, "/a")

    assert watches.remove(ME, "/a", WatcherType.ANY)

    assert watches.count() == WatchCount(connections=2, paths=2, watches=2)


def test_count_tells_connections_paths_and_watches(world: World) -> None:
    """§12 wchs, mntr."""
    world.watches.add_data(ME, "/a")
    world.watches.add_child(ME, "/a")
    world.watches.add_data(YOU, "/b")

    assert world.watches.count() == WatchCount(connections=2, paths=2, watches=3)


def test_set_watches_tells_what_was_missed_and_arms_the_rest(world: World, client: Client) -> None:
    """§7 setWatches; PROTOCOL-NOTES: missed events in the lists' order, data, exist, child."""
    for path in ("/same", "/changed", "/there", "/p", "/q"):
        client.create(path)
    seen = world.zxid
    client.set_data("/changed")
    client.create("/q/a")
    client.delete("/q/a")

    missed = world.watches.set_watches(
        ME,
        seen,
        world.machine.znodes,
        data=["/changed", "/same", "/gone"],
        exist=["/there", "/absent"],
        child=["/gone", "/q", "/p"],
        persistent=["/changed"],
        recursive=["/q"],
    )

    assert missed == [
        (DATA_CHANGED, "/changed"),
        (DELETED, "/gone"),
        (CREATED, "/there"),
        (DELETED, "/gone"),
        (CHILDREN_CHANGED, "/q"),
    ]
    assert [
        [
            path
            for path in ("/same", "/absent", "/p", "/changed", "/q", "/gone", "/there")
            if world.watches.contains(ME, path, kind)
        ]
        for kind in (
            WatcherType.DATA,
            WatcherType.CHILDREN,
            WatcherType.PERSISTENT,
            WatcherType.PERSISTENT_RECURSIVE,
        )
    ] == [["/same", "/absent"], ["/p"], ["/changed"], ["/q"]]


def test_set_watches_counts_only_what_came_after_the_last_zxid_seen(world: World, client: Client) -> None:
    """§7: mzxid > relativeZxid; the change at that very zxid was seen."""
    client.create("/a")
    client.set_data("/a")
    client.create("/a/b")
    missed = world.watches.set_watches(ME, world.zxid, world.machine.znodes, ["/a"], [], ["/a"])
    assert missed == []

    missed = world.watches.set_watches(ME, world.zxid - 1, world.machine.znodes, ["/a"], [], ["/a"])
    assert missed == [(CHILDREN_CHANGED, "/a")]
