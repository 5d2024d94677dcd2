"""Servers whose snapshots are measured: how they are started and filled, and how snapshots of them are taken."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from coord.cli.bench_ensembles import Ensemble, Layout
from coord.cli.bench_kinds import Coord
from coord.cli.bench_load import Address, LoadError
from coord.cli.bench_scenario import gardener
from coord_protocol.errors import Code
from coord_protocol.extensions import SnapshotRequest
from coord_protocol.requests import GetDataRequest, OpCode

VALUE: Final = bytes(100)
ROOT: Final = "/snapshots"
SIBLINGS: Final = 1000  # below one parent
NEVER: Final = 1 << 50  # bytes of log: no snapshot is taken by itself
SNAPSHOT_PATIENCE: Final = 120.0  # seconds for one


class TurnCoord(Coord):
    """This repository's, each with a file of its turns, and snapshots by the size of the log as it is told."""

    def __init__(self, log_bytes: int | None = None) -> None:
        """None: as servers do it by default."""
        self._log_bytes = log_bytes

    def command(self, layout: Layout, number: int) -> list[str]:
        python, _, _, _, *flags = super().command(layout, number)
        command = [python, "-m", "tests.bench.turn_server", str(turns_file(layout, number)), *flags]
        if self._log_bytes is not None:
            configuration = layout.of(number) / "coord.toml"
            configuration.write_text(f"[snapshots]\nlog_bytes = {self._log_bytes}\n")
            command += ["--config", str(configuration)]
        return command


def turns_file(layout: Layout, number: int) -> Path:
    return layout.of(number) / "turns"


def data_of(layout: Layout, number: int) -> Path:
    return layout.of(number) / "data"


def path_of(number: int) -> str:
    """
    >>> path_of(1002)
    '/snapshots/1/0000001002'
    """
    return f"{ROOT}/{number // SIBLINGS}/{number:010d}"


def plant(address: Address, znodes: int) -> float:
    """So many znodes of 100 bytes, and their parents; returns the seconds that took."""
    begin = time.monotonic()
    with gardener([address]) as planting:
        planting.create([ROOT], b"")
        planting.create((f"{ROOT}/{parent}" for parent in range(-(-znodes // SIBLINGS))), b"")
        planting.create(map(path_of, range(znodes)), VALUE)
    return time.monotonic() - begin


def get_once(address: Address, path: str, patience: float) -> bool:
    """Whether the server answers a getData."""
    try:
        with gardener([address], patience) as reading:
            reading.ask(OpCode.GET_DATA, [GetDataRequest(path, False).encode()], allowed={Code.OK})
    except LoadError:
        return False
    return True


def take_snapshot(address: Address) -> float:
    """Have the server take one at once; returns the seconds until it was durable."""
    begin = time.monotonic()
    with gardener([address], SNAPSHOT_PATIENCE) as asking:
        asking.ask(OpCode.SNAPSHOT, [SnapshotRequest().encode()], allowed={Code.OK})
    return time.monotonic() - begin


@contextmanager
def snapshots_of(ensemble: Ensemble, seconds: list[float]) -> Iterator[None]:
    """Snapshots of all servers, on each one after another without a pause, from now on to the end of the `with`.

    What each took is added to `seconds`. Those that are under way at the end are waited for.
    """
    failures: list[Exception] = []
    is_over = threading.Event()

    def take_all(address: Address) -> None:
        try:
            while not is_over.is_set():
                seconds.append(take_snapshot(address))
        except LoadError as error:
            failures.append(error)

    threads = [threading.Thread(target=take_all, args=(address,)) for address in ensemble.addresses]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
