"""The lock: fair, one queue with others, without herd or orphans. How it is lost: `test_lock_loss.py`."""

import anyio
import pytest

from coord_client import Client, Delete
from coord_client.recipes import Contender
from coord_protocol.errors import (
    ConnectionLost,
    LocalProtocolError,
    LockLost,
    LockTimeout,
    SessionExpired,
)
from coord_protocol.requests import OpCode
from tests.client.backends import on_both_backends
from tests.client.keeper import Action, Keeper, Once, Znode
from tests.client.opening import client_of, cut

PATH = "/locks/x"


def contenders(keeper: Keeper) -> list[str]:
    """Names of the znodes in the queue."""
    return keeper.children(PATH) if PATH in keeper.znodes else []


async def hold(client: Client, log: list[str], seconds: float = 1.0) -> None:
    """Hold the lock for a while, and write down when."""
    async with client.lock(PATH):
        log.append(f"{client.name} begins")
        await anyio.sleep(seconds)
        log.append(f"{client.name} ends")


# Holding.


@on_both_backends
async def test_the_holder_has_a_token_and_is_known_to_others() -> None:
    keeper = Keeper()
    async with client_of(keeper, name="worker 7") as client, client_of(keeper) as other:
        async with client.lock(PATH) as held:
            stat = await other.exists(held.znode)
            assert stat is not None
            assert held.token == stat.czxid
            assert await other.lock(PATH).holder() == Contender("worker 7", held.token, held.znode, client.session_id)
        assert await other.lock(PATH).holder() is None
        assert await other.lock(PATH).contenders() == []
        assert await other.lock("/locks/never-used").contenders() == []


@on_both_backends
async def test_contenders_are_served_in_the_order_they_came() -> None:
    keeper = Keeper()
    log: list[str] = []
    async with (
        client_of(keeper, name="a") as a,
        client_of(keeper, name="b") as b,
        client_of(keeper, name="c") as c,
        anyio.create_task_group() as tasks,
    ):
        for client in (b, c, a):
            tasks.start_soon(hold, client, log)
            await anyio.sleep(0.1)
        assert [each.name for each in await a.lock(PATH).contenders()] == ["b", "c", "a"]

    assert log == ["b begins", "b ends", "c begins", "c ends", "a begins", "a ends"]


@on_both_backends
async def test_a_release_wakes_one_contender_however_many_wait() -> None:
    """Each watches the one before it: a thousand waiters must not all list the queue at each release."""
    keeper = Keeper()
    log: list[str] = []
    async with client_of(keeper, name="a") as client, anyio.create_task_group() as tasks:
        async with client.lock(PATH):
            for _ in range(20):
                tasks.start_soon(hold, client, log)
            await anyio.sleep(1.0)
            keeper.seen.clear()
        await anyio.sleep(0.5)

        assert log == ["a begins"]
        assert [opcode for opcode, _ in keeper.seen] == [OpCode.DELETE, OpCode.GET_CHILDREN2]


@on_both_backends
async def test_the_end_of_a_contender_that_merely_waited_is_nobodys_turn() -> None:
    """The last one before us may give up while the holder goes on."""
    keeper = Keeper()
    log: list[str] = []
    async with (
        client_of(keeper, name="a") as a,
        client_of(keeper, name="b") as b,
        client_of(keeper, name="c") as c,
        anyio.create_task_group() as tasks,
        a.lock(PATH),
    ):
        with anyio.move_on_after(1.0):
            async with anyio.create_task_group() as impatient:
                impatient.start_soon(hold, b, log)
                await anyio.sleep(0.1)
                tasks.start_soon(hold, c, log)
        await anyio.sleep(1.0)

        assert [each.name for each in await a.lock(PATH).contenders()] == ["a", "c"]
        assert log == []

    assert log == ["c begins", "c ends"]


