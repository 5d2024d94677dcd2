"""The picture of `coord top` in the README, from real data: run it again when the screen changes.

    uv run python -m tests.tui.picture examples/coord-top.svg

A cluster of three on this machine; the worker pool of the examples; locks that go from hand to hand, kazoo's among
them; leases; and a leader that is killed and comes back. After a minute the program itself saves what is on its screen.
"""

import math
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio
from kazoo.client import KazooClient

from coord.local.cluster import LocalCluster
from coord.local.processes import end, open_process
from coord_client import Client, connect
from coord_protocol.errors import CoordError
from tests.tui.tmux import terminal

COLUMNS, LINES = 126, 32
CLIENT_PORTS, PEER_PORTS = (2181, 2182, 2183), (2281, 2282, 2283)
LEADER_DIES_AT, LEADER_IS_BACK_AT, PICTURE_AT = 25.0, 30.0, 60.0  # seconds
POOL = Path(__file__).parents[2] / "examples" / "worker_pool.py"


@asynccontextmanager
async def worker_pool(servers: str) -> AsyncIterator[None]:
    workers = []
    for name in ("w1", "w2", "w3"):
        jobs = "600" if name == "w1" else "0"
        command = [sys.executable, str(POOL), "--name", name, "--jobs", jobs, "--servers", servers]
        with open("/dev/null", "wb") as nowhere:
            workers.append(await open_process(command, nowhere.fileno()))
    try:
        yield
    finally:
        await end(workers)


async def hold_in_turn(servers: str, name: str, path: str, seconds: float) -> None:
    """Hold the lock for so long, again and again, whatever happens to the servers."""
    while True:
        with suppress(CoordError):
            async with connect(servers, name=name, session_timeout=8.0) as client:
                while True:
                    async with client.lock(path):
                        await trio.sleep(seconds)


async def write_in_waves(client: Client) -> None:
    await client.ensure_path("/metrics")
    while True:
        load = 1.2 + math.sin(trio.current_time() / 3)
        for _ in range(round(12 * load)):
            with suppress(CoordError):
                await client.set("/metrics", b"x" * 64)
        await trio.sleep(0.05)


async def register(client: Client, number: int) -> None:
    """A service whose lease is kept alive."""
    async with client.lease(15.0, name=f"api-{number}") as lease:
        await lease.create(f"/services/api/10.0.2.{number}:8080", make_parents=True)
        await trio.sleep_forever()


async def leave_leases_alone(client: Client) -> None:
    """A service that renews its lease no more, and a lease that says something by being there."""
    async with client.lease(75.0, name="api-3") as registered, client.lease(900.0, name="maintenance by ada") as notice:
        await registered.create("/services/api/10.0.2.3:8080", make_parents=True)
        registered.detach()
        notice.detach()


@asynccontextmanager
async def kazoo_readers(servers: str) -> AsyncIterator[None]:
    """Two that share a lock."""
    readers = [KazooClient(servers, timeout=8.0) for _ in range(2)]
    for reader in readers:
        await trio.to_thread.run_sync(reader.start)
        await trio.to_thread.run_sync(reader.ReadLock("/catalogue/rebuild").acquire)
    try:
        yield
    finally:
        for reader in readers:
            await trio.to_thread.run_sync(reader.stop)


async def main(path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="coord-picture-") as directory:
        async with LocalCluster(Path(directory), CLIENT_PORTS, PEER_PORTS) as cluster:
            await cluster.start()
            async with (
                terminal(COLUMNS, LINES) as window,
                worker_pool(cluster.servers),
                kazoo_readers(cluster.servers),
                connect(cluster.servers, name="metrics") as client,
                trio.open_nursery() as nursery,
            ):
                for name in ("db1", "db2", "db3"):
                    nursery.start_soon(hold_in_turn, cluster.servers, name, "/locks/nightly-report", 11.0)
                nursery.start_soon(hold_in_turn, cluster.servers, "reindex", "/catalogue/rebuild", 5.0)
                nursery.start_soon(write_in_waves, client)
                for number in (1, 2):
                    nursery.start_soon(register, client, number)
                await leave_leases_alone(client)
                await window.enter(f"{sys.executable} -m coord top --servers {cluster.servers} --svg {path.absolute()}")
                await window.until_shown("3 of 3 answer")
                begun = trio.current_time()
                await trio.sleep_until(begun + LEADER_DIES_AT)
                leader = await cluster.leader()
                await cluster.kill(leader)
                await trio.sleep_until(begun + LEADER_IS_BACK_AT)
                await cluster.start(leader)
                await trio.sleep_until(begun + PICTURE_AT)
                await window.press("q")
                await window.until_prompt()
                nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
