"""The election: a lock in the words of leadership, and watching who leads."""

import anyio
import pytest

from coord_client import Client
from coord_client.recipes import Contender
from coord_protocol.errors import LockLost, LockTimeout, NoNode, SessionExpired
from tests.client.backends import on_both_backends
from tests.client.keeper import Keeper
from tests.client.opening import client_of

PATH = "/workers/leader"


@on_both_backends
async def test_there_is_one_leader_and_everybody_knows_it() -> None:
    keeper = Keeper()
    async with client_of(keeper, name="a") as a, client_of(keeper, name="b") as b:
        election = b.election(PATH)
        assert await election.leader() is None
        async with a.election(PATH) as leadership:
            leader = await election.leader()
            assert leader == Contender("a", leadership.token, leadership.znode, a.session_id)
            assert leadership.name == "a"
            with pytest.raises(LockTimeout):
                await b.election(PATH, timeout=1.0).__aenter__()
            assert [each.name for each in await election.candidates()] == ["a"]
        assert await election.leader() is None


@on_both_backends
async def test_a_leader_that_resigns_hands_over_without_an_error() -> None:
    keeper = Keeper()
    async with (
        client_of(keeper, name="a") as a,
        client_of(keeper, name="b") as b,
        anyio.create_task_group() as tasks,
    ):
        async with a.election(PATH) as first:
            tasks.start_soon(lead_once, b)
            await anyio.sleep(1.0)
            first.resign()
            await anyio.sleep(600)
            raise AssertionError("led on after resigning")
        await anyio.sleep(0.1)
        leader = await a.election(PATH).leader()
        assert leader is not None
        assert leader.name == "b"
        assert leader.token > first.token


async def lead_once(client: Client) -> None:
    async with client.election(PATH):
        await anyio.sleep(1.0)


@on_both_backends
async def test_an_old_leader_is_refused_by_its_fence() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        await client.create("/plan")
        async with client.election(PATH) as leadership:
            await client.transaction(leadership.fence()).set("/plan", b"1").commit()

        with pytest.raises(NoNode):
            await client.transaction(leadership.fence()).set("/plan", b"2").commit()


@on_both_backends
async def test_leadership_ends_with_the_session() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        with pytest.raises(LockLost):
            await lead_until_expired(keeper, client)


async def lead_until_expired(keeper: Keeper, client: Client) -> None:
    async with client.election(PATH):
        keeper.expire(client.session_id)
        await anyio.sleep(600)


@on_both_backends
async def test_watching_shows_each_leader_and_the_gaps() -> None:
    """From before the path exists, and through the leader's own watch: candidates behind it wake nobody."""
    keeper = Keeper()
    seen: list[str | None] = []

    async def observe(client: Client) -> None:
        async with client.election(PATH).watch_leader() as leaders:
            async for leader in leaders:
                seen.append(leader.name if leader else None)

    async with (
        client_of(keeper, name="a") as a,
        client_of(keeper, name="b") as b,
        client_of(keeper) as observer,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(observe, observer)
        await anyio.sleep(1.0)
        async with a.election(PATH):
            tasks.start_soon(lead_once, b)
            await anyio.sleep(5.0)
        await anyio.sleep(5.0)
        async with a.election(PATH):
            await anyio.sleep(1.0)
        await anyio.sleep(1.0)
        tasks.cancel_scope.cancel()

    assert seen == [None, "a", "b", None, "a", None]


@on_both_backends
async def test_watching_ends_with_the_session() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client, client.election(PATH).watch_leader() as leaders:
        assert await anext(leaders) is None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keeper_expires, keeper, client.session_id)
            with pytest.raises(SessionExpired):
                await anext(leaders)


async def keeper_expires(keeper: Keeper, session_id: int) -> None:
    await anyio.sleep(1.0)
    keeper.expire(session_id)
