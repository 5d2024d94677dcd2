"""The read/write lock: readers together, writers alone, nobody starved. Faults: `test_lock_family.py`."""

import random
import re

import anyio
import pytest

from coord_client import Client
from coord_client.recipes import ReadWriteLock
from coord_client.recipes.queueing import Layout
from coord_protocol.errors import ConnectionLost, LockLost, LockTimeout, SessionExpired
from coord_protocol.requests import OpCode
from tests.client.backends import on_both_backends
from tests.client.keeper import Keeper
from tests.client.opening import client_of
from tests.client.trouble import trouble

PATH = "/locks/files"


class Scene:
    """Readers and writers that come one after the other, each to stay for a second."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.log: list[str] = []

    async def come(self, *names: str) -> None:
        """Those whose names begin with "w" write. Ends when all have left."""
        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(self._stay, name)
                await anyio.sleep(0.01)

    async def _stay(self, name: str) -> None:
        files = ReadWriteLock(self.client, PATH, name=name)
        async with files.write() if name.startswith("w") else files.read():
            self.log.append(f"+{name}")
            await anyio.sleep(1.0)
            self.log.append(f"-{name}")


@pytest.mark.parametrize(
    ("come", "expected"),
    [
        ("r1 r2 r3", "+r1 +r2 +r3 -r1 -r2 -r3"),
        ("w1 w2", "+w1 -w1 +w2 -w2"),
        ("r1 w1", "+r1 -r1 +w1 -w1"),
        ("r1 r2 w1", "+r1 +r2 -r1 -r2 +w1 -w1"),
        ("w1 r1 r2", "+w1 -w1 +r2 +r1 -r2 -r1"),
        ("r1 w1 r2 w2", "+r1 -r1 +w1 -w1 +r2 -r2 +w2 -w2"),
    ],
)
def test_who_waits_for_whom(come: str, expected: str) -> None:
    """Also: a writer is not starved, as readers that come after it wait for it."""

    @on_both_backends
    async def story() -> None:
        keeper = Keeper()
        async with client_of(keeper) as client:
            scene = Scene(client)
            await scene.come(*come.split())
        assert phases(scene.log) == phases(expected.split())

    for backend in ("trio", "asyncio"):
        story(backend)


def phases(log: list[str]) -> list[set[str]]:
    """Readers that share come and go in any order."""
    result: list[set[str]] = []
    for entry in log:
        if not result or next(iter(result[-1]))[0] != entry[0]:
            result.append(set())
        result[-1].add(entry)
    return result


@on_both_backends
async def test_a_writer_waits_for_the_last_reader_whichever_it_is() -> None:
    """It watches the last one before it, which may leave first."""
    keeper = Keeper()
    async with client_of(keeper) as client:
        first, second = ReadWriteLock(client, PATH), ReadWriteLock(client, PATH)
        async with first.read():
            async with second.read():
                writer = ReadWriteLock(client, PATH, timeout=2.0)
                with pytest.raises(LockTimeout):
                    await writer.write().__aenter__()
            with pytest.raises(LockTimeout):
                await writer.write().__aenter__()
        async with writer.write():
            pass


@on_both_backends
async def test_readers_are_let_in_by_one_look_each() -> None:
    """They wait for the writer alone, and not for each other."""
    keeper = Keeper()
    async with client_of(keeper) as client, anyio.create_task_group() as tasks:
        scene = Scene(client)
        async with ReadWriteLock(client, PATH).write():
            tasks.start_soon(scene.come, "r1", "r2", "r3")
            await anyio.sleep(0.5)
            keeper.seen.clear()
        await anyio.sleep(0.5)

        assert sorted(scene.log) == ["+r1", "+r2", "+r3"]
        assert [opcode for opcode, _ in keeper.seen] == [OpCode.DELETE, *3 * [OpCode.GET_CHILDREN2]]


@on_both_backends
async def test_everybody_can_see_who_reads_and_who_waits_to_write() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client, anyio.create_task_group() as tasks:
        files = ReadWriteLock(client, PATH)
        assert await files.holders() == []
        tasks.start_soon(Scene(client).come, "r1", "r2", "w1", "r3")
        await anyio.sleep(0.5)

        queue = await files.contenders()
        assert [(each.name, each.is_reader) for each in queue] == [
            ("r1", True),
            ("r2", True),
            ("w1", False),
            ("r3", True),
        ]
        assert [each.name for each in await files.holders()] == ["r1", "r2"]
        await anyio.sleep(1.0)
        assert [each.name for each in await files.holders()] == ["w1"]
        await anyio.sleep(1.0)
        assert [each.name for each in await files.holders()] == ["r3"]


@pytest.mark.parametrize(
    ("layout", "reader", "writer"),
    [
        ("kazoo", r"[0-9a-f]{32}__rlock__0000000000", r"[0-9a-f]{32}__lock__0000000001"),
        ("curator", r"_c_[0-9a-f-]{36}-__READ__0000000000", r"_c_[0-9a-f-]{36}-__WRIT__0000000001"),
    ],
)
def test_the_layouts_are_those_of_others(layout: Layout, reader: str, writer: str) -> None:
    @on_both_backends
    async def story() -> None:
        keeper = Keeper()
        async with client_of(keeper) as client, anyio.create_task_group() as tasks:

            async def write() -> None:
                async with ReadWriteLock(client, PATH, layout=layout).write():
                    pass

            async with ReadWriteLock(client, PATH, layout=layout).read():
                tasks.start_soon(write)
                await anyio.sleep(0.5)
                assert re.fullmatch(f"{reader} {writer}", " ".join(keeper.children(PATH)))

    for backend in ("trio", "asyncio"):
        story(backend)


@pytest.mark.parametrize("seed", range(6))
def test_no_writer_ever_believes_it_is_alone_when_it_is_not(seed: int) -> None:
    """Partitions, cuts and lost answers at random; the server ends sessions by its clock."""

    @on_both_backends
    async def story() -> None:
        chance = random.Random(seed)
        keeper = Keeper()
        inside: list[str] = []
        counts = {"read": 0, "write": 0, "shared": 0}

        async def worker(name: str) -> None:
            async with client_of(keeper, name=name, timeout=6.0, retry_timeout=3.0) as client:
                files = ReadWriteLock(client, PATH, timeout=8.0)
                while True:
                    kind = chance.choice(["read", "read", "write"])
                    try:
                        async with files.read() if kind == "read" else files.write():
                            inside.append(kind)
                            assert set(inside) == {"read"} or inside == ["write"]
                            counts[kind] += 1
                            counts["shared"] += len(inside) > 1
                            try:
                                await anyio.sleep(chance.random() * 3)
                            finally:
                                inside.remove(kind)
                    except (LockLost, LockTimeout, SessionExpired, ConnectionLost):
                        await anyio.sleep(chance.random())

        async with keeper.expiring_in_time(), anyio.create_task_group() as tasks:
            for name in "abcd":
                tasks.start_soon(worker, name)
            await trouble(keeper, chance)
            before = counts["write"]
            await anyio.sleep(60)
            assert counts["write"] > before + 3, "the lock is stuck: somebody left an orphan"
            assert counts["shared"] > 10
            tasks.cancel_scope.cancel()

    for backend in ("trio", "asyncio"):
        story(backend)
