"""examples/job_queue.py, as processes one of which is killed: each job has its result, once."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from coord.local.cluster import running
from coord.local.processes import lines_of
from coord_client import Client, connect
from tests.e2e.clusters import PATIENCE, until

EXAMPLE = Path(__file__).parents[2] / "examples" / "job_queue.py"
RESULTS = "/job-queue/results"
JOBS = 12


def command(servers: str, *arguments: str) -> list[str]:
    """What people type."""
    return [sys.executable, str(EXAMPLE), *arguments, "--servers", servers]


@asynccontextmanager
async def worker(servers: str, name: str, printed: list[str]) -> AsyncIterator[trio.Process]:
    """A worker whose lines go into `printed`; killed at the end."""
    process = await trio.lowlevel.open_process(command(servers, "work", "--name", name), stdout=subprocess.PIPE)
    assert process.stdout is not None
    stdout = process.stdout

    async def listen() -> None:
        async for line in lines_of(stdout):
            printed.append(line)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        try:
            yield process
        finally:
            process.kill()
            await process.wait()


async def results(client: Client) -> dict[str, str]:
    """By job."""
    names = await client.get_children(RESULTS)
    return {name: (await client.get(f"{RESULTS}/{name}")).data.decode() for name in names}


@pytest.mark.e2e
async def test_the_job_of_a_worker_that_is_killed_is_done_by_another(tmp_path: Path) -> None:
    printed: list[str] = []
    async with running(tmp_path, size=1) as cluster, connect(cluster.servers) as client:
        await trio.run_process(command(cluster.servers, "produce", "--jobs", str(JOBS)), capture_stdout=True)
        async with worker(cluster.servers, "w1", printed) as first, worker(cluster.servers, "w2", printed):
            await until(lambda: any(line.startswith("w1 begins") for line in printed))
            first.kill()
            with trio.fail_after(PATIENCE):
                while len(await client.get_children(RESULTS)) < JOBS:
                    await trio.sleep(0.05)

        found = await results(client)
        assert sorted(text.partition(",")[0] for text in found.values()) == sorted(
            f"{number} + {number} = {2 * number}" for number in range(JOBS)
        )
        (begun,) = {line.split()[2] for line in printed if line.startswith("w1 begins")} - {
            line.split()[2] for line in printed if line.startswith("w1 done")
        }
        assert found[begun].endswith("says w2")
        assert await client.get_children("/job-queue/jobs/entries") == []
