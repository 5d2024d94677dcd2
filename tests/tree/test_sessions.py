"""Sessions and leases (ARCHITECTURE §6, ZOOKEEPER-PROTOCOL §10): who may act, what ends when and with it."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord.tree import commands
from coord.tree.leases import MAX_GRACE_MS, Lease, grace_ms
from coord.tree.machine import Created
from coord.tree.znode import Znode
from coord_protocol.errors import Code
from coord_protocol.extensions import LeaseInfo
from coord_protocol.records import EventType
from tests.tree.world import ANYONE, EPHEMERAL, EPHEMERAL_SEQUENTIAL, SEQUENTIAL, Client, World, creating


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    return world.session()


def attach(world: World, client: Client, timeout_ms: int = 10_000, address: str = "10.0.0.1") -> Client:
    session = world.do(commands.attach_session(client.session, timeout_ms, address))
    assert isinstance(session, Lease)
    return Client(world, session.id, session.epoch)


# Who may act


def test_session_is_known_by_the_zxid_of_its_create(world: World) -> None:
    """§2: any positive unique long; ours is the index."""
    client = world.session()

    assert client.session == client.epoch == world.zxid > 0


def test_unknown_session_is_expired(world: World) -> None:
    """CONCEPTS C6: an expired client is told, not silently recreated."""
    stranger = Client(world, 4711, 4711)

    assert stranger.create("/a") == Code.SESSION_EXPIRED
    assert stranger.multi(creating("/a")) == Code.SESSION_EXPIRED
    assert stranger.close() == Code.SESSION_EXPIRED
    assert world.do(commands.attach_session(4711, 1000, "10.0.0.1")) == Code.SESSION_EXPIRED


def test_commands_of_an_earlier_connection_are_refused(world: World, client: Client) -> None:
    """§10: a write of a connection which is no longer the owner is SessionMoved; CONCEPTS C1."""
    newer = attach(world, client)

    assert client.create("/late") == Code.SESSION_MOVED
    assert client.add_auth("digest", "a:b") == Code.SESSION_MOVED
    assert client.close() == Code.SESSION_MOVED
    assert isinstance(newer.create("/now"), Created)


def test_attaching_keeps_the_ephemerals(world: World, client: Client) -> None:
    """§10: re-attach on another server does not delete them."""
    client.create("/e", mode=EPHEMERAL)

    attach(world, client).close()

    assert not world.exists("/e"), "they are still the session's"


def test_departed_names_the_connections_that_lost_their_session(world: World, client: Client) -> None:
    """Servers close them: §10, session moved; and what has ended."""
    newer = attach(world, client)
    assert world.machine.departed == [(client.session, client.epoch)]

    newer.close()
    assert world.machine.departed == [(newer.session, newer.epoch)]

    other = world.session(timeout_ms=1_000)
    assert world.machine.departed == []
    world.pass_time(5_000)
    assert world.machine.departed == [(other.session, other.epoch)]


def test_plain_lease_is_no_session(world: World, client: Client) -> None:
    """They share ids; nobody may act as a lease, or attach to one."""
    lease = client.grant()

    assert Client(world, lease, lease).create("/a") == Code.SESSION_EXPIRED
    assert world.do(commands.attach_session(lease, 1000, "10.0.0.1")) == Code.SESSION_EXPIRED


def test_closing_deletes_the_ephemerals_and_the_session(world: World, client: Client) -> None:
    """§5.6 closeSession."""
    client.create("/p")
    client.create("/p/e", mode=EPHEMERAL)
    client.create("/p/s-", mode=EPHEMERAL_SEQUENTIAL)
    client.create("/p/stays", mode=SEQUENTIAL)

    assert client.close() is None

    assert world.children("/p") == ["stays0000000002"]
    assert not client.is_alive
    assert client.create("/a") == Code.SESSION_EXPIRED


def test_commands_behind_a_close_in_the_same_run_find_no_session(world: World, client: Client) -> None:
    """RELIABILITY 23 (ZOOKEEPER-1208): an ephemeral create that races with closeSession."""
    outcomes = world.apply(
        commands.close_session(client.session, client.epoch),
        commands.create(client.session, client.epoch, "/e", b"", ANYONE, EPHEMERAL),
    )

    assert outcomes == [None, Code.SESSION_EXPIRED]
    assert not world.exists("/e")


def test_name_of_a_session_is_shown_as_holder(world: World) -> None:
    """DESIGN of nameSession: the holder's name in lists."""
    client = world.session(name="first")
    world.do(commands.name_session(client.session, client.epoch, "worker 7"))

    info = world.machine.leases.info(client.session, world.machine.clock_ms)

    assert info is not None
    assert (info.kind, info.name) == ("session", "worker 7")
    assert info_of(world, world.session(name="second").session).name == "second"


