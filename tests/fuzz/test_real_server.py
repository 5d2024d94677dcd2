"""Noise at both ports of a process: it serves others on, and does not grow."""

import random
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from struct import pack

import pytest

from coord.local.ports import LOOPBACK, free_ports
from coord_protocol.frames import MAX_FRAME_BYTES
from coord_protocol.requests import ConnectRequest
from tests.conftest import serving
from tests.differential.play import play
from tests.differential.steps import Ask, Connect, Step, read

CONNECTIONS = 300
LARGE = 20
MAX_GROWTH_KIB = 48 * 1024  # of some 150 MB that are sent here in frames that never end

GREETING = ConnectRequest(0, 0, 10_000, 0, bytes(16), False).encode()
HONEST_STEPS = """
Connect(0)
Ask(0, OpCode.CREATE, CreateRequest('~/a', b'x', (ACL(31, 'world', 'anyone'),), 0))
Ask(0, OpCode.GET_DATA, GetDataRequest('~/a', True))
""".splitlines()


@dataclass
class Server:
    client: str
    peer: str
    pid: int

    @property
    def resident_kib(self) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    client, peer = (f"{LOOPBACK}:{port}" for port in free_ports(2))
    command = [
        *(sys.executable, "-m", "coord", "serve", "--data", str(tmp_path / "data")),
        *("--client", client, "--members", f"1={peer}"),
    ]
    with serving(command, client, tmp_path) as process:
        yield Server(client, peer, process.pid)


def throw(address: str, data: bytes) -> None:
    """Send it, look whether something comes, and leave; the server may be quicker."""
    host, _, port = address.rpartition(":")
    with suppress(ConnectionError, TimeoutError), socket.create_connection((host, int(port)), 5) as sock:
        sock.sendall(data)
        sock.setblocking(False)
        with suppress(BlockingIOError):
            sock.recv(1024)


def assert_serves(server: Server, root: str) -> None:
    steps: list[Step] = read(HONEST_STEPS)
    assert isinstance(steps[0], Connect)
    assert isinstance(steps[1], Ask)
    heard = [line.text for line in play(server.client, root, steps)[0]]
    assert any(text.startswith("data=b'x'") for text in heard), heard


@pytest.mark.e2e
def test_noise_at_both_ports_harms_nobody(server: Server) -> None:
    chance = random.Random(1)
    hello = pack(">i", len(GREETING)) + GREETING
    assert_serves(server, "/before")

    for _ in range(CONNECTIONS):
        noise = chance.randbytes(chance.randrange(200))
        throw(server.client, chance.choice((b"", hello, pack(">i", len(noise)))) + noise)
        throw(server.peer, chance.choice((b"", b"CRDP\0\x2e", b"CRDN\xff\xff")) + noise)

    assert_serves(server, "/after")


@pytest.mark.e2e
def test_frames_that_never_end_do_not_pile_up(server: Server) -> None:
    """Each is nearly as long as is allowed; when its sender leaves nothing of it stays."""
    hello = pack(">i", len(GREETING)) + GREETING
    unfinished = pack(">i", MAX_FRAME_BYTES) + bytes(MAX_FRAME_BYTES - 1)
    for _ in range(LARGE):
        throw(server.client, hello + unfinished)
    before = server.resident_kib

    for _ in range(5 * LARGE):
        throw(server.client, hello + unfinished)
        throw(server.peer, b"CRDP\xff\xff" + unfinished)

    assert_serves(server, "/after")
    assert server.resident_kib - before < MAX_GROWTH_KIB
