"""Processes of ours: started apart from the terminal, read line by line, and ended whatever state they are in.

Each is started in a session of its own, so that a Ctrl-C is for us alone to act upon, and ended by the id that it was
started with.
"""

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import trio

STOP_PATIENCE: Final = 5.0  # for an orderly end; a leader takes up to one second to hand over


async def open_process(
    command: Sequence[str], output: int, environment: Mapping[str, str] = MappingProxyType({})
) -> trio.Process:
    """A process whose output goes to `output`, not yet waited for. `environment`: what it has beside ours."""
    return await trio.lowlevel.open_process(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
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
