"""How far a long command has come: bars on a terminal, and lines now and then where nobody watches. On stderr."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from coord.backup.progress import Report

REFRESH_SECONDS: Final = 0.1
LINE_SECONDS: Final = 10.0


@contextmanager
def shown_progress() -> Iterator[Report]:
    """What to tell how far it is. Each new thing to do has a bar of its own, or a line of its own at its end."""
    if sys.stderr.isatty():
        columns = (TextColumn("{task.description:>8}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        # No thread of its own: whoever reports is the only one who knows anything new.
        with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as progress:
            yield _Bars(progress)
    else:
        yield _Lines()


class _Bars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._next_at = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what)
        now = time.monotonic()
        if now >= self._next_at or done == total:
            self._next_at = now + REFRESH_SECONDS
            self._progress.update(self._tasks[what], completed=done, total=total, refresh=True)


class _Lines:
    def __init__(self) -> None:
        self._finished: set[str] = set()
        self._next_at = time.monotonic() + LINE_SECONDS

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        is_finished = done == total and what not in self._finished
        if is_finished or now >= self._next_at:
            self._next_at = now + LINE_SECONDS
            click.echo(f"{what}: {100 * done // max(1, total)} %", err=True)
        if is_finished:
            self._finished.add(what)
