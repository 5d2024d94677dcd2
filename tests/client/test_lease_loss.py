"""Losing a lease: the body is over before the lease can end, and whoever comes next begins after that."""

import random
from collections.abc import Awaitable, Callable

import anyio
import pytest

from coord_client import Client, Lease
from coord_protocol.errors import (
    ConnectionLost,
    LeaseLost,
    NodeExists,
    NoLease,
    NotOperator,
    SessionExpired,
)
from tests.client.backends import block, on_both_backends
from tests.client.keeper import Keeper
from tests.client.opening import client_of
from tests.client.trouble import OF_LEASES, trouble


async def hold_until_lost(client: Client, lose: Callable[[Lease], Awaitable[None]], ttl: float = 9.0) -> float:
    """Hold a lease, do what loses it, and wait to be cancelled. Returns when that was."""
    cancelled_at = 0.0

    async def work() -> None:
        nonlocal cancelled_at
        async with client.lease(ttl) as lease:
            try:
                await lose(lease)
                await anyio.sleep(600)
            finally:
                cancelled_at = anyio.current_time()

    with pytest.raises(LeaseLost):
        await work()
    return cancelled_at


@on_both_backends
async def test_the_body_is_cancelled_before_the_lease_can_end() -> None:
    """Its session, which lasts longer, is of no help."""
    keeper = Keeper()
    async with keeper.expiring_in_time(), client_of(keeper, timeout=60.0) as client:

        async def lose(lease: Lease) -> None:
            await anyio.sleep(2.5)
            keeper.is_silent = True

        started = anyio.current_time()
        cancelled_at = await hold_until_lost(client, lose)

        assert cancelled_at - started == pytest.approx(9.0 * 0.95)


@on_both_backends
async def test_another_takes_the_path_only_after_the_first_holders_body_is_over() -> None:
    """The first one's keep-alives do not arrive any more; the server ends its lease by its own clock."""
    keeper = Keeper()
    ended_at = begun_at = 0.0

    async def isolated_holder() -> None:
        nonlocal ended_at
        async with client_of(keeper, name="a", timeout=60.0) as client:

            async def lose(lease: Lease) -> None:
                await lease.create("/owner")
                await anyio.sleep(5.0)
                keeper.cut_off.add("a")

            ended_at = await hold_until_lost(client, lose)

    async with keeper.expiring_in_time(), anyio.create_task_group() as tasks:
        tasks.start_soon(isolated_holder)
        await anyio.sleep(0.5)
        async with client_of(keeper, name="b") as client, client.lease(60.0) as lease:
            while True:
                stat, change = await client.exists_and_watch("/owner")
                if stat is not None:
                    await change.wait()
                try:
                    await lease.create("/owner")
                    break
                except NodeExists:
                    continue
            begun_at = anyio.current_time()
            await anyio.sleep(5.0)
        keeper.heal()

    assert begun_at - ended_at == pytest.approx(9.0 * 0.05)


@pytest.mark.parametrize("seed", range(6))
def test_no_two_holders_ever_believe_at_once(seed: int) -> None:
    """Four workers want one path; partitions, cuts and lost answers at random; the server ends leases by its clock."""

    @on_both_backends
    async def story() -> None:
        chance = random.Random(seed)
        keeper = Keeper()
        inside: set[str] = set()
        tokens: list[int] = []

        async def worker(name: str) -> None:
            async with client_of(keeper, name=name, timeout=6.0, retry_timeout=3.0) as client:
                while True:
                    try:
                        async with client.lease(chance.choice([2.0, 4.0])) as lease:
                            _, stat = await lease.create("/owner", include_stat=True)
                            inside.add(name)
                            assert inside == {name}
                            tokens.append(stat.czxid)
                            try:
                                await anyio.sleep(chance.random() * 6)
                            finally:
                                inside.remove(name)
                    except (LeaseLost, NoLease, NodeExists, SessionExpired, ConnectionLost):
                        await anyio.sleep(chance.random())

        async with keeper.expiring_in_time(), anyio.create_task_group() as tasks:
            for name in "abcd":
                tasks.start_soon(worker, name)
            await trouble(keeper, chance, OF_LEASES)
            before = len(tokens)
            await anyio.sleep(30)
            assert len(tokens) > before + 3, "the path is stuck: somebody left a lease behind"
            tasks.cancel_scope.cancel()

        assert tokens == sorted(set(tokens))

    for backend in ("trio", "asyncio"):
        story(backend)


