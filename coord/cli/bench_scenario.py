"""A scenario and its run: what it needs in the tree is made before, over a connection of its own, and
removed after.
"""

import resource
import secrets
import socket
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice

from coord.cli.bench_load import (
    SESSION_TIMEOUT_MS,
    Action,
    Address,
    Load,
    LoadError,
    Measured,
    Meter,
    nothing,
)
from coord.cli.bench_workloads import build, child_path, create_request, key_path, parent_path, template
from coord_protocol.errors import Code, CoordError
from coord_protocol.frames import LENGTH, REPLY_HEADER, FrameSplitter, frame
from coord_protocol.requests import ConnectRequest, ConnectResponse, DeleteRequest, OpCode

SPARE_FILES = 64  # descriptors for everything but sessions
PATIENCE = 30.0  # seconds without a single answer
WINDOW = 500  # requests sent before their answers are awaited


@dataclass(frozen=True, slots=True)
class Scenario:
    mix: str
    """As `bench_workloads.build` takes it."""
    sessions: int
    outstanding: int
    """Operations under way per session."""
    size: int = 100
    """Bytes of a value."""
    keys: int = 1000


def run_scenario(
    addresses: Sequence[Address],
    scenario: Scenario,
    *,
    warmup: float,
    duration: float,
    survives_loss: bool = False,
    meter: Meter = nothing,
    actions: Sequence[Action] = (),
) -> Measured:
    """For `warmup`, `meter` and `actions` see `Load.run`. Raises `LoadError`."""
    _allow_files(scenario.sessions + SPARE_FILES)
    root = f"/coord-bench-{secrets.token_hex(4)}"
    value = bytes(97 + number * 7 % 26 for number in range(scenario.size))  # letters, not all the same
    workload = build(scenario.mix, root, scenario.keys, value)
    load = Load(
        addresses,
        workload,
        sessions=scenario.sessions,
        outstanding=scenario.outstanding,
        survives_loss=survives_loss,
    )
    is_creating = scenario.mix == "create"
    if is_creating:
        children = [parent_path(root, session) for session in range(scenario.sessions)]
    else:
        children = [key_path(root, key) for key in range(scenario.keys)]
    with garden(addresses, [root, *children], value) as grown:
        try:
            return load.run(warmup, duration, meter, actions)
        finally:
            if is_creating:
                grown.extend(
                    child_path(root, session, number)
                    for session, issued in enumerate(load.issued)
                    for number in range(issued)
                )


def _allow_files(needed: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise LoadError(
            f"{needed - SPARE_FILES} sessions need {needed} file descriptors, and this process may have"
            f" {hard}: use fewer --sessions, or raise the limit with `ulimit -Hn {needed}`"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class Gardener:
    """Plants and weeds znodes by the thousand, over a connection and session of its own."""

    def __init__(self, address: Address, patience: float) -> None:
        """Raises OSError, EOFError or `CoordError` if there is no session to be had."""
        self._socket = socket.create_connection(address, patience)
        self._splitter = FrameSplitter(max_bytes=4 * 1024 * 1024)
        self._frames: deque[bytes] = deque()
        try:
            hello = ConnectRequest(0, 0, SESSION_TIMEOUT_MS, 0, bytes(16), False)
            self._socket.sendall(frame(hello.encode()))
            ConnectResponse.decode(self._next_frame())
        except BaseException:
            self._socket.close()
            raise

    def create(self, paths: Iterable[str], data: bytes) -> None:
        self.ask(OpCode.CREATE, (create_request(path, data) for path in paths), allowed={Code.OK})

    def delete(self, paths: Iterable[str]) -> None:
        """Those that are not there are none the worse."""
        bodies = (DeleteRequest(path, -1).encode() for path in paths)
        self.ask(OpCode.DELETE, bodies, allowed={Code.OK, Code.NO_NODE})

    def close(self) -> None:
        try:
            self.ask(OpCode.CLOSE_SESSION, [b""], allowed={Code.OK})
        except (OSError, EOFError, LoadError):
            pass  # it will expire
        finally:
            self._socket.close()

    def ask(self, opcode: OpCode, bodies: Iterable[bytes], allowed: set[Code]) -> None:
        """Requests of one kind, many under way. Raises `LoadError` for an answer that is not `allowed`."""
        waiting = iter(bodies)
        while window := list(islice(waiting, WINDOW)):
            parts = []
            for xid, body in enumerate(window):
                before, after = template(opcode, body)
                parts.append(before + LENGTH.pack(xid) + after)
            self._socket.sendall(b"".join(parts))
            for expected in range(len(window)):
                xid, _, code = REPLY_HEADER.unpack_from(self._next_frame())
                if xid != expected or code not in allowed:
                    raise LoadError(f"preparing the tree: {opcode.name} was answered with error {code}")

    def _next_frame(self) -> bytes:
        while not self._frames:
            data = self._socket.recv(1 << 20)
            if not data:
                raise EOFError
            self._frames.extend(self._splitter.feed(data))
        return self._frames.popleft()


@contextmanager
def garden(addresses: Sequence[Address], paths: Sequence[str], data: bytes) -> Iterator[list[str]]:
    """The znodes `paths`, parents first, for as long as this lasts.

    What the list that comes with it names by then is removed before them.
    """
    grown: list[str] = []

    def weed() -> None:
        with gardener(addresses) as last:
            last.delete(grown)
            last.delete(reversed(paths))

    with gardener(addresses) as first:  # not kept: its session would expire during a long run
        first.create(paths, data)
    try:
        yield grown
    except BaseException:
        with suppress(LoadError):  # there is something worse to tell
            weed()
        raise
    weed()


@contextmanager
def gardener(addresses: Sequence[Address], patience: float = PATIENCE) -> Iterator[Gardener]:
    """At the first server that answers. Raises `LoadError`, naming all of them, if none does."""
    found = _find(addresses, patience)
    try:
        yield found
    except (OSError, EOFError) as error:
        raise LoadError(f"preparing or clearing the tree: {_reason(error)}") from error
    finally:
        found.close()


def _find(addresses: Sequence[Address], patience: float) -> Gardener:
    failures = []
    for address in addresses:
        try:
            return Gardener(address, patience)
        except (OSError, EOFError, CoordError) as error:
            failures.append(f"{address[0]}:{address[1]}: {_reason(error)}")
    raise LoadError(f"no server answers ({'; '.join(failures)}). Are they up, and have they a quorum?")


def _reason(error: Exception) -> str:
    match error:
        case EOFError():
            return "it closed the connection"
        case CoordError():
            return "it does not speak ZooKeeper's protocol"
        case _:
            return str(error)
