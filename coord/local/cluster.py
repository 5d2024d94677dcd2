"""A cluster on this machine, each member a process of its own: `coord dev`, `coord demo` and tests run one.

    async with LocalCluster(directory, client_ports, peer_ports) as cluster:
        await cluster.start()               # all
        await cluster.kill(2)               # as by kill -9
        await cluster.start(2)              # on the data it had

Leaving the scope stops all of them, whatever happened in it.
"""

import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import trio

from coord.local.network import Network, open_network
from coord.local.ports import LOOPBACK, free_ports
from coord.local.processes import end, open_process
from coord.local.words import ask
from coord_client import connect
from coord_protocol.errors import OperationTimeout

START_PATIENCE: Final = 30.0  # seconds to the first session; a start takes one, on a busy machine some more
LEADER_PATIENCE: Final = 20.0  # seconds; an election takes less than one, on a busy machine some more
LEADER_PAUSE: Final = 0.02
PROBE_TIMEOUT: Final = 1.0  # for one try; within it a client's pauses between its own tries stay short
LOG_LINES_TOLD: Final = 10  # they say why a server ended, if anything does


class MemberEnded(Exception):
    """A member ended that should run; the text has its exit code and its last words."""


class NoLeader(Exception):
    """No majority follows one leader, though it had the time to elect one."""


@asynccontextmanager
async def running(directory: Path, size: int = 3, options: Sequence[str] = ()) -> AsyncIterator["LocalCluster"]:
    """A cluster that serves, on free ports, with a network that can be cut. Its members are killed at the end.

    `options`: more flags of `coord serve`, for all of them.
    """
    ports = free_ports(2 * size)
    client_ports, peer_ports = ports[:size], ports[size:]
    async with (
        open_network(dict(enumerate(peer_ports, 1))) as network,
        LocalCluster(directory, client_ports, peer_ports, network, options) as cluster,
    ):
        try:
            await cluster.start()
            yield cluster
        finally:
            # Told to stop, all of them at once, the leader would look for an heir for half a second.
            for process in cluster.processes.values():
                process.kill()


