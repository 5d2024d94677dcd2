"""`coord sim`: play seeds of the simulator, and make a failing one small enough to be read."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict

import click

from coord.sim.run import DEFAULT_DURATION, Outcome, run_seed
from coord.sim.shrink import only, shrink

PROGRESS_EVERY = 2.0
"""Seconds of real time between two lines of progress."""

SEEDS = 20
"""How many, if nobody says: some ten seconds."""


class Positions(click.ParamType[frozenset[int]]):
    """`1,4,7`: positions in the list of faults that a seed draws; `none` for none of them."""

    name = "LIST"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[int]:
        if value == "none":
            return frozenset()
        words = str(value).split(",")
        if not all(word.isdigit() for word in words):
            self.fail(f"{value!r} is not a list of positions such as 1,4,7", param, ctx)
        return frozenset(int(word) for word in words)


@click.command(name="sim")
@click.option("--seed", type=click.IntRange(min=0), help="The first seed.  [default: a new one every second]")
@click.option(
    "--seeds", "count", type=click.IntRange(min=1),
    help=f"How many, from the first on.  [default: 1 with --seed, else {SEEDS}]",
)  # fmt: skip
@click.option(
    "--time", "duration", type=float, default=DEFAULT_DURATION, show_default=True,
    help="Virtual seconds of faults, before everything heals.",
)  # fmt: skip
@click.option("--faults", type=Positions(), help="Of the seed's faults only those at these positions. For one seed.")
@click.option("--shrink/--no-shrink", "shrinks", default=True, help="Look which faults a failing seed needs.")
@click.option("--verbose", is_flag=True, help="Print everything that happens. For one seed.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON per seed.")
def sim(
    *,
    seed: int | None,
    count: int | None,
    duration: float,
    faults: frozenset[int] | None,
    shrinks: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Simulate clusters under faults: the real server code, in virtual time, judged without mercy.

    The same seed is the same run, bit for bit. Exit status 1 if any seed broke a rule.
    """
    first = int(time.time()) if seed is None else seed
    count = count or (SEEDS if seed is None else 1)
    if count > 1 and (verbose or faults is not None):
        raise click.UsageError(f"{'--verbose' if verbose else '--faults'} is for one seed: give --seed N alone")
    report = _Report(first, count, duration, as_json)
    for number in range(first, first + count):
        outcome = run_seed(
            number,
            duration,
            write=click.echo if verbose else None,
            keep=list if faults is None else only(faults),
        )
        report.add(outcome, faults)
        if outcome.failure is not None and shrinks and faults is None:
            kept, smaller = shrink(outcome, duration, report.tell)
            report.add_smaller(smaller, kept)
    report.finish()
    if report.failed:
        sys.exit(1)


class _Report:
    """What people, or scripts, get to see."""

    def __init__(self, first: int, total: int, duration: float, as_json: bool) -> None:
        self.total = total
        self.failed: list[int] = []
        self._first = first
        self._duration = duration
        self._as_json = as_json
        self._played = 0
        self._simulated = 0.0
        self._figures: dict[str, int] = {}
        self._reached: dict[str, int] = {}
        self._started = self._told_at = time.monotonic()

    def add(self, outcome: Outcome, faults: frozenset[int] | None) -> None:
        self._played += 1
        self._simulated += outcome.simulated
        _add(self._figures, outcome.figures)
        _add(self._reached, outcome.reached)
        if outcome.failure is not None:
            self.failed.append(outcome.seed)
        if self._as_json:
            self._print_json(outcome, faults)
        elif outcome.failure is not None:
            click.echo(f"seed {outcome.seed} FAILED after {outcome.simulated:.1f} s: {outcome.failure}")
            click.echo(f"  again: {self._repro(outcome.seed, faults)}")
        elif self.total == 1:
            self._print_one(outcome)
        elif time.monotonic() >= self._told_at + PROGRESS_EVERY:
            self._told_at = time.monotonic()
            click.echo(f"{self._played} of {self.total} seeds, {len(self.failed)} failed, {self._speed()}")

    def add_smaller(self, outcome: Outcome, kept: frozenset[int]) -> None:
        if self._as_json:
            self._print_json(outcome, kept)
            return
        click.echo(f"  enough: {self._repro(outcome.seed, kept)}")
        for fault in outcome.faults:
            click.echo(f"    {fault}")
        click.echo(f"  breaks: {outcome.failure}")

    def tell(self, line: str) -> None:
        if not self._as_json:
            click.echo(f"  {line}")

    def finish(self) -> None:
        if self._as_json or self.total == 1:
            return
        verdict = f"{len(self.failed)} FAILED: {self.failed}" if self.failed else "all well"
        click.echo(f"seeds {self._first} to {self._first + self.total - 1}: {verdict}; {self._speed()}")
        self._print_figures(self._figures, self._reached)

    def _speed(self) -> str:
        elapsed = max(time.monotonic() - self._started, 1e-9)
        rate = self._simulated / elapsed
        return f"{self._simulated:,.0f} s simulated in {elapsed:.1f} s, {rate:.0f} × real time"

    def _print_one(self, outcome: Outcome) -> None:
        profile = outcome.profile
        click.echo(
            f"seed {outcome.seed}: all well. {profile.members} members, {profile.clients} clients"
            f" ({', '.join(dict.fromkeys(profile.workloads))}), {len(outcome.faults)} faults; {self._speed()}"
        )
        self._print_figures(outcome.figures, outcome.reached)
        click.echo(f"trace {outcome.digest}")

    def _print_figures(self, figures: Mapping[str, int], reached: Mapping[str, int]) -> None:
        click.echo("  done:    " + ", ".join(f"{figure:,} {name}" for name, figure in figures.items()))
        click.echo("  reached: " + ", ".join(f"{figure:,} {name}" for name, figure in sorted(reached.items())))

    def _print_json(self, outcome: Outcome, faults: frozenset[int] | None) -> None:
        fields = {
            "seed": outcome.seed,
            "failure": outcome.failure,
            "again": self._repro(outcome.seed, faults),
            "trace": outcome.digest,
            "simulated": round(outcome.simulated, 3),
            "profile": asdict(outcome.profile),
            "faults": [{"kind": type(fault).__name__, **asdict(fault)} for fault in outcome.faults],
            "figures": outcome.figures,
            "reached": outcome.reached,
        }
        click.echo(json.dumps(fields))

    def _repro(self, seed: int, faults: frozenset[int] | None) -> str:
        line = f"coord sim --seed {seed}"
        if self._duration != DEFAULT_DURATION:
            line += f" --time {self._duration:g}"
        if faults is not None:
            line += f" --faults {','.join(str(position) for position in sorted(faults)) or 'none'}"
        return line


def _add(totals: dict[str, int], figures: Mapping[str, int]) -> None:
    for name, figure in figures.items():
        totals[name] = totals.get(name, 0) + figure
