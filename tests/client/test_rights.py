"""Lock, read/write lock, semaphore and election against real servers, and in one queue with kazoo's, both ways."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
import pytest
from kazoo.client import KazooClient

from coord_client import Client
from coord_protocol.errors import LockLost, LockTimeout, NoCandidate, NoNode, PermitsDiffer
from tests.client.ways import SESSION_TIMEOUT, World, in_every_way
from tests.e2e.clusters import PATIENCE

PATH = "/right"


@asynccontextmanager
async def kazoo_of(world: World) -> AsyncIterator[KazooClient]:
    client = KazooClient(world.server + world.root, timeout=SESSION_TIMEOUT)
    await in_thread(client.start)
    try:
        yield client
    finally:
        await in_thread(client.stop)
        await in_thread(client.close)


async def in_thread(function: Callable[[], object]) -> None:
    """kazoo blocks its caller."""
    with anyio.fail_after(PATIENCE):
        await anyio.to_thread.run_sync(function, abandon_on_cancel=True)


async def standing(client: Client, count: int, path: str = PATH) -> None:
    """Wait until so many stand in the queue."""
    with anyio.fail_after(PATIENCE):
        while True:
            children, change = await client.get_children_and_watch(path)
            if len(children) == count:
                change.cancel()
                return
            await change.wait()


# Lock.


@in_every_way
async def test_a_lock_is_held_by_one_and_then_by_the_next(world: World) -> None:
    log: list[str] = []
    async with world.connect(name="a") as a, world.connect(name="b") as b:

        async def wait() -> None:
            async with world.recipes.Lock(b, PATH) as held:
                log.append(f"b, {held.token}")

        async with anyio.create_task_group() as tasks, world.recipes.Lock(a, PATH) as held:
            tasks.start_soon(wait)
            await standing(a, 2)
            log.append(f"a, {held.token}")
            queue = await world.recipes.Lock(a, PATH).contenders()
            assert [(each.name, each.session_id) for each in queue] == [("a", a.session_id), ("b", b.session_id)]
        assert log == [f"a, {queue[0].token}", f"b, {queue[1].token}"]
        assert queue[0].token < queue[1].token


@in_every_way
async def test_a_holder_knows_how_long_it_lasts_and_is_refused_when_it_has_ended(world: World) -> None:
    async with world.connect() as client:
        await client.create("/report")
        async with world.recipes.Lock(client, PATH, margin=1.0) as held:
            assert 0 < held.remaining() <= SESSION_TIMEOUT
            held.check()
            await client.transaction(held.fence()).set("/report", b"1").commit()
        assert held.remaining() == 0
        with pytest.raises(LockLost):
            held.check()
        with pytest.raises(NoNode):
            await client.transaction(held.fence()).set("/report", b"2").commit()


@in_every_way
async def test_a_lock_is_lost_when_somebody_deletes_its_znode(world: World) -> None:
    async with world.connect() as client, world.connect() as other, anyio.create_task_group() as tasks:

        async def hold_until_lost() -> None:
            async with world.recipes.Lock(client, PATH) as held:
                tasks.start_soon(other.delete, held.znode)
                assert "DELETED" in await held.wait_lost()
                held.check()

        with pytest.raises(LockLost, match="DELETED"):
            await hold_until_lost()


@in_every_way
async def test_kazoos_lock_and_ours_stand_in_one_queue(world: World) -> None:
    log: list[str] = []
    held = anyio.Event()
    async with world.connect() as client, kazoo_of(world) as kazoo, anyio.create_task_group() as tasks:
        lock = kazoo.Lock(PATH, "kazoo")

        async def kazoo_waits() -> None:
            await in_thread(lock.acquire)
            log.append("kazoo")
            held.set()

        async def we_wait() -> None:
            async with world.recipes.Lock(client, PATH, name="we"):
                log.append("we again")

        async with world.recipes.Lock(client, PATH, name="we"):
            tasks.start_soon(kazoo_waits)
            await standing(client, 2)
            tasks.start_soon(we_wait)
            await standing(client, 3)
            names = [each.name for each in await world.recipes.Lock(client, PATH).contenders()]
            assert names == ["we", "kazoo", "we"] == await anyio.to_thread.run_sync(lock.contenders)
            log.append("we")
        await held.wait()
        with pytest.raises(LockTimeout):
            await world.recipes.Lock(client, PATH, timeout=0.2).__aenter__()
        await in_thread(lock.release)

    assert log == ["we", "kazoo", "we again"]


# Read/write lock.


@in_every_way
async def test_readers_share_and_a_writer_is_alone(world: World) -> None:
    log: list[str] = []
    async with world.connect() as client, anyio.create_task_group() as tasks:

        async def write() -> None:
            async with world.recipes.ReadWriteLock(client, PATH, name="writer").write():
                log.append("write")

        async def read_late() -> None:
            async with world.recipes.ReadWriteLock(client, PATH, name="late").read():
                log.append("read late")

        async with (
            world.recipes.ReadWriteLock(client, PATH, name="one").read(),
            world.recipes.ReadWriteLock(client, PATH, name="two").read(),
        ):
            tasks.start_soon(write)
            await standing(client, 3)
            tasks.start_soon(read_late)
            await standing(client, 4)
            files = world.recipes.ReadWriteLock(client, PATH)
            assert [each.name for each in await files.contenders()] == ["one", "two", "writer", "late"]
            assert [each.name for each in await files.holders()] == ["one", "two"]
            log.append("read")

    assert log == ["read", "write", "read late"]


@in_every_way
async def test_kazoos_readers_and_writers_and_ours_stand_in_one_queue(world: World) -> None:
    log: list[str] = []
    held, shared = anyio.Event(), anyio.Event()
    async with world.connect() as client, kazoo_of(world) as kazoo, anyio.create_task_group() as tasks:
        kazoos_reader, kazoos_writer = kazoo.ReadLock(PATH, "reader"), kazoo.WriteLock(PATH, "writer")

        async def kazoo_writes() -> None:
            await in_thread(kazoos_writer.acquire)
            log.append("kazoo writes")
            held.set()

        async def we_read() -> None:
            async with world.recipes.ReadWriteLock(client, PATH).read():
                log.append("we read")

        async def kazoo_reads() -> None:
            await in_thread(kazoos_reader.acquire)
            log.append("kazoo reads")
            if held.is_set():
                shared.set()

        async def we_write() -> None:
            async with world.recipes.ReadWriteLock(client, PATH).write():
                log.append("we write")

        async with world.recipes.ReadWriteLock(client, PATH).read():
            await kazoo_reads()  # with us
            tasks.start_soon(kazoo_writes)
            await standing(client, 3)
            tasks.start_soon(we_read)
            await standing(client, 4)
            with pytest.raises(LockTimeout):
                await world.recipes.ReadWriteLock(client, PATH, timeout=0).read().__aenter__()
            log.append("we leave")
        await in_thread(kazoos_reader.release)
        await held.wait()
        tasks.start_soon(kazoo_reads)
        await standing(client, 3)
        tasks.start_soon(we_write)
        await standing(client, 4)
        await in_thread(kazoos_writer.release)
        await shared.wait()
        await in_thread(kazoos_reader.release)

    assert log[:3] == ["kazoo reads", "we leave", "kazoo writes"]
    assert sorted(log[3:5]) == ["kazoo reads", "we read"]
    assert log[5:] == ["we write"]


# Semaphore.


@in_every_way
async def test_a_semaphore_has_so_many_permits(world: World) -> None:
    async with world.connect() as client:
        semaphore = world.recipes.Semaphore(client, PATH, 2, timeout=0)
        async with world.recipes.Semaphore(client, PATH, 2, name="one"):
            async with world.recipes.Semaphore(client, PATH, 2, name="two") as permit:
                await client.transaction(permit.fence()).create("/fenced").commit()
                assert [each.name for each in await semaphore.holders()] == ["one", "two"]
                with pytest.raises(LockTimeout):
                    await semaphore.__aenter__()
            async with semaphore:
                pass
        assert await semaphore.holders() == await semaphore.waiting() == []


@in_every_way
async def test_kazoos_semaphore_and_ours_share_permits(world: World) -> None:
    log: list[str] = []
    held = anyio.Event()
    queue = f"{PATH}-__lock__"
    async with world.connect() as client, kazoo_of(world) as kazoo, anyio.create_task_group() as tasks:
        first, second = (kazoo.Semaphore(PATH, name, max_leases=2) for name in ("first", "second"))

        async def kazoo_waits() -> None:
            await in_thread(second.acquire)
            log.append("kazoo")
            held.set()

        async def we_wait() -> None:
            async with world.recipes.Semaphore(client, PATH, 2):
                log.append("we")

        await in_thread(first.acquire)
        async with world.recipes.Semaphore(client, PATH, 2, name="we") as permit:
            assert sorted(await anyio.to_thread.run_sync(first.lease_holders)) == ["first", "we"]
            with pytest.raises(LockTimeout):
                await world.recipes.Semaphore(client, PATH, 2, timeout=0).__aenter__()
            tasks.start_soon(kazoo_waits)
            await client.ensure_path(queue)
            await standing(client, 1, queue)
            tasks.start_soon(we_wait)
            await standing(client, 2, queue)
            assert log == []
            await in_thread(first.release)
            await held.wait()
            await standing(client, 1, queue)
            mine, _ = await world.recipes.Semaphore(client, PATH, 2).holders()
            assert mine.znode == permit.znode
        await standing(client, 0, queue)
        await in_thread(second.release)

    assert log == ["kazoo", "we"]


@in_every_way
async def test_kazoo_and_we_refuse_each_others_number_of_permits(world: World) -> None:
    async with world.connect() as client, kazoo_of(world) as kazoo:
        async with world.recipes.Semaphore(client, "/ours", 2):
            with pytest.raises(ValueError, match="Inconsistent max leases: 2, expected: 3"):
                await in_thread(kazoo.Semaphore("/ours", max_leases=3).acquire)

        await in_thread(kazoo.Semaphore("/theirs", max_leases=3).acquire)
        with pytest.raises(PermitsDiffer, match="it has 3 permits, not 2"):
            await world.recipes.Semaphore(client, "/theirs", 2).__aenter__()


# Election.


@in_every_way
async def test_a_leader_hands_over_past_others_who_queue_up_anew(world: World) -> None:
    """Ours and kazoo's both see that their places are gone, and come again."""
    led: list[str] = []
    async with (
        world.connect(name="one") as one,
        world.connect() as others,
        kazoo_of(world) as kazoo,
        anyio.create_task_group() as tasks,
    ):

        async def kazoo_stands() -> None:
            await in_thread(lambda: kazoo.Election(PATH, "kazoo").run(led.append, "kazoo"))

        async def stand(name: str) -> None:
            async with world.recipes.Election(others, PATH, name=name):
                led.append(name)
                if name == "three":
                    await standing(others, 3)  # the two that were skipped are back

        async with world.recipes.Election(one, PATH) as leadership:
            tasks.start_soon(kazoo_stands)
            await standing(one, 2)
            tasks.start_soon(stand, "two")
            await standing(one, 3)
            tasks.start_soon(stand, "three")
            await standing(one, 4)
            await leadership.hand_over("three")

    assert led[0] == "three"
    assert sorted(led) == ["kazoo", "three", "two"]


@in_every_way
async def test_a_leader_hands_over_to_kazoos_candidate(world: World) -> None:
    led: list[str] = []
    async with world.connect(name="one") as one, kazoo_of(world) as kazoo, anyio.create_task_group() as tasks:

        async def kazoo_stands() -> None:
            await in_thread(lambda: kazoo.Election(PATH, "kazoo").run(led.append, "kazoo"))

        async def stand() -> None:
            async with world.recipes.Election(one, PATH, name="two"):
                led.append("two")

        async with world.recipes.Election(one, PATH) as leadership:
            with pytest.raises(NoCandidate, match="there stands nobody else"):
                await leadership.hand_over("kazoo")
            tasks.start_soon(stand)
            await standing(one, 2)
            tasks.start_soon(kazoo_stands)
            await standing(one, 3)
            await leadership.hand_over("kazoo")

    assert led == ["kazoo", "two"]
