"""What lock, read/write lock, semaphore and election share: no orphans, no second holder, whatever gets lost.

Each test runs for every right that can be held alone; in the way is somebody who has it.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import anyio
import pytest

from coord_client import Client
from coord_client.recipes import Election, Held, Lock, ReadWriteLock, Semaphore
from coord_protocol.errors import (
    ConnectionLost,
    LocalProtocolError,
    LockLost,
    LockTimeout,
    SessionExpired,
)
from coord_protocol.requests import OpCode
from tests.client.backends import on_both_backends
from tests.client.keeper import Action, Keeper, Once
from tests.client.opening import client_of, cut

PATH = "/rights/x"

Right = Callable[..., AbstractAsyncContextManager[Held]]


def write(client: Client, **options: Any) -> AbstractAsyncContextManager[Held]:
    return ReadWriteLock(client, PATH, **options).write()


def read(client: Client, **options: Any) -> AbstractAsyncContextManager[Held]:
    return ReadWriteLock(client, PATH, **options).read()


def permit(client: Client, **options: Any) -> AbstractAsyncContextManager[Held]:
    return Semaphore(client, PATH, 1, **options)


def lock(client: Client, **options: Any) -> AbstractAsyncContextManager[Held]:
    return Lock(client, PATH, **options)


def curators_lock(client: Client, **options: Any) -> AbstractAsyncContextManager[Held]:
    return Lock(client, PATH, layout="curator", **options)


def leadership(client: Client, **options: Any) -> AbstractAsyncContextManager[Held]:
    return Election(client, PATH, **options)


class Case(NamedTuple):
    """A right, and one that is in its way."""

    right: Right
    other: Right


CASES: dict[str, Case] = {
    "lock": Case(lock, lock),
    "lock as Curator's": Case(curators_lock, curators_lock),
    "write": Case(write, write),
    "read": Case(read, write),
    "permit": Case(permit, permit),
    "leadership": Case(leadership, leadership),
}

Story = Callable[[Keeper, Case], Awaitable[None]]


def of_every_right(story: Story) -> Callable[..., None]:
    """A test for each right, on both backends, in virtual time."""

    @pytest.mark.parametrize("name", CASES)
    def run(name: str) -> None:
        @on_both_backends
        async def once() -> None:
            with anyio.fail_after(3600):
                await story(Keeper(), CASES[name])

        for backend in ("trio", "asyncio"):
            once(backend)

    run.__name__ = getattr(story, "__name__", "")
    run.__doc__ = story.__doc__
    return run


def left_behind(keeper: Keeper) -> list[str]:
    """Paths of what belongs to sessions."""
    return [path for path, znode in keeper.znodes.items() if znode.owner]


async def hold(log: list[str], right: AbstractAsyncContextManager[Held], name: str) -> None:
    async with right:
        log.append(f"{name} begins")
        await anyio.sleep(1.0)
        log.append(f"{name} ends")


# Having it.


@of_every_right
async def test_it_is_held_by_one_and_then_by_the_next(keeper: Keeper, case: Case) -> None:
    log: list[str] = []
    async with (
        client_of(keeper, name="a") as a,
        client_of(keeper, name="b") as b,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(hold, log, case.other(a), "a")
        await anyio.sleep(0.1)
        tasks.start_soon(hold, log, case.right(b), "b")

    assert log == ["a begins", "a ends", "b begins", "b ends"]
    assert left_behind(keeper) == []


@of_every_right
async def test_the_holder_has_what_every_right_offers(keeper: Keeper, case: Case) -> None:
    async with client_of(keeper, name="worker 7") as client:
        async with case.right(client) as held:
            assert (held.path, held.name) == (PATH, "worker 7")
            stat = await client.exists(held.znode)
            assert stat is not None
            assert held.token == stat.czxid
            assert held.remaining() > 0
            await client.transaction(held.fence()).create("/fenced").commit()
        assert held.lost == "it was given up"


@of_every_right
async def test_tokens_grow(keeper: Keeper, case: Case) -> None:
    tokens = []
    async with client_of(keeper) as client:
        for each in (case.right, case.other, case.right):
            async with each(client) as held:
                tokens.append(held.token)

    assert tokens == sorted(set(tokens))


# Waiting, and giving up.


@of_every_right
async def test_waiting_ends_at_the_timeout_and_leaves_nothing_behind(keeper: Keeper, case: Case) -> None:
    async with client_of(keeper) as a, client_of(keeper) as b, case.other(a) as held:
        for seconds in (0, 5):
            started = anyio.current_time()
            with pytest.raises(LockTimeout, match=f"in {seconds} s"):
                await case.right(b, timeout=seconds).__aenter__()
            assert anyio.current_time() - started == pytest.approx(seconds)
        assert left_behind(keeper) == [held.znode]


@of_every_right
async def test_a_cancelled_contender_leaves_nothing_behind(keeper: Keeper, case: Case) -> None:
    async with client_of(keeper) as a, client_of(keeper) as b, case.other(a) as held:
        with anyio.move_on_after(1.0):
            await hold([], case.right(b), "b")
        assert left_behind(keeper) == [held.znode]


@of_every_right
async def test_waiting_goes_on_through_a_reconnect(keeper: Keeper, case: Case) -> None:
    log: list[str] = []
    async with client_of(keeper) as a, client_of(keeper) as b, anyio.create_task_group() as tasks:
        tasks.start_soon(hold, log, case.other(a), "a")
        await anyio.sleep(0.1)
        tasks.start_soon(hold, log, case.right(b), "b")
        await anyio.sleep(0.1)
        keeper.is_reachable = False
        cut(keeper, b)
        await anyio.sleep(2.0)
        assert log == ["a begins", "a ends"]
        keeper.is_reachable = True

    assert log == ["a begins", "a ends", "b begins", "b ends"]


@of_every_right
async def test_waiting_ends_with_the_session(keeper: Keeper, case: Case) -> None:
    async with client_of(keeper) as a, client_of(keeper) as b, case.other(a) as held:

        async def wait() -> None:
            with pytest.raises(SessionExpired):
                await case.right(b).__aenter__()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.sleep(1.0)
            keeper.expire(b.session_id)
        assert left_behind(keeper) == [held.znode]


# Losing it.


@of_every_right
async def test_the_body_is_cancelled_when_the_session_is_lost(keeper: Keeper, case: Case) -> None:
    async with client_of(keeper) as client:

        async def hold_until_lost() -> None:
            async with case.right(client):
                keeper.expire(client.session_id)
                await anyio.sleep(600)

        with pytest.raises(LockLost, match="the session has expired"):
            await hold_until_lost()
        async with case.right(client, timeout=0):
            pass


@of_every_right
async def test_the_body_is_cancelled_when_its_znode_is_deleted(keeper: Keeper, case: Case) -> None:
    async with client_of(keeper) as client, client_of(keeper) as other:

        async def hold_until_lost() -> None:
            async with case.right(client) as held:
                await other.delete(held.znode)
                await anyio.sleep(600)

        with pytest.raises(LockLost, match="DELETED"):
            await hold_until_lost()


# What is lost on the way.


@of_every_right
async def test_a_lost_answer_leaves_no_orphan(keeper: Keeper, case: Case) -> None:
    """Whichever request it was the answer to."""
    for opcode in (OpCode.CREATE2, OpCode.MULTI, OpCode.GET_DATA, OpCode.GET_CHILDREN2, OpCode.DELETE):
        for action in (Action.CUT_BEFORE, Action.CUT_AFTER):
            async with client_of(keeper) as client:
                async with case.right(client) as held:
                    assert left_behind(keeper) == [held.znode]
                keeper.on_request = Once(action, opcode)
                async with case.right(client) as held:
                    assert left_behind(keeper) == [held.znode]
                await anyio.sleep(5.0)
                assert left_behind(keeper) == []


@of_every_right
async def test_who_is_cancelled_before_the_answer_leaves_no_orphan(keeper: Keeper, case: Case) -> None:
    """The server acts, and the client is gone from the network until later."""
    for opcode in (OpCode.CREATE2, OpCode.MULTI):
        async with client_of(keeper, timeout=60.0) as client:
            async with case.right(client):
                pass

            def cut_for_good(seen: OpCode, _: object, opcode: OpCode = opcode) -> Action:
                if seen != opcode:
                    return Action.SERVE
                keeper.is_reachable = False
                return Action.CUT_AFTER

            keeper.on_request = cut_for_good
            with anyio.move_on_after(2.0):
                await hold([], case.right(client), "a")
            keeper.on_request = lambda *_: Action.SERVE
            keeper.is_reachable = True
            await anyio.sleep(10.0)

            assert left_behind(keeper) == []


@of_every_right
async def test_without_any_server_it_says_so(keeper: Keeper, case: Case) -> None:
    async with client_of(keeper, retry_timeout=2.0) as client:
        keeper.is_reachable = False
        keeper.cut_all()
        await anyio.sleep(0.1)
        with pytest.raises(ConnectionLost):
            await case.right(client).__aenter__()


# One at a time.


@pytest.mark.parametrize("recipe", [Lock, Election, lambda client, path: Semaphore(client, path, 2)])
def test_one_object_is_for_one_holder(recipe: Callable[..., Any]) -> None:
    @on_both_backends
    async def story() -> None:
        async with client_of(Keeper()) as client:
            right = recipe(client, PATH)
            for _ in range(2):
                async with right:
                    with pytest.raises(LocalProtocolError, match="in use, and not re-entrant"):
                        await right.__aenter__()

    for backend in ("trio", "asyncio"):
        story(backend)


@on_both_backends
async def test_a_reader_does_not_become_a_writer() -> None:
    async with client_of(Keeper()) as client:
        files = ReadWriteLock(client, PATH)
        async with files.read():
            for scope in (files.read(), files.write()):
                with pytest.raises(LocalProtocolError, match="in use, and not re-entrant"):
                    await scope.__aenter__()
