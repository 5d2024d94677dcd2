"""What a session does when connections come and go (the server is a script, the time is virtual)."""

import anyio
import anyio.lowlevel
import pytest

from coord_client import SessionState, connect
from coord_client.addresses import Address
from coord_client.tenure import Tenure
from coord_protocol.errors import (
    AuthFailed,
    ClientClosed,
    ConnectionLost,
    NoNode,
    OperationTimeout,
    SessionExpired,
)
from coord_protocol.requests import OpCode, SetWatches2
from tests.client.backends import on_both_backends
from tests.client.keeper import Action, Keeper, Once
from tests.client.opening import calm, client_of


@on_both_backends
async def test_it_takes_the_first_server_that_takes_it() -> None:
    keeper = Keeper()
    refusals = iter([False, True])

    async def dial(address: Address) -> object:
        keeper.is_reachable = next(refusals)
        return await keeper.dial(address)

    async with connect("a,b", dial=dial, itinerary=calm(Address("a", 1), Address("b", 2))) as client:  # type: ignore[arg-type]
        assert client.state is SessionState.CONNECTED
        assert client.session_id in keeper.sessions

    assert [address.host for address in keeper.dialled] == ["a", "b"]


@on_both_backends
async def test_without_any_server_connect_gives_up_and_says_what_it_tried() -> None:
    keeper = Keeper()
    keeper.is_reachable = False
    started = anyio.current_time()

    with pytest.raises(OperationTimeout, match="b:2 refuses"):
        async with connect(
            "a:1,b:2", connect_timeout=7.0, dial=keeper.dial, itinerary=calm(Address("a", 1), Address("b", 2))
        ):
            pass

    assert anyio.current_time() - started == pytest.approx(7.0)
    assert len(keeper.dialled) < 30


@on_both_backends
async def test_a_server_that_says_nothing_is_left_for_the_next() -> None:
    keeper = Keeper()
    keeper.is_silent = True

    with pytest.raises(OperationTimeout, match="no answer in"):
        async with client_of(keeper, timeout=6.0):
            pass

    assert {address.host for address in keeper.dialled} == {"a", "b"}


@on_both_backends
async def test_a_read_in_flight_is_asked_again_when_the_connection_dies() -> None:
    keeper = Keeper()
    keeper.on_request = Once(Action.CUT_AFTER, OpCode.GET_DATA)
    async with client_of(keeper) as client:
        assert (await client.get("/")).data == b""
        assert keeper.count(OpCode.GET_DATA) == 2


@pytest.mark.parametrize("action", [Action.CUT_BEFORE, Action.CUT_AFTER])
def test_a_write_in_flight_is_not_asked_again(action: Action) -> None:
    """It may have happened: whether to repeat it is the caller's decision."""

    async def story() -> None:
        keeper = Keeper()
        keeper.on_request = Once(action, OpCode.CREATE2)
        async with client_of(keeper) as client:
            with pytest.raises(ConnectionLost) as lost:
                await client.create("/a")

            assert not lost.value.definite
            assert (await client.exists("/a") is not None) == (action is Action.CUT_AFTER)
            assert keeper.count(OpCode.CREATE2) == 1

    for backend in ("trio", "asyncio"):
        anyio.run(story, backend=backend)


@on_both_backends
async def test_a_write_that_was_never_sent_waits_for_the_next_connection() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        keeper.is_reachable = False
        keeper.cut_all()
        await anyio.sleep(1.0)
        assert client.state is SessionState.SUSPENDED

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.create, "/a")
            await anyio.sleep(1.0)
            keeper.is_reachable = True

        assert "/a" in keeper.znodes
        assert keeper.count(OpCode.CREATE2) == 1


