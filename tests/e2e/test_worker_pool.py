"""examples/worker_pool.py, as processes that are killed and stopped: each job is done once, and under one leader."""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from coord.cli.demo_pool import Pool, open_pool, pool_program
from coord.cli.demo_state import State, until
from coord.cli.demo_story import JOBS, RESULTS, faults
from coord.local.cluster import running
from coord.local.processes import lines_of
from coord_client import Client, Create, connect
from tests.e2e.clusters import PATIENCE

pytestmark = pytest.mark.e2e

NAMES = ("w1", "w2", "w3")
JOB_COUNT = 24
JOB_SECONDS = b"0.1"
WORKERS = "/pool/workers"  # the layout is the example's


class Scene:
    """Three workers, and a client that gives them jobs and looks on."""

    def __init__(self, pool: Pool, state: State, client: Client) -> None:
        self.pool = pool
        self.state = state
        self.client = client
        self.jobs: list[str] = []

    async def put_jobs(self) -> None:
        await self.client.ensure_path(JOBS)
        await self.client.ensure_path(RESULTS)
        creates = [Create(f"{JOBS}/job-", JOB_SECONDS, sequence=True) for _ in range(JOB_COUNT)]
        self.jobs += [str(path).removeprefix(f"{JOBS}/") for path in await self.client.transaction(*creates).commit()]

    async def all_ready(self) -> None:
        await until(lambda: self.state.leader is not None, "a leader")
        with trio.fail_after(PATIENCE):
            while len(await self.client.get_children(WORKERS)) < len(NAMES):
                await trio.sleep(0.05)

    async def leader(self) -> str:
        """Once something was done under it: so there is a last write of its own."""
        await until(lambda: self.state.reports.total() > 0, "a job is done")
        assert self.state.leader is not None
        return self.state.leader

    async def another_leads(self, old: str) -> None:
        token = self.state.token
        await until(lambda: self.state.token > token, "another leader, with a higher token")
        assert self.state.leader != old

    async def all_done_once(self) -> None:
        with trio.fail_after(PATIENCE):
            while await self.client.get_children(JOBS):
                await trio.sleep(0.05)
        results = await self.client.get_children(RESULTS)
        versions = {job: (await self.client.get(f"{RESULTS}/{job}")).stat.version for job in results}
        assert faults(self.jobs, [], versions, self.state.reports) == []
        assert len(results) == JOB_COUNT


@asynccontextmanager
async def pool_at_work(directory: Path) -> AsyncIterator[Scene]:
    state = State({}, JOB_COUNT, lambda note: None)
    async with (
        running(directory, size=1) as cluster,
        connect(cluster.servers) as client,
        open_pool(cluster.servers, state) as pool,
    ):
        for name in NAMES:
            await pool.start(name)
        yield Scene(pool, state, client)


async def test_another_worker_leads_on_when_the_leader_is_killed(tmp_path: Path) -> None:
    """It finds in the tree where the old one stopped; the job that the old one was doing is done by somebody else."""
    async with pool_at_work(tmp_path) as scene:
        await scene.put_jobs()
        leader = await scene.leader()

        await scene.pool.kill(leader)

        await scene.another_leads(leader)
        await scene.all_done_once()


async def test_a_worker_that_is_started_again_waits_for_the_end_of_its_last_session(tmp_path: Path) -> None:
    """Until then its old znode stands, and is even given a job, which nobody does before it is gone."""
    async with pool_at_work(tmp_path) as scene:
        await scene.all_ready()
        follower = next(name for name in NAMES if name != scene.state.leader)

        await scene.pool.kill(follower)
        await scene.pool.start(follower)

        await scene.put_jobs()
        await scene.all_done_once()


async def test_a_leader_that_was_stopped_is_refused_by_its_token(tmp_path: Path) -> None:
    """It wakes up when another leads, and sends once more what it wrote last: that must change nothing."""
    async with pool_at_work(tmp_path) as scene:
        await scene.put_jobs()
        leader = await scene.leader()
        token = scene.state.token

        scene.pool.stop(leader)
        await scene.another_leads(leader)
        scene.pool.resume(leader)

        await until(lambda: scene.state.refused == [token], "the refusal of the old token")
        await scene.all_done_once()


async def test_a_worker_alone_does_its_jobs_until_ctrl_c(tmp_path: Path) -> None:
    """What a newcomer sees first, and that it ends without a traceback."""
    async with running(tmp_path, size=1) as cluster:
        command = [sys.executable, str(pool_program()), "--servers", cluster.servers, "--name", "w1", "--jobs", "2"]
        process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert process.stdout is not None
        printed: list[str] = []
        with trio.fail_after(PATIENCE):
            async for line in lines_of(process.stdout):
                printed.append(line)
                if line == "w1 done job=job-0000000001":
                    process.send_signal(signal.SIGINT)
            assert await process.wait() == 0

    assert {"w1 ready", "w1 gives job=job-0000000000 to=w1", "w1 done job=job-0000000000"} < set(printed)
    assert not any("Traceback" in line for line in printed)
