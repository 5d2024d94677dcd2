"""multi (ZOOKEEPER-PROTOCOL §5.7): one zxid, each operation sees those before it, all happen or none."""

import pytest

from coord.tree import commands
from coord.tree.commands import Kind
from coord.tree.leases import Lease
from coord.tree.machine import Created, MultiDone, MultiFailed, Outcome
from coord.tree.znode import Znode
from coord_protocol.errors import Code
from coord_protocol.records import EventType
from tests.tree.world import (
    EPHEMERAL,
    EPHEMERAL_SEQUENTIAL,
    SEQUENTIAL,
    Client,
    World,
    checking,
    creating,
    deleting,
    setting,
    stat_of,
)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    return world.session()


def results_of(outcome: Outcome) -> list[tuple[int, Outcome]]:
    assert isinstance(outcome, MultiDone), outcome
    return outcome.results


def test_all_operations_share_one_zxid_and_time(world: World, client: Client) -> None:
    """§5.7."""
    client.multi(creating("/a"), creating("/a/b"), setting("/a"))

    a, b = world.stat("/a"), world.stat("/a/b")
    assert a.czxid == a.mzxid == a.pzxid == b.czxid == world.zxid
    assert a.ctime == a.mtime == b.ctime == world.wall_ms


def test_results_come_in_order_with_their_kind(client: Client) -> None:
    """§5.7: success reply, per operation."""
    client.create("/x")

    results = results_of(client.multi(creating("/a"), setting("/a"), checking("/a", 1), deleting("/x")))

    assert [kind for kind, _ in results] == [Kind.CREATE, Kind.SET_DATA, Kind.CHECK, Kind.DELETE]
    assert isinstance(results[0][1], Created)
    assert isinstance(results[1][1], Znode)
    assert results[2][1] is results[3][1] is None


def test_each_result_shows_the_state_just_after_its_operation(client: Client) -> None:
    """ZooKeeper copies the Stat when it applies each operation (DataTree.processTxn)."""
    outcome = client.multi(creating("/a"), creating("/a/b"), setting("/a"), deleting("/a/b"), setting("/a"))

    results = results_of(outcome)
    created, first, second = results[0][1], results[2][1], results[4][1]
    assert isinstance(created, Created)
    assert isinstance(first, Znode)
    assert isinstance(second, Znode)
    assert [
        (stat_of(z).version, stat_of(z).num_children, stat_of(z).cversion) for z in (created.znode, first, second)
    ] == [
        (0, 0, 0),
        (1, 1, 1),
        (2, 0, 2),
    ]


def test_operations_see_those_before_them(world: World, client: Client) -> None:
    """§5.7: also sequential counters."""
    outcome = client.multi(
        creating("/q"),
        creating("/q/a-", mode=SEQUENTIAL),
        creating("/q/a-", mode=SEQUENTIAL),
        deleting("/q/a-0000000000"),
        setting("/q", b"1", 0),
        checking("/q", 1),
    )

    assert isinstance(outcome, MultiDone)
    assert world.children("/q") == ["a-0000000001"]


def test_empty_multi_is_done(client: Client) -> None:
    """§5.7: legal, with an empty result."""
    assert results_of(client.multi()) == []


def test_first_refused_operation_is_named_with_its_code(client: Client) -> None:
    """§5.7 failure reply; PROTOCOL-NOTES: [check ok, delete missing, check]."""
    client.create("/a")

    outcome = client.multi(checking("/a", 0), deleting("/missing"), checking("/a", 7), checking("/a", 0))

    assert outcome == MultiFailed(position=1, code=Code.NO_NODE, count=4)


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        (checking("/none"), Code.NO_NODE),
        (checking("/none/"), Code.BAD_ARGUMENTS),
        (checking("/a", 1), Code.BAD_VERSION),
        (checking("/secret", 0), Code.NO_AUTH),
        (creating("/a"), Code.NODE_EXISTS),
        (creating("/b", acl=()), Code.INVALID_ACL),
        (creating("/b", mode=5), Code.UNIMPLEMENTED),
        (deleting("/zookeeper"), Code.BAD_ARGUMENTS),
        (deleting("/secret", 1), Code.BAD_VERSION),
        (setting("/secret", version=1), Code.NO_AUTH),
    ],
)
def test_operations_are_judged_by_the_rules_of_single_ones(client: Client, operation: bytes, code: Code) -> None:
    """§5.7 refers to §5.1 to §5.3; check needs READ (§4)."""
    client.create("/a")
    client.create("/secret", acl=((4, "world", "anyone"),))

    assert client.multi(operation) == MultiFailed(position=0, code=code, count=1)