@on_both_backends
async def test_a_contender_taken_out_together_with_the_holder_does_not_take_the_lock() -> None:
    """One transaction: the contender hears of the holder's end first, and of its own a moment later."""
    keeper = Keeper()
    log: list[str] = []
    async with (
        client_of(keeper, name="a") as a,
        client_of(keeper, name="b") as b,
        client_of(keeper, name="c") as c,
        anyio.create_task_group() as tasks,
    ):

        async def remove_two() -> None:
            async with a.lock(PATH) as held:
                for client in (b, c):
                    tasks.start_soon(hold, client, log)
                    await anyio.sleep(0.1)
                znodes = [each.znode for each in await a.lock(PATH).contenders()]
                await a.transaction(Delete(held.znode), Delete(znodes[1])).commit()
                await anyio.sleep(600)

        with pytest.raises(LockLost):
            await remove_two()

    assert log == ["c begins", "c ends", "b begins", "b ends"]


@on_both_backends
async def test_tokens_of_one_lock_only_grow() -> None:
    keeper = Keeper()
    tokens = []
    async with client_of(keeper) as client:
        for _ in range(4):
            async with client.lock(PATH) as held:
                tokens.append(held.token)

    assert tokens == sorted(set(tokens))


@on_both_backends
async def test_a_lock_can_be_taken_again_but_not_within_itself() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        lock = client.lock(PATH)
        for _ in range(2):
            async with lock:
                with pytest.raises(LocalProtocolError, match="in use"):
                    await lock.__aenter__()

        assert contenders(keeper) == []


@on_both_backends
async def test_release_ends_the_body_without_an_error() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        async with client.lock(PATH) as held:
            held.release()
            await anyio.sleep(1.0)
            raise AssertionError("the body went on")

        assert contenders(keeper) == []


@on_both_backends
async def test_an_error_of_the_body_goes_up_and_the_lock_is_let_go() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.lock(PATH):
                raise ZeroDivisionError

        assert contenders(keeper) == []


# One queue with others.


@on_both_backends
async def test_the_layout_is_that_of_kazoo() -> None:
    """`<32 hex digits>__lock__<10 digits>`, the name as data."""
    keeper = Keeper()
    async with client_of(keeper, name="worker 7") as client, client.lock(PATH):
        (name,) = contenders(keeper)
        assert int(name[:32], 16)
        assert name[32:] == "__lock__0000000000"
        assert keeper.znodes[f"{PATH}/{name}"].data == b"worker 7"


@pytest.mark.parametrize(
    ("stranger", "patterns", "waits"),
    [
        ("f00d__lock__0000000000", (), True),
        ("_c_f00d-lock-0000000000", (), False),
        ("_c_f00d-lock-0000000000", ("-lock-",), True),
        ("notes", (), False),
    ],
)
def test_strangers_are_waited_for_if_they_look_like_contenders(
    stranger: str, patterns: tuple[str, ...], waits: bool
) -> None:
    """kazoo's do; Curator's only if asked for, as with kazoo's `extra_lock_patterns`."""

    async def story() -> None:
        keeper = Keeper()
        keeper.znodes |= {
            "/locks": Znode(b"", 1),
            PATH: Znode(b"", 1, creates=1),
            f"{PATH}/{stranger}": Znode(b"", 1),
        }
        async with client_of(keeper) as client:
            lock = client.lock(PATH, timeout=0, extra_patterns=patterns)
            if waits:
                with pytest.raises(LockTimeout):
                    await lock.__aenter__()
            else:
                async with lock:
                    pass

    for backend in ("trio", "asyncio"):
        anyio.run(story, backend=backend)


# Waiting, and giving up.


@on_both_backends
async def test_waiting_ends_at_the_timeout_and_leaves_nothing_behind() -> None:
    keeper = Keeper()
    async with client_of(keeper, name="a") as a, client_of(keeper, name="b") as b, a.lock(PATH):
        started = anyio.current_time()

        with pytest.raises(LockTimeout, match="not won in 5 s"):
            async with b.lock(PATH, timeout=5.0):
                raise AssertionError("two holders")

        assert anyio.current_time() - started == pytest.approx(5.0)
        assert len(contenders(keeper)) == 1


