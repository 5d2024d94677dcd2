"""What `coord lock` and `coord elect` have in common: a command, and the session on which its right depends."""

import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, TypeVar

import click
import trio

from coord.cli.cluster import auth_option, servers_option
from coord.cli.command_guard import SLACK
from coord_client import Client, connect

T = TypeVar("T")

DEFAULT_SESSION_TIMEOUT: Final = 10.0
DEFAULT_KILL_AFTER: Final = 2.0  # seconds, or less in short sessions
KILL_AFTER_SHARE: Final = 0.2  # of a session's timeout
# A session is confirmed each third of its timeout, so two thirds of what is believed remain in quiet times.
MOST_FOR_STOPPING: Final = 0.5
PASSED_ON: Final = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2),
    signal.SIGCONT,
)
ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the options say."""

    servers: str
    auth: tuple[tuple[str, str], ...]
    name: str
    session_timeout: float
    asked_kill_after: float | None

    def connect(self, connect_timeout: float | None = None) -> AbstractAsyncContextManager[Client]:
        """The session on which the right depends."""
        return connect(
            self.servers,
            session_timeout=self.session_timeout,
            name=self.name,
            auth=self.auth,
            connect_timeout=connect_timeout,
        )

    def kill_after(self, granted_timeout: float) -> float:
        """Seconds between SIGTERM and SIGKILL in a session of that timeout.

        Raises `click.UsageError` for more than such a session has time for: a healthy one would seem to end.
        """
        most = granted_timeout * MOST_FOR_STOPPING - SLACK
        if self.asked_kill_after is None:
            return min(DEFAULT_KILL_AFTER, granted_timeout * KILL_AFTER_SHARE)
        if self.asked_kill_after > most:
            raise click.UsageError(
                f"--kill-after {self.asked_kill_after:g} is too long: in a session of {granted_timeout:g} s there is "
                f"time for {most:g} s; ask for a longer --session-timeout"
            )
        return self.asked_kill_after

    def environment(self, path: str, token: int, znode: str) -> dict[str, str]:
        """What the command is told."""
        return {
            "COORD_SERVERS": self.servers,
            "COORD_LOCK_PATH": path,
            "COORD_LOCK_TOKEN": str(token),
            "COORD_LOCK_ZNODE": znode,
        }


def _default_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def holding_options(command: Callable[..., T]) -> Callable[..., T]:
    """Adds what `Terms` are made of, which the command gets as its first argument."""

    @click.option("--name", help="Shown to others as the holder.  [default: host:pid]")
    @click.option(
        "--session-timeout", type=click.FloatRange(min=0.1), default=DEFAULT_SESSION_TIMEOUT, show_default=True,
        help="Seconds after which a holder that is cut off is taken for dead. Servers may grant another value.",
    )  # fmt: skip
    @click.option(
        "--kill-after", type=click.FloatRange(min=0),
        help="Seconds from SIGTERM to SIGKILL.  [default: 2, or a fifth of the session's timeout if that is less]",
    )  # fmt: skip
    @servers_option
    @auth_option
    @wraps(command)
    def with_terms(
        *args: Any,
        servers: str,
        auth: tuple[tuple[str, str], ...],
        name: str | None,
        session_timeout: float,
        kill_after: float | None,
        **kwargs: Any,
    ) -> T:
        terms = Terms(servers, auth, name or _default_name(), session_timeout, kill_after)
        return command(terms, *args, **kwargs)

    return with_terms


command_argument = click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND…")


@asynccontextmanager
async def on_signals(act: Callable[[signal.Signals], None]) -> AsyncIterator[None]:
    """Within it, the signals that are for the command are given to `act`, and do nothing else."""

    async def listen() -> None:
        async for number in signals:
            act(signal.Signals(number))

    with trio.open_signal_receiver(*PASSED_ON) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            yield
            nursery.cancel_scope.cancel()
