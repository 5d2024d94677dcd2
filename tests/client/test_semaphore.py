"""The semaphore: never more than its permits, in the order in which they came. Faults: `test_lock_family.py`."""

import random

import anyio
import pytest

from coord_client import Client
from coord_client.recipes import Semaphore
from coord_protocol.errors import (
    ConnectionLost,
    LocalProtocolError,
    LockLost,
    LockTimeout,
    PermitsDiffer,
    SessionExpired,
)
from coord_protocol.requests import OpCode
from tests.client.backends import on_both_backends
from tests.client.keeper import Action, Keeper, Once
from tests.client.opening import client_of
from tests.client.trouble import trouble

PATH = "/downloads"
QUEUE = "/downloads-__lock__"


async def hold(client: Client, name: str, log: list[str], seconds: float = 1.0) -> None:
    async with Semaphore(client, PATH, 2, name=name):
        log.append(f"+{name}")
        await anyio.sleep(seconds)
        log.append(f"-{name}")


@on_both_backends
async def test_so_many_have_it_at_once_and_the_others_wait_their_turn() -> None:
    keeper = Keeper()
    log: list[str] = []
    async with client_of(keeper) as client, anyio.create_task_group() as tasks:
        for name in "abcd":
            tasks.start_soon(hold, client, name, log)
            await anyio.sleep(0.1)
        semaphore = Semaphore(client, PATH, 2)
        assert [each.name for each in await semaphore.holders()] == ["a", "b"]
        assert [each.name for each in await semaphore.waiting()] == ["c", "d"]

    assert log == ["+a", "+b", "-a", "+c", "-b", "+d", "-c", "-d"]


@on_both_backends
async def test_nobody_overtakes_who_waits() -> None:
    """A permit is free, but the first of the queue does not hear of it: who comes now stands behind it."""
    keeper = Keeper()
    log: list[str] = []
    async with client_of(keeper) as a, client_of(keeper, name="b") as b, anyio.create_task_group() as tasks:
        async with Semaphore(a, PATH, 2), Semaphore(a, PATH, 2):
            tasks.start_soon(hold, b, "b", log)
            await anyio.sleep(0.5)
            keeper.cut_off.add("b")
        with pytest.raises(LockTimeout):
            await Semaphore(a, PATH, 2, timeout=0).__aenter__()
        keeper.heal()

    assert log == ["+b", "-b"]


@on_both_backends
async def test_the_layout_is_that_of_kazoo() -> None:
    """A child of 32 hex digits for each permit in use, with the holder's name; their number at the path."""
    keeper = Keeper()
    async with client_of(keeper, name="worker 7") as client, Semaphore(client, PATH, 3) as permit:
        (name,) = keeper.children(PATH)
        assert permit.znode == f"{PATH}/{name}"
        assert len(name) == 32
        assert int(name, 16)
        assert keeper.znodes[permit.znode].data == b"worker 7"
        assert keeper.znodes[PATH].data == b"3"
        assert keeper.children(QUEUE) == [], "who has a permit does not wait for one"


@on_both_backends
async def test_the_first_of_the_queue_alone_looks_for_permits() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client, anyio.create_task_group() as tasks:
        async with Semaphore(client, PATH, 1):
            for _ in range(10):
                tasks.start_soon(once, client)
            await anyio.sleep(0.5)
            keeper.seen.clear()
        await anyio.sleep(0.5)

        seen = [opcode for opcode, _ in keeper.seen]
        assert seen.count(OpCode.MULTI) == 1
        assert seen.count(OpCode.GET_CHILDREN2) == 3, "the first looks for a permit; the next for its turn and for one"
        tasks.cancel_scope.cancel()


async def once(client: Client) -> None:
    async with Semaphore(client, PATH, 1):
        await anyio.sleep(600)


# The number of permits.


@on_both_backends
async def test_another_number_of_permits_is_refused() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        async with Semaphore(client, PATH, 3):
            with pytest.raises(PermitsDiffer, match="it has 3 permits, not 4"):
                await Semaphore(client, PATH, 4).__aenter__()
        assert keeper.children(PATH) == keeper.children(QUEUE) == []

        await client.delete(PATH)
        async with Semaphore(client, PATH, 4):
            pass


@pytest.mark.parametrize(("data", "after"), [(b"", b"3"), (b"see the wiki", b"see the wiki")])
def test_a_znode_without_a_number_is_taken_as_it_is(data: bytes, after: bytes) -> None:
    """Empty: made by somebody who means to write the number, as kazoo does. Other text is somebody else's."""

    @on_both_backends
    async def story() -> None:
        keeper = Keeper()
        async with client_of(keeper) as client:
            await client.create(PATH, data)
            async with Semaphore(client, PATH, 3):
                assert keeper.znodes[PATH].data == after

    for backend in ("trio", "asyncio"):
        story(backend)


