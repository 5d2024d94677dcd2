"""`coord bench-compare`: this repository's servers against ZooKeeper's, and etcd's, on this machine.

All ensembles are up at once, and only one is loaded at a time: A B A B …, so that what else the machine
does meets all of them. A ratio is that of two neighbouring measurements; the median of them is reported.
"""

import os
import platform
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import click

from coord.cli.bench_ensembles import Ensemble, Kind
from coord.cli.bench_kinds import Coord, Etcd, ZooKeeper
from coord.cli.bench_load import LoadError
from coord.cli.bench_measures import Speed, cold_start, gap, speed, warm_up
from coord.cli.bench_scenario import Scenario
from coord.local.ports import NoFreePorts


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the table. Without a target it is not in it, and need not be."""

    key: str
    target: float
    more_is_better: bool
    form: Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    figures: Sequence[Figure]


def plain(value: float) -> str:
    """
    >>> plain(12345.6), plain(0.512), plain(75.3)
    ('12,346', '0.51', '75')
    """
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def with_unit(unit: str) -> Callable[[float], str]:
    return lambda value: f"{plain(value)} {unit}"


ROWS = [
    Row(
        "writes/s, 64 sessions × 1 outstanding · 1000 × 1 · 16 × 64",
        [
            Figure("set 64×1", 1.3, True, plain),
            Figure("set 1000×1", 2.0, True, plain),
            Figure("set 16×64", 3.0, True, plain),
        ],
    ),
    Row(
        "reads/s, 64 × 1 · 16 × 64",
        [Figure("get 64×1", 2.0, True, plain), Figure("get 16×64", 5.0, True, plain)],
    ),
    Row("sync + read/s, 64 × 1", [Figure("sync+get 64×1", 1.5, True, plain)]),
    Row("CPU of all servers per 1000 writes, 64 × 1", [Figure("cpu", 0.6, False, with_unit("ms"))]),
    Row(
        "write latency, one session on the leader, one outstanding, p50",
        [Figure("latency", 1.3, False, with_unit("ms"))],
    ),
    Row(
        "longest gap in writes after kill -9 of the leader · after SIGTERM",
        [Figure("kill", 0.5, False, with_unit("ms")), Figure("term", 0.1, False, with_unit("ms"))],
    ),
    Row(
        "from process start of three servers to the first write",
        [Figure("start", 0.5, False, with_unit("s"))],
    ),
    Row("memory of an idle server", [Figure("memory", 0.7, False, with_unit("MB"))]),
]

LOADS = [
    Scenario("set", 64, 1),
    Scenario("set", 1000, 1),
    Scenario("set", 16, 64),
    Scenario("get", 64, 1),
    Scenario("get", 16, 64),
    Scenario("sync+get", 64, 1),
]
ONE_AT_A_TIME = Scenario("set", 1, 1)
PARTS = ("load", "failover", "start")


@dataclass(slots=True)
class Results:
    """Every measurement, by figure and name of the ensemble, in the order of the rounds."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    foreign: float = 0.0
    """The worst share of the machine that others used during a load that counts."""

    def add(self, key: str, name: str, value: float) -> None:
        self.values.setdefault(key, {}).setdefault(name, []).append(value)

    def median(self, key: str, name: str) -> float | None:
        values = self.values.get(key, {}).get(name)
        return statistics.median(values) if values else None

    def ratio(self, key: str, ours: str, theirs: str) -> float | None:
        """The median of the rounds' ratios."""
        by_name = self.values.get(key, {})
        ratios = [a / b for a, b in zip(by_name.get(ours, []), by_name.get(theirs, []), strict=False) if b]
        return statistics.median(ratios) if ratios else None


@click.command(name="bench-compare")
@click.option("--etcd", "with_etcd", is_flag=True, help="Measure etcd, too.")
@click.option("--rounds", type=click.IntRange(1, 20), default=3, show_default=True, help="Of each measurement.")
@click.option("--duration", type=click.FloatRange(1, 60), default=5.0, show_default=True, help="Seconds of each load.")
@click.option(
    "--warmup", type=click.FloatRange(4, 600), default=60.0, show_default=True,
    help="Seconds of load for each ensemble before anything counts; a JVM needs a minute.",
)  # fmt: skip
@click.option(
    "--part", "parts", type=click.Choice(PARTS), multiple=True, default=PARTS, show_default=True,
    help="What to measure; may be given several times.",
)  # fmt: skip
@click.option("--heap", default="1g", show_default=True, help="ZooKeeper's -Xmx.")
def bench_compare(
    *, with_etcd: bool, rounds: int, duration: float, warmup: float, parts: Sequence[str], heap: str
) -> None:
    """Compare three servers of coord with three of ZooKeeper 3.8 here, and print the README's table.

    Needs Debian's packages `zookeeper` and a Java runtime, and for --etcd `etcd-server` and
    `nghttp2-client`. Takes about half an hour. The machine should have nothing else to do: a load during
    which others use more than 15 % of it is repeated, up to twice.
    """
    kinds: list[Kind] = [Coord(), ZooKeeper(heap), *([Etcd()] if with_etcd else [])]
    try:
        results = compare(kinds, rounds=rounds, duration=duration, warmup=warmup, parts=parts)
    except (LoadError, NoFreePorts) as error:
        raise click.ClickException(str(error)) from None
    for line in markdown(results, [kind.name for kind in kinds]):
        click.echo(line)
    click.echo()
    for line in conditions(results, rounds, warmup):
        click.echo(line)


