"""Loads for etcd, which speaks gRPC: h2load with bodies made beforehand, plain HTTP where servers die.

The nearest to what ZooKeeper's clients do, not the same: all sessions work on one key, reads are of that
key, `get` is a serializable range (local, may be stale) and `sync+get` the linearizable one. h2load knows
one server, so one of it runs against each.
"""

import re
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path

from coord.cli.bench_kinds import put
from coord.cli.bench_load import Action, Address, LoadError, Meter

KEY = b"coord-bench"
WRITERS = 8  # threads; the interpreter has no more to give
WRITER_PAUSE = 0.01  # seconds, as the other generator waits before it connects again
WRITER_PATIENCE = 1.0
FINISHED = re.compile(r"finished in [\d.]+\w+, ([\d.]+) req/s")
COUNTS = re.compile(r"requests: (\d+) total.* (\d+) failed, (\d+) errored, (\d+) timeout")


def field(number: int, data: bytes) -> bytes:
    """A protobuf field of bytes.

    >>> field(1, b"ab")
    b'\\n\\x02ab'
    """
    assert len(data) < 128, "the length takes one byte"
    return bytes([number << 3 | 2, len(data)]) + data


def body(mix: str, size: int) -> tuple[str, bytes]:
    """Path of the call, and the message as gRPC frames it."""
    match mix:
        case "set":
            call, message = "Put", field(1, KEY) + field(2, b"x" * size)
        case "get":
            call, message = "Range", field(1, KEY) + b"\x38\x01"  # field 7, serializable, is true
        case "sync+get":
            call, message = "Range", field(1, KEY)
        case _:
            raise AssertionError(f"no such mix for etcd: {mix}")
    return f"/etcdserverpb.KV/{call}", b"\0" + len(message).to_bytes(4, "big") + message


def run_h2load(
    addresses: Sequence[Address],
    mix: str,
    *,
    sessions: int,
    outstanding: int,
    size: int,
    warmup: float,
    duration: float,
    meter: Meter,
) -> tuple[float, float, float]:
    """Operations a second, their median latency in nanoseconds, and what `meter` advanced by meanwhile."""
    path, message = body(mix, size)
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory) / "body"
        data.write_bytes(message)
        shares = [sessions // len(addresses) + (n < sessions % len(addresses)) for n in range(len(addresses))]
        loads = [
            subprocess.Popen(
                [
                    *("h2load", "-t", "1", "-c", str(share), "-m", str(outstanding)),
                    *("-D", f"{duration:.0f}", "--warm-up-time", f"{max(1, warmup):.0f}"),
                    *("-d", str(data), "-H", "content-type: application/grpc", "-H", "te: trailers"),
                    *(f"--log-file={directory}/{port}.log", f"http://{host}:{port}{path}"),
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for (host, port), share in zip(addresses, shares, strict=True)
            if share
        ]
        time.sleep(max(1, warmup))
        before = meter()
        time.sleep(round(duration))
        metered = meter() - before
        rate = sum(_rate(load.communicate(timeout=60)[0]) for load in loads)
        latencies = [
            int(line.split("\t")[2]) for log in Path(directory).glob("*.log") for line in log.read_text().splitlines()
        ]
    return rate, statistics.median(latencies) * 1000, metered


def _rate(printed: str) -> float:
    finished, counts = FINISHED.search(printed), COUNTS.search(printed)
    if finished is None or counts is None or any(int(count) for count in counts.groups()[1:]):
        raise LoadError(f"h2load against etcd went wrong: {' | '.join(printed.strip().splitlines()[-6:])}")
    return float(finished[1])


def longest_gap(addresses: Sequence[Address], duration: float, actions: Sequence[Action], size: int = 100) -> float:
    """Seconds without a successful write, at the worst, while `actions` happen to the servers."""
    successes = [time.monotonic()]
    stop = threading.Event()
    value = b"x" * size

    def write(target: int) -> None:
        connection = HTTPConnection(*addresses[target % len(addresses)], timeout=WRITER_PATIENCE)
        while not stop.is_set():
            if put(connection, KEY.decode(), value):
                successes.append(time.monotonic())
            else:
                target += 1
                stop.wait(WRITER_PAUSE)
                connection = HTTPConnection(*addresses[target % len(addresses)], timeout=WRITER_PATIENCE)
        connection.close()

    threads = [threading.Thread(target=write, args=(number,), daemon=True) for number in range(WRITERS)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for after, action in sorted(actions, key=_when):
        time.sleep(max(0.0, begin + after - time.monotonic()))
        action()
    time.sleep(max(0.0, begin + duration - time.monotonic()))
    end = time.monotonic()
    stop.set()
    for thread in threads:
        thread.join(2 * WRITER_PATIENCE)
    times = [*sorted(moment for moment in successes if moment < end), end]
    return max(after - before for before, after in pairwise(times))


def _when(action: tuple[float, Callable[[], None]]) -> float:
    return action[0]
