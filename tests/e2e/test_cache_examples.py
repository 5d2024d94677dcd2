"""examples/service_discovery.py and examples/live_config.py, as processes that print what they see."""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.e2e.clusters import PATIENCE

pytestmark = pytest.mark.e2e

EXAMPLES = Path(__file__).parents[2] / "examples"


class Program:
    """An example that runs."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self._unread = b""

    async def prints(self, expected: str) -> None:
        """Wait until it prints a line that begins so."""
        with trio.fail_after(PATIENCE):
            while not (line := await self._line()).startswith(expected):
                assert "Traceback" not in line

    async def _line(self) -> str:
        assert self.process.stdout is not None
        while b"\n" not in self._unread:
            data = await self.process.stdout.receive_some()
            assert data, f"it ended after {self._unread!r}"
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    async def interrupt(self) -> None:
        """Ctrl-C; it ends without a complaint."""
        self.process.send_signal(signal.SIGINT)
        with trio.fail_after(PATIENCE):
            assert await self.process.wait() == 0


@asynccontextmanager
async def started(name: str, *arguments: str) -> AsyncIterator[Program]:
    """Run an example; it does not outlive the scope."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    try:
        async with process.stdout:
            yield Program(process)
    finally:
        process.kill()
        await process.wait()


async def test_callers_go_where_servers_are(coord_address: str) -> None:
    """One that is killed is called no more, though it is in the list until its session has run out."""

    def server(name: str) -> AbstractAsyncContextManager[Program]:
        return started("service_discovery.py", "serve", "--name", name, "--servers", coord_address)

    async with started("service_discovery.py", "call", "--servers", coord_address) as caller:
        await caller.prints("0 servers")
        async with server("a") as a:
            await caller.prints("hello from a")
            async with server("b") as b:
                await caller.prints("2 servers")
                await caller.prints("hello from b")
                await caller.prints("hello from a")
                b.process.kill()
                await caller.prints("1 servers")
                await caller.prints("hello from a")
            await a.interrupt()
            await caller.prints("0 servers")
        await caller.interrupt()


async def test_a_configuration_changes_while_its_program_runs(coord_address: str) -> None:
    async def put(text: str) -> None:
        async with started("live_config.py", "--servers", coord_address, "--set", text) as program:
            with trio.fail_after(PATIENCE):
                assert await program.process.wait() == 0

    async with started("live_config.py", "--servers", coord_address) as program:
        await program.prints('value {"greeting": "hello", "pause": 0.5} live')
        await program.prints("hello")
        await put('{"greeting": "good evening", "pause": 0.01}')
        await program.prints('value {"greeting": "good evening"')
        await program.prints("good evening")
        await put('{"pause": "oops"}')
        await program.prints('refused {"pause": "oops"} ValueError')
        await program.prints("good evening")
        await put('{"greeting": "good night"}')
        await program.prints("good night")
        await program.interrupt()
