"""`coord` as a process: what it prints, how it ends, and what it leaves behind."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from coord.local.processes import lines_of

PATIENCE = 60.0  # seconds; only a test that fails waits so long
MARK = "COORD_TEST_MARK"


class Command:
    """One that was started."""

    def __init__(self, process: trio.Process, mark: str) -> None:
        self.process = process
        self.printed: list[str] = []
        self._mark = f"{MARK}={mark}".encode()

    async def until_printed(self, text: str) -> None:
        with trio.fail_after(PATIENCE):
            while not any(text in line for line in self.printed):
                assert self.process.poll() is None, "\n".join(["it has ended:", *self.printed])
                await trio.sleep(0.02)

    async def interrupt(self) -> int:
        """As Ctrl-C does; returns the exit status."""
        self.process.send_signal(signal.SIGINT)
        return await self.wait()

    async def wait(self) -> int:
        with trio.fail_after(PATIENCE):
            return await self.process.wait()

    def processes_left(self) -> list[int]:
        """Of all that it has started, and those have started, the ones that still run."""
        return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit() and self._is_ours(each)]

    def _is_ours(self, process: Path) -> bool:
        try:
            return self._mark in (process / "environ").read_bytes().split(b"\0")
        except OSError:
            return False


@asynccontextmanager
async def coord(*arguments: str, directory: Path) -> AsyncIterator[Command]:
    """Run it with `directory` for its temporary files; leaving the scope ends it, and with it all that it started."""
    mark = uuid.uuid4().hex
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "coord", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"TMPDIR": str(directory), MARK: mark},
    )
    command = Command(process, mark)
    assert process.stdout is not None

    async def read(stream: trio.abc.ReceiveStream) -> None:
        async for line in lines_of(stream):
            command.printed.append(line)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read, process.stdout)
        try:
            yield command
        finally:
            with trio.CancelScope(shield=True):
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)
                    with trio.move_on_after(PATIENCE):
                        await process.wait()
                process.kill()
                await process.wait()
