"""`coord.embedded()`: a server within a scope, whatever the code around it is like, and nothing left of it after."""

import errno
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from kazoo.client import KazooClient

import coord
from coord.local.embedded import Embedding
from coord.server.server import CannotListen
from coord.server.settings import ConfigError
from coord.storage.errors import DirectoryInUse
from coord.storage.memory import MemoryFiles
from coord_client import connect
from coord_protocol.frames import frame
from coord_protocol.requests import ConnectRequest

BACKENDS = ("trio", "asyncio")


def on_every_backend(test: Callable[..., Awaitable[None]]) -> Callable[[str], None]:
    @pytest.mark.parametrize("backend", BACKENDS)
    def run(backend: str) -> None:
        anyio.run(test, backend=backend)

    run.__doc__ = test.__doc__
    return run


def what_is_open() -> tuple[int, set[str]]:
    """How many descriptors, and which threads that are ours."""
    threads = {thread.name for thread in threading.enumerate() if thread.name in {"coord", "disk"}}
    return len(os.listdir("/proc/self/fd")), threads


@on_every_backend
async def test_a_server_serves_within_its_scope_and_leaves_nothing() -> None:
    async with coord.embedded():  # what the event loop itself opens once is not counted
        pass
    before = what_is_open()

    async with coord.embedded() as server:
        async with connect(server.address) as client:
            await client.create("/a", b"1")
            assert (await client.get("/a")).data == b"1"
        host, _, port = server.address.partition(":")
        assert server.data is None

    assert what_is_open() == before
    with socket.socket() as sock:
        assert sock.connect_ex((host, int(port))) == errno.ECONNREFUSED


def test_a_server_serves_plain_code_and_leaves_nothing() -> None:
    before = what_is_open()

    with coord.embedded() as server:
        client = KazooClient(server.address)
        client.start()
        client.create("/a", b"1")
        client.stop()
        client.close()

    assert what_is_open() == before


async def test_each_server_is_a_world_of_its_own() -> None:
    async with (
        coord.embedded() as one,
        coord.embedded() as two,
        connect(one.address) as first,
        connect(two.address) as second,
    ):
        await first.create("/a")
        assert await second.exists("/a") is None


async def test_a_directory_keeps_what_was_written(tmp_path: Path) -> None:
    for number in range(3):
        async with coord.embedded(tmp_path / "data") as server, connect(server.address) as client:
            assert server.data == tmp_path / "data"
            assert len(await client.get_children("/")) == 1 + number  # /zookeeper
            await client.create(f"/{number}")


async def test_settings_are_those_of_a_server() -> None:
    async with coord.embedded(min_session=0.1, max_session=0.5) as server:
        async with connect(server.address, session_timeout=8.0) as client:
            assert client.session.timeout == 0.5
        async with connect(server.address, session_timeout=0.2) as client:
            assert client.session.timeout == 0.2

    with pytest.raises(ConfigError, match="min_session"):
        coord.embedded(min_session=2.0, max_session=1.0)


@pytest.mark.parametrize("backend", [None, *BACKENDS])
def test_a_start_that_fails_is_an_error_of_the_caller(backend: str | None, tmp_path: Path) -> None:
    def enter(scope: Embedding) -> None:
        async def enter_async() -> None:
            async with scope:
                raise AssertionError("it started")

        if backend is not None:
            anyio.run(enter_async, backend=backend)
        else:
            with scope:
                raise AssertionError("it started")

    before = what_is_open()
    with coord.embedded(tmp_path) as server:
        port = int(server.address.partition(":")[2])
        with pytest.raises(CannotListen, match=f"127.0.0.1:{port}: Address already in use"):
            enter(coord.embedded(port=port))
        with pytest.raises(DirectoryInUse):
            enter(coord.embedded(tmp_path))
    assert what_is_open() == before


@pytest.fixture
def failing_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """What it returns makes every write to memory fail from then on."""
    is_full = False
    write = MemoryFiles.write

    def fail_when_full(self: MemoryFiles, name: str, offset: int, data: bytes) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, name, offset, data)

    def fill() -> None:
        nonlocal is_full
        is_full = True

    monkeypatch.setattr(MemoryFiles, "write", fail_when_full)
    return fill


def ask_for_a_session(server: coord.EmbeddedServer) -> bytes:
    """Which has to be written to its disk: the first byte of the answer, or none."""
    host, _, port = server.address.partition(":")
    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(frame(ConnectRequest(0, 0, 6000, 0, bytes(16), False).encode()))
        return sock.recv(1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_body_is_cancelled_when_the_server_ends_by_itself(backend: str, failing_disk: Callable[[], None]) -> None:
    async def main() -> None:
        async with coord.embedded() as server:
            assert ask_for_a_session(server), "it has come to rest"
            failing_disk()
            assert not ask_for_a_session(server)
            await anyio.sleep(60)

    with pytest.raises(coord.ServerEnded) as ended:
        anyio.run(main, backend=backend)

    assert "No space left on device" in str(ended.value.__cause__)


def test_plain_code_finds_out_that_the_server_has_ended(failing_disk: Callable[[], None]) -> None:
    def main() -> None:
        with coord.embedded() as server:
            assert ask_for_a_session(server), "it has come to rest"
            server.check()
            failing_disk()
            assert not ask_for_a_session(server)

    with pytest.raises(coord.ServerEnded, match="No space left on device"):
        main()


def test_an_error_of_the_body_says_that_the_server_has_ended(failing_disk: Callable[[], None]) -> None:
    """It may well come from that."""

    def main() -> None:
        with coord.embedded() as server:
            assert ask_for_a_session(server), "it has come to rest"
            failing_disk()
            if not ask_for_a_session(server):
                raise ValueError("of the body")

    with pytest.raises(ValueError, match="of the body") as failed:
        main()

    assert "No space left on device" in failed.value.__notes__[0]


async def test_a_body_that_fails_is_heard() -> None:
    with pytest.raises(ValueError, match="of the body"):
        async with coord.embedded():
            raise ValueError("of the body")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seconds", [0.0, 0.1])
def test_a_scope_that_is_cancelled_is_left_in_good_order(backend: str, seconds: float) -> None:
    """While it starts, or later."""

    async def main() -> None:
        with anyio.move_on_after(seconds) as patience:
            async with coord.embedded():
                await anyio.sleep(60)
        assert patience.cancelled_caught

    anyio.run(main, backend=backend)
    assert what_is_open()[1] == set()
