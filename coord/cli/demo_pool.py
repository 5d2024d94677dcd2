"""The worker processes of the demo: examples/worker_pool.py, run, killed, stopped and listened to."""

import signal
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from coord.cli.demo_state import DemoFailed, Health, State, Worker
from coord.local.processes import end, lines_of, open_process

SESSION_TIMEOUT: Final = 3.0  # seconds; a dead worker's leadership passes on after it
WORDS_KEPT: Final = 20  # lines of a traceback


def pool_program() -> Path:
    """The example: beside us if coord was installed from a wheel, else in the checkout that we are part of."""
    installed = Path(__file__).with_name("_worker_pool.py")
    program = installed if installed.exists() else Path(__file__).parents[2] / "examples" / "worker_pool.py"
    if not program.exists():
        raise DemoFailed(f"{program} is missing: install coord again, or run this in a checkout")
    return program


class Pool:
    """Workers by name. Made by `open_pool`."""

    def __init__(self, servers: str, state: State, listeners: trio.Nursery) -> None:
        self.processes: dict[str, trio.Process] = {}
        self._servers = servers
        self._state = state
        self._listeners = listeners

    async def start(self, name: str) -> None:
        """Start a worker, for the first time or again."""
        command = [sys.executable, str(pool_program()), "--servers", self._servers, "--name", name]
        command += ["--timeout", str(SESSION_TIMEOUT)]
        process = self.processes[name] = await open_process(command, subprocess.PIPE)
        self._state.workers.setdefault(name, Worker()).health = Health.RUNS
        self._listeners.start_soon(self._listen, name, process)

    async def kill(self, name: str) -> None:
        """As kill -9 does: it can say goodbye to nobody."""
        self._state.workers[name].health = Health.KILLED
        self.processes[name].kill()
        await self.processes[name].wait()

    def stop(self, name: str) -> None:
        """It stands still, and does not know it: a long collection of garbage, a laptop with its lid closed."""
        self._state.workers[name].health = Health.STOPPED
        self.processes[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """It goes on where it stood."""
        self._state.workers[name].health = Health.RUNS
        self.processes[name].send_signal(signal.SIGCONT)

    async def _listen(self, name: str, process: trio.Process) -> None:
        """Raises `DemoFailed` if it ends by itself."""
        assert process.stdout is not None, "started with a pipe"
        others: deque[str] = deque(maxlen=WORDS_KEPT)
        async for line in lines_of(process.stdout):
            if line.startswith(f"{name} "):
                self._on_event(name, line.split()[1:])
            else:
                others.append(line)
        if self._state.workers[name].health is not Health.KILLED:
            raise DemoFailed("\n".join([f"worker {name} ended with {await process.wait()}:", *others]))

    def _on_event(self, name: str, words: list[str]) -> None:
        state = self._state
        match words:
            case ["done", job]:
                state.workers[name].done += 1
                state.reports[job.removeprefix("job=")] += 1
            case ["leads", token]:
                state.leader, state.token = name, int(token.removeprefix("token="))
                state.note(f"{name} leads the pool, with token {state.token}")
            case ["refused", token]:
                state.refused.append(int(token.removeprefix("token=")))
                state.note(f"a late write of {name} with token {state.refused[-1]} was refused")
            case _:
                pass  # "ready", "gives" and "restarts" are for those who run the example by hand


@asynccontextmanager
async def open_pool(servers: str, state: State) -> AsyncIterator[Pool]:
    """No workers at first. What they print goes into the state; leaving the scope ends them."""
    async with trio.open_nursery() as listeners:
        pool = Pool(servers, state, listeners)
        try:
            yield pool
        finally:
            listeners.cancel_scope.cancel()
            await end(pool.processes.values())
