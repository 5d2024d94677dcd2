"""`coord` as scripts call it: what it wrote where, and its exit code."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
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
        return subprocess.Popen([sys.executable, "-m", "coord", *arguments], env=self.environment, **options)