@on_both_backends
async def test_a_timeout_of_zero_takes_the_lock_only_if_it_is_free() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        async with client.lock(PATH, timeout=0):
            with pytest.raises(LockTimeout):
                await client.lock(PATH, timeout=0).__aenter__()

        assert contenders(keeper) == []


@on_both_backends
async def test_a_cancelled_contender_leaves_the_queue() -> None:
    keeper = Keeper()
    log: list[str] = []
    async with client_of(keeper, name="a") as client, client.lock(PATH):
        with anyio.move_on_after(1.0):
            await hold(client, log)

        assert len(contenders(keeper)) == 1
        assert log == []


@on_both_backends
async def test_a_contender_that_somebody_removes_queues_up_again() -> None:
    keeper = Keeper()
    log: list[str] = []
    async with client_of(keeper, name="a") as client, anyio.create_task_group() as tasks:
        async with client.lock(PATH):
            tasks.start_soon(hold, client, log)
            await anyio.sleep(1.0)
            removed = contenders(keeper)[1]
            await client.delete(f"{PATH}/{removed}")
            await anyio.sleep(0.1)
            assert len(contenders(keeper)) == 2, "at once, not when the holder is gone"
            assert removed not in contenders(keeper)
        await anyio.sleep(0.5)

        assert log == ["a begins"]


@on_both_backends
async def test_a_contender_whose_data_somebody_writes_keeps_its_place_and_its_fence() -> None:
    keeper = Keeper()
    async with client_of(keeper, name="a") as client, anyio.create_task_group() as tasks:

        async def write_fenced() -> None:
            async with client.lock(PATH, name="b") as held:
                await client.transaction(held.fence()).create("/written").commit()

        async with client.lock(PATH):
            tasks.start_soon(write_fenced)
            await anyio.sleep(1.0)
            before = contenders(keeper)
            await client.set(f"{PATH}/{before[1]}", b"b, so they say")
            await anyio.sleep(1.0)
            assert contenders(keeper) == before

    assert "/written" in keeper.znodes


@on_both_backends
async def test_a_predecessor_that_goes_before_it_can_be_watched_is_not_waited_for() -> None:
    keeper = Keeper()
    log: list[str] = []
    async with client_of(keeper, name="a") as client:
        async with client.lock(PATH) as held:

            def remove_holder(opcode: OpCode, _: object) -> Action:
                if opcode == OpCode.GET_DATA and held.znode in keeper.znodes:
                    del keeper.znodes[held.znode]
                return Action.SERVE

            keeper.on_request = remove_holder
            await hold(client, log)

        assert log == ["a begins", "a ends"]


@on_both_backends
async def test_a_contender_keeps_its_place_through_a_reconnect() -> None:
    keeper = Keeper()
    log: list[str] = []
    async with (
        client_of(keeper, name="a") as a,
        client_of(keeper, name="b") as b,
        client_of(keeper, name="c") as c,
        anyio.create_task_group() as tasks,
        a.lock(PATH),
    ):
        for client in (b, c):
            tasks.start_soon(hold, client, log)
            await anyio.sleep(0.1)
        cut(keeper, b)
        await anyio.sleep(1.0)

    assert log == ["b begins", "b ends", "c begins", "c ends"]


@on_both_backends
async def test_waiting_ends_with_the_session() -> None:
    keeper = Keeper()
    async with client_of(keeper, name="a") as a, client_of(keeper, name="b") as b, a.lock(PATH):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(expect_expiry, b)
            await anyio.sleep(0.1)
            keeper.expire(b.session_id)

        assert len(contenders(keeper)) == 1


async def expect_expiry(client: Client) -> None:
    with pytest.raises(SessionExpired):
        await client.lock(PATH).__aenter__()


# No orphans.


@pytest.mark.parametrize("action", [Action.CUT_BEFORE, Action.CUT_AFTER])
def test_a_lost_answer_to_the_create_makes_no_orphan(action: Action) -> None:
    """The contender looks for its unique prefix before it creates another znode."""

    async def story() -> None:
        keeper = Keeper()
        async with client_of(keeper) as client:
            await client.ensure_path(PATH)
            keeper.on_request = Once(action, OpCode.CREATE2)
            async with client.lock(PATH) as held:
                assert contenders(keeper) == [held.znode.rpartition("/")[2]]

            assert contenders(keeper) == []

    for backend in ("trio", "asyncio"):
        anyio.run(story, backend=backend)


