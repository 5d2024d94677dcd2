"""`coord bench-embedded`: from `coord.embedded()` to the first acknowledged write."""

import subprocess
import sys
import tempfile
from statistics import median

import click

from coord.cli.bench_machine import environment_with_bytecode

TARGET = 0.3  # seconds, for a first server in a fresh process


@click.command()
@click.option("--rounds", type=click.IntRange(1, 100), default=10, show_default=True, help="Processes of each kind.")
def bench_embedded(*, rounds: int) -> None:
    """Measure how long an embedded server takes from the call to its first acknowledged write.

    For a first server in a fresh process, which has to be imported, and for one more in the same process. Medians;
    exits with 1 if a first one takes longer than 0.3 s.
    """
    slowest = 0.0
    for backend in ("trio", "asyncio"):
        for where in ("in memory", "on disk"):
            measured = [_measure(backend, on_disk=where == "on disk") for _ in range(rounds + 1)][1:]  # one to warm up
            first, second = (median(column) for column in zip(*measured, strict=True))
            click.echo(f"on {backend}, {where}: first {first * 1000:.0f} ms, second {second * 1000:.1f} ms")
            slowest = max(slowest, first)
    if slowest > TARGET:
        raise SystemExit(1)


def _measure(backend: str, *, on_disk: bool) -> tuple[float, float]:
    with tempfile.TemporaryDirectory(prefix="coord-bench-") as directory:
        command = [sys.executable, "-m", "coord.local.first_write", backend, *([directory] if on_disk else [])]
        printed = subprocess.run(command, env=environment_with_bytecode(), capture_output=True, text=True, check=True)
    first, second = map(float, printed.stdout.split())
    return first, second
