"""`coord` as scripts call it: what it wrote where, and its exit code."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from click.testing import CliRunner

from coord.cli import main

PATIENCE = 60.0  # seconds; only a test that fails waits so long


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def document(self) -> Any:
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Shell:
    """A command line of one that works with these servers."""

    servers: str

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"COORD_SERVERS": self.servers, "PYTHONUNBUFFERED": "1"}

    def coord(self, *arguments: str, stdin: bytes = b"", **environment: str) -> Ended:
        """Run it to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "coord", *arguments],
            input=stdin,
            capture_output=True,
            timeout=PATIENCE,
            env=self.environment | environment,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr.decode())

    def ask(self, *arguments: str, stdin: bytes = b"", **environment: str) -> Ended:
        """Run it in this process, twenty times faster. Not for what forks, and not within an event loop."""
        result = CliRunner().invoke(main, arguments, input=stdin, env=self.environment | environment, prog_name="coord")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ended(result.exit_code, result.stdout_bytes, result.stderr)

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start it. The caller ends it."""
        return subprocess.Popen([sys.executable, "-m", "coord", *arguments], **{"env": self.environment, **options})

    def on_terminal(self, *arguments: str) -> "Terminal":
        """Start it on a terminal of its own."""
        return Terminal([sys.executable, "-c", ON_A_TERMINAL, sys.executable, "-m", "coord", *arguments], self)


# `pty.spawn` passes our stdin on as what is typed.
ON_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


class Terminal:
    """One at which somebody sits."""

    def __init__(self, command: list[str], shell: Shell) -> None:
        self._process = subprocess.Popen(command, env=shell.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._shown = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self._process.kill()
        self._process.communicate()

    def until_shown(self, text: str) -> None:
        """Wait until it is shown, after what was waited for before."""
        assert self._process.stdout is not None
        while text.encode() not in self._shown:
            data = os.read(self._process.stdout.fileno(), 1000)
            assert data, self._shown.decode()
            self._shown += data
        self._shown = self._shown.partition(text.encode())[2]

    def type(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def wait(self) -> int:
        """Until the command has ended; its exit code."""
        return self._process.wait(PATIENCE)


def until(condition: Callable[[], bool]) -> None:
    """Wait until it is so."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """A zombie is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def numbers_in(file: Path) -> list[float]:
    """One a line; none if it is not there, and not the last if it is just being written."""
    text = file.read_text() if file.exists() else ""
    return [float(line) for line in text[: text.rfind("\n") + 1].split()]
