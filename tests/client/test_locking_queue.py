"""The locking queue: each item is held by one consumer at a time, and stays until one of them is done with it."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
import pytest

from coord_client import Client, Create, Set
from coord_client.recipes import Item, LockingQueue
from coord_protocol.errors import (
    BadVersion,
    ConnectionLost,
    LocalProtocolError,
    LockLost,
    LockTimeout,
    SessionExpired,
)
from coord_protocol.requests import OpCode
from tests.client.backends import on_both_backends
from tests.client.keeper import Action, Keeper, Once
from tests.client.lost_answers import at_every_write
from tests.client.opening import client_of, cut
from tests.client.strangers import in_thread, kazoo_of
from tests.client.ways import World, in_every_way

PATH = "/a/jobs"
ENTRIES, TAKEN, WAITING = f"{PATH}/entries", f"{PATH}/taken", f"{PATH}/waiting"


def is_empty(keeper: Keeper) -> bool:
    """Nothing is left of the items, nor of who worked on them."""
    return not keeper.children(ENTRIES) and not keeper.children(TAKEN) and not keeper.children(WAITING)


# On real servers.


@in_every_way
async def test_items_come_in_order_urgent_ones_first_and_are_consumed(world: World) -> None:
    async with world.connect() as client:
        queue = world.recipes.LockingQueue(client, PATH)
        await queue.put_all([b"1", b"2"])
        await queue.put(b"urgent", priority=7)
        assert await queue.size() == 3

        values = []
        for _ in range(3):
            async with queue.take(timeout=0) as item:
                values.append(item.value)

        assert values == [b"urgent", b"1", b"2"]
        assert await queue.size() == 0
        with pytest.raises(LockTimeout, match="no item in 0 s"):
            await queue.take(timeout=0).__aenter__()


@in_every_way
async def test_an_item_is_given_back_if_the_body_raises(world: World) -> None:
    async with world.connect() as client:
        queue = world.recipes.LockingQueue(client, PATH)
        await queue.put_all([b"1", b"2"])
        with pytest.raises(ZeroDivisionError):
            async with queue.take():
                raise ZeroDivisionError
        async with queue.take() as item:
            assert item.value == b"1"

        assert await queue.size() == 1


@in_every_way(cancels_body=True)
async def test_an_item_is_given_back_if_the_body_says_so(world: World) -> None:
    async with world.connect() as client:
        queue = world.recipes.LockingQueue(client, PATH)
        await queue.put_all([b"1", b"2"])
        async with queue.take() as item:
            item.give_back()
            await anyio.sleep_forever()
        async with queue.take() as item:
            assert item.value == b"1"

        assert await queue.size() == 1


@in_every_way
async def test_who_holds_an_item_keeps_it_from_others(world: World) -> None:
    async with world.connect() as client, world.connect() as other:
        queue, theirs = world.recipes.LockingQueue(client, PATH), world.recipes.LockingQueue(other, PATH)
        await queue.put_all([b"1", b"2"])
        async with queue.take() as one, theirs.take() as two:
            assert [one.value, two.value] == [b"1", b"2"]
            assert one.token < two.token
            with pytest.raises(LockTimeout):
                await theirs.take(timeout=0.1).__aenter__()


@in_every_way
async def test_what_a_body_writes_with_the_consumption_happens_with_it_or_not_at_all(world: World) -> None:
    async with world.connect() as client:
        queue = world.recipes.LockingQueue(client, PATH)
        await client.create("/results")
        await queue.put(b"1")

        async with queue.take() as item:
            with pytest.raises(BadVersion) as refused:
                await item.consume(Create("/results/1"), Set("/results", b"", 7))
            assert refused.value.op_index == 1
            await item.consume(Create("/results/1", item.value))
            assert item.is_over
            with pytest.raises(LocalProtocolError, match="consumed or given back"):
                await item.consume()

        assert await client.get_children("/results") == ["1"]
        assert await queue.size() == 0


@in_every_way
async def test_many_consumers_do_each_item_once(world: World) -> None:
    done: list[bytes] = []
    values = [b"%d" % number for number in range(20)]

    async with world.connect() as client, world.connect() as other, anyio.create_task_group() as tasks:

        async def work(queue: LockingQueue) -> None:
            while True:
                async with queue.take() as item:
                    done.append(item.value)
                if len(done) == len(values):
                    tasks.cancel_scope.cancel()

        for each in (client, client, other):
            tasks.start_soon(work, world.recipes.LockingQueue(each, PATH))
        for value in values:
            await world.recipes.LockingQueue(client, PATH).put(value)

    assert sorted(done) == sorted(values)


@in_every_way
async def test_kazoo_takes_what_we_put_and_we_what_kazoo_puts(world: World) -> None:
    async with world.connect() as client, kazoo_of(world) as kazoo:
        ours, theirs = world.recipes.LockingQueue(client, PATH), kazoo.LockingQueue(PATH)
        await ours.put(b"ours")
        await in_thread(theirs.put, b"theirs")
        await in_thread(theirs.put, b"theirs, urgent", 50)

        async with ours.take() as item:
            assert item.value == b"theirs, urgent"
            assert await in_thread(theirs.get, 10) == b"ours"
            async with ours.take() as another:
                assert another.value == b"theirs"
            assert await in_thread(theirs.release)
        assert await in_thread(theirs.get, 10) == b"ours"
        assert await in_thread(theirs.consume)

        assert await ours.size() == 0


@in_every_way
async def test_we_wait_for_what_kazoo_gives_back_and_kazoo_for_what_we_give_back(world: World) -> None:
    got: list[bytes] = []

    async with world.connect() as client, kazoo_of(world) as kazoo:
        ours, theirs = world.recipes.LockingQueue(client, PATH), kazoo.LockingQueue(PATH)

        async def take() -> None:
            with suppress(ZeroDivisionError):
                async with ours.take(timeout=20) as item:
                    got.append(item.value)
                    raise ZeroDivisionError

        await ours.put(b"1")
        assert await in_thread(theirs.get, 10) == b"1"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take)
            await client.ensure_path(WAITING)
            while not await client.get_children(WAITING):
                await anyio.lowlevel.checkpoint()
            assert await in_thread(theirs.release)

        assert got == [b"1"]
        assert await in_thread(theirs.get, 10) == b"1"


# Waiting.


async def wait_for_items(client: Client, got: list[bytes]) -> None:
    """Work on items for ever, a second each."""
    while True:
        async with LockingQueue(client, PATH).take() as item:
            got.append(item.value)
            await anyio.sleep(1.0)


@on_both_backends
async def test_a_put_wakes_one_consumer_however_many_wait() -> None:
    keeper = Keeper()
    got: list[bytes] = []
    async with client_of(keeper) as client, anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(wait_for_items, client, got)
        await anyio.sleep(1.0)
        before = keeper.count(OpCode.GET_CHILDREN2)
        await LockingQueue(client, PATH).put(b"1")
        await anyio.sleep(0.5)

        # The one who takes it lists entries and taken; the next one looks at the line, and lists both, too.
        assert keeper.count(OpCode.GET_CHILDREN2) - before <= 2 + 1 + 2
        assert got == [b"1"]
        tasks.cancel_scope.cancel()


@on_both_backends
async def test_consumers_that_wait_are_served_in_the_order_they_came() -> None:
    keeper = Keeper()
    served: list[str] = []

    async def take(name: str) -> None:
        async with LockingQueue(client, PATH).take():
            served.append(name)
            await anyio.sleep(1.0)

    async with client_of(keeper) as client, anyio.create_task_group() as tasks:
        for name in "bca":
            tasks.start_soon(take, name)
            await anyio.sleep(0.1)
        for _ in range(3):
            await LockingQueue(client, PATH).put(b"")

    assert served == ["b", "c", "a"]


@on_both_backends
async def test_waiting_goes_on_through_a_reconnect_and_in_the_next_session() -> None:
    keeper = Keeper()
    got: list[bytes] = []
    async with (
        client_of(keeper, name="a") as client,
        client_of(keeper, name="b") as other,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(wait_for_items, client, got)
        tasks.start_soon(wait_for_items, client, got)
        await anyio.sleep(1.0)
        cut(keeper, client)
        await LockingQueue(other, PATH).put(b"1")
        await anyio.sleep(5.0)
        keeper.expire(client.session_id)
        await LockingQueue(other, PATH).put(b"2")
        await anyio.sleep(5.0)
        tasks.cancel_scope.cancel()

    assert got == [b"1", b"2"]
    assert is_empty(keeper)


@on_both_backends
async def test_a_timeout_ends_the_waiting_and_leaves_nothing_behind() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        started = anyio.current_time()
        with pytest.raises(LockTimeout, match="no item in 5 s"):
            await LockingQueue(client, PATH).take(timeout=5.0).__aenter__()

        assert anyio.current_time() - started == pytest.approx(5.0)
        assert is_empty(keeper)


# Lost answers.


@at_every_write
async def test_each_item_is_done_once_whatever_answer_is_lost(keeper: Keeper) -> None:
    done: list[bytes] = []
    async with client_of(keeper) as client, client_of(keeper) as other:
        await LockingQueue(client, PATH).put_all([b"1", b"2"])
        await LockingQueue(client, PATH).put(b"3")
        for each in (client, other, client):
            async with LockingQueue(each, PATH).take(timeout=0) as item:
                done.append(item.value)
        await anyio.sleep(5.0)

        assert done == [b"1", b"2", b"3"]
        assert is_empty(keeper)


@at_every_write
async def test_each_item_is_done_once_by_who_waits_whatever_answer_is_lost(keeper: Keeper) -> None:
    done: list[bytes] = []

    async def work(client: Client) -> None:
        while len(done) < 4:
            async with LockingQueue(client, PATH).take() as item:
                done.append(item.value)
        tasks.cancel_scope.cancel()

    async with client_of(keeper) as client, client_of(keeper) as other:
        async with anyio.create_task_group() as tasks:
            for each in (client, other):
                tasks.start_soon(work, each)
            for value in (b"1", b"2", b"3", b"4"):
                await anyio.sleep(3.0)
                await LockingQueue(client, PATH).put(value)
        await anyio.sleep(5.0)

        assert sorted(done) == [b"1", b"2", b"3", b"4"]
        assert is_empty(keeper)


@at_every_write
async def test_consumers_of_one_session_do_not_take_each_others_claims_for_their_own(keeper: Keeper) -> None:
    """One broken connection costs both their answers, and the claims of both belong to one session."""
    got: list[bytes] = []

    async def take() -> None:
        async with LockingQueue(client, PATH).take(timeout=0) as item:
            got.append(item.value)
            await anyio.sleep(1.0)

    async with client_of(keeper) as client:
        await LockingQueue(client, PATH).put_all([b"1", b"2", b"3"])
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(take)

    assert sorted(got) == [b"1", b"2", b"3"]


@at_every_write
async def test_what_is_written_with_the_consumption_happens_once_whatever_answer_is_lost(keeper: Keeper) -> None:
    async with client_of(keeper) as client:
        await LockingQueue(client, PATH).put(b"1")
        async with LockingQueue(client, PATH).take() as item:
            await item.consume(Create("/result-", item.value, sequence=True))
            await anyio.sleep(1.0)

        assert [name for name in keeper.children("/") if name.startswith("result")] == ["result-0000000002"]
        assert is_empty(keeper)


@at_every_write
async def test_an_item_is_given_back_whatever_answer_is_lost(keeper: Keeper) -> None:
    async with client_of(keeper) as client:
        await LockingQueue(client, PATH).put(b"1")
        async with LockingQueue(client, PATH).take() as item:
            item.give_back()
            await anyio.sleep_forever()
        await anyio.sleep(5.0)

        assert len(keeper.children(ENTRIES)) == 1
        assert keeper.children(TAKEN) == []


@on_both_backends
async def test_a_consumer_cancelled_before_its_claim_was_answered_gives_it_back() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        queue = LockingQueue(client, PATH)
        await queue.put(b"1")
        keeper.on_request = Once(Action.HOLD, OpCode.MULTI)
        with anyio.move_on_after(2.0):
            await queue.take().__aenter__()
        assert len(keeper.children(TAKEN)) == 1

        keeper.links[-1].release()
        await anyio.sleep(5.0)

        assert keeper.children(TAKEN) == []


# Losing an item.


async def hold_until_lost(client: Client, lose: Callable[[Item], Awaitable[None]]) -> None:
    """Put an item, take it, do what loses it, and wait to be cancelled."""
    await LockingQueue(client, PATH).put(b"1")
    async with LockingQueue(client, PATH).take() as item:
        await lose(item)
        await anyio.sleep(600)


@on_both_backends
async def test_the_body_is_cancelled_before_another_can_have_the_item() -> None:
    """Behind a partition the holder stops by its own clock, and the next one begins only after that."""
    keeper = Keeper()
    log: list[tuple[str, float]] = []

    async def be_cut_off(_: Item) -> None:
        keeper.cut_off.add("a")
        try:
            await anyio.sleep_forever()
        finally:
            log.append(("stopped", anyio.current_time()))

    async def isolated() -> None:
        async with client_of(keeper, name="a", timeout=9.0) as a:
            with pytest.raises(LockLost, match="could not be confirmed in time"):
                await hold_until_lost(a, be_cut_off)

    async with (
        keeper.expiring_in_time(),
        client_of(keeper, name="b", timeout=9.0) as b,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(isolated)
        await anyio.sleep(1.0)
        async with LockingQueue(b, PATH).take() as item:
            log.append((item.value.decode(), anyio.current_time()))

    assert [what for what, _ in log] == ["stopped", "1"]
    assert log[1][1] - log[0][1] == pytest.approx(9.0 * 0.05)


@on_both_backends
async def test_a_holder_whose_session_ends_is_cancelled_and_the_item_stays() -> None:
    keeper = Keeper()
    async with client_of(keeper, timeout=60.0) as client:

        async def lose(_: Item) -> None:
            keeper.expire(client.session_id)

        with pytest.raises(LockLost, match="session has expired") as lost:
            await hold_until_lost(client, lose)

        assert lost.value.definite
        async with LockingQueue(client, PATH).take(timeout=0) as item:
            assert item.value == b"1"


@on_both_backends
async def test_a_holder_whose_claim_is_deleted_is_cancelled() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client, client_of(keeper) as other:

        async def lose(item: Item) -> None:
            await other.delete(f"{TAKEN}/{item.name}")

        with pytest.raises(LockLost, match="DELETED"):
            await hold_until_lost(client, lose)


@on_both_backends
async def test_a_stale_holder_cannot_consume_what_is_anothers() -> None:
    """The claims of both have the same name; what tells them apart is the session."""
    keeper = Keeper()
    async with client_of(keeper, name="a") as client, client_of(keeper, name="b") as other:
        items: list[Item] = []

        async def lose(item: Item) -> None:
            items.append(item)
            keeper.expire(client.session_id)

        with pytest.raises(LockLost):
            await hold_until_lost(client, lose)
        async with LockingQueue(other, PATH).take() as item:
            assert item.name == items[0].name
            with pytest.raises(LockLost, match="session has expired"):
                await items[0].consume()
            with pytest.raises(LockLost):
                items[0].check()
            item.check()


@on_both_backends
async def test_a_consumption_of_unknown_outcome_says_so() -> None:
    keeper = Keeper()

    async def consume(client: Client) -> None:
        async with LockingQueue(client, PATH).take():
            keeper.on_request = expire

    async with client_of(keeper) as client:

        def expire(opcode: OpCode, _: object) -> Action:
            if opcode != OpCode.MULTI:
                return Action.SERVE
            keeper.on_request = lambda opcode, record: Action.SERVE
            keeper.sessions[client.session_id].password = b"another"  # so it cannot be taken up again
            return Action.CUT_AFTER

        await LockingQueue(client, PATH).put(b"1")
        with pytest.raises(LockLost, match="may have been consumed") as lost:
            await consume(client)

        assert not lost.value.definite


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_lost_and_nobody_has_what_another_has(seed: int) -> None:
    """Consumers and producers; partitions, cuts, lost answers; the server ends sessions by its clock."""

    @on_both_backends
    async def story() -> None:
        chance = random.Random(seed)
        keeper = Keeper()
        held: set[bytes] = set()
        acknowledged: list[bytes] = []
        done: Counter[bytes] = Counter()

        async def produce(name: str) -> None:
            async with client_of(keeper, name=name, timeout=6.0, retry_timeout=3.0) as client:
                for number in range(10):
                    value = f"{name}{number}".encode()
                    try:
                        await LockingQueue(client, PATH).put(value, chance.choice([50, 100]))
                        acknowledged.append(value)
                    except (SessionExpired, ConnectionLost):
                        pass
                    await anyio.sleep(chance.random() * 4)

        async def consume(name: str) -> None:
            async with client_of(keeper, name=name, timeout=6.0, retry_timeout=3.0) as client:
                while True:
                    try:
                        async with LockingQueue(client, PATH).take(timeout=chance.choice([None, 5.0])) as item:
                            assert item.value not in held
                            held.add(item.value)
                            try:
                                await anyio.sleep(chance.random() * 2)
                            finally:
                                held.remove(item.value)
                            done[item.value] += 1
                    except (LockLost, LockTimeout, SessionExpired, ConnectionLost):
                        await anyio.sleep(chance.random())

        async def trouble() -> None:
            for _ in range(50):
                await anyio.sleep(chance.random() * 3)
                match chance.randrange(4):
                    case 0:
                        keeper.cut_off.add(chance.choice("abcpq"))
                    case 1:
                        keeper.heal()
                    case 2:
                        keeper.on_request = Once(
                            chance.choice([Action.CUT_BEFORE, Action.CUT_AFTER]),
                            chance.choice([OpCode.MULTI, OpCode.MULTI, OpCode.DELETE, OpCode.CREATE2, OpCode.PING]),
                        )
                    case 3:
                        keeper.cut_all()
            keeper.heal()

        async with keeper.expiring_in_time(), anyio.create_task_group() as consumers:
            for name in "abc":
                consumers.start_soon(consume, name)
            async with anyio.create_task_group() as tasks:
                for name in "pq":
                    tasks.start_soon(produce, name)
                tasks.start_soon(trouble)
            await anyio.sleep(60.0)
            assert is_empty_but_for_waiting(keeper)
            consumers.cancel_scope.cancel()

        assert len(acknowledged) > 5
        assert set(acknowledged) <= set(done)

    for backend in ("trio", "asyncio"):
        story(backend)


def is_empty_but_for_waiting(keeper: Keeper) -> bool:
    """All work is done."""
    return not keeper.children(ENTRIES) and not keeper.children(TAKEN)