@on_both_backends
async def test_nothing_waits_longer_for_a_connection_than_was_agreed() -> None:
    keeper = Keeper()
    async with client_of(keeper, retry_timeout=3.0) as client:
        keeper.is_reachable = False
        keeper.cut_all()
        await anyio.sleep(1.0)
        started = anyio.current_time()

        with pytest.raises(ConnectionLost, match="refuses") as lost:
            await client.create("/a")

        assert lost.value.definite
        assert anyio.current_time() - started == pytest.approx(3.0)


@on_both_backends
async def test_a_read_that_kills_every_connection_is_given_up() -> None:
    """Such as one whose answer is too large: it must not be repeated for ever."""
    keeper = Keeper()
    keeper.on_request = lambda opcode, _: Action.CUT_BEFORE if opcode == OpCode.GET_DATA else Action.SERVE
    async with client_of(keeper, retry_timeout=3.0) as client:
        with pytest.raises(ConnectionLost):
            await client.get("/")

        assert keeper.count(OpCode.GET_DATA) < 40


@on_both_backends
async def test_it_comes_back_as_the_same_session() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        session_id = client.session_id
        await client.create("/mine", ephemeral=True)
        with client.states() as states:
            keeper.cut_all()
            await client.sync()

            assert [await anext(states) for _ in range(3)] == [
                SessionState.CONNECTED,
                SessionState.SUSPENDED,
                SessionState.CONNECTED,
            ]

        assert client.session_id == session_id
        assert "/mine" in keeper.znodes
    assert "/mine" not in keeper.znodes


@on_both_backends
async def test_a_lost_session_is_told_and_a_new_one_begun() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        before = client.session_id
        await client.create("/mine", ephemeral=True)
        _, change = await client.get_and_watch("/mine")
        with client.states() as states:
            keeper.is_reachable = False
            keeper.cut_all()
            keeper.expire(before)
            await anyio.sleep(0.5)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(expect_expiry, client.get, "/")
                tasks.start_soon(expect_expiry, client.create, "/b")
                tasks.start_soon(expect_expiry, change.wait)
                await anyio.sleep(0.5)
                keeper.is_reachable = True

            assert [await anext(states) for _ in range(4)] == [
                SessionState.CONNECTED,
                SessionState.SUSPENDED,
                SessionState.LOST,
                SessionState.CONNECTED,
            ]

        assert client.session_id not in (0, before)
        assert await client.exists("/mine") is None
        assert "/b" not in keeper.znodes


async def expect_expiry(operation, *arguments) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SessionExpired):
        await operation(*arguments)


@on_both_backends
async def test_a_tenure_of_an_older_session_is_over_when_it_begins() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        tenure = Tenure(client.session_deadline)
        with client.session.guarding(tenure, client.session_id):
            assert tenure.lost is None
        with client.session.guarding(tenure, client.session_id - 1):
            assert tenure.lost == "the session has expired"


@on_both_backends
async def test_a_new_session_does_not_remember_the_zxid_of_the_old() -> None:
    """A server restored from a backup would refuse it for ever (python-zk/kazoo#42)."""
    keeper = Keeper()
    async with client_of(keeper) as client:
        before = client.session_id
        await client.create("/a")
        keeper.expire(before)
        await anyio.sleep(1.0)

        await client.sync()
        handshakes = [(each.session_id, each.last_zxid_seen) for each in keeper.handshakes]
        assert handshakes == [(0, 0), (before, 2), (0, 0)]


@on_both_backends
async def test_credentials_and_the_name_go_ahead_of_everything_on_each_connection() -> None:
    keeper = Keeper()
    async with connect(
        "a",
        name="worker 7",
        auth=[("digest", "bob:pw")],
        dial=keeper.dial,
        itinerary=calm(Address("a", 1)),
    ) as client:
        await client.add_auth("digest", b"eve:pw")
        _, change = await client.exists_and_watch("/a")
        keeper.seen.clear()
        keeper.cut_all()
        await client.sync()

        assert [opcode for opcode, _ in keeper.seen] == [
            OpCode.AUTH,
            OpCode.AUTH,
            OpCode.SET_WATCHES2,
            OpCode.NAME_SESSION,
            OpCode.SYNC,
        ]
        assert [session.name for session in keeper.sessions.values()] == ["worker 7"]
        change.cancel()


