"""What a server does under load while it takes snapshots, against the same without: in phases that take turns."""

import os
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from coord.cli.bench_compare import Results, tell
from coord.cli.bench_ensembles import Ensemble
from coord.cli.bench_load import LoadError
from coord.cli.bench_machine import busy_seconds
from coord.cli.bench_scenario import Scenario, run_scenario
from tests.bench.snapshot_servers import NEVER, TurnCoord, plant, snapshots_of, turns_file
from tests.bench.turns import Span, Turns

NORMAL: Final = "normal"
SNAPSHOTS: Final = "snapshots"
LOADS: Final = {"64×1": Scenario("set", 64, 1), "16×64": Scenario("set", 16, 64)}
WARM_UP: Final = 1.0


class Phase(NamedTuple):
    """One measurement."""

    span: Span
    per_second: float
    cpu_ms: float
    """Of all servers, per 1000 writes; steadier than the rate where others use the machine, too."""
    foreign: float
    """Share of the machine that others used meanwhile."""


@dataclass(slots=True)
class Phases:
    """What came of all of them."""

    rates: Results = field(default_factory=Results)
    """Writes per second, by load and by what was going on."""
    cpu: Results = field(default_factory=Results)
    """Milliseconds of processor time of all servers per 1000 writes."""
    turns: dict[tuple[str, str], Turns] = field(default_factory=dict)
    """Of all rounds together."""
    snapshot_seconds: list[float] = field(default_factory=list)
    memory_mb: float = 0.0
    """Of the largest server, at the end."""


def measure_phases(znodes: int, members: int, rounds: int, seconds: float) -> Phases:
    """Raises `LoadError`."""
    phases = Phases()
    spans: dict[tuple[str, str], list[Span]] = {}
    with Ensemble(TurnCoord(NEVER), members) as ensemble:
        ensemble.start()
        tell(f"{znodes:,} znodes in {plant(ensemble.addresses[0], znodes):.1f} s")
        for load, what in rounds * [(load, what) for load in LOADS for what in (NORMAL, SNAPSHOTS)]:
            with ExitStack() as stack:
                if what == SNAPSHOTS:
                    stack.enter_context(snapshots_of(ensemble, phases.snapshot_seconds))
                phase = _measure(ensemble, LOADS[load], seconds)
            tell(f"{load}, {what}: {phase.per_second:,.0f} writes/s, others {phase.foreign:.0%}")
            phases.rates.add(load, what, phase.per_second)
            phases.cpu.add(load, what, phase.cpu_ms)
            phases.rates.foreign = max(phases.rates.foreign, phase.foreign)
            spans.setdefault((load, what), []).append(phase.span)
        phases.memory_mb = max(ensemble.memory_megabytes())
        for number in range(members):
            ensemble.signal(number, signal.SIGTERM)
            ensemble.wait(number)
        files = [turns_file(ensemble.layout, number) for number in range(members)]
        for key, each in spans.items():
            phases.turns[key] = Turns.read(files, each)
    return phases


def _measure(ensemble: Ensemble, scenario: Scenario, seconds: float) -> Phase:
    marks: list[int] = []
    busy: list[float] = []

    def meter() -> float:
        marks.append(time.perf_counter_ns())
        busy.append(busy_seconds())
        return ensemble.cpu_seconds()

    measured = run_scenario(ensemble.addresses, scenario, warmup=WARM_UP, duration=seconds, meter=meter)
    if measured.errors or measured.out_of_order or measured.went_back or measured.unanswered:
        raise LoadError(f"answered wrongly: {measured}")
    others = busy[1] - busy[0] - measured.metered - measured.generator_cpu
    foreign = max(0.0, others / (measured.seconds * (os.cpu_count() or 1)))
    writes = measured.latencies.count
    return Phase(Span(*marks), writes / measured.seconds, measured.metered / writes * 1e6, foreign)
