"""A command that runs no longer than a right lasts: our end of the guard in `coord.cli.command_guard`.

with GuardedCommand.prepared(["rsync", "…"]) as command:     # before an event loop runs, as it forks
    ...
    async with client.lock("/lock") as held:
        ended = await command.run({"TOKEN": "7"}, remaining, kill_after=2.0)
"""

import errno
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import trio

from coord.cli.command_guard import SLACK, Guard, has_members
from coord.cli.exit_codes import ExitCode, Failure

RENEWAL_SHARE: Final = 0.05  # of what remains: how old the guard's deadline may be
OUR_SLACK: Final = SLACK / 2  # by then the guard has killed the group, or is frozen, and we do it
GUARD_PATIENCE: Final = 0.05  # for the guard to say that it is done, when the right is gone already
ORPHANS_PATIENCE: Final = 1.0  # a system that does not reap them shows dead processes for ever
RECEIVE_BYTES: Final = 1 << 16


class GuardDied(Failure):
    """Somebody killed the guard; the command was killed with it."""

    def __init__(self) -> None:
        super().__init__("the process that guards the command was killed, and the command with it", ExitCode.LOST)


@dataclass(frozen=True, slots=True)
class Ended:
    """The command is over, and its group with it."""

    exit_code: int
    """128 and the signal's number if it was killed."""

    why: str
    """`over`: by itself; `told`: we stopped it; `deadline`: it was stopped because the right was about to end."""


class GuardedCommand:
    """It can be run again and again, one run at a time."""

    def __init__(self, link: socket.socket, guard: int) -> None:
        link.setblocking(False)
        self._link = link
        self._guard = guard
        self._received = b""
        self._pid: int | None = None
        """Of the command that runs, and of its group."""

    @classmethod
    @contextmanager
    def prepared(cls, command: Sequence[str], *, is_interactive: bool) -> Iterator["GuardedCommand"]:
        """Fork the guard. No thread may run yet, hence no event loop.

        `is_interactive`: the command has stdin and terminal; otherwise it reads nothing.
        """
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            try:
                ours.close()
                Guard(theirs, command, is_interactive=is_interactive).serve()
            except Exception:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(0)
        theirs.close()
        try:
            with ours:
                yield cls(ours, pid)
        finally:
            # Its end of the socket is closed now, so it ends; a frozen one, once it is thawed.
            os.kill(pid, signal.SIGCONT)
            os.waitpid(pid, 0)

    @property
    def is_running(self) -> bool:
        return self._pid is not None

    async def run(self, environment: Mapping[str, str], remaining: Callable[[], float], *, kill_after: float) -> Ended:
        """Run it in our environment and this one, until it ends. If this is cancelled, it is killed first.

        `remaining()`: seconds for which the right certainly lasts. Raises `GuardDied`.
        """
        order = {
            "environment": os.environ | dict(environment),
            "deadline": time.monotonic() + remaining(),
            "kill_after": kill_after,
        }
        await self._send_all(f"run {json.dumps(order)}\n".encode())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_deadline, remaining)
            try:
                ended = await self._wait_ended()
            except trio.Cancelled:
                with trio.CancelScope(shield=True):
                    await self._kill()
                raise
            except GuardDied:
                with trio.CancelScope(shield=True):
                    await self._kill_orphans()
                raise
            finally:
                self._pid = None
            nursery.cancel_scope.cancel()
        return ended

    def signal(self, number: int) -> None:
        """Pass a signal on to the command's group."""
        self._send(f"signal {number}")

    def stop(self) -> None:
        """SIGTERM, then SIGKILL after `kill_after`. `run` returns when it has ended."""
        self._send("stop")

    async def _keep_deadline(self, remaining: Callable[[], float]) -> None:
        while True:
            # In this order, so that the deadline may come out early, but not late.
            now = time.monotonic()
            left = remaining()
            self._send(f"deadline {now + left!r}")
            if left <= OUR_SLACK:
                self._kill_directly()
                return
            await trio.sleep(min(left - OUR_SLACK, max(left * RENEWAL_SHARE, OUR_SLACK)))

    async def _wait_ended(self) -> Ended:
        while True:
            word, *values = await self._receive()
            if word == "started":
                self._pid = int(values[0])
            elif word == "ended":
                return Ended(int(values[0]), values[1])

    async def _kill(self) -> None:
        """The right is gone: no time for anything gentle."""
        self._send("kill")
        with trio.move_on_after(GUARD_PATIENCE):
            await self._wait_ended()
            return
        self._kill_directly()
        await self._wait_ended()

    async def _kill_orphans(self) -> None:
        """The kernel has killed the command with its guard; this is for the rest of the group."""
        with trio.move_on_after(ORPHANS_PATIENCE):
            while self._pid is not None and has_members(self._pid):
                self._kill_directly()
                await trio.sleep(GUARD_PATIENCE)

    def _kill_directly(self) -> None:
        """The guard is frozen, or was killed, or the group takes its time to die: a second SIGKILL does no harm."""
        if self._pid is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.kill(self._guard, signal.SIGCONT)

    # The link. What we say after `run` is short and seldom, so it always fits; a guard that is frozen for hours
    # may miss some of it.

    async def _send_all(self, data: bytes) -> None:
        sent = 0
        while sent < len(data):
            try:
                sent += self._link.send(data[sent:])
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._link)
            except OSError:
                raise GuardDied from None

    def _send(self, line: str) -> None:
        with suppress(OSError):
            self._link.send(f"{line}\n".encode())

    async def _receive(self) -> list[str]:
        while b"\n" not in self._received:
            await trio.lowlevel.wait_readable(self._link)
            try:
                data = self._link.recv(RECEIVE_BYTES)
            except OSError as error:
                if error.errno not in {errno.ECONNRESET, errno.EPIPE}:
                    raise
                data = b""
            if not data:
                raise GuardDied
            self._received += data
        line, self._received = self._received.split(b"\n", 1)
        return line.decode().split()
