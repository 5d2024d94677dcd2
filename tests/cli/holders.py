"""Commands that `coord lock` and `coord elect` run in tests, and what they leave for these to see.

    beats      the command writes the time there every few milliseconds, for as long as it runs
    started    the time of each start
    tokens     the token of each start
    violations what is written there if two ran at once

All times are of CLOCK_MONOTONIC, so those of several processes can be compared.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.cli.commands import Shell, is_alive, numbers_in, until

# What runs as the command: a child of a shell, as a script's programs are. It ignores SIGTERM if it is told to.
WORKER = """
import fcntl, os, signal, sys, time
directory, name, is_deaf = sys.argv[1], sys.argv[2], sys.argv[3] == "deaf"
if is_deaf:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
def note(file, what):
    with open(f"{directory}/{file}", "a") as out:
        out.write(f"{what}\\n")
witness = os.open(f"{directory}/witness", os.O_CREAT | os.O_RDWR)
try:
    fcntl.flock(witness, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    note("violations", name)
note(f"started-{name}", time.monotonic())
note("tokens", os.environ["COORD_LOCK_TOKEN"])
note(f"pid-{name}", os.getpid())
beats = open(f"{directory}/beats-{name}", "a", buffering=1)
while True:
    beats.write(f"{time.monotonic()}\\n")
    time.sleep(0.005)
"""


class Holder:
    """A `coord lock` or `coord elect` whose command runs until it is stopped."""

    def __init__(self, directory: Path, name: str, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._directory = directory
        self._name = name

    @property
    def started(self) -> list[float]:
        """When its command was started."""
        return numbers_in(self._directory / f"started-{self._name}")

    @property
    def last_beat(self) -> float:
        """When its command was last seen running."""
        return numbers_in(self._directory / f"beats-{self._name}")[-1]

    @property
    def worker(self) -> int:
        """The process that does the command's work: not the command itself, but its child."""
        return int(numbers_in(self._directory / f"pid-{self._name}")[-1])

    def wait_started(self, times: int = 1) -> None:
        until(lambda: len(numbers_in(self._directory / f"pid-{self._name}")) >= times)

    def wait_stopped(self) -> None:
        until(lambda: not is_alive(self.worker))


@contextmanager
def holding(
    shell: Shell, directory: Path, name: str, *arguments: str, is_deaf: bool = False, **options: Any
) -> Iterator[Holder]:
    """Start `coord …arguments -- the worker`. Whatever is left of it at the end is killed."""
    script = f'"{sys.executable}" -c "$WORKER" "{directory}" {name} {"deaf" if is_deaf else "-"} & wait; wait'
    process = shell.start(
        *arguments, "--", "sh", "-c", f"trap '' TERM; {script}" if is_deaf else script,
        env=shell.environment | {"WORKER": WORKER}, **options,
    )  # fmt: skip
    with process:
        try:
            yield Holder(directory, name, process)
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()
            for pid in numbers_in(directory / f"pid-{name}"):
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)


def violations(directory: Path) -> list[str]:
    """Who ran while another did."""
    file = directory / "violations"
    return file.read_text().split() if file.exists() else []
