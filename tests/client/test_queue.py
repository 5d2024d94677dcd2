"""The queue: each item goes to one consumer, once, in order."""

import anyio
import pytest

from coord_client.recipes import Queue
from coord_protocol.errors import BadArguments, SessionExpired
from coord_protocol.requests import OpCode
from tests.client.backends import on_both_backends
from tests.client.keeper import Action, Keeper
from tests.client.lost_answers import at_every_write
from tests.client.opening import client_of, cut
from tests.client.strangers import in_thread, kazoo_of
from tests.client.ways import World, in_every_way

PATH = "/a/queue"


@in_every_way
async def test_items_come_in_order_and_urgent_ones_first(world: World) -> None:
    async with world.connect() as client:
        queue = world.recipes.Queue(client, PATH)
        assert await queue.get(timeout=0) is None
        for value, priority in ((b"1", 100), (b"2", 100), (b"urgent", 7), (b"late", 999)):
            await queue.put(value, priority)
        assert await queue.size() == 4

        assert [await queue.get(timeout=0) for _ in range(5)] == [b"urgent", b"1", b"2", b"late", None]
        with pytest.raises(BadArguments, match="0 to 999"):
            await queue.put(b"", 1000)


@in_every_way
async def test_a_consumer_waits_for_an_item(world: World) -> None:
    got: list[bytes | None] = []

    async with world.connect() as client, world.connect() as other:

        async def get() -> None:
            got.append(await world.recipes.Queue(other, PATH).get(timeout=10))

        assert await world.recipes.Queue(other, PATH).get(timeout=0.1) is None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(get)
            await world.recipes.Queue(client, PATH).put(b"")

    assert got == [b""]


@in_every_way
async def test_each_item_goes_to_one_of_many_consumers(world: World) -> None:
    got: list[bytes] = []
    values = [b"%d" % number for number in range(20)]

    async with world.connect() as client, world.connect() as other, anyio.create_task_group() as tasks:

        async def consume(queue: Queue) -> None:
            while len(got) < len(values):
                value = await queue.get(timeout=0.1)
                if value is not None:
                    got.append(value)

        for each in (client, client, other):
            tasks.start_soon(consume, world.recipes.Queue(each, PATH))
        for value in values:
            await world.recipes.Queue(client, PATH).put(value)

    assert sorted(got) == sorted(values)


@in_every_way
async def test_kazoo_gets_what_we_put_and_we_what_kazoo_puts(world: World) -> None:
    async with world.connect() as client, kazoo_of(world) as kazoo:
        ours, theirs = world.recipes.Queue(client, PATH), kazoo.Queue(PATH)
        await ours.put(b"ours 1")
        await in_thread(theirs.put, b"theirs 1")
        await ours.put(b"ours 2")
        await in_thread(theirs.put, b"theirs 2", 50)
        assert len(theirs) == 4

        assert await ours.get(timeout=0) == b"theirs 2"
        assert await in_thread(theirs.get) == b"ours 1"
        assert await ours.get(timeout=0) == b"theirs 1"
        assert await in_thread(theirs.get) == b"ours 2"
        assert await in_thread(theirs.get) is None


@at_every_write
async def test_each_item_comes_once_whatever_answer_is_lost(keeper: Keeper) -> None:
    async with client_of(keeper) as client, client_of(keeper) as other:
        for value in (b"1", b"2", b"3"):
            await Queue(client, PATH).put(value)
        got = [await Queue(each, PATH).get(timeout=0) for each in (client, other, client, other)]

    assert got == [b"1", b"2", b"3", None]


@at_every_write
async def test_each_item_comes_once_though_its_taker_is_faster_than_the_lost_answer(keeper: Keeper) -> None:
    """The consumer has it before the producer could look for it: a look would not find it, and a retry double it."""
    got: list[bytes | None] = []

    async def consume() -> None:
        while True:
            got.append(await Queue(other, PATH).get())

    async with client_of(keeper) as client, client_of(keeper) as other, anyio.create_task_group() as tasks:
        tasks.start_soon(consume)
        await Queue(client, PATH).put(b"1")
        await Queue(client, PATH).put(b"2")
        await anyio.sleep(10.0)
        tasks.cancel_scope.cancel()

    assert got == [b"1", b"2"]


@on_both_backends
async def test_who_waits_goes_on_through_a_reconnect_and_in_the_next_session() -> None:
    keeper = Keeper()
    got: list[bytes | None] = []

    async def consume() -> None:
        for _ in range(2):
            got.append(await Queue(client, PATH).get())

    async with (
        client_of(keeper, name="a") as client,
        client_of(keeper, name="b") as other,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(consume)
        await anyio.sleep(1.0)
        cut(keeper, client)
        await Queue(other, PATH).put(b"1")
        await anyio.sleep(5.0)
        assert got == [b"1"]
        keeper.expire(client.session_id)
        await Queue(other, PATH).put(b"2")

    assert got == [b"1", b"2"]


@on_both_backends
async def test_a_timeout_ends_the_waiting_and_loses_nothing() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        started = anyio.current_time()
        assert await Queue(client, PATH).get(timeout=5.0) is None
        assert anyio.current_time() - started == pytest.approx(5.0)

        await Queue(client, PATH).put(b"1")
        assert await Queue(client, PATH).size() == 1


@on_both_backends
async def test_a_session_that_ends_with_the_answer_leaves_open_whether_the_item_was_put() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        await Queue(client, PATH).put(b"1")

        def expire(opcode: OpCode, _: object) -> Action:
            if opcode != OpCode.MULTI:
                return Action.SERVE
            keeper.on_request = lambda opcode, record: Action.SERVE
            keeper.sessions[client.session_id].password = b"another"  # so it cannot be taken up again
            return Action.CUT_AFTER

        keeper.on_request = expire
        with pytest.raises(SessionExpired) as unknown:
            await Queue(client, PATH).put(b"2")

        assert not unknown.value.definite
        assert await Queue(client, PATH).size() == 2
