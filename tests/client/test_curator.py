"""Our locks in Curator's layout, and Curator's own, in one queue: both ways, against both servers."""

import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

from coord_protocol.errors import LockTimeout
from tests.client.curator import JARS
from tests.client.test_rights import standing
from tests.client.ways import World, in_every_way
from tests.e2e.clusters import PATIENCE

PATH = "/right"


class Curators:
    """A lock of Curator's, in a process of its own."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._to = process.stdin
        self._from = TextReceiveStream(process.stdout)

    async def acquire(self) -> None:
        """Wait until it is held."""
        await self._to.send(b"acquire\n")
        await self._answer("held\n")

    async def release(self) -> None:
        await self._to.send(b"release\n")
        await self._answer("released\n")

    async def _answer(self, expected: str) -> None:
        text = ""
        with anyio.fail_after(PATIENCE):
            while not text.endswith("\n"):
                text += await self._from.receive()
        assert text == expected


@asynccontextmanager
async def curators(world: World, kind: str) -> AsyncIterator[Curators]:
    if shutil.which("java") is None or not all(jar.exists() for jar in JARS):
        assert "COORD_REQUIRE_ALL_TESTS" not in os.environ, "the gate installs Curator, and must not go on without"
        pytest.skip("Curator is not installed: apt-get install libcurator-recipes-java")
    command = [sys.executable, "-m", "tests.client.curator", world.server + world.root, PATH, kind]
    async with await anyio.open_process(command) as process:
        try:
            yield Curators(process)
        finally:
            process.kill()


@in_every_way
async def test_curators_mutex_and_ours_stand_in_one_queue(world: World) -> None:
    log: list[str] = []
    held = anyio.Event()
    async with (
        world.connect() as client,
        curators(world, "mutex") as curator,
        anyio.create_task_group() as tasks,
    ):

        async def curator_waits() -> None:
            await curator.acquire()
            log.append("curator")
            held.set()

        async def we_wait() -> None:
            async with world.recipes.Lock(client, PATH, layout="curator"):
                log.append("we again")

        async with world.recipes.Lock(client, PATH, layout="curator"):
            tasks.start_soon(curator_waits)
            await standing(client, 2)
            tasks.start_soon(we_wait)
            await standing(client, 3)
            log.append("we")
        await held.wait()
        with pytest.raises(LockTimeout):
            await world.recipes.Lock(client, PATH, layout="curator", timeout=0).__aenter__()
        await curator.release()

    assert log == ["we", "curator", "we again"]


@in_every_way
async def test_curators_readers_and_writers_and_ours_stand_in_one_queue(world: World) -> None:
    log: list[str] = []
    held, shared = anyio.Event(), anyio.Event()
    async with (
        world.connect() as client,
        curators(world, "read") as reader,
        curators(world, "write") as writer,
        anyio.create_task_group() as tasks,
    ):

        async def curator_writes() -> None:
            await writer.acquire()
            log.append("curator writes")
            held.set()

        async def we_read() -> None:
            async with world.recipes.ReadWriteLock(client, PATH, layout="curator").read():
                log.append("we read")

        async def curator_reads() -> None:
            await reader.acquire()
            log.append("curator reads")
            if held.is_set():
                shared.set()

        async def we_write() -> None:
            async with world.recipes.ReadWriteLock(client, PATH, layout="curator").write():
                log.append("we write")

        async with world.recipes.ReadWriteLock(client, PATH, layout="curator").read():
            await curator_reads()  # with us
            tasks.start_soon(curator_writes)
            await standing(client, 3)
            tasks.start_soon(we_read)
            await standing(client, 4)
            log.append("we leave")
        await reader.release()
        await held.wait()
        tasks.start_soon(curator_reads)
        await standing(client, 3)
        tasks.start_soon(we_write)
        await standing(client, 4)
        await writer.release()
        await shared.wait()
        await reader.release()

    assert log[:3] == ["curator reads", "we leave", "curator writes"]
    assert sorted(log[3:5]) == ["curator reads", "we read"]
    assert log[5:] == ["we write"]


@in_every_way
async def test_curators_candidate_stands_with_ours_and_comes_again_when_it_is_skipped(world: World) -> None:
    log: list[str] = []
    async with (
        world.connect() as client,
        curators(world, "leader") as curator,
        anyio.create_task_group() as tasks,
    ):

        async def curator_stands() -> None:
            await curator.acquire()
            log.append("curator leads")
            leader = await world.recipes.Election(client, PATH, layout="curator").leader()
            assert leader.name == "curator"
            await curator.release()

        async def stand() -> None:
            async with world.recipes.Election(client, PATH, layout="curator", name="two"):
                log.append("two leads")
                await standing(client, 2)  # Curator's is back

        async with world.recipes.Election(client, PATH, layout="curator", name="one") as leadership:
            tasks.start_soon(curator_stands)
            await standing(client, 2)
            tasks.start_soon(stand)
            await standing(client, 3)
            await leadership.hand_over("two")

    assert log == ["two leads", "curator leads"]
