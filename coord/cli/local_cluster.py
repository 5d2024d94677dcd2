"""A cluster on this machine, each member a process of its own: `coord dev`, `coord demo` and tests run one.

    async with LocalCluster(directory, client_ports, peer_ports) as cluster:
        await cluster.start_all()
        await cluster.kill(2)               # as by kill -9
        await cluster.start(2)              # on the data it had

Processes are started in sessions of their own, so that a Ctrl-C is for us alone to act upon, and they are ended by the
ids they were started with. Leaving the scope stops all of them, whatever happened in it.
"""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import trio

from coord_client import connect
from coord_protocol.errors import OperationTimeout

LOOPBACK: Final = "127.0.0.1"
START_PATIENCE: Final = 30.0  # seconds to the first session; a start takes one, on a busy machine some more
STOP_PATIENCE: Final = 5.0  # for an orderly end; a leader takes up to one second to hand over
PROBE_TIMEOUT: Final = 1.0  # for one try; within it a client's pauses between its own tries stay short
WORDS_KEPT: Final = 10  # lines of a log; they tell why a server ended, if anything does


class MemberEnded(Exception):
    """A member ended that should run; the text has its exit code and its last words."""


class LocalCluster:
    """Members 1, 2, …, stopped at first. Data and logs are below `directory`."""

    def __init__(self, directory: Path, client_ports: Sequence[int], peer_ports: Sequence[int]) -> None:
        assert len(client_ports) == len(peer_ports), "each member has two ports"
        self.directory = directory
        self.processes: dict[int, trio.Process] = {}
        """Of the members that were started and not ended by us."""
        self._client_ports = dict(enumerate(client_ports, 1))
        self._peer_ports = dict(enumerate(peer_ports, 1))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await end(self.processes.values())

    @property
    def members(self) -> list[int]:
        return list(self._client_ports)

    @property
    def servers(self) -> str:
        """What clients connect to."""
        return ",".join(map(self.address, self.members))

    def address(self, member: int) -> str:
        """Where the member listens for clients."""
        return f"{LOOPBACK}:{self._client_ports[member]}"

    async def start_all(self) -> None:
        """Start all, and wait until each of them serves. Raises `MemberEnded`."""
        for member in self.members:
            await self.start_soon(member)
        for member in self.members:
            await self.wait_serving(member)

    async def start(self, member: int) -> None:
        """Start one, and wait until it serves. Raises `MemberEnded`."""
        await self.start_soon(member)
        await self.wait_serving(member)

    async def start_soon(self, member: int, output: int | None = None) -> trio.Process:
        """Start one. It logs to its file, or to `output` (as `subprocess` knows it)."""
        assert member not in self.processes, f"member {member} was started before"
        self.directory.mkdir(parents=True, exist_ok=True)
        if output is None:
            with open(self.log(member), "ab") as log:
                process = await open_process(self._command(member), log.fileno())
        else:
            process = await open_process(self._command(member), output)
        self.processes[member] = process
        return process

    async def wait_serving(self, member: int) -> None:
        """Until the member gives sessions, so that there is a leader, too. Raises `MemberEnded`."""
        process = self.processes[member]
        with trio.move_on_after(START_PATIENCE):
            while process.poll() is None:
                try:
                    async with connect(self.address(member), connect_timeout=PROBE_TIMEOUT):
                        return
                except OperationTimeout:
                    continue
        raise MemberEnded(self._obituary(member))

    def check(self) -> None:
        """Raises `MemberEnded` if one has ended by itself."""
        for member, process in self.processes.items():
            if process.poll() is not None:
                raise MemberEnded(self._obituary(member))

    async def kill(self, member: int) -> None:
        """End one at once, as a crash would. What its disk has acknowledged stays."""
        process = self.processes.pop(member)
        process.kill()
        await process.wait()

    def log(self, member: int) -> Path:
        """What the member logs."""
        return self.directory / f"member-{member}.log"

    def last_words(self, member: int) -> str:
        """The end of its log; nothing if it logs elsewhere, or was never started."""
        log = self.log(member)
        lines = log.read_text(errors="replace").splitlines()[-WORDS_KEPT:] if log.exists() else []
        return "\n".join(lines)

    def _obituary(self, member: int) -> str:
        code = self.processes[member].poll()
        end = f"does not serve after {START_PATIENCE:g} s" if code is None else f"ended with exit code {code}"
        return f"member {member} {end}\n{self.last_words(member)}".rstrip()

    def _command(self, member: int) -> list[str]:
        members = ",".join(f"{each}={LOOPBACK}:{port}" for each, port in self._peer_ports.items())
        return [
            *(sys.executable, "-m", "coord", "serve", "--id", str(member), "--members", members),
            *("--data", str(self.directory / f"member-{member}")),
            *("--client", self.address(member), "--peer", f"{LOOPBACK}:{self._peer_ports[member]}"),
        ]


@asynccontextmanager
async def cancelled_by_signals() -> AsyncIterator[trio.CancelScope]:
    """Its body is cancelled by Ctrl-C, SIGTERM and SIGHUP. Another Ctrl-C does not disturb the tidying up."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                await anext(signals)
                nursery.cancel_scope.cancel()

            nursery.start_soon(wait)
            yield nursery.cancel_scope
            nursery.cancel_scope.cancel()


async def open_process(command: Sequence[str], output: int) -> trio.Process:
    """A process whose output goes to `output`, not yet waited for."""
    return await trio.lowlevel.open_process(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


async def lines_of(stream: trio.abc.ReceiveStream) -> AsyncIterator[str]:
    """What a process prints, line by line; the last may lack its end."""
    rest = b""
    async for data in stream:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")


async def end(processes: Iterable[trio.Process]) -> None:
    """Ask them to stop, then make them; those that are frozen by SIGSTOP as well. Never leaves one behind."""
    alive = [process for process in processes if process.poll() is None]
    with trio.CancelScope(shield=True):
        for process in alive:
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
        with trio.move_on_after(STOP_PATIENCE):
            for process in alive:
                await process.wait()
        for process in alive:
            process.kill()
            await process.wait()
