"""Losing a lock: the body is over before the lock can be anybody else's, and its late writes are refused."""

import random
from collections.abc import Awaitable, Callable

import anyio
import pytest

from coord_client import Client
from coord_client.recipes import Held, Lock
from coord_protocol.errors import (
    ConnectionLost,
    LockLost,
    LockTimeout,
    NoNode,
    SessionExpired,
)
from tests.client.backends import block, on_both_backends
from tests.client.keeper import Keeper
from tests.client.opening import client_of, cut
from tests.client.trouble import trouble

PATH = "/locks/x"


async def hold_until_lost(client: Client, lose: Callable[[Held], Awaitable[None]]) -> None:
    """Hold the lock, do what loses it, and wait to be cancelled."""
    async with client.lock(PATH) as held:
        await lose(held)
        await anyio.sleep(600)


@on_both_backends
async def test_the_body_is_cancelled_before_the_session_can_end() -> None:
    """Behind a partition the holder stops by its own clock, and the next one begins only after that."""
    keeper = Keeper()
    log: list[tuple[str, float]] = []
    async with keeper.expiring_in_time(), client_of(keeper, name="b", timeout=9.0) as b:

        async def work(a: Client) -> None:
            async with a.lock(PATH):
                try:
                    await anyio.sleep(2.5)
                    keeper.cut_off.add("a")
                    await anyio.sleep(600)
                finally:
                    log.append(("a ends", anyio.current_time()))

        async def isolated_holder() -> None:
            async with client_of(keeper, name="a", timeout=9.0) as a:
                with pytest.raises(LockLost, match="could not be confirmed in time"):
                    await work(a)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(isolated_holder)
            await anyio.sleep(0.5)
            async with b.lock(PATH):
                log.append(("b begins", anyio.current_time()))

    assert [what for what, _ in log] == ["a ends", "b begins"]
    assert log[1][1] - log[0][1] == pytest.approx(9.0 * 0.05)


@on_both_backends
async def test_a_body_that_did_not_notice_is_told_afterwards() -> None:
    """Code that never pauses cannot be cancelled, but its caller must know that it ran too long."""
    keeper = Keeper()
    async with client_of(keeper, timeout=9.0) as client:
        with pytest.raises(LockLost):
            async with client.lock(PATH):
                block(9.0)


@on_both_backends
async def test_the_body_goes_on_through_a_short_reconnect() -> None:
    keeper = Keeper()
    async with keeper.expiring_in_time(), client_of(keeper, timeout=9.0) as client, client.lock(PATH) as held:
        for _ in range(10):
            await anyio.sleep(3.0)
            keeper.is_reachable = False
            keeper.cut_all()
            await anyio.sleep(3.0)
            keeper.is_reachable = True

        assert (await client.get(held.znode)).stat.czxid == held.token


@on_both_backends
async def test_a_holder_whose_znode_is_deleted_is_cancelled() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client, client_of(keeper) as other:

        async def lose(held: Held) -> None:
            await other.delete(held.znode)

        with pytest.raises(LockLost, match="DELETED"):
            await hold_until_lost(client, lose)


@on_both_backends
async def test_a_deletion_during_a_reconnect_is_noticed_after_it() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client, client_of(keeper) as other:

        async def lose(held: Held) -> None:
            keeper.is_reachable = False
            cut(keeper, client)
            await other.delete(held.znode)
            keeper.is_reachable = True

        with pytest.raises(LockLost, match="DELETED"):
            await hold_until_lost(client, lose)


@on_both_backends
async def test_a_holder_whose_session_expired_is_cancelled_at_once() -> None:
    keeper = Keeper()
    async with client_of(keeper, timeout=60.0) as client:
        started = anyio.current_time()

        async def lose(_: Held) -> None:
            keeper.expire(client.session_id)

        with pytest.raises(LockLost, match="session has expired"):
            await hold_until_lost(client, lose)

        assert anyio.current_time() - started < 1.0


@on_both_backends
async def test_a_stale_holder_is_refused_by_its_fence() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client, client_of(keeper) as other:
        await client.create("/report")
        helds: list[Held] = []

        async def lose(held: Held) -> None:
            helds.append(held)
            await client.transaction(held.fence()).set("/report", b"1").commit()
            await other.delete(held.znode)

        with pytest.raises(LockLost):
            await hold_until_lost(client, lose)
        with pytest.raises(NoNode) as refused:
            await client.transaction(helds[0].fence()).set("/report", b"stale").commit()

        assert refused.value.op_index == 0
        assert keeper.znodes["/report"].data == b"1"


@on_both_backends
async def test_a_cancelled_body_may_still_clean_up_and_raise() -> None:
    """What the body raises on its way out is what the caller gets."""
    keeper = Keeper()
    async with client_of(keeper) as client:

        async def lose(_: Held) -> None:
            try:
                keeper.expire(client.session_id)
                await anyio.sleep(600)
            finally:
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await hold_until_lost(client, lose)


@on_both_backends
async def test_the_lock_is_lost_when_the_client_is_left() -> None:
    keeper = Keeper()
    ended: list[str] = []

    async def holder(lock: Lock) -> None:
        try:
            async with lock:
                await anyio.sleep(600)
        except LockLost:
            ended.append("lost")

    async with anyio.create_task_group() as tasks, client_of(keeper) as client:
        tasks.start_soon(holder, client.lock(PATH))
        await anyio.sleep(1.0)

    assert ended == ["lost"]


@pytest.mark.parametrize("seed", range(6))
def test_no_two_holders_ever_believe_at_once(seed: int) -> None:
    """Four workers; partitions, cuts and lost answers at random; the server ends sessions by its clock."""

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
                        async with client.lock(PATH, timeout=chance.choice([None, 2.0, 8.0])) as held:
                            inside.add(name)
                            assert inside == {name}
                            tokens.append(held.token)
                            try:
                                await anyio.sleep(chance.random() * 4)
                            finally:
                                inside.remove(name)
                    except (LockLost, LockTimeout, SessionExpired, ConnectionLost):
                        await anyio.sleep(chance.random())

        async with keeper.expiring_in_time(), anyio.create_task_group() as tasks:
            for name in "abcd":
                tasks.start_soon(worker, name)
            await trouble(keeper, chance)
            before = len(tokens)
            await anyio.sleep(30)
            assert len(tokens) > before + 3, "the lock is stuck: somebody left an orphan"
            tasks.cancel_scope.cancel()

        assert tokens == sorted(set(tokens))

    for backend in ("trio", "asyncio"):
        story(backend)
