"""The election: a lock in the words of leadership, and watching who leads."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from coord_client import Client
from coord_client.recipes import Contender, Leadership
from coord_protocol.errors import LockLost, LockTimeout, NoCandidate, NoNode, SessionExpired
from coord_protocol.requests import OpCode
from tests.client.backends import on_both_backends
from tests.client.keeper import Action, Keeper, Once
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


# Handing over.


class Reigns:
    """Candidates that stand for election and lead for a second, in the order given."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.led: list[str] = []

    async def stand(self, name: str) -> None:
        async with client_of(self.keeper, name=name) as client, client.election(PATH):
            self.led.append(name)
            await anyio.sleep(1.0)

    async def remove(self, client: Client, name: str) -> None:
        """Take its znode out of the queue."""
        for candidate in await client.election(PATH).candidates():
            if candidate.name == name:
                await client.delete(candidate.znode)

    @asynccontextmanager
    async def behind_leader(self, *names: str) -> AsyncIterator[tuple[Client, Leadership]]:
        """We lead, they stand behind us. Ends when all have led."""
        with anyio.fail_after(600):
            async with (
                client_of(self.keeper, name="leader") as client,
                anyio.create_task_group() as tasks,
                client.election(PATH) as leadership,
            ):
                for name in names:
                    tasks.start_soon(self.stand, name)
                    await anyio.sleep(0.1)
                yield client, leadership


@on_both_backends
async def test_a_leader_hands_over_to_whom_it_names() -> None:
    """The skipped queue up anew, behind all others; the others keep their order."""
    reigns = Reigns(Keeper())
    async with reigns.behind_leader("a", "b", "c", "d") as (_, leadership):
        await leadership.hand_over("c")
        raise AssertionError("led on after handing over")

    assert reigns.led[:2] == ["c", "d"]
    assert sorted(reigns.led[2:]) == ["a", "b"]


@on_both_backends
async def test_nobody_leads_before_the_body_has_ended() -> None:
    reigns = Reigns(Keeper())
    async with reigns.behind_leader("a", "b") as (_, leadership):
        try:
            await leadership.hand_over("b")
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(3.0)
            assert reigns.led == []

    assert reigns.led == ["b", "a"]


@on_both_backends
async def test_a_leader_that_names_nobody_who_stands_leads_on() -> None:
    reigns = Reigns(Keeper())
    async with reigns.behind_leader("a", "b") as (client, leadership):
        with pytest.raises(NoCandidate, match="no candidate 'x'; there stands 'a', 'b'"):
            await leadership.hand_over("x")
        with pytest.raises(NoCandidate, match="no candidate 'leader'"):
            await leadership.hand_over("leader")
        await client.transaction(leadership.fence()).create("/led-on").commit()

    assert reigns.led == ["a", "b"]


@on_both_backends
async def test_if_the_successor_has_gone_meanwhile_the_next_in_line_leads() -> None:
    reigns = Reigns(Keeper())
    async with reigns.behind_leader("a", "b", "c") as (client, leadership):
        try:
            await leadership.hand_over("b")
        finally:
            with anyio.CancelScope(shield=True):
                await reigns.remove(client, "b")

    assert reigns.led == ["a", "c", "b"]


@pytest.mark.parametrize(
    ("leaves", "next_leader"),
    [
        ("a", "c"),
        ("c", "a"),
    ],
)
def test_who_leaves_at_the_last_moment_does_not_spoil_the_hand_over(leaves: str, next_leader: str) -> None:
    """The transaction is refused as a whole then, so that nobody is skipped in vain."""

    @on_both_backends
    async def story() -> None:
        keeper = Keeper()
        reigns = Reigns(keeper)

        def remove(opcode: OpCode, _: object) -> Action:
            if opcode == OpCode.MULTI and leaves in znodes:
                keeper.remove(znodes.pop(leaves))
            return Action.SERVE

        async with reigns.behind_leader("a", "b", "c", "d") as (client, leadership):
            znodes = {each.name: each.znode for each in await client.election(PATH).candidates()}
            keeper.on_request = remove
            await leadership.hand_over("c")

        assert reigns.led[0] == next_leader
        assert sorted(reigns.led) == ["a", "b", "c", "d"]

    for backend in ("trio", "asyncio"):
        story(backend)


@pytest.mark.parametrize("action", [Action.CUT_BEFORE, Action.CUT_AFTER])
def test_a_lost_answer_to_the_hand_over_is_made_good(action: Action) -> None:
    @on_both_backends
    async def story() -> None:
        keeper = Keeper()
        reigns = Reigns(keeper)
        async with reigns.behind_leader("a", "b") as (_, leadership):
            keeper.on_request = Once(action, OpCode.MULTI)
            await leadership.hand_over("b")

        assert reigns.led == ["b", "a"]
        assert not [path for path, znode in keeper.znodes.items() if znode.owner]

    for backend in ("trio", "asyncio"):
        story(backend)


# Losing it.


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
