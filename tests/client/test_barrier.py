"""The barrier: who waits passes when it is taken down, and not before, whatever happens to the connection."""

import anyio
import pytest

from coord_client.recipes import Barrier
from coord_protocol.errors import ConnectionLost
from coord_protocol.requests import OpCode
from tests.client.backends import on_both_backends
from tests.client.keeper import Action, Keeper
from tests.client.lost_answers import at_every_write
from tests.client.opening import client_of, cut
from tests.client.strangers import in_thread, kazoo_of
from tests.client.ways import World, in_every_way

PATH = "/a/barrier"


@in_every_way
async def test_all_who_wait_pass_when_it_is_taken_down(world: World) -> None:
    passed: list[str] = []

    async with world.connect() as client, world.connect() as other:

        async def wait(name: str) -> None:
            assert await world.recipes.Barrier(other, PATH).wait(timeout=10)
            passed.append(name)

        barrier = world.recipes.Barrier(client, PATH)
        await barrier.create()
        await barrier.create()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait, "one")
            tasks.start_soon(wait, "two")
            assert not await barrier.wait(timeout=0.2)
            assert passed == []
            assert await barrier.remove()

        assert sorted(passed) == ["one", "two"]
        assert await barrier.wait(timeout=0)
        assert not await barrier.remove()


@in_every_way
async def test_kazoo_waits_at_ours_and_we_at_kazoos(world: World) -> None:
    async with world.connect() as client, kazoo_of(world) as kazoo:
        ours, theirs = world.recipes.Barrier(client, PATH), kazoo.Barrier(PATH)

        await ours.create()
        assert not await in_thread(theirs.wait, 0.1)
        assert await ours.remove()
        assert await in_thread(theirs.wait, 10)

        await in_thread(theirs.create)
        assert not await ours.wait(timeout=0)
        assert await in_thread(theirs.remove)
        assert await ours.wait(timeout=10)


@at_every_write
async def test_it_is_put_up_and_taken_down_whatever_answer_is_lost(keeper: Keeper) -> None:
    async with client_of(keeper) as client:
        barrier = Barrier(client, PATH)
        await barrier.create()
        assert keeper.children("/a") == ["barrier"]
        assert await barrier.remove()
        assert keeper.children("/a") == []


@on_both_backends
async def test_a_touch_does_not_open_it() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        barrier = Barrier(client, PATH)
        await barrier.create()
        with anyio.move_on_after(5.0):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(barrier.wait)
                await anyio.sleep(1.0)
                await client.set(PATH, b"touched")
                await anyio.sleep_forever()

        assert not await barrier.wait(timeout=1.0)


@on_both_backends
async def test_who_waits_learns_after_the_reconnect_that_it_is_down() -> None:
    keeper = Keeper()
    async with client_of(keeper, name="a") as client, client_of(keeper, name="b") as other:
        await Barrier(client, PATH).create()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Barrier(client, PATH).wait)
            await anyio.sleep(1.0)
            keeper.is_reachable = False
            cut(keeper, client)
            await Barrier(other, PATH).remove()
            await anyio.sleep(3.0)
            keeper.is_reachable = True


@on_both_backends
async def test_who_waits_goes_on_in_the_next_session() -> None:
    keeper = Keeper()
    async with client_of(keeper, name="a") as client, client_of(keeper, name="b") as other:
        await Barrier(other, PATH).create()
        passed_at: list[float] = []

        async def wait() -> None:
            assert await Barrier(client, PATH).wait()
            passed_at.append(anyio.current_time())

        started = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.sleep(1.0)
            keeper.expire(client.session_id)
            await anyio.sleep(20.0)
            await Barrier(other, PATH).remove()

        assert passed_at[0] - started == pytest.approx(21.0)


@on_both_backends
async def test_an_unknown_outcome_is_not_called_definite() -> None:
    """The first try may have worked; that the second was never sent does not change it."""
    keeper = Keeper()
    async with client_of(keeper, retry_timeout=2.0) as client:
        await Barrier(client, PATH).create()

        def cut_for_good(opcode: OpCode, _: object) -> Action:
            if opcode != OpCode.DELETE:
                return Action.SERVE
            keeper.is_reachable = False
            return Action.CUT_AFTER

        keeper.on_request = cut_for_good
        with pytest.raises(ConnectionLost) as unknown:
            await Barrier(client, PATH).remove()

        assert not unknown.value.definite