@on_both_backends
async def test_credentials_that_are_refused_end_the_client() -> None:
    keeper = Keeper()

    with pytest.raises(AuthFailed, match="nonsense"):
        async with connect("a", auth=[("nonsense", "x")], dial=keeper.dial, itinerary=calm(Address("a", 1))):
            raise AssertionError("connected without its credentials")


@on_both_backends
async def test_credentials_added_later_are_only_kept_if_accepted() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        with pytest.raises(AuthFailed):
            await client.add_auth("nonsense", "x")
        keeper.seen.clear()

        await client.sync()

        assert keeper.count(OpCode.AUTH) == 0


@on_both_backends
async def test_a_plain_zookeeper_is_not_told_the_name() -> None:
    """It would close the connection on an opcode that it does not know."""
    keeper = Keeper(extensions=False)
    async with client_of(keeper, name="worker 7") as client:
        await client.sync()

        assert keeper.count(OpCode.NAME_SESSION) == 0


@on_both_backends
async def test_pings_keep_an_idle_session_alive() -> None:
    keeper = Keeper()
    async with keeper.expiring_in_time(), client_of(keeper, timeout=9.0) as client:
        session_id = client.session_id
        await anyio.sleep(600)

        assert client.session_id == session_id
        assert 190 < keeper.count(OpCode.PING) < 210
        assert client.session_deadline - anyio.current_time() > 9.0 * (1 - 0.05) - 3.1


@on_both_backends
async def test_belief_in_the_session_ends_before_the_session_does() -> None:
    """Whenever the server falls silent, our deadline stands before the moment it may expire us."""
    for silent_after in (0.0, 0.9, 2.99, 3.01, 5.7, 8.9):
        keeper = Keeper()
        async with client_of(keeper, timeout=9.0) as client:
            await anyio.sleep(silent_after)
            keeper.is_silent = True
            session = keeper.sessions[client.session_id]
            await anyio.sleep(20)

            assert client.state is SessionState.SUSPENDED
            assert client.session_deadline < session.heard_at + session.timeout
            keeper.heal()


@on_both_backends
async def test_answers_to_reads_do_not_prolong_the_belief() -> None:
    """A follower that lost its leader may still answer reads; the leader ends the session all the same."""
    keeper = Keeper()
    async with client_of(keeper, timeout=9.0) as client:
        deadline = client.session_deadline
        for _ in range(20):
            await anyio.sleep(0.1)
            await client.get("/")

        assert client.session_deadline == deadline


@on_both_backends
async def test_silence_suspends_the_session_before_it_can_end() -> None:
    keeper = Keeper()
    async with client_of(keeper, timeout=9.0) as client:
        with client.states() as states:
            await anext(states)
            keeper.is_silent = True
            fell_silent_at = anyio.current_time()

            assert await anext(states) is SessionState.SUSPENDED
            assert anyio.current_time() - fell_silent_at == pytest.approx(6.0)
            keeper.heal()


@on_both_backends
async def test_many_callers_share_one_send_and_one_receive() -> None:
    """What we pay is per turn of the loop, not per request."""
    keeper = Keeper()
    async with client_of(keeper) as client:
        await client.get("/")
        sends_before = keeper.sends

        async with anyio.create_task_group() as tasks:
            for _ in range(64):
                tasks.start_soon(client.get, "/")

        assert keeper.sends - sends_before <= 2
        assert keeper.count(OpCode.GET_DATA) == 65


@on_both_backends
async def test_a_server_that_drops_us_at_once_is_not_dialled_in_a_tight_loop() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        keeper.on_request = lambda opcode, record: Action.CUT_BEFORE
        with anyio.move_on_after(10.0):
            while True:
                with pytest.raises(ConnectionLost):
                    await client.create("/a")

        assert len(keeper.dialled) < 40
        keeper.on_request = lambda opcode, record: Action.SERVE