def test_check_needs_the_right_to_read_and_no_other(client: Client) -> None:
    """§4: check, READ."""
    client.create("/readable", acl=((1, "world", "anyone"),))
    client.create("/writable", acl=((30, "world", "anyone"),))

    assert isinstance(client.multi(checking("/readable")), MultiDone)
    assert client.multi(checking("/writable")) == MultiFailed(position=0, code=Code.NO_AUTH, count=1)


def test_refused_multi_leaves_no_trace(world: World, client: Client) -> None:
    """§5.7, RELIABILITY 29: all that an operation can touch is touched before the last one fails."""
    client.create("/p")
    client.create("/p/first", mode=EPHEMERAL)
    client.create("/p/second", mode=EPHEMERAL)
    client.create("/lone", b"old")
    world.watches.add_data(7, "/lone")
    world.watches.add_data(7, "/p/new")
    world.watches.add_child(7, "/p")
    bodies = {path: znode.get_data_body() for path, znode in world.machine.znodes.items()}
    before = (dict(world.machine.znodes), keys_of(world, client))

    outcome = client.multi(
        creating("/p/new"),
        creating("/p/new/below"),
        creating("/p/s-", mode=EPHEMERAL_SEQUENTIAL),
        deleting("/p/first"),
        creating("/p/first", mode=EPHEMERAL),
        setting("/lone"),
        deleting("/lone"),
        deleting("/p/second"),
        checking("/none"),
    )

    assert outcome == MultiFailed(position=8, code=Code.NO_NODE, count=9)
    assert (dict(world.machine.znodes), keys_of(world, client)) == before
    assert {path: znode.get_data_body() for path, znode in world.machine.znodes.items()} == bodies
    assert world.events == []
    created = client.create("/p/s-", mode=SEQUENTIAL)
    assert isinstance(created, Created)
    assert created.path == "/p/s-0000000002"
    assert world.take_events() == [(7, EventType.CHILDREN_CHANGED, "/p")], "the watch was not used up"


def keys_of(world: World, client: Client) -> tuple[list[str], int]:
    lease = world.machine.leases.table[client.session]
    assert isinstance(lease, Lease)
    return lease.keys_in_order(), lease.keys_made


def test_refused_multi_keeps_the_order_in_which_ephemerals_end(world: World, client: Client) -> None:
    """§7: on close they go in the order of their creation, also the one whose delete was undone."""
    for name in ("a", "b", "c"):
        client.create(f"/{name}", mode=EPHEMERAL)
    client.multi(deleting("/a"), deleting("/b"), checking("/none"))
    world.watches.add_recursive(7, "/")

    client.close()

    assert [path for _, _, path in world.take_events()] == ["/a", "/b", "/c"]


def test_last_child_that_comes_back_is_listed_again(world: World, client: Client) -> None:
    """A parent forgets its list of children with the last one; undoing brings it back."""
    client.create("/p")
    client.create("/p/only")

    client.multi(deleting("/p/only"), creating("/p/other"), checking("/none"))

    assert world.children("/p") == ["only"]


def test_events_fire_in_the_order_of_operations_after_all_are_done(world: World, client: Client) -> None:
    """§7: for each create or delete first the znode's event, then its parent's; one-shot ones once."""
    client.create("/p")
    client.create("/p/old")
    world.watches.add_child(7, "/p")
    world.watches.add_data(7, "/p/old")
    world.watches.add_data(7, "/p/new")
    world.watches.add_data(7, "/p")

    client.multi(creating("/p/new"), deleting("/p/old"), setting("/p"), setting("/p"))

    assert world.take_events() == [
        (7, EventType.CREATED, "/p/new"),
        (7, EventType.CHILDREN_CHANGED, "/p"),
        (7, EventType.DELETED, "/p/old"),
        (7, EventType.DATA_CHANGED, "/p"),
    ]


def test_events_carry_the_acl_of_the_moment(world: World, client: Client) -> None:
    """§7: the ACL at the time of the change, even if the znode is replaced later in the same multi."""
    secret = ((31, "ip", "10.0.0.1"),)
    client.create("/a", acl=secret)
    world.watches.add_persistent(7, "/a")

    client.multi(deleting("/a"), creating("/a"))

    assert [acl == secret for acl in world.event_acls] == [True, False]


def test_multi_of_a_session_that_moved_is_refused_whole(world: World, client: Client) -> None:
    """§5.7: SessionMoved is not told inside the multi."""
    world.do(commands.attach_session(client.session, 10_000, "10.0.0.1"))

    assert client.multi(creating("/a")) == Code.SESSION_MOVED


def test_ephemerals_of_a_multi_belong_to_its_session(world: World, client: Client) -> None:
    """§5.7: the operations' own session and epoch are not looked at."""
    client.multi(creating("/e", mode=EPHEMERAL))

    assert world.stat("/e").ephemeral_owner == client.session
