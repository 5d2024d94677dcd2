"""`coord` as scripts call it: what it wrote where, and its exit code."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start it. The caller ends it."""
        return subprocess.Popen([sys.executable, "-m", "coord", *arguments], **{"env": self.environment, **options})


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
