"""`coord lock`: a command that runs while a lock is held, and not a moment longer."""

from signal import Signals

import click
import trio

from coord.cli.exit_codes import ExitCode, Failure, errors_as_exit_codes
from coord.cli.guarded_command import GuardedCommand
from coord.cli.holding import ENDING, Terms, command_argument, holding_options, on_signals
from coord.cli.znode_paths import path_argument
from coord_client.recipes import ReadWriteLock
from coord_protocol.errors import LockLost, LockTimeout


@click.command()
@path_argument
@click.option("--shared", is_flag=True, help="Together with others who share it; without, alone.")
@click.option("--timeout", type=click.FloatRange(min=0), help="Seconds to wait for the lock; 0: only if it is free.")
@click.option(
    "-E", "--conflict-exit-code", type=click.IntRange(0, 255), default=int(ExitCode.NO), show_default=True,
    help="If it is not won in time.",
)  # fmt: skip
@holding_options
@command_argument
def lock(
    terms: Terms, *, path: str, shared: bool, timeout: float | None, conflict_exit_code: int, command: tuple[str, ...]
) -> None:
    """Run a command while holding the lock at PATH, as flock(1) does on one machine.

    \b
        coord lock /locks/report --timeout 30 -- ./report.sh

    Others stand in one fair queue: this command on other machines, and programs that lock PATH by coord_client's or
    kazoo's locks and read/write locks. (Their plain Lock overlooks those who share: there, take a write lock.)

    The command finds in its environment COORD_LOCK_TOKEN, a number that grows with each holder of the lock: stores
    that keep the highest they saw can refuse a holder of the past. Also COORD_LOCK_PATH, COORD_LOCK_ZNODE and
    COORD_SERVERS.

    It runs in a process group of its own, which is stopped before anybody else can hold the lock: by SIGTERM, and
    --kill-after later by SIGKILL. This holds when the servers are cut off, and when coord itself is frozen or killed.
    It does not hold for processes that leave the group (setsid) or run as another user (sudo), for the command's
    children if coord and its guard are killed at one moment, and not while the whole machine stands still: that is
    what the token is for. What the command leaves running in its group when it
    ends is stopped as well. Signals are passed on to the group, and Ctrl-C reaches it; Ctrl-Z does not suspend it.

    Exits as the command does, with 128 plus the number of a signal that ended it. Else with 1 if the lock is not won
    in time, 3 if no server answers, 75 if the lock was lost and the command stopped for it, 126 if the command cannot
    be run, 127 if there is none.
    """
    with GuardedCommand.prepared(command, is_interactive=True) as guarded, errors_as_exit_codes():
        code = trio.run(_hold, terms, path, shared, timeout, conflict_exit_code, guarded)
    raise SystemExit(code)


async def _hold(
    terms: Terms, path: str, is_shared: bool, timeout: float | None, conflict: int, guarded: GuardedCommand
) -> int:
    """What to exit with."""
    ended_by: Signals | None = None

    def act(number: Signals) -> None:
        nonlocal ended_by
        if guarded.is_running:
            guarded.signal(number)
        elif number in ENDING:  # we still wait for the lock
            ended_by = number
            waiting.cancel()

    with trio.CancelScope() as waiting:
        async with on_signals(act), terms.connect() as client:
            kill_after = terms.kill_after(client.session.timeout)
            both = ReadWriteLock(client, path, name=terms.name, timeout=timeout)
            try:
                async with both.read() if is_shared else both.write() as held:
                    ended = await guarded.run(
                        terms.environment(path, held.token, held.znode), held.remaining, kill_after=kill_after
                    )
            except LockTimeout as error:
                raise Failure(str(error), conflict) from None
            except LockLost as error:
                raise Failure(f"{error}; the command was killed", ExitCode.LOST) from None
    if ended_by is not None:
        return 128 + ended_by
    if ended.why == "deadline":
        raise Failure(f"{path}: the session could not be confirmed in time; the command was stopped", ExitCode.LOST)
    return ended.exit_code
