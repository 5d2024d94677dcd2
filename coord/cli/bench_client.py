"""`coord bench-client`: this repository's Python client against kazoo, on the same servers of coord.

Each measurement is a process of its own (`coord.cli.bench_callers`), and they take turns: A B A B …. Only the lock
is measured as whoever moves would see it: our client on coord against kazoo on ZooKeeper.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final

import click

from coord.cli.bench_callers import CALLERS, CONTENDERS, Work
from coord.cli.bench_compare import Figure, Results, Row, machine, markdown, plain, tell, with_unit
from coord.cli.bench_ensembles import Ensemble
from coord.cli.bench_kinds import Coord, ZooKeeper
from coord.cli.bench_load import LoadError
from coord.cli.bench_machine import environment_with_bytecode, require_module

KAZOO: Final = "kazoo"
COLUMNS: Final = {"trio": "ours, trio", KAZOO: "kazoo", "asyncio": "ours, asyncio", "threads": "ours, threads"}
"""What the table calls them; the first two are compared."""

OPERATIONS: Final = {"get": "read", "set": "write"}
HAND_OFF: Final = "hand-off"
IMPORT: Final = "import"
MODULES: Final = {"trio": "coord_client", KAZOO: "kazoo.client", "threads": "coord_client.sync"}
IMPORTS: Final = 5  # in each round, of which the quickest counts
PATIENCE: Final = 60.0  # seconds beyond the measurement itself


def _rows() -> Iterator[Row]:
    for what, title in OPERATIONS.items():
        yield Row(f"{title}s/s, {CALLERS} callers", [Figure(f"{what} rate", 2.0, True, plain)])
        yield Row(f"p99 of a {title}", [Figure(f"{what} p99", 1.0, False, with_unit("ms"))])
        yield Row(f"processor time of a {title}, client", [Figure(f"{what} cpu", 1.0, False, with_unit("µs"))])
    yield Row(
        f"lock hand-off, {CONTENDERS} contenders, p50 (kazoo: on ZooKeeper 3.8)",
        [Figure(HAND_OFF, 1.0, False, with_unit("ms"))],
    )
    yield Row("cold import of the client", [Figure(IMPORT, 1.0, False, with_unit("ms"))])


ROWS: Final = list(_rows())


@click.command(name="bench-client")
@click.option("--rounds", type=click.IntRange(1, 20), default=3, show_default=True, help="Of each measurement.")
@click.option("--duration", type=click.FloatRange(1, 60), default=4.0, show_default=True, help="Seconds of each.")
@click.option("--heap", default="512m", show_default=True, help="ZooKeeper's -Xmx.")
def bench_client(*, rounds: int, duration: float, heap: str) -> None:
    """Compare coord_client with kazoo: one process, one session, 64 callers; then ten contenders for a lock.

    Needs kazoo, and for the lock Debian's packages `zookeeper` and a Java runtime. Takes about three minutes. The
    machine should have nothing else to do.
    """
    try:
        results = compare(rounds=rounds, duration=duration, heap=heap)
    except LoadError as error:
        raise click.ClickException(str(error)) from None
    named = Results(
        {key: {COLUMNS[who]: values for who, values in each.items()} for key, each in results.values.items()}
    )
    for line in markdown(named, list(COLUMNS.values()), ROWS):
        click.echo(line)
    click.echo()
    click.echo(f"Medians of {rounds} rounds, clients interleaved. {machine()}.")


def compare(*, rounds: int, duration: float, heap: str) -> Results:
    """Measure all of it. Raises `LoadError`."""
    results = Results()
    require_module("kazoo", "kazoo")
    with Ensemble(Coord()) as coord, Ensemble(ZooKeeper(heap)) as zookeeper:
        for ensemble in (coord, zookeeper):
            tell(f"{ensemble.kind.name}: start")
            ensemble.start()
        for what in OPERATIONS:
            for _ in range(rounds):
                for who in COLUMNS:
                    made = measure(who, what, coord, duration)
                    results.add(f"{what} rate", who, made.per_second)
                    results.add(f"{what} p99", who, made.p99_ms)
                    results.add(f"{what} cpu", who, made.cpu_us)
        for turn in range(rounds + 1):  # the first is for the JVM to warm up
            for who in COLUMNS:
                made = measure(who, HAND_OFF, zookeeper if who == KAZOO else coord, duration)
                if turn:
                    results.add(HAND_OFF, who, made.p50_ms)
    for _ in range(rounds):
        for who, module in MODULES.items():
            results.add(IMPORT, who, import_ms(module))
    return results


def measure(who: str, what: str, ensemble: Ensemble, duration: float) -> Work:
    """In a process of its own. Raises `LoadError`."""
    servers = ",".join(f"{host}:{port}" for host, port in ensemble.addresses)
    command: Sequence[str] = [sys.executable, "-m", "coord.cli.bench_callers", who, what, servers, str(duration)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=duration + PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise LoadError(f"{who} did not end: {what} on {ensemble.kind.name}") from None
    if done.returncode:
        raise LoadError(f"{who} failed: {what} on {ensemble.kind.name}: {done.stderr.strip()[-1000:]}")
    made = Work(**json.loads(done.stdout))
    tell(
        f"{who} on {ensemble.kind.name}: {what}: {made.per_second:,.0f}/s, p50 {made.p50_ms:.2f} ms,"
        f" p99 {made.p99_ms:.2f} ms, CPU {made.cpu_us:.1f} µs each"
    )
    return made


def import_ms(module: str) -> float:
    """Milliseconds by which a fresh interpreter takes longer if it imports the module, its bytecode at hand."""

    def quickest(statement: str) -> float:
        seconds = []
        for _ in range(IMPORTS):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], env=environment_with_bytecode(), check=True)
            seconds.append(time.perf_counter() - begin)
        return min(seconds)

    return (quickest(f"import {module}") - quickest("pass")) * 1000
