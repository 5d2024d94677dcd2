"""What snapshots cost: turns and throughput while they are taken, restarts, space on disk, memory, new members.

    uv run python -m tests.bench.snapshots [--part turns] [--part restart] [--part log] [--part join] …

Prints one table. The load comes from this process, the servers are processes of their own. Takes some ten minutes and
4 GB of memory. Needs Debian's packages `zookeeper` and a Java runtime for the restarts. Ends with 1 only if something
could not be measured; a target that is missed is told as such.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

from coord.cli.bench_compare import machine
from coord.cli.bench_load import LoadError
from coord.local.ports import NoFreePorts
from coord.replica.config import SNAPSHOT_LOG_BYTES
from tests.bench.snapshot_joins import measure_join
from tests.bench.snapshot_logs import bound, measure_log
from tests.bench.snapshot_phases import LOADS, NORMAL, SNAPSHOTS, measure_phases
from tests.bench.snapshot_restarts import (
    FILLED,
    FROM_LOG,
    FROM_SNAPSHOT,
    RESTART,
    RESTARTED,
    ZOOKEEPER,
    measure_restarts,
)
from tests.bench.turns import quantile

PARTS: Final = ("turns", "restart", "log", "join")
SMALL_LOG_BYTES: Final = 16 * 1024 * 1024
QUANTILES: Final = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
MAX_TURN_MS: Final = 10.0  # p99.9
MIN_THROUGHPUT: Final = 0.8
MAX_RESTART: Final = 0.5
MAX_ZNODE_BYTES: Final = 700.0
MAX_JOIN: Final = 15.0  # seconds


class Line(NamedTuple):
    """One of the table."""

    what: str
    measured: str
    target: str = ""
    is_met: bool = True


def turn_lines(znodes: int, members: int, rounds: int, seconds: float) -> Iterator[Line]:
    phases = measure_phases(znodes, members, rounds, seconds)
    for load in LOADS:
        for what in (NORMAL, SNAPSHOTS):
            turns = phases.turns[load, what]
            is_met = what == NORMAL or quantile(turns.wall, QUANTILES["p99.9"]) <= MAX_TURN_MS
            yield Line(
                f"turns, {load}, {what}: {' · '.join(QUANTILES)}",
                " · ".join(f"{quantile(turns.wall, share):.2f}" for share in QUANTILES.values()) + " ms",
                "" if what == NORMAL else f"p99.9 ≤ {MAX_TURN_MS:g} ms",
                is_met,
            )
            yield Line(
                "    of that, on a processor",
                " · ".join(f"{quantile(turns.cpu, share):.2f}" for share in QUANTILES.values()) + " ms",
            )
        ratio = phases.rates.ratio(load, SNAPSHOTS, NORMAL)
        rates = [phases.rates.median(load, what) for what in (NORMAL, SNAPSHOTS)]
        yield Line(
            f"writes/s, {load}, {NORMAL} · {SNAPSHOTS} · ratio",
            f"{rates[0]:,.0f} · {rates[1]:,.0f} · {ratio:.2f}",
            f"ratio ≥ {MIN_THROUGHPUT:g}",
            ratio is not None and ratio >= MIN_THROUGHPUT,
        )
        spent = [phases.cpu.median(load, what) for what in (NORMAL, SNAPSHOTS)]
        yield Line("    processor time of all servers per 1000 writes", f"{spent[0]:.1f} · {spent[1]:.1f} ms")
    taken = phases.snapshot_seconds
    yield Line(f"a snapshot under load, of {len(taken)}, median", f"{statistics.median(taken):.1f} s")
    yield Line("memory of the largest server after that", f"{phases.memory_mb:,.0f} MB")
    yield Line("share of the machine that others used, at most", f"{phases.rates.foreign:.0%}")


def restart_lines(znodes: int, rounds: int, heap: str) -> Iterator[Line]:
    results = measure_restarts(znodes, rounds, heap)
    for name in (FROM_SNAPSHOT, FROM_LOG, ZOOKEEPER):
        yield Line(f"restart with {znodes:,} znodes, {name}", f"{results.median(RESTART, name):.2f} s")
    for name in (FROM_SNAPSHOT, FROM_LOG):
        ratio = results.ratio(RESTART, name, ZOOKEEPER) or 0.0
        yield Line(f"    {name}, ratio", f"{ratio:.2f}", f"≤ {MAX_RESTART:g}", ratio <= MAX_RESTART)
    for what in (FILLED, RESTARTED):
        for name in (FROM_SNAPSHOT, FROM_LOG, ZOOKEEPER):
            size = results.median(what, name) or 0.0
            target = "" if name == ZOOKEEPER else f"≤ {MAX_ZNODE_BYTES:g}"
            yield Line(f"{what}, {name}", f"{size:,.0f}", target, not target or size <= MAX_ZNODE_BYTES)


def log_lines(znodes: int, seconds: float) -> Iterator[Line]:
    for what, log_bytes in (("default settings", None), (f"log_bytes = {SMALL_LOG_BYTES:,}", SMALL_LOG_BYTES)):
        sizes = measure_log(log_bytes, znodes, seconds)
        limit = bound(sizes, log_bytes or SNAPSHOT_LOG_BYTES)
        yield Line(
            f"largest log · snapshots, {what}; {znodes:,} znodes, {sizes.writes:,} writes, {len(sizes.taken)} taken",
            f"{sizes.log / 1e6:,.0f} · {sizes.snapshots / 1e6:,.0f} MB",
            f"log ≤ {limit / 1e6:,.0f} MB",
            sizes.log <= limit,
        )


def join_lines(znodes: int, seconds: float) -> Iterator[Line]:
    join = measure_join(znodes, seconds)
    yield Line(
        f"from `coord member add` to the vote of a new member, with {znodes:,} znodes, under load",
        f"{join.seconds:.1f} s",
        f"≤ {MAX_JOIN:g} s",
        join.seconds <= MAX_JOIN,
    )
    yield Line("    writes/s before · in the worst 2 s meanwhile", f"{join.normal:,.0f} · {join.meanwhile:,.0f}")


def table(lines: Iterator[Line]) -> Iterator[str]:
    yield "| what | measured | target |"
    yield "|---|---|---|"
    for what, measured, target, is_met in lines:
        verdict = "" if is_met else " (missed)"
        yield f"| {what} | {measured} | {target}{verdict} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS, dest="parts", help="several times for several")
    parser.add_argument("--znodes", type=int, default=1_000_000, help="for the turns")
    parser.add_argument("--members", type=int, default=1, help="servers of the cluster whose turns are measured")
    parser.add_argument("--restart-znodes", type=int, default=500_000)
    parser.add_argument("--log-znodes", type=int, default=100_000)
    parser.add_argument("--join-znodes", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3, help="of each phase, and of each restart")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each phase")
    parser.add_argument("--log-seconds", type=float, default=60.0, help="of writing, for the size of the log")
    parser.add_argument("--heap", default="2g", help="ZooKeeper's -Xmx")
    options = parser.parse_args()
    parts = {
        "turns": lambda: turn_lines(options.znodes, options.members, options.rounds, options.seconds),
        "restart": lambda: restart_lines(options.restart_znodes, options.rounds, options.heap),
        "join": lambda: join_lines(options.join_znodes, options.seconds),
        "log": lambda: log_lines(options.log_znodes, options.log_seconds),
    }
    try:
        for line in table(line for part in options.parts or PARTS for line in parts[part]()):
            print(line, flush=True)
    except (LoadError, NoFreePorts) as error:
        sys.exit(str(error))
    print(f"\n{machine()}")


if __name__ == "__main__":
    main()
