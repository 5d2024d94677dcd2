"""What the demo does to a cluster and a pool of workers, how long it takes them to go on, and whether they err.

Three leaders end in three ways: a worker that leads the pool is killed; the next one is stopped until another leads,
then wakes up and writes on; and the server that leads the others is killed, and started again.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import trio

from coord.cli.demo_pool import Pool
from coord.cli.demo_state import DemoFailed, HandOver, Health, State, until
from coord.local.cluster import LocalCluster
from coord_client import Client, Create
from coord_protocol.errors import ConnectionLost

JOBS: Final = "/pool/jobs"  # the layout is the example's
RESULTS: Final = "/pool/results"
JOB_SECONDS: Final = b"0.4"
WORKERS: Final = ("w1", "w2", "w3", "w4")
PAUSE: Final = 0.1  # between two tries to write, while nobody leads


class Story:
    """Acts on `cluster` and `pool`; `client` sees all servers."""

    def __init__(self, state: State, cluster: LocalCluster, pool: Pool, client: Client) -> None:
        self._state = state
        self._cluster = cluster
        self._pool = pool
        self._client = client
        self._jobs: list[str] = []

    async def play(self) -> list[str]:
        """From the first job to the last; returns what went wrong with the jobs, which should be nothing."""
        state = self._state
        await self._put_jobs()
        for name in WORKERS:
            await self._pool.start(name)
        await self._until_done(0.1)
        await self._kill_worker_that_leads()
        await self._until_done(0.3)
        await self._stop_worker_that_leads()
        await self._until_done(0.6)
        await self._kill_server_that_leads()
        await self._until_done(1.0)
        state.note("all jobs are done")
        return await self._verdict()

    async def _put_jobs(self) -> None:
        await self._client.ensure_path(JOBS)
        await self._client.ensure_path(RESULTS)
        creates = [Create(f"{JOBS}/job-", JOB_SECONDS, sequence=True) for _ in range(self._state.jobs)]
        paths = await self._client.transaction(*creates).commit()
        self._jobs = [str(path).removeprefix(f"{JOBS}/") for path in paths]
        self._state.note(f"{len(paths)} jobs for {len(WORKERS)} workers, which elect a leader")

    async def _until_done(self, share: float) -> None:
        wanted = round(share * self._state.jobs)
        await until(lambda: self._state.results >= wanted, f"{wanted} results")

    # The three ends.

    async def _kill_worker_that_leads(self) -> None:
        leader = self._leading_worker()
        self._state.note(f"kill -9 {leader}, which leads the pool")
        ended_at = trio.current_time()
        await self._pool.kill(leader)
        await self._until_another_leads("worker that leads is killed", ended_at)
        await self._pool.start(leader)
        self._state.note(f"{leader} is started again")

    async def _stop_worker_that_leads(self) -> None:
        leader, token = self._leading_worker(), self._state.token
        self._state.note(f"kill -STOP {leader}, which leads the pool, for longer than its session")
        ended_at = trio.current_time()
        self._pool.stop(leader)
        await self._until_another_leads("worker that leads is stopped", ended_at)
        self._state.note(f"kill -CONT {leader}, which writes on with token {token}")
        self._pool.resume(leader)
        await until(lambda: token in self._state.refused, f"the write of {leader} with token {token} is refused")

    async def _kill_server_that_leads(self) -> None:
        leader = self._state.raft_leader
        if leader is None:
            raise DemoFailed("no member says that it leads")
        member = self._state.members[leader]
        self._state.note(f"kill -9 member {leader}, which leads the cluster")
        ended_at = trio.current_time()
        member.health, member.status = Health.KILLED, None
        await self._cluster.kill(leader)
        await self._write()
        self._took_over("server that leads is killed", ended_at)
        await until(lambda: self._state.raft_leader not in {None, leader}, "a member says that it leads")
        self._state.note(f"writes go on, as member {self._state.raft_leader} leads")
        await self._cluster.start(leader)
        member.health = Health.RUNS
        self._state.note(f"member {leader} is back")

    def _leading_worker(self) -> str:
        if self._state.leader is None:
            raise DemoFailed("no worker leads the pool")
        return self._state.leader

    async def _until_another_leads(self, end: str, ended_at: float) -> None:
        old = self._state.token
        await until(lambda: self._state.token > old, f"another worker leads after token {old}")
        self._took_over(end, ended_at)

    def _took_over(self, end: str, ended_at: float) -> None:
        self._state.hand_overs.append(HandOver(end, trio.current_time() - ended_at))

    async def _write(self) -> None:
        """Until a write is acknowledged."""
        while True:
            try:
                await self._client.set(RESULTS, b"")
            except ConnectionLost:
                await trio.sleep(PAUSE)
            else:
                return

    async def _verdict(self) -> list[str]:
        await self._client.sync()
        left = await self._client.get_children(JOBS)
        results = await self._client.get_children(RESULTS)
        versions = {job: (await self._client.get(f"{RESULTS}/{job}")).stat.version for job in results}
        return faults(self._jobs, left, versions, self._state.reports)


def faults(
    jobs: Sequence[str], left: Sequence[str], results: Mapping[str, int], reports: Mapping[str, int]
) -> list[str]:
    """What is wrong with the jobs, by the tree and by what the workers said; nothing if each was done exactly once.

    `results` has the version of each result, which is 0 as long as nobody wrote it again.

    >>> faults(["a", "b", "c"], ["b"], {"a": 0, "c": 1}, {"a": 2, "c": 1})
    ['still to be done: b', 'without a result: b', 'written twice: c', 'said to be done twice: a']
    """
    found = {
        "still to be done": left,
        "without a result": set(jobs) - results.keys(),
        "results of no job": results.keys() - set(jobs),
        "written twice": [job for job, version in results.items() if version > 0],
        "said to be done twice": [job for job, count in reports.items() if count > 1],
    }
    return [f"{fault}: {', '.join(sorted(wrong))}" for fault, wrong in found.items() if wrong]