# When it ends


def info_of(world: World, lease: int) -> LeaseInfo:
    info = world.machine.leases.info(lease, world.machine.clock_ms)
    assert info is not None
    return info


def test_session_ends_when_the_clock_has_passed_its_deadline_and_not_before(world: World) -> None:
    """§6: never an early expiry; the first entry whose clock passes the deadline ends it."""
    client = world.session(timeout_ms=2_000)
    client.create("/e", mode=EPHEMERAL)

    world.pass_time(2_000 + grace_ms(2_000))
    assert world.exists("/e")

    world.pass_time(1)
    assert not world.exists("/e")
    assert not client.is_alive
    assert client.create("/a") == Code.SESSION_EXPIRED


def test_expiry_has_the_zxid_of_the_runs_first_entry(world: World) -> None:
    """What ends with a run is one change, before the commands of the run."""
    client, other = world.session(timeout_ms=2_000), world.session(timeout_ms=60_000)
    client.create("/e", mode=EPHEMERAL)
    world.clock_ms += 10_000

    outcomes = world.apply(
        commands.create(other.session, other.epoch, "/e", b"", ANYONE, 0),
        commands.create(client.session, client.epoch, "/a", b"", ANYONE, 0),
    )

    assert isinstance(outcomes[0], Created), "the name is free at once"
    assert outcomes[1] == Code.SESSION_EXPIRED, "a command in the very run comes too late"
    assert world.stat("/").pzxid == world.zxid - 1


def test_every_command_of_a_session_keeps_it_alive(world: World) -> None:
    """§5.6: any packet refreshes the session; also refused commands."""
    client = world.session(timeout_ms=2_000)

    signs_of_life: list[Callable[[], object]] = [
        lambda: client.create("/a"),
        lambda: client.create("/a"),
        lambda: client.set_data("/none"),
        client.multi,
        client.keep_alive,
        client.grant,
    ]
    for give_one in signs_of_life:
        world.pass_time(1_900)
        give_one()

    assert client.is_alive


def test_keep_alive_passes_over_the_dead_and_the_moved(world: World, client: Client) -> None:
    """§6: keep-alives gather into one entry; one that is gone must not spoil it for others."""
    moved, alive = world.session(timeout_ms=2_000), world.session(timeout_ms=2_000)
    attach(world, moved, timeout_ms=2_000)
    world.pass_time(1_500)

    touches = [(4711, 4711), (moved.session, moved.epoch), (alive.session, alive.epoch)]
    assert world.do(commands.keep_alive(touches)) is None
    world.pass_time(1_500)

    assert alive.is_alive
    assert not moved.is_alive, "a sign of life of the earlier connection counts for nothing"


def test_attaching_negotiates_the_timeout_anew(world: World) -> None:
    """§2: also a shorter one counts at once."""
    client = world.session(timeout_ms=60_000)
    attach(world, client, timeout_ms=2_000)

    world.pass_time(2_300)

    assert not client.is_alive


def test_attaching_is_a_sign_of_life(world: World) -> None:
    """§6."""
    client = world.session(timeout_ms=2_000)
    world.pass_time(2_000)
    newer = attach(world, client, timeout_ms=2_000)

    world.pass_time(2_000)

    assert newer.is_alive


def test_clock_never_goes_back(world: World) -> None:
    """CONCEPTS trap 7: stamps are monotonic across leaders: max(last, now)."""
    client = world.session(timeout_ms=2_000)
    world.clock_ms -= 900
    client.keep_alive()
    assert world.machine.clock_ms == 1_000

    world.clock_ms = 1_000
    world.pass_time(2_200)

    assert client.is_alive


