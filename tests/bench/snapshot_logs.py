"""How much of the disk a server's log and snapshots take at most, while it is written to at full speed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from coord.cli.bench_compare import tell
from coord.cli.bench_ensembles import Ensemble
from coord.cli.bench_scenario import Scenario, run_scenario
from coord.storage.wal import SEGMENT_BYTES
from tests.bench.snapshot_servers import TurnCoord, data_of, plant

LOAD: Final = Scenario("set", 16, 64)
SAMPLE_PAUSE: Final = 0.05  # seconds


@dataclass(slots=True)
class Sizes:
    """The largest seen, in bytes; space that is reserved counts."""

    log: int = 0
    snapshots: int = 0
    """With one that is being written."""
    snapshot: int = 0
    """One of them."""
    taken: set[str] = field(default_factory=set)
    """The names of all snapshots that were seen."""
    writes: int = 0

    def sample(self, data: Path) -> None:
        snapshots = files_of(data / "snapshots")
        self.log = max(self.log, sum(size for name, size in files_of(data).items() if name.endswith(".wal")))
        self.snapshots = max(self.snapshots, sum(snapshots.values()))
        self.snapshot = max(self.snapshot, *snapshots.values(), 0)
        self.taken |= {name for name in snapshots if name.endswith(".snap")}


def measure_log(log_bytes: int | None, znodes: int, seconds: float) -> Sizes:
    """One server with so many znodes, under load for so long; None: with the default settings. Raises `LoadError`."""
    with Ensemble(TurnCoord(log_bytes), 1) as ensemble:
        ensemble.start()
        with watched(data_of(ensemble.layout, 0)) as sizes:
            plant(ensemble.addresses[0], znodes)
            measured = run_scenario(ensemble.addresses, LOAD, warmup=0.0, duration=seconds)
        sizes.writes = znodes + measured.latencies.count
    tell(f"log: {sizes.writes:,} writes, {len(sizes.taken)} snapshots")
    return sizes


def bound(sizes: Sizes, log_bytes: int) -> int:
    """What the log may take on disk, as `coord.replica.config` states it. One segment is for what is written while a
    snapshot is on its way: two seconds of writes at full speed, where one of this size takes less than one.
    """
    return 2 * max(log_bytes, sizes.snapshot) + 3 * SEGMENT_BYTES


@contextmanager
def watched(data: Path) -> Iterator[Sizes]:
    """The sizes seen in a server's directory up to now, and in the end."""
    sizes = Sizes()
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(SAMPLE_PAUSE):
            sizes.sample(data)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sizes
    finally:
        is_over.set()
        thread.join()


def files_of(directory: Path) -> dict[str, int]:
    """The sizes of the files in a directory from which files vanish while we look."""
    found = {}
    for path in directory.glob("*"):
        try:
            if path.is_file():
                found[path.name] = path.stat().st_size
        except FileNotFoundError:
            continue
    return found
