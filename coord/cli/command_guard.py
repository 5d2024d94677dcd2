"""The process that stands between `coord lock` and its command, and outlives what may happen to either.

    coord lock ──socket── guard ──parent of── command and its process group

The guard knows until when the command may run, and keeps that time on its own clock. So the group is stopped in time
even if `coord lock` is frozen (SIGSTOP, swapped out); it is stopped at once if `coord lock` dies (kill -9), as the
socket closes then. Should the guard die first, the kernel kills the command (Linux: PR_SET_PDEATHSIG), and
`coord lock` the rest of the group.

Stopping is SIGTERM, and SIGKILL `kill_after` seconds later, and in any case SLACK before the deadline. A command is
over when its whole group is: what it leaves behind in the background is stopped, too, for it would run without the
right. What has left the group (setsid) is out of reach, and so is what runs as another user (sudo).

The group gets the terminal if `coord lock` had it, so that Ctrl-C and what reads the keyboard work as usual. Not in a
pipeline (stdin or stdout is something else), where another may want to read it: `coord lock … | less`. A Ctrl-Z does
not suspend the group: a right would run out meanwhile.

Lines over the socket. To the guard: `run {json}`, `deadline SECONDS`, `signal NUMBER`, `stop`, `kill`. From it:
`started PID`, `ended EXITCODE WHY`. Times are those of `time.monotonic()`, which all processes of a machine share.
"""

import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NoReturn

from coord.cli.exit_codes import ExitCode

