"""What `coord top` costs: its share of one core while it watches a thousand leases.

    uv run python -m tests.bench.top_cpu [--leases 1000] [--seconds 20] [--members 3]

Real servers, and the program itself on a pseudo-terminal of 160 × 50. Counted is all that the process spends after it
has started, by the kernel's clock.
"""

import argparse
import os
import pty
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from struct import pack
from termios import TIOCSWINSZ

import trio

from coord.local.cluster import running
from coord_client import Client, connect

COLUMNS, LINES = 160, 50
WARM_UP = 5.0  # seconds: imports, the sessions, the first frames
BATCH = 100  # leases granted at once
CPUCLOCK_SCHED = 2  # how Linux makes the id of a clock from that of a process: clock_getcpuclockid(3)


async def grant_leases(client: Client, count: int) -> None:
    """Each with a key, as a registered service has one; for long enough to outlive the measurement."""

    async def grant(number: int) -> None:
        async with client.lease(600.0 + number, name=f"instance {number}") as lease:
            await lease.create(f"/services/api/10.0.{number // 250}.{number % 250}:8080", make_parents=True)
            lease.detach()

    for first in range(0, count, BATCH):
        async with trio.open_nursery() as nursery:
            for number in range(first, min(first + BATCH, count)):
                nursery.start_soon(grant, number)


@contextmanager
def on_a_terminal(command: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process, and our end of its terminal."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, pack("HHHH", LINES, COLUMNS, 0, 0))
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, env=os.environ | {"TERM": "xterm"}
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.terminate()
        process.wait()
        os.close(ours)


def read_for(seconds: float, terminal: int) -> bytes:
    """What it writes, taken as fast as a terminal would."""
    end, written = time.monotonic() + seconds, bytearray()
    while (left := end - time.monotonic()) > 0:
        if select.select([terminal], [], [], left)[0]:
            written += os.read(terminal, 65536)
    return bytes(written)


def cpu_seconds(pid: int) -> float:
    """Of the whole process, to the nanosecond; the ticks of /proc/PID/stat miss one that sleeps at each tick."""
    return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)


def measure(servers: str, leases: int, seconds: float) -> tuple[float, float]:
    """CPU seconds per second, and bytes written per second."""
    command = [sys.executable, "-m", "coord", "top", "--servers", servers]
    with on_a_terminal(command) as (process, terminal):
        assert f"{leases:,} ".encode() in read_for(WARM_UP, terminal), "it does not show all leases"
        before, began = cpu_seconds(process.pid), time.monotonic()
        written = len(read_for(seconds, terminal))
        took = time.monotonic() - began
        return (cpu_seconds(process.pid) - before) / took, written / took


async def main(leases: int, seconds: float, members: int) -> float:
    with tempfile.TemporaryDirectory(prefix="coord-top-cpu-") as directory:
        async with (
            running(Path(directory), members) as cluster,
            connect(cluster.servers, name="grants leases") as client,
        ):
            await grant_leases(client, leases)
            share, written = await trio.to_thread.run_sync(measure, cluster.servers, leases, seconds)
    print(
        f"coord top: {share:.1%} of a core, {written / 1000:.1f} kB/s written "
        f"({leases} leases, {members} members, {COLUMNS}x{LINES}, every second, over {seconds:g} s)"
    )
    return share


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leases", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--members", type=int, default=3)
    trio.run(main, *vars(parser.parse_args()).values())