def test_those_that_end_together_do_so_by_deadline_then_id(world: World) -> None:
    """Every member must delete in the same order, which watchers see."""
    late, early, same = world.session(5_000), world.session(3_000), world.session(3_000)
    for name, client in (("late", late), ("same", same), ("early", early)):
        client.create(f"/{name}", mode=EPHEMERAL)
    world.watches.add_recursive(7, "/")

    world.pass_time(60_000)

    assert [path for _, _, path in world.take_events()] == ["/early", "/same", "/late"]


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([400, 1_000, 2_500, 8_000]), st.integers(0, 1_500)),
        max_size=30,
    )
)
def test_sessions_end_exactly_when_silent_for_longer_than_their_span(
    steps: list[tuple[int, int, int]],
) -> None:
    """§6, RELIABILITY 24: no early and no late expiry. `steps`: (who speaks, its ttl, how long all wait
    then)."""
    world = World()
    clients: dict[int, Client] = {}
    spans: dict[int, int] = {}
    heard_at: dict[int, int] = {}

    for who, ttl_ms, wait_ms in steps:
        if who not in clients:
            clients[who] = world.session(ttl_ms)
            spans[who] = ttl_ms + grace_ms(ttl_ms)
        else:
            clients[who].keep_alive()
        heard_at[who] = world.clock_ms
        world.pass_time(wait_ms)
        for name in list(clients):
            is_over = world.clock_ms > heard_at[name] + spans[name]
            assert clients[name].is_alive is not is_over
            if is_over:
                del clients[name]


def test_scan_for_the_dead_is_needed_only_after_the_bound(world: World) -> None:
    """`next_deadline_ms` is what leaders wait for: nothing ends before it; None when nothing can end."""
    leases = world.machine.leases
    assert leases.next_deadline_ms is None

    client = world.session(timeout_ms=2_000)
    assert leases.next_deadline_ms == 1_000 + 2_200

    world.pass_time(2_000)
    client.keep_alive()
    assert leases.next_deadline_ms == 3_200, "touching stores one number and leaves the bound"

    world.pass_time(201)
    assert leases.next_deadline_ms == 5_200, "passing it finds the next"


def test_grace_is_bounded() -> None:
    """RELIABILITY §2: no ephemeral of a dead session older than T + 1 s."""
    assert grace_ms(3_600_000) == MAX_GRACE_MS < 1_000


# Plain leases


def test_lease_ends_with_its_keys_and_sessions_end_without_it(world: World, client: Client) -> None:
    """§6: one way for keys to be owned; a lease outlives the session that asked for it."""
    lease = client.grant(ttl_ms=20_000)
    client.create("/k", lease=lease)
    client.create("/e", mode=EPHEMERAL)

    client.close()
    assert world.stat("/k").ephemeral_owner == lease
    assert not world.exists("/e")

    world.pass_time(20_501)
    assert not world.exists("/k")
    assert world.machine.leases.table == {}


def test_key_of_a_lease_has_no_children(client: Client) -> None:
    """PROTOCOL-NOTES: under an ephemeral -108; old clients just see an ephemeral."""
    client.create("/k", lease=client.grant())

    assert client.create("/k/a") == Code.NO_CHILDREN_FOR_EPHEMERALS


def test_create_under_a_missing_lease_is_no_lease(world: World, client: Client) -> None:
    """Only a plain lease that lives; it is asked before the path, as the session is (§5.1 step 3)."""
    lease = client.grant()
    client.revoke(lease)

    assert client.create("/k", lease=lease) == Code.NO_LEASE
    assert client.create("no path", lease=4711) == Code.NO_LEASE
    assert client.create("/k", lease=client.session) == Code.NO_LEASE
    assert client.create("/k", lease=4711, mode=5) == Code.UNIMPLEMENTED


def test_keeping_alive_answers_the_time_left_for_each(world: World, client: Client) -> None:
    """1011: -1 for one that is gone; a session is not kept alive this way."""
    one, two = client.grant(2_000), client.grant(3_000)
    client.revoke(two)

    assert client.keep_lease_alive(one, two, client.session, 0) == [2_000, -1, -1, -1]
    assert client.keep_lease_alive() == []


def test_kept_alive_lease_lives_on(world: World, client: Client) -> None:
    """§6."""
    lease = client.grant(2_000)
    for _ in range(3):
        world.pass_time(2_000)
        client.keep_lease_alive(lease)

    assert world.machine.leases.lease(lease) is not None


