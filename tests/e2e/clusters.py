"""Real clusters for tests: processes, sockets and disks; and what tests ask of them from outside."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import trio

from coord.cli.bench_machine import free_ports
from coord.cli.local_cluster import LocalCluster

PATIENCE = 20.0  # seconds; only a test that fails waits so long


@asynccontextmanager
async def running(directory: Path, size: int = 3) -> AsyncIterator[LocalCluster]:
    """A cluster that serves."""
    ports = free_ports(2 * size)
    async with LocalCluster(directory, ports[:size], ports[size:]) as cluster:
        await cluster.start_all()
        yield cluster


def ask(address: str, word: str) -> str:
    """The answer to a four-letter word; empty if nobody answers."""
    host, _, port = address.rpartition(":")
    try:
        with closing(socket.create_connection((host, int(port)), timeout=1.0)) as sock:
            sock.sendall(word.encode())
            answer = b""
            while data := sock.recv(65536):
                answer += data
            return answer.decode()
    except OSError:
        return ""


async def leader_of(cluster: LocalCluster) -> int:
    """The member that leads. Waits for there to be one."""
    with trio.fail_after(PATIENCE):
        while True:
            for member in cluster.processes:
                answer = await trio.to_thread.run_sync(ask, cluster.address(member), "srvr")
                if "Mode: leader" in answer:
                    return member
            await trio.sleep(0.05)


@asynccontextmanager
async def paused(cluster: LocalCluster, member: int) -> AsyncIterator[None]:
    """As in a virtual machine that is moved, or a process that swaps: it stands still, and knows nothing of it."""
    process = cluster.processes[member]
    process.send_signal(SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(SIGCONT)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it is so. Fails after `PATIENCE`."""
    with trio.fail_after(PATIENCE):
        while not condition():
            await trio.sleep(0.02)