@on_both_backends
async def test_the_look_comes_after_a_sync() -> None:
    """The new server may not have applied yet what the old one passed on to the leader."""
    keeper = Keeper()
    async with client_of(keeper) as client:
        await client.ensure_path(PATH)
        keeper.on_request = Once(Action.CUT_AFTER, OpCode.CREATE2)
        keeper.seen.clear()
        async with client.lock(PATH):
            assert [opcode for opcode, _ in keeper.seen[:3]] == [
                OpCode.CREATE2,
                OpCode.SYNC,
                OpCode.GET_CHILDREN2,
            ]


@on_both_backends
async def test_a_contender_cancelled_while_cut_off_is_removed_after_the_reconnect() -> None:
    keeper = Keeper()
    log: list[str] = []
    async with client_of(keeper, name="a") as a, client_of(keeper, name="b") as b, a.lock(PATH):
        with anyio.move_on_after(2.0):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(hold, b, log)
                await anyio.sleep(1.0)
                keeper.is_reachable = False
                cut(keeper, b)
        assert len(contenders(keeper)) == 2

        keeper.is_reachable = True
        await anyio.sleep(5.0)

        assert len(contenders(keeper)) == 1
        assert log == []


@on_both_backends
async def test_a_contender_cancelled_before_its_create_was_answered_is_removed() -> None:
    """Neither its name nor whether it exists is known: it is looked for by its prefix."""
    keeper = Keeper()
    async with client_of(keeper, name="a") as a, client_of(keeper, name="b") as b, a.lock(PATH):

        def cut_for_good(opcode: OpCode, _: object) -> Action:
            if opcode != OpCode.CREATE2:
                return Action.SERVE
            keeper.is_reachable = False
            return Action.CUT_AFTER

        keeper.on_request = cut_for_good
        with anyio.move_on_after(2.0):
            await hold(b, [])
        assert len(contenders(keeper)) == 2

        keeper.is_reachable = True
        await anyio.sleep(5.0)

        assert len(contenders(keeper)) == 1


@on_both_backends
async def test_a_create_still_under_way_when_its_caller_leaves_is_undone() -> None:
    keeper = Keeper()
    async with client_of(keeper, name="a") as client:
        await client.ensure_path(PATH)
        keeper.on_request = Once(Action.HOLD, OpCode.CREATE2)
        async with anyio.create_task_group() as tasks:
            with anyio.move_on_after(2.0):
                await hold(client, [])
            tasks.cancel_scope.cancel()
        keeper.links[-1].release()
        await anyio.sleep(1.0)

        assert contenders(keeper) == []


@on_both_backends
async def test_a_release_while_cut_off_happens_after_the_reconnect() -> None:
    keeper = Keeper()
    async with client_of(keeper, name="a") as client:
        async with client.lock(PATH):
            keeper.is_reachable = False
            keeper.cut_all()
            await anyio.sleep(0.1)
        assert len(contenders(keeper)) == 1

        keeper.is_reachable = True
        await anyio.sleep(5.0)

        assert contenders(keeper) == []


@on_both_backends
async def test_a_lost_answer_to_the_release_does_no_harm() -> None:
    keeper = Keeper()
    keeper.on_request = Once(Action.CUT_AFTER, OpCode.DELETE)
    async with client_of(keeper) as client:
        async with client.lock(PATH):
            pass
        await anyio.sleep(1.0)

        assert contenders(keeper) == []
        async with client.lock(PATH, timeout=0):
            pass


@on_both_backends
async def test_a_contender_without_any_server_says_so() -> None:
    keeper = Keeper()
    async with client_of(keeper, retry_timeout=2.0) as client:
        keeper.is_reachable = False
        keeper.cut_all()
        await anyio.sleep(0.1)

        with pytest.raises(ConnectionLost):
            await client.lock(PATH).__aenter__()