SLACK: Final = 0.2  # seconds before the deadline at which SIGKILL is sent: for a busy machine to act upon it
GRACE_POLL: Final = 0.02  # how often a group that was told to stop is looked at, as nobody tells when it is empty
RECEIVE_BYTES: Final = 1 << 16
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
# Meant for the command, or for `coord lock`, which pass them on.
_IGNORED: Final = (
    *(signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
    *(signal.SIGUSR1, signal.SIGUSR2),
)
# Ignored by every Python program from its start.
_IGNORED_BY_PYTHON: Final = (signal.SIGPIPE, signal.SIGXFSZ)


@dataclass(slots=True)
class Run:
    """One run of the command. `pid` is also the number of its group."""

    pid: int
    deadline: float
    kill_after: float
    exit_code: int | None = None
    """None while the command runs; its group may be there for longer."""

    stopped_because: str | None = None
    kill_at: float | None = None
    """When those that were told to stop are made to; None before, and after."""


class Guard:
    """Serves one `coord lock`, until that is gone."""

    def __init__(self, link: socket.socket, command: Sequence[str], *, is_interactive: bool) -> None:
        """`is_interactive`: the command has stdin, and the terminal if there is one."""
        self._link = link
        self._command = command
        self._is_interactive = is_interactive
        self._their_group = os.getpgrp()
        self._received = b""
        self._is_orphaned = False
        self._run: Run | None = None
        self._terminal = _open_terminal() if is_interactive else None

    def serve(self) -> None:
        """Returns when `coord lock` is gone, and nothing of the command is left."""
        os.setpgid(0, 0)  # a signal to the other's group must not stop its guard
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # to see the end of what the command leaves behind
        self._was_ignored = {each for each in _IGNORED if signal.signal(each, signal.SIG_IGN) is signal.SIG_IGN}
        wake_receiver, wake_sender = socket.socketpair()
        wake_sender.setblocking(False)
        wake_receiver.setblocking(False)
        signal.set_wakeup_fd(wake_sender.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        poller = select.poll()
        poller.register(self._link, select.POLLIN)
        poller.register(wake_receiver, select.POLLIN)
        while not (self._is_orphaned and self._run is None):
            for descriptor, _ in poller.poll(self._milliseconds()):
                if descriptor == wake_receiver.fileno():
                    wake_receiver.recv(RECEIVE_BYTES)
                elif self._read():
                    poller.unregister(self._link)
                    self._is_orphaned = True
                    if self._run is not None:
                        self._stop(self._run, "orphaned")
            self._reap()
            if self._run is not None:
                self._advance(self._run, time.monotonic())

    # What we are told.

    def _read(self) -> bool:
        """True at the end."""
        try:
            data = self._link.recv(RECEIVE_BYTES)
        except OSError:
            data = b""
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            word, _, argument = line.decode().partition(" ")
            self._obey(word, argument)
        return not data

    def _obey(self, word: str, argument: str) -> None:
        run = self._run
        if word == "run":
            assert run is None, "one command at a time"
            self._start(**json.loads(argument))
        elif run is None:
            return  # it ended before they knew
        elif word == "deadline":
            run.deadline = float(argument)
        elif word == "signal":
            if int(argument) == signal.SIGCONT:
                self._hand_over_terminal(run.pid)
            _signal_group(run.pid, int(argument))
        elif word == "stop":
            self._stop(run, "told")
        elif word == "kill":
            run.stopped_because = run.stopped_because or "told"
            run.kill_at = time.monotonic()

    def _tell(self, line: str) -> None:
        with suppress(OSError):  # they are gone, which we see when we read
            self._link.sendall(f"{line}\n".encode())

    # The command.

    def _start(self, *, environment: dict[str, str], deadline: float, kill_after: float) -> None:
        guard = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_command(environment, guard)
        with suppress(OSError):
            os.setpgid(pid, pid)  # both sides do it, as in a shell, so that it is so for both from now on
        self._run = Run(pid, deadline, kill_after)
        self._tell(f"started {pid}")

    def _become_command(self, environment: dict[str, str], guard: int) -> NoReturn:
        try:
            os.setpgid(0, 0)
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != guard:  # it died before the kernel knew that we die with it
                os._exit(ExitCode.CANNOT_RUN)
            if self._is_interactive:
                self._hand_over_terminal(os.getpid())
            else:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            signal.set_wakeup_fd(-1)
            for each in (*_IGNORED, *_IGNORED_BY_PYTHON, signal.SIGCHLD):
                signal.signal(each, signal.SIG_IGN if each in self._was_ignored else signal.SIG_DFL)
            os.execvpe(self._command[0], [*self._command], environment)
        except OSError as error:
            is_missing = isinstance(error, FileNotFoundError)
            os.write(2, f"coord: {self._command[0]}: {error.strerror}\n".encode())
            os._exit(ExitCode.NOT_FOUND if is_missing else ExitCode.CANNOT_RUN)

    def _stop(self, run: Run, because: str) -> None:
        """Ask the group to end. The first reason is kept."""
        if run.stopped_because is None:
            run.stopped_because = because
            run.kill_at = min(time.monotonic() + run.kill_after, run.deadline - SLACK)
            _signal_group(run.pid, signal.SIGTERM)
            _signal_group(run.pid, signal.SIGCONT)  # who is suspended cannot end

    def _advance(self, run: Run, now: float) -> None:
        """Do what is due."""
        if run.exit_code is not None and not has_members(run.pid):
            self._finish(run, run.exit_code)
        elif run.stopped_because is not None:
            if run.kill_at is not None and now >= min(run.kill_at, run.deadline - SLACK):
                run.kill_at = None
                _signal_group(run.pid, signal.SIGKILL)
        elif now >= self._stop_at(run):
            self._stop(run, "deadline")
        elif run.exit_code is not None:
            self._stop(run, "over")

    def _finish(self, run: Run, exit_code: int) -> None:
        if self._terminal is not None and _owner_of(self._terminal) == run.pid:
            with suppress(OSError):
                os.tcsetpgrp(self._terminal, self._their_group)
        self._run = None
        self._tell(f"ended {exit_code} {run.stopped_because or 'over'}")

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            run = self._run
            if run is None or pid != run.pid:
                continue  # left behind by the command
            if os.WIFSTOPPED(status):
                if os.WSTOPSIG(status) == signal.SIGTSTP:
                    os.write(2, b"coord: not suspended, as its right would run out\n")
                    _signal_group(run.pid, signal.SIGCONT)
                continue
            code = os.waitstatus_to_exitcode(status)
            run.exit_code = code if code >= 0 else 128 - code  # as the shell has it

    # Time.

    def _stop_at(self, run: Run) -> float:
        return run.deadline - SLACK - run.kill_after

    def _milliseconds(self) -> float | None:
        """Until something is due; None: until something comes."""
        run = self._run
        if run is None:
            return None
        due = self._stop_at(run) if run.stopped_because is None else run.kill_at
        wait = float("inf") if due is None else max(0.0, due - time.monotonic())
        if run.exit_code is not None or run.stopped_because is not None:
            wait = min(wait, GRACE_POLL)
        return wait * 1000 + 1

    # The terminal.

    def _hand_over_terminal(self, group: int) -> None:
        """From the group of `coord lock`, if that has it."""
        if self._terminal is not None and _owner_of(self._terminal) == self._their_group:
            with suppress(OSError):
                os.tcsetpgrp(self._terminal, group)


def _open_terminal() -> int | None:
    if not (os.isatty(0) and os.isatty(1)):
        return None
    try:
        return os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None


def _owner_of(terminal: int) -> int | None:
    """The group that reads the keyboard."""
    try:
        return os.tcgetpgrp(terminal)
    except OSError:
        return None


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def has_members(group: int) -> bool:
    """Whether there is anybody in it, be it a dead one that was not waited for."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":  # elsewhere a guard that is killed leaves its command to `coord lock` alone
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
