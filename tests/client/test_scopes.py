"""Scopes that end under their body: on an event loop that reaches everything, in a thread what waits for the client."""

import anyio
import pytest

from coord_client import Client
from coord_protocol.errors import LockLost
from tests.client.ways import World, in_every_way


@in_every_way
async def test_a_contender_that_is_cancelled_leaves_the_queue(world: World) -> None:
    async with world.connect() as client, client.lock("/lock"):
        with anyio.move_on_after(0.1) as waiting:
            async with client.lock("/lock"):
                raise AssertionError("two holders")

        assert waiting.cancelled_caught
        assert len(await client.get_children("/lock")) == 1


@in_every_way
async def test_what_a_holder_waits_for_ends_with_its_lock(world: World) -> None:
    """Waiting for an event that never comes must not outlive the right to it."""

    async def wait_while_holding(client: Client, other: Client) -> None:
        async with client.lock("/lock") as held, client.watch("/never") as events:
            await other.delete(held.znode)
            async for _ in events:
                raise AssertionError("nothing happens there")

    async with world.connect() as client, world.connect() as other:
        with anyio.fail_after(5), pytest.raises(LockLost):
            await wait_while_holding(client, other)


@in_every_way
async def test_within_a_lost_lock_nothing_is_begun(world: World) -> None:
    async def take_another(client: Client, other: Client) -> None:
        async with client.lock("/lock") as held:
            _, gone = await client.get_and_watch(held.znode)
            await other.delete(held.znode)
            await gone.wait()
            async with client.lock("/another"):
                raise AssertionError("the body went on")

    async with world.connect() as client, world.connect() as other:
        with anyio.fail_after(5), pytest.raises(LockLost):
            await take_another(client, other)

        assert await client.lock("/another").contenders() == []


@in_every_way
async def test_a_lost_lock_ends_the_scopes_within_it_first(world: World) -> None:
    left: list[str] = []

    async def hold_both(client: Client, other: Client) -> None:
        async with client.lock("/outer") as outer:
            try:
                async with client.lock("/inner"):
                    await other.delete(outer.znode)
                    async with client.watch("/never") as events:
                        await anext(events)
            finally:
                left.append("inner")

    async with world.connect() as client, world.connect() as other:
        with anyio.fail_after(5), pytest.raises(LockLost, match="/outer"):
            await hold_both(client, other)

        assert left == ["inner"]
        assert await client.lock("/inner").contenders() == []


@in_every_way
async def test_a_holder_that_lets_go_is_not_told_of_a_loss(world: World) -> None:
    async with world.connect() as client:
        async with client.lock("/lock") as held:
            held.release()
            await client.get("/lock")
            raise AssertionError("the body went on")

        assert await client.get_children("/lock") == []


@in_every_way(cancels_body=True)
async def test_the_body_is_cancelled_whatever_it_waits_for(world: World) -> None:
    async def sleep_while_holding(client: Client, other: Client) -> None:
        async with client.lock("/lock") as held:
            await other.delete(held.znode)
            await anyio.sleep_forever()

    async with world.connect() as client, world.connect() as other:
        with anyio.fail_after(5), pytest.raises(LockLost):
            await sleep_while_holding(client, other)


@in_every_way
async def test_a_right_that_is_given_up_may_be_left_at_once(world: World) -> None:
    """What its end interrupts must not be the leaving itself, whichever of them the loop sees first."""

    async def give_up_again_and_again(client: Client, path: str) -> None:
        for _ in range(50):
            async with client.lock(path) as held:
                held.release()

    async with world.connect() as client, anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(give_up_again_and_again, client, f"/lock-{number}")