@on_both_backends
async def test_leaving_ends_the_session_at_the_server() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        await client.create("/mine", ephemeral=True)

    assert keeper.sessions == {}
    assert "/mine" not in keeper.znodes
    with pytest.raises(ClientClosed):
        await client.get("/")


@on_both_backends
async def test_leaving_does_not_hang_on_a_server_that_is_silent() -> None:
    keeper = Keeper()
    async with client_of(keeper):
        keeper.is_silent = True
        started = anyio.current_time()

    assert anyio.current_time() - started < 3.0


@on_both_backends
async def test_operations_of_other_tasks_end_when_the_client_is_left() -> None:
    keeper = Keeper()
    async with anyio.create_task_group() as tasks, client_of(keeper) as client:
        _, change = await client.exists_and_watch("/never")
        tasks.start_soon(expect_closed, change.wait)
        keeper.is_silent = True
        tasks.start_soon(expect_closed, client.get, "/")
        await anyio.sleep(0.1)


async def expect_closed(operation, *arguments) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ClientClosed):
        await operation(*arguments)


@on_both_backends
async def test_an_error_of_the_body_comes_out_as_it_is() -> None:
    """Not in a group: that there are tasks behind a client is nobody's business."""
    keeper = Keeper()

    with pytest.raises(NoNode):
        async with client_of(keeper) as client:
            await client.get("/missing")


@on_both_backends
async def test_a_cancelled_caller_does_not_disturb_the_others() -> None:
    keeper = Keeper()
    keeper.on_request = Once(Action.HOLD, OpCode.GET_DATA)
    async with client_of(keeper) as client:
        await client.create("/a", b"1")
        with anyio.move_on_after(1.0) as scope:
            await client.get("/")
        assert scope.cancelled_caught
        keeper.links[-1].release()

        assert (await client.get("/a")).data == b"1"


@on_both_backends
async def test_one_shot_watches_survive_a_reconnect_and_miss_nothing() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client, client_of(keeper) as other:
        await client.create("/a")
        _, data = await client.get_and_watch("/a")
        _, created = await client.exists_and_watch("/b")
        _, children = await client.get_children_and_watch("/")
        _, untouched = await client.get_and_watch("/")
        keeper.is_reachable = False
        next(link for link in keeper.links if link.session_id == client.session_id).cut()
        await anyio.sleep(0.1)
        await other.set("/a", b"2")
        await other.create("/b")
        keeper.is_reachable = True

        assert (await data.wait()).path == "/a"
        assert (await created.wait()).path == "/b"
        assert (await children.wait()).path == "/"
        with anyio.move_on_after(5.0) as scope:
            await untouched.wait()
        assert scope.cancelled_caught
        await other.set("/", b"x")
        await untouched.wait()


@on_both_backends
async def test_watches_are_told_to_the_new_server_with_what_was_seen() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        await client.create("/a")
        seen = keeper.zxid
        _, change = await client.get_and_watch("/a")
        keeper.cut_all()
        await client.sync()

        (rearm,) = [record for opcode, record in keeper.seen if opcode == OpCode.SET_WATCHES2]
        assert rearm == SetWatches2(seen, ["/a"], [], [], [], [])
        change.cancel()


@on_both_backends
async def test_a_client_whose_scope_is_cancelled_ends_its_session_all_the_same() -> None:
    """Others would wait for its locks until the session runs out."""
    keeper = Keeper()

    with anyio.CancelScope() as scope:
        async with client_of(keeper) as client:
            await client.create("/lock", ephemeral=True)
            scope.cancel()
            await anyio.sleep_forever()

    assert keeper.sessions == {}
    async with client_of(keeper) as client:
        assert await client.exists("/lock") is None
