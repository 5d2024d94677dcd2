"""How long a server takes to serve again, from a snapshot and from its log, against ZooKeeper; and its memory."""

import signal
import time
from contextlib import ExitStack
from typing import Final

from coord.cli.bench_compare import Results, tell
from coord.cli.bench_ensembles import START_PATIENCE, Ensemble, Kind
from coord.cli.bench_kinds import PROBE_PATIENCE, ZooKeeper
from coord.cli.bench_load import LoadError
from tests.bench.snapshot_servers import NEVER, TurnCoord, get_once, path_of, plant, take_snapshot

FROM_SNAPSHOT: Final = "coord, from a snapshot"
FROM_LOG: Final = "coord, from its log alone"
ZOOKEEPER: Final = "ZooKeeper 3.8"
RESTART: Final = "restart"
FILLED: Final = "bytes per znode, filled"
RESTARTED: Final = "bytes per znode, restarted"
PROBE_PAUSE: Final = 0.01


def measure_restarts(znodes: int, rounds: int, heap: str) -> Results:
    """Seconds and bytes, by who it was of: one server each, with the same znodes. Raises `LoadError`."""
    results = Results()
    last = path_of(znodes - 1)
    with ExitStack() as stack:
        kinds: dict[str, Kind] = {
            FROM_SNAPSHOT: TurnCoord(NEVER),
            FROM_LOG: TurnCoord(NEVER),
            ZOOKEEPER: ZooKeeper(heap),
        }
        ensembles = {name: stack.enter_context(Ensemble(kind, 1)) for name, kind in kinds.items()}
        empty: dict[str, float] = {}
        for name, ensemble in ensembles.items():
            ensemble.start()
            empty[name] = memory(ensemble)
            seconds = plant(ensemble.addresses[0], znodes)
            results.add(FILLED, name, (memory(ensemble) - empty[name]) / znodes)
            tell(f"{name}: {znodes:,} znodes in {seconds:.1f} s, {memory(ensemble) / 1e6:,.0f} MB")
        take_snapshot(ensembles[FROM_SNAPSHOT].addresses[0])
        for _ in range(rounds):
            for name, ensemble in ensembles.items():
                seconds = restart(ensemble, last)
                tell(f"{name}: serves after {seconds:.2f} s, {memory(ensemble) / 1e6:,.0f} MB")
                results.add(RESTART, name, seconds)
                results.add(RESTARTED, name, (memory(ensemble) - empty[name]) / znodes)
    return results


def memory(ensemble: Ensemble) -> float:
    """Resident bytes of the only server."""
    return ensemble.memory_megabytes()[0] * 1024 * 1024


def restart(ensemble: Ensemble, path: str) -> float:
    """Stop the only server in good order; seconds from its next start to its answer to a getData."""
    ensemble.signal(0, signal.SIGTERM)
    ensemble.wait(0)
    begin = time.monotonic()
    ensemble.launch(0)
    while not get_once(ensemble.addresses[0], path, PROBE_PATIENCE):
        if time.monotonic() - begin > START_PATIENCE:
            raise LoadError(f"{ensemble.kind.name} does not serve {START_PATIENCE:.0f} s after its start")
        time.sleep(PROBE_PAUSE)
    return time.monotonic() - begin