@on_both_backends
async def test_a_body_that_did_not_notice_is_told_afterwards() -> None:
    """Code that blocks the event loop cannot be cancelled, but its caller must know that it ran too long."""
    keeper = Keeper()
    async with client_of(keeper, timeout=60.0) as client:
        with pytest.raises(LeaseLost, match="could not be confirmed in time"):
            async with client.lease(9.0):
                block(9.0)


@on_both_backends
async def test_whoever_is_not_cancelled_may_ask_or_be_woken() -> None:
    """Threads, and tasks that do not run inside the body."""
    keeper = Keeper()
    told: list[tuple[str, float]] = []

    async def watch_over(lease: Lease) -> None:
        told.append((await lease.wait_lost(), anyio.current_time()))
        assert lease.remaining() == 0.0
        with pytest.raises(LeaseLost, match=told[-1][0]):
            lease.check()

    async with client_of(keeper, timeout=60.0) as client, anyio.create_task_group() as tasks:

        async def lose(lease: Lease) -> None:
            lease.check()
            assert lease.lost is None
            tasks.start_soon(watch_over, lease)
            keeper.is_silent = True

        started = anyio.current_time()
        await hold_until_lost(client, lose)
        keeper.heal()
        async with client.lease(9.0) as left:
            tasks.start_soon(watch_over, left)
            await anyio.sleep(1.0)

    assert [reason for reason, _ in told] == ["the lease could not be confirmed in time", "it was given up"]
    assert told[0][1] == pytest.approx(started + 9.0 * 0.95)


@on_both_backends
async def test_a_confirmation_that_comes_too_late_does_not_hide_the_loss() -> None:
    """The body was cancelled; that its keep-alive arrives while it cleans up must not make it look done."""
    keeper = Keeper()
    async with client_of(keeper, timeout=60.0) as client:

        async def lose(_: Lease) -> None:
            keeper.is_silent = True
            try:
                await anyio.sleep(600)
            finally:
                keeper.heal()
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(1.0)

        await hold_until_lost(client, lose)


@on_both_backends
async def test_a_holder_whose_lease_was_revoked_hears_of_it_with_the_next_keep_alive() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client, client_of(keeper) as other:

        async def lose(lease: Lease) -> None:
            await other.revoke_lease(lease.key)
            with pytest.raises(NoLease):
                await lease.create("/late")

        started = anyio.current_time()
        cancelled_at = await hold_until_lost(client, lose)

        assert cancelled_at - started == pytest.approx(9.0 / 3)


@on_both_backends
async def test_a_lease_is_lost_when_the_client_is_left() -> None:
    """It is not revoked any more, so it runs out."""
    keeper = Keeper()
    ended: list[float] = []

    async def holder(client: Client) -> None:
        async def wait(_: Lease) -> None:
            await anyio.sleep(600)

        ended.append(await hold_until_lost(client, wait))

    async with anyio.create_task_group() as tasks, client_of(keeper) as client:
        started = anyio.current_time()
        tasks.start_soon(holder, client)
        await anyio.sleep(1.0)

    assert ended == [pytest.approx(started + 1.0)]
    assert len(keeper.leases.table) == 1


@on_both_backends
async def test_one_of_many_is_lost_alone() -> None:
    keeper = Keeper()
    async with keeper.expiring_in_time(), client_of(keeper) as client, client.lease(9.0) as stays:

        async def lose(lease: Lease) -> None:
            keeper.leases.end(lease.id)

        await hold_until_lost(client, lose)
        await anyio.sleep(20.0)

        assert stays.remaining() > 0


# To operators.


@on_both_backends
async def test_an_operator_ends_leases_and_sessions_of_others() -> None:
    keeper = Keeper()
    async with client_of(keeper) as operator, client_of(keeper) as client:
        session_id = client.session_id

        async def lose(lease: Lease) -> None:
            await operator.end_lease(lease.id)

        await hold_until_lost(client, lose)
        await operator.end_lease(session_id)
        await anyio.sleep(1.0)

        assert client.session_id != session_id
        with pytest.raises(NoLease):
            await operator.end_lease(session_id)


@on_both_backends
async def test_who_is_no_operator_ends_nothing() -> None:
    keeper = Keeper()
    keeper.leases.has_operators = False
    async with client_of(keeper) as stranger, client_of(keeper) as client:
        with pytest.raises(NotOperator):
            await stranger.end_lease(client.session_id)
