"""The counter: each addition counts once, however many add and whatever answer is lost."""

import anyio
import pytest

from coord_client.recipes import Counter
from coord_protocol.errors import LocalProtocolError, MarshallingError
from tests.client.backends import on_both_backends
from tests.client.keeper import Keeper
from tests.client.lost_answers import at_every_write
from tests.client.opening import client_of
from tests.client.strangers import in_thread, kazoo_of
from tests.client.ways import World, in_every_way

PATH = "/visits/today"
ADDITIONS = 10  # by each of the adders


@in_every_way
async def test_an_addition_tells_what_was_before_and_what_is_now(world: World) -> None:
    async with world.connect() as client:
        counter = world.recipes.Counter(client, PATH)
        assert await counter.value() == 0
        assert await counter.add(5) == (5, 0)
        assert await counter.add(-2) == (3, 5)
        assert await counter.value() == 3

        with pytest.raises(LocalProtocolError, match="whole numbers"):
            await counter.add(0.5)


@in_every_way
async def test_a_float_as_default_makes_a_counter_of_floats(world: World) -> None:
    async with world.connect() as client:
        counter = world.recipes.Counter(client, PATH, default=1.5)
        assert await counter.add(2) == (3.5, 1.5)
        assert (await client.get(PATH)).data == b"3.5"


@in_every_way
async def test_the_sum_is_exact_when_many_add_at_once(world: World) -> None:
    async with world.connect() as first, world.connect() as second, anyio.create_task_group() as tasks:

        async def add(counter: Counter[int]) -> None:
            for _ in range(ADDITIONS):
                await counter.add(1)

        for client in (first, second):
            shared = world.recipes.Counter(client, PATH)
            for counter in (shared, shared, world.recipes.Counter(client, PATH)):
                tasks.start_soon(add, counter)
    async with world.connect() as client:
        assert await world.recipes.Counter(client, PATH).value() == 6 * ADDITIONS


@in_every_way
async def test_kazoo_adds_to_ours_and_we_to_kazoos(world: World) -> None:
    def add_in_kazoo() -> int:
        counter = kazoo.Counter(PATH)
        counter += 10
        return int(counter.value)

    async with world.connect() as client, kazoo_of(world) as kazoo:
        counter = world.recipes.Counter(client, PATH)
        assert await in_thread(add_in_kazoo) == 10
        assert await counter.add(1) == (11, 10)
        assert await in_thread(add_in_kazoo) == 21
        assert await counter.value() == 21


@at_every_write
async def test_each_addition_counts_once_whatever_answer_is_lost(keeper: Keeper) -> None:
    async with client_of(keeper) as client, client_of(keeper) as other:
        one, two = Counter(client, PATH), Counter(other, PATH)
        assert [(await counter.add(1)).value for counter in (one, two, one, two)] == [1, 2, 3, 4]

    assert keeper.znodes[PATH].data == b"4"


@at_every_write
async def test_the_sum_is_exact_when_answers_are_lost_among_many_adders(keeper: Keeper) -> None:
    """A value that is the one we wrote need not be our writing: others may have added and subtracted."""

    async def add(counter: Counter[int]) -> None:
        for amount in (1, -1, 1, -1, 3):
            await counter.add(amount)

    async with client_of(keeper) as client, client_of(keeper) as other, anyio.create_task_group() as tasks:
        for each in (client, client, other):
            tasks.start_soon(add, Counter(each, PATH))

    assert keeper.znodes[PATH].data == b"9"


@on_both_backends
async def test_what_is_not_a_number_is_refused_and_left_alone() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        for data in (b"\0\0\0\7", b"many", b"1.5"):
            await client.ensure_path(PATH)
            await client.set(PATH, data)
            with pytest.raises(MarshallingError, match="is not int"):
                await Counter(client, PATH).add(1)
            assert keeper.znodes[PATH].data == data