def test_revoking_deletes_the_keys_at_once(world: World, client: Client) -> None:
    """1012; what is gone, or a session, is no lease."""
    lease = client.grant()
    client.create("/k", lease=lease)

    assert client.revoke(lease) is None
    assert not world.exists("/k")
    assert client.revoke(lease) == Code.NO_LEASE
    assert client.revoke(client.session) == Code.NO_LEASE
    assert client.is_alive


def test_info_tells_holder_time_left_and_keys(world: World, client: Client) -> None:
    """1013."""
    lease = client.grant(5_000, name="backup", meta=b"\0\1")
    client.create("/b", lease=lease)
    client.create("/a", lease=lease)
    client.set_data("/b")
    world.pass_time(1_500)

    assert info_of(world, lease) == LeaseInfo(lease, "lease", "backup", 5_000, 3_500, ["/b", "/a"], b"\0\1", "")
    assert world.machine.leases.info(4711, 0) is None


def test_time_left_is_what_the_holder_may_count_on(world: World, client: Client) -> None:
    """The grace is not the holder's; it never shows less than nothing."""
    lease = client.grant(2_000)
    world.pass_time(2_100)

    assert info_of(world, lease).remaining_ms == 0


def test_list_has_all_of_a_kind_oldest_first(world: World, client: Client) -> None:
    """1014."""
    lease = client.grant()
    other = world.session()
    leases, clock_ms = world.machine.leases, world.machine.clock_ms

    assert [info.lease_id for info in leases.infos("", clock_ms)] == [client.session, lease, other.session]
    assert [info.lease_id for info in leases.infos("lease", clock_ms)] == [lease]
    assert [info.lease_id for info in leases.infos("session", clock_ms)] == [client.session, other.session]
    assert leases.infos("nonsense", clock_ms) == []


def test_count_tells_sessions_leases_and_keys(world: World, client: Client) -> None:
    """§12 mntr."""
    client.create("/k", lease=client.grant())
    client.create("/e", mode=EPHEMERAL)

    assert world.machine.leases.count() == (1, 1, 2)


def test_set_data_on_a_key_keeps_its_owner(world: World, client: Client) -> None:
    """§6 ephemeralOwner is for life."""
    client.create("/e", mode=EPHEMERAL)

    assert isinstance(client.set_data("/e"), Znode)
    assert isinstance(client.set_acl("/e", ANYONE), Znode)

    assert world.stat("/e").ephemeral_owner == client.session


# Operators


def test_operator_ends_a_lease_with_its_keys(world: World, client: Client) -> None:
    """1017, as a revoke."""
    lease = client.grant()
    client.create("/k", lease=lease)
    operator = world.session()
    operator.add_auth("super", "")

    assert operator.end(lease) is None
    assert not world.exists("/k")
    assert operator.end(lease) == Code.NO_LEASE
    assert world.machine.departed == []


def test_operator_ends_a_session_as_if_it_had_been_closed(world: World, client: Client) -> None:
    """1017, as a closeSession: ephemerals go in one change, and whoever has the connection is told."""
    client.create("/e", mode=EPHEMERAL)
    operator = world.session()
    world.watches.add_data(1, "/e")
    world.take_events()

    assert operator.end(client.session, is_vouched_for=True) is None
    assert not client.is_alive
    assert world.machine.departed == [(client.session, client.epoch)]
    assert world.take_events() == [(1, EventType.DELETED, "/e")]


def test_operator_may_end_its_own_session(world: World) -> None:
    operator = world.session()

    assert operator.end(operator.session, is_vouched_for=True) is None
    assert operator.create("/a") == Code.SESSION_EXPIRED


def test_nobody_else_ends_what_is_not_theirs(world: World, client: Client) -> None:
    """Identities of other schemes, and names that look like it, do not count."""
    lease = client.grant()
    stranger = world.session()
    stranger.add_auth("digest", "super:hash")

    assert stranger.end(lease) == Code.NOT_OPERATOR
    assert stranger.end(client.session) == Code.NOT_OPERATOR
    assert stranger.end(4711) == Code.NOT_OPERATOR, "who may not end it need not learn whether it exists"
    assert client.is_alive
