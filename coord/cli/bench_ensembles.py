"""Some servers of one kind on this machine, with directories and ports of their own, while a `with` lasts.

All with their fsync on. They are ended by the ids of the processes that were started here, never by name.
"""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from coord.cli.bench_load import Address, LoadError
from coord.cli.bench_machine import cpu_of, environment_with_bytecode, resident_of
from coord.local.ports import LOOPBACK, free_ports

SIZE = 3
START_PATIENCE = 60.0  # seconds; a JVM on a busy machine
STOP_PATIENCE = 15.0
PROBE_PAUSE = 0.01


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the servers 0, 1, … of an ensemble keep their data and listen."""

    directory: Path
    client_ports: Sequence[int]
    peer_ports: Sequence[int]
    other_ports: Sequence[int]

    def of(self, number: int) -> Path:
        """The server's own directory."""
        return self.directory / str(number)

    def log(self, number: int) -> Path:
        """What the server prints."""
        return self.directory / f"{number}.log"

    @property
    def addresses(self) -> list[Address]:
        return [(LOOPBACK, port) for port in self.client_ports]


class Kind(Protocol):
    """What there is to know of one kind of server."""

    name: str
    speaks_zookeeper: bool

    def check_installed(self) -> None:
        """Raises `LoadError` that says how to install it if it is not there."""
        ...

    def command(self, layout: Layout, number: int) -> list[str]:
        """What starts the server; files that it needs are written to its directory."""
        ...

    def is_leading(self, address: Address) -> bool:
        """Raises OSError if the server does not answer."""
        ...

    def write_once(self, addresses: Sequence[Address]) -> bool:
        """Try one write, for a second at the most; whether it was acknowledged."""
        ...


class Ensemble:
    """Servers that are stopped at first. One alone is a cluster of its own."""

    def __init__(self, kind: Kind, size: int = SIZE) -> None:
        self.kind = kind
        self._size = size
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self.kind.check_installed()
        size = self._size
        ports = free_ports(3 * size)
        directory = Path(tempfile.mkdtemp(prefix=f"bench-{self.kind.name.split()[0].lower()}-"))
        self.layout = Layout(directory, ports[:size], ports[size:-size], ports[-size:])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in list(self._processes):
            self.kill(number)
        shutil.rmtree(self.layout.directory, ignore_errors=True)

    @property
    def addresses(self) -> list[Address]:
        return self.layout.addresses

    def start(self) -> float:
        """Start those that are not running, and wait for a first write; returns the seconds that took."""
        begin = time.monotonic()
        for number in range(self._size):
            if number not in self._processes:
                self.launch(number)
        self._await_write(self.addresses)
        return time.monotonic() - begin

    def restart(self, number: int) -> None:
        """Start a server that was ended, and wait until writes go through it again."""
        self.launch(number)
        self._await_write([self.addresses[number]])

    def launch(self, number: int) -> None:
        """Start a server, and wait for nothing."""
        self.layout.of(number).mkdir(exist_ok=True)
        with open(self.layout.log(number), "ab") as log:
            self._processes[number] = subprocess.Popen(
                self.kind.command(self.layout, number),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment_with_bytecode() | {"PYTHONUNBUFFERED": "1"},
            )

    def leader(self) -> int:
        """The server that leads. Waits for there to be one."""
        deadline = time.monotonic() + START_PATIENCE
        while time.monotonic() < deadline:
            for number in self._processes:
                try:
                    if self.kind.is_leading(self.addresses[number]):
                        return number
                except OSError:
                    continue
            time.sleep(PROBE_PAUSE)
        raise LoadError(f"{self.kind.name} has no leader after {START_PATIENCE:.0f} s")

    def signal(self, number: int, which: signal.Signals) -> None:
        self._processes[number].send_signal(which)

    def wait(self, number: int) -> None:
        """Until the server, which was told to end, has ended."""
        process = self._processes.pop(number)
        try:
            process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self, number: int) -> None:
        self.signal(number, signal.SIGKILL)
        self.wait(number)

    def cpu_seconds(self) -> float:
        """Processor time that the servers that run have taken since they started."""
        return sum(cpu_of(process.pid) for process in self._processes.values())

    def memory_megabytes(self) -> list[float]:
        """Resident memory of each server."""
        return [resident_of(process.pid) for process in self._processes.values()]

    def _await_write(self, addresses: Sequence[Address]) -> None:
        deadline = time.monotonic() + START_PATIENCE
        while not self.kind.write_once(addresses):
            self._check_alive()
            if time.monotonic() > deadline:
                raise LoadError(
                    f"{self.kind.name} accepts no write {START_PATIENCE:.0f} s after its start: {self._last_words(0)}"
                )
            time.sleep(PROBE_PAUSE)

    def _check_alive(self) -> None:
        for number, process in self._processes.items():
            if process.poll() is not None:
                raise LoadError(
                    f"server {number + 1} of {self.kind.name} ended with exit code {process.returncode}:"
                    f" {self._last_words(number)}"
                )

    def _last_words(self, number: int) -> str:
        lines = self.layout.log(number).read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:]) or "it said nothing"