def compare(
    kinds: Sequence[Kind], *, rounds: int, duration: float, warmup: float, parts: Sequence[str] = PARTS
) -> Results:
    """Measure all of them. Raises `LoadError`."""
    results = Results()
    for kind in kinds:
        kind.check_installed()
    if "load" in parts or "failover" in parts:
        with ExitStack() as stack:
            ensembles = [stack.enter_context(Ensemble(kind)) for kind in kinds]
            for ensemble in ensembles:
                tell(f"{ensemble.kind.name}: start")
                ensemble.start()
                tell(f"{ensemble.kind.name}: {warmup:.0f} s of warm-up")
                warm_up(ensemble, warmup)
            if "load" in parts:
                measure_loads(ensembles, rounds, duration, results)
            if "failover" in parts:
                measure_failover(ensembles, rounds, results)
    if "start" in parts:
        for _ in range(rounds):
            for kind in kinds:
                seconds, megabytes = cold_start(kind)
                tell(f"{kind.name}: first write after {seconds:.2f} s, {megabytes:.0f} MB")
                results.add("start", kind.name, seconds)
                results.add("memory", kind.name, megabytes)
    return results


def measure_loads(ensembles: Sequence[Ensemble], rounds: int, duration: float, results: Results) -> None:
    for scenario in LOADS:
        key = f"{scenario.mix} {scenario.sessions}×{scenario.outstanding}"
        for _ in range(rounds):
            for ensemble in ensembles:
                made = measure_speed(ensemble, scenario, duration, results)
                results.add(key, ensemble.kind.name, made.per_second)
                if scenario == LOADS[0]:
                    results.add("cpu", ensemble.kind.name, made.cpu_ms)
    for _ in range(rounds):
        for ensemble in ensembles:
            made = measure_speed(ensemble, ONE_AT_A_TIME, duration, results, on_leader=True)
            results.add("latency", ensemble.kind.name, made.p50_ms)


def measure_speed(
    ensemble: Ensemble, scenario: Scenario, duration: float, results: Results, *, on_leader: bool = False
) -> Speed:
    made = speed(ensemble, scenario, duration, on_leader=on_leader)
    results.foreign = max(results.foreign, made.foreign)
    load = f"{scenario.mix} {scenario.sessions}×{scenario.outstanding}"
    tell(
        f"{ensemble.kind.name}: {load}: {made.per_second:,.0f}/s, p50 {made.p50_ms:.2f} ms,"
        f" CPU {made.cpu_ms:.0f} ms per 1000, others {made.foreign:.0%}"
    )
    return made


def measure_failover(ensembles: Sequence[Ensemble], rounds: int, results: Results) -> None:
    for key, how in (("kill", signal.SIGKILL), ("term", signal.SIGTERM)):
        for _ in range(rounds):
            for ensemble in ensembles:
                milliseconds = gap(ensemble, how)
                tell(f"{ensemble.kind.name}: {milliseconds:,.0f} ms without a write after {how.name}")
                results.add(key, ensemble.kind.name, milliseconds)


def markdown(results: Results, names: Sequence[str], rows: Sequence[Row] = ROWS) -> Iterator[str]:
    """The table, line by line; the first of `names` is ours, the second who it is compared with."""
    ours, theirs = names[:2]
    yield f"| what | target | ratio to {theirs} | {' | '.join(names)} |"
    yield "|" + "---|" * (3 + len(names))
    for row in rows:
        targets = [f"{'≥' if each.more_is_better else '≤'} {each.target:g}" for each in row.figures]
        ratios = [_ratio(results.ratio(each.key, ours, theirs), each) for each in row.figures]
        columns = [[_value(results.median(each.key, name), each) for each in row.figures] for name in names]
        yield ("| " + " | ".join([row.title, *(" · ".join(cells) for cells in (targets, ratios, *columns))]) + " |")


def _ratio(ratio: float | None, figure: Figure) -> str:
    if ratio is None:
        return "–"
    is_met = ratio >= figure.target if figure.more_is_better else ratio <= figure.target
    return f"**{ratio:.2f}**" if is_met else f"{ratio:.2f} (missed)"


def _value(value: float | None, figure: Figure) -> str:
    return "–" if value is None else figure.form(value)


def conditions(results: Results, rounds: int, warmup: float) -> Iterator[str]:
    """What one must know to read the table."""
    yield f"Medians of {rounds} rounds, ensembles interleaved, fsync on, {warmup:.0f} s of warm-up."
    yield f"{machine()}; others used up to {results.foreign:.0%} of the machine."


def machine() -> str:
    """Where and when it was measured."""
    return (
        f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()},"
        f" {time.strftime('%Y-%m-%d')}"
    )


def tell(what: str) -> None:
    """Progress, apart from the result."""
    click.echo(f"{time.strftime('%H:%M:%S')} {what}", err=True)
