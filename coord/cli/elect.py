"""`coord elect`: a command that runs on exactly one of the machines that stand for election."""

from collections.abc import Callable
from datetime import datetime
from signal import Signals
from typing import Final

import click
import trio

from coord.cli.exit_codes import ExitCode, errors_as_exit_codes
from coord.cli.guarded_command import Ended, GuardedCommand
from coord.cli.holding import ENDING, Terms, command_argument, holding_options, on_signals
from coord.cli.znode_paths import path_argument
from coord_client import Client
from coord_protocol.errors import ClientClosed, ConnectionLost, LockLost, OperationTimeout, SessionExpired

LONGEST_DELAY: Final = 60.0  # seconds; a command that keeps failing is tried at least so often
SETTLED_AFTER: Final = 60.0  # a command that ran for so long was a success, so that its next end starts afresh
RETRY_DELAY: Final = 1.0  # after the session was lost; the client paces its own search for servers


@click.command()
@path_argument
@click.option(
    "--restart-delay", type=click.FloatRange(min=0), default=1.0, show_default=True,
    help="Seconds until a command that ended is started again; doubled each time it ends soon, up to 60.",
)  # fmt: skip
@click.option("--once", is_flag=True, help="When the command ends, resign, and exit as it did.")
@holding_options
@command_argument
def elect(terms: Terms, *, path: str, restart_delay: float, once: bool, command: tuple[str, ...]) -> None:
    """Keep a command running on exactly one of all machines that run this with the same PATH.

    \b
        coord elect /services/scheduler -- ./scheduler

    Whoever is elected runs the command, and starts it again when it ends. When its right to lead is about to end, the
    command is stopped before anybody else can be elected, as `coord lock --help` describes; then it stands for election
    again, for as long as it takes to reach the servers. What happens is told on stderr.

    The command finds in its environment COORD_LOCK_TOKEN, which grows with each leader, as well as COORD_LOCK_PATH,
    COORD_LOCK_ZNODE and COORD_SERVERS. It reads nothing from stdin.

    SIGTERM, SIGINT (Ctrl-C) and SIGHUP stop the command, resign, and exit with 0; other signals are passed on. Exits
    with 4 if the servers refuse the credentials, with 75 if the process that guards the command was killed.
    """
    candidate = Candidate(terms, path, restart_delay, once)
    with GuardedCommand.prepared(command, is_interactive=False) as guarded, errors_as_exit_codes():
        code = trio.run(candidate.run, guarded)
    raise SystemExit(code)


class Candidate:
    """Stands for election until it is told to end."""

    def __init__(self, terms: Terms, path: str, restart_delay: float, once: bool) -> None:
        self._terms = terms
        self._path = path
        self._restart_delay = restart_delay
        self._once = once
        self._is_ending = False
        self._waiting = trio.CancelScope()
        """Around every wait but that for the command's end."""

    async def run(self, guarded: GuardedCommand) -> int:
        """What to exit with."""

        def act(number: Signals) -> None:
            if number not in ENDING:
                guarded.signal(number)
                return
            self._log(f"{number.name}: stopping")
            self._is_ending = True
            if guarded.is_running:
                guarded.stop()
            else:
                self._waiting.cancel()

        async with on_signals(act):
            while not self._is_ending:
                with trio.CancelScope() as self._waiting:
                    try:
                        async with self._terms.connect() as client:
                            ended = await self._lead(client, guarded)
                            if ended is not None:
                                return ended.exit_code
                    except (ConnectionLost, OperationTimeout, SessionExpired, ClientClosed) as error:
                        self._log(str(error))
                        await trio.sleep(RETRY_DELAY)
        return ExitCode.DONE

    async def _lead(self, client: Client, guarded: GuardedCommand) -> Ended | None:
        """How the command ended if that is the end of it all; None to stand for election again."""
        kill_after = self._terms.kill_after(client.session.timeout)
        self._log("standing for election")
        try:
            async with client.election(self._path, name=self._terms.name) as leadership:
                self._log(f"elected, token {leadership.token}")
                environment = self._terms.environment(self._path, leadership.token, leadership.znode)
                return await self._keep_running(guarded, environment, leadership.remaining, kill_after)
        except LockLost as error:
            self._log(f"{error}; the command was killed")
            return None

    async def _keep_running(
        self, guarded: GuardedCommand, environment: dict[str, str], remaining: Callable[[], float], kill_after: float
    ) -> Ended | None:
        delay = self._restart_delay
        while True:
            began = trio.current_time()
            ended = await guarded.run(environment, remaining, kill_after=kill_after)
            if ended.why == "deadline":
                self._log("the session could not be confirmed in time; the command was stopped")
                return None
            if self._is_ending:
                return None
            if self._once:
                return ended
            if trio.current_time() - began >= SETTLED_AFTER:
                delay = self._restart_delay
            self._log(f"the command ended with {ended.exit_code}; it starts again in {delay:g} s")
            await trio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY)

    def _log(self, text: str) -> None:
        click.echo(f"{datetime.now():%H:%M:%S} {self._path}: {text}", err=True)