@pytest.mark.parametrize("action", [Action.CUT_BEFORE, Action.CUT_AFTER])
@pytest.mark.parametrize("opcode", [OpCode.CREATE2, OpCode.SET_DATA])
def test_a_lost_answer_to_writing_the_number_does_no_harm(opcode: OpCode, action: Action) -> None:
    @on_both_backends
    async def story() -> None:
        keeper = Keeper()
        async with client_of(keeper) as client:
            if opcode == OpCode.SET_DATA:
                await client.create(PATH)
            keeper.on_request = Once(action, opcode)
            async with Semaphore(client, PATH, 3):
                assert keeper.znodes[PATH].data == b"3"

    for backend in ("trio", "asyncio"):
        story(backend)


def test_a_semaphore_has_a_permit() -> None:
    @on_both_backends
    async def story() -> None:
        async with client_of(Keeper()) as client:
            with pytest.raises(LocalProtocolError, match="0 permits"):
                Semaphore(client, PATH, 0)

    story("trio")


# Its hard cases.


@on_both_backends
async def test_a_first_that_has_lost_its_place_takes_nothing() -> None:
    """It saw a free permit, and was held up: somebody else is first by the time its transaction comes."""
    keeper = Keeper()
    async with client_of(keeper) as client:
        await client.ensure_path(QUEUE)

        def remove_place(opcode: OpCode, _: object) -> Action:
            if opcode == OpCode.MULTI:
                keeper.on_request = lambda *_: Action.SERVE
                (place,) = keeper.children(QUEUE)
                keeper.remove(f"{QUEUE}/{place}")
            return Action.SERVE

        keeper.on_request = remove_place
        async with Semaphore(client, PATH, 1):
            assert keeper.count(OpCode.MULTI) == 2
            assert len(keeper.children(PATH)) == 1
            assert keeper.children(QUEUE) == []


@on_both_backends
async def test_a_first_that_waits_for_a_permit_and_is_taken_out_queues_up_anew() -> None:
    keeper = Keeper()
    log: list[str] = []
    async with (
        client_of(keeper) as client,
        anyio.create_task_group() as tasks,
        Semaphore(client, PATH, 2),
        Semaphore(client, PATH, 2),
    ):
        tasks.start_soon(hold, client, "a", log)
        await anyio.sleep(0.5)
        (place,) = keeper.children(QUEUE)
        await client.delete(f"{QUEUE}/{place}")
        await anyio.sleep(0.5)
        assert len(keeper.children(QUEUE)) == 1
        assert log == []

    assert log == ["+a", "-a"]


@on_both_backends
async def test_the_path_may_be_deleted_while_somebody_waits() -> None:
    """All permits are free then, and their number is written down anew."""
    keeper = Keeper()
    log: list[str] = []
    async with client_of(keeper) as client, anyio.create_task_group() as tasks:
        await client.create(PATH, b"2")
        for stranger in ("x", "y"):
            await client.create(f"{PATH}/{stranger}")
        tasks.start_soon(hold, client, "a", log)
        await anyio.sleep(0.5)
        assert log == []
        await client.transaction().delete(f"{PATH}/x").delete(f"{PATH}/y").delete(PATH).commit()

    assert log == ["+a", "-a"]
    assert keeper.znodes[PATH].data == b"2"


@pytest.mark.parametrize("seed", range(6))
def test_there_are_never_more_holders_than_permits(seed: int) -> None:
    """Partitions, cuts and lost answers at random; the server ends sessions by its clock."""

    @on_both_backends
    async def story() -> None:
        chance = random.Random(seed)
        keeper = Keeper()
        inside: list[str] = []
        at_once: list[int] = []

        async def worker(name: str) -> None:
            async with client_of(keeper, name=name, timeout=6.0, retry_timeout=3.0) as client:
                while True:
                    try:
                        async with Semaphore(client, PATH, 2, timeout=chance.choice([None, 2.0, 8.0])):
                            inside.append(name)
                            at_once.append(len(inside))
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
            before = len(at_once)
            await anyio.sleep(30)
            assert len(at_once) > before + 6, "the semaphore is stuck: somebody left an orphan"
            tasks.cancel_scope.cancel()

        assert max(at_once) == 2

    for backend in ("trio", "asyncio"):
        story(backend)