class LocalCluster:
    """Members 1, 2, …, stopped at first. Data and logs are below `directory`."""

    def __init__(
        self,
        directory: Path,
        client_ports: Sequence[int],
        peer_ports: Sequence[int],
        network: Network | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """`network`: what the members reach each other through; without it, directly. `options`: as in `running`."""
        assert len(client_ports) == len(peer_ports), "each member has two ports"
        self.directory = directory
        self.processes: dict[int, trio.Process] = {}
        """Of the members that were started and not ended by us."""
        self.environments: dict[int, Mapping[str, str]] = {}
        """What the processes of a member have in their environment beside ours: another release, for a test."""
        self._client_ports = dict(enumerate(client_ports, 1))
        self._peer_ports = dict(enumerate(peer_ports, 1))
        self._network = network
        self._options = options
        self._paused: set[int] = set()
        self._joined: set[int] = set()
        """Those that are no founders."""

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
    def network(self) -> Network:
        """Between the members; for clusters that were made with one."""
        assert self._network is not None, "its members reach each other directly"
        return self._network

    @property
    def servers(self) -> str:
        """What clients connect to."""
        return ",".join(map(self.address, self.members))

    async def add(self) -> int:
        """One more member, not started: it joins the others, once it runs and one of them is told that it may. Returns
        its number."""
        member = max(self.members) + 1
        self._client_ports[member], self._peer_ports[member] = free_ports(2)
        self._joined.add(member)
        if self._network is not None:
            await self._network.add(member, self._peer_ports[member])
        return member

    def peer_address(self, member: int) -> str:
        """Where other members reach it."""
        return self._network.address(member) if self._network is not None else f"{LOOPBACK}:{self._peer_ports[member]}"

    def address(self, member: int) -> str:
        """Where the member listens for clients."""
        return f"{LOOPBACK}:{self._client_ports[member]}"

    async def start(self, *members: int) -> None:
        """Start some, or without arguments all that do not run; and wait until they serve. Raises `MemberEnded`."""
        starting = members or [member for member in self.members if member not in self.processes]
        for member in starting:
            await self.start_soon(member)
        for member in starting:
            await self.wait_serving(member)

    async def start_soon(self, member: int, output: int | None = None) -> trio.Process:
        """Start one. It logs to its file, or to `output` (as `subprocess` knows it)."""
        assert member not in self.processes, f"member {member} was started before"
        self.directory.mkdir(parents=True, exist_ok=True)
        environment = self.environments.get(member, {})
        if output is None:
            with open(self.log(member), "ab") as log:
                process = await open_process(self._command(member), log.fileno(), environment)
        else:
            process = await open_process(self._command(member), output, environment)
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

    async def leader(self) -> int:
        """The member that a majority follows, paused ones aside. Waits for there to be one; raises `NoLeader`.

        Who was cut off or paused a moment ago is believed in by the others for up to two election timeouts.
        """
        with trio.move_on_after(LEADER_PATIENCE):
            while True:
                terms: dict[int, int] = {}  # of those that know a leader, and so serve
                leaders: dict[int, int] = {}  # by their terms
                for member in self.processes.keys() - self._paused:
                    said = await self._ask(member)
                    if said:
                        term = terms[member] = int(said["coord_term"])
                        if said["zk_server_state"] in {"leader", "standalone"}:
                            leaders[term] = member
                for term, leader in leaders.items():
                    if 2 * list(terms.values()).count(term) > len(self.members):
                        return leader
                await trio.sleep(LEADER_PAUSE)
        raise NoLeader(f"no member is followed by a majority of {len(self.members)} after {LEADER_PATIENCE:g} s")

    async def kill(self, member: int) -> None:
        """End one at once, as a crash would. What its disk has acknowledged stays."""
        process = self._take(member)
        process.kill()
        await process.wait()

    async def stop(self, member: int) -> None:
        """End one in good order, as an operator would: a leader hands over first."""
        await end([self._take(member)])

    def pause(self, member: int) -> None:
        """Stop it as in a virtual machine that is moved: it stands still, keeps its connections, and knows nothing."""
        self.processes[member].send_signal(signal.SIGSTOP)
        self._paused.add(member)

    def resume(self, member: int) -> None:
        """It goes on where it stood."""
        self.processes[member].send_signal(signal.SIGCONT)
        self._paused.discard(member)

    def log(self, member: int) -> Path:
        """What the member logs."""
        return self.directory / f"member-{member}.log"

    def last_words(self, member: int, lines: int = LOG_LINES_TOLD) -> str:
        """The end of its log; nothing if it logs elsewhere, or was never started."""
        log = self.log(member)
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""

    def _take(self, member: int) -> trio.Process:
        self._paused.discard(member)
        return self.processes.pop(member)

    async def _ask(self, member: int) -> dict[str, str]:
        """What it says of itself (`mntr`); nothing if it knows no leader, or does not answer."""
        answer = await trio.to_thread.run_sync(ask, self.address(member), "mntr")
        return dict(line.split("\t", 1) for line in answer.splitlines() if "\t" in line)

    def _obituary(self, member: int) -> str:
        code = self.processes[member].poll()
        end = f"does not serve after {START_PATIENCE:g} s" if code is None else f"ended with exit code {code}"
        return f"member {member} {end}\n{self.last_words(member)}".rstrip()

    def _command(self, member: int) -> list[str]:
        founders = [other for other in self.members if other not in self._joined]
        if member in founders:
            way_in = ("--members", ",".join(f"{other}={self.peer_address(other)}" for other in founders))
        else:
            way_in = ("--join", self.peer_address(next(iter(self.processes), founders[0])))
        return [
            *(sys.executable, "-m", "coord", "serve", "--id", str(member), *way_in),
            *("--data", str(self.directory / f"member-{member}")),
            *("--client", self.address(member), "--peer", f"{LOOPBACK}:{self._peer_ports[member]}"),
            *self._options,
        ]
