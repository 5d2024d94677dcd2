"""How long a new member takes from `coord member add` to its vote, while a cluster of three is written to."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from coord.cli.bench_compare import tell
from coord.cli.bench_ensembles import STOP_PATIENCE, Ensemble
from coord.cli.bench_load import LoadError, Measured
from coord.cli.bench_machine import environment_with_bytecode
from coord.cli.bench_scenario import Scenario, run_scenario
from coord.local.ports import LOOPBACK, free_ports
from tests.bench.snapshot_servers import TurnCoord, plant

LOAD: Final = Scenario("set", 64, 1)
ADD_PATIENCE: Final = 120.0  # seconds
NEWCOMER: Final = 4


class Join(NamedTuple):
    """What came of it."""

    seconds: float
    """From the start of its process, which is when it is added, to its vote."""
    normal: float
    """Writes per second before …"""
    meanwhile: float
    """… and while it joined."""


def measure_join(znodes: int, seconds: float) -> Join:
    """`seconds`: of load before. Raises `LoadError`."""
    with Ensemble(TurnCoord()) as ensemble:
        ensemble.start()
        tell(f"{znodes:,} znodes in {plant(ensemble.addresses[0], znodes):.1f} s")
        normal = run_scenario(ensemble.addresses, LOAD, warmup=1.0, duration=seconds)
        with _loaded(ensemble) as meanwhile:
            took = _add(ensemble)
    tell(f"member {NEWCOMER} has a vote after {took:.1f} s")
    return Join(took, _rate(normal), _rate(meanwhile[0]))


@contextmanager
def _loaded(ensemble: Ensemble) -> Iterator[list[Measured]]:
    """Under load until the end of the `with`; then what was measured is in the list."""
    measured: list[Measured] = []
    is_over = threading.Event()

    def load() -> None:
        slices = []
        while not is_over.is_set():
            slices.append(run_scenario(ensemble.addresses, LOAD, warmup=0.2, duration=2.0))
        measured.append(min(slices, key=_rate))

    thread = threading.Thread(target=load)
    thread.start()
    try:
        yield measured
    finally:
        is_over.set()
        thread.join()


def _rate(measured: Measured) -> float:
    return measured.latencies.count / measured.seconds


def _add(ensemble: Ensemble) -> float:
    client, peer = free_ports(2)
    layout = ensemble.layout
    coord = (sys.executable, "-m", "coord")
    serve = [
        *(*coord, "serve", "--id", str(NEWCOMER), "--data", str(layout.directory / "newcomer")),
        *("--client", f"{LOOPBACK}:{client}", "--peer", f"{LOOPBACK}:{peer}"),
        *("--join", f"{LOOPBACK}:{layout.peer_ports[0]}"),
    ]
    add = [
        *(*coord, "member", "add", str(NEWCOMER), f"{LOOPBACK}:{peer}"),
        *("--servers", f"{LOOPBACK}:{layout.client_ports[0]}"),
    ]
    environment = environment_with_bytecode()
    begin = time.monotonic()
    with open(layout.directory / "newcomer.log", "ab") as log:
        newcomer = subprocess.Popen(serve, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    try:
        added = subprocess.run(add, capture_output=True, text=True, timeout=ADD_PATIENCE, check=False, env=environment)
        if added.returncode:
            raise LoadError(f"the member was not added: {added.stderr.strip()}")
        return time.monotonic() - begin
    finally:
        newcomer.terminate()
        newcomer.wait(STOP_PATIENCE)
