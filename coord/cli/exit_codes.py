"""What an exit code says, for scripts; in this one place, errors become codes.

stdout carries data and nothing else, stderr whatever is for people; an error there begins with "Error:".
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Final

import click

from coord_protocol.errors import (
    AuthFailed,
    BadArguments,
    BadVersion,
    ChangeRefused,
    ClientClosed,
    ConnectionLost,
    CoordError,
    InvalidAcl,
    LocalProtocolError,
    LockError,
    LockTimeout,
    MarshallingError,
    NoAuth,
    NoChildrenForEphemerals,
    NodeExists,
    NoLease,
    NoNode,
    NotEmpty,
    NotReadOnly,
    OperationTimeout,
    QuotaExceeded,
    RequestTimeout,
    SessionExpired,
    SessionMoved,
    SessionRequiresSasl,
    ThrottledOp,
)


class ExitCode(IntEnum):
    """See `EXIT_CODES`, which is what people read."""

    DONE = 0
    NO = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_PERMITTED = 4
    CANNOT = 5
    LOST = 75  # EX_TEMPFAIL of sysexits.h: try again later
    CANNOT_RUN = 126  # this and the next as the shell has them
    NOT_FOUND = 127
    INTERRUPTED = 130


EXIT_CODES: Final = """\
0    Done.
1    The answer is no: no such znode, lease or session, it exists already, it has another version, it is not empty,
     the lock was not won in time, the backup is damaged, or the directory is not what it should be.
2    The command line makes no sense.
3    No server could be reached, or the connection was lost. The message says "outcome unknown" if a write may have
     happened all the same.
4    Not permitted: the znode's ACL, credentials that the server refuses, or you are no operator.
5    The server cannot do this: it is a plain ZooKeeper and lacks an extension, or it failed.
130  Ctrl-C.

Of `coord lock` and `coord elect --once`, once the command was started: its own exit code, or 128 plus the number of
the signal that ended it. Beside those:

75   The lock was lost, and the command was stopped for it.
126  The command could not be run.
127  There is no such command.

Results are on stdout, messages on stderr."""


# The first class that fits decides.
_CODES: Final[tuple[tuple[type[CoordError], ExitCode], ...]] = (
    (NoNode, ExitCode.NO),
    (NodeExists, ExitCode.NO),
    (BadVersion, ExitCode.NO),
    (NotEmpty, ExitCode.NO),
    (NoChildrenForEphemerals, ExitCode.NO),
    (QuotaExceeded, ExitCode.NO),
    (NoLease, ExitCode.NO),
    (ChangeRefused, ExitCode.NO),
    (LockTimeout, ExitCode.NO),
    (LockError, ExitCode.LOST),
    (BadArguments, ExitCode.USAGE),
    (InvalidAcl, ExitCode.USAGE),
    (MarshallingError, ExitCode.USAGE),
    (LocalProtocolError, ExitCode.USAGE),
    (ConnectionLost, ExitCode.UNREACHABLE),
    (OperationTimeout, ExitCode.UNREACHABLE),
    (RequestTimeout, ExitCode.UNREACHABLE),
    (SessionExpired, ExitCode.UNREACHABLE),
    (SessionMoved, ExitCode.UNREACHABLE),
    (ClientClosed, ExitCode.UNREACHABLE),
    (NotReadOnly, ExitCode.UNREACHABLE),
    (ThrottledOp, ExitCode.UNREACHABLE),
    (NoAuth, ExitCode.NOT_PERMITTED),
    (AuthFailed, ExitCode.NOT_PERMITTED),
    (SessionRequiresSasl, ExitCode.NOT_PERMITTED),
)


def exit_code_of(error: CoordError) -> ExitCode:
    """What the command exits with, for scripts.

    >>> exit_code_of(NoNode("/a")), exit_code_of(CoordError("?"))
    (<ExitCode.NO: 1>, <ExitCode.CANNOT: 5>)
    """
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return ExitCode.CANNOT


class Failure(click.ClickException):
    """Ends the command with a message on stderr and a code, mostly an `ExitCode`."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]  # click declares it of the class, and asks the object


@contextmanager
def errors_as_exit_codes(*, writes: bool = False) -> Iterator[None]:
    """Errors of the client, alone or in groups, become `Failure`; Ctrl-C ends with a code that is no answer.

    `writes`: the command writes, so that a lost answer leaves it open whether it has; the message says so.
    """
    try:
        yield
    except BaseException as error:
        cause = error
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]  # nurseries wrap what they raise; one reason is enough for people
        match cause:
            case KeyboardInterrupt():
                raise SystemExit(ExitCode.INTERRUPTED) from None
            case CoordError():
                raise _failure_of(cause, writes=writes) from None
            case _:
                raise cause from None


def _failure_of(error: CoordError, *, writes: bool) -> Failure:
    code = exit_code_of(error)
    message = str(error) or type(error).__name__
    if code is ExitCode.UNREACHABLE and writes:
        message += " (it did not happen)" if error.definite else " (outcome unknown: it may have happened)"
    return Failure(message, code)


@click.command(name="exit-codes")
def exit_codes() -> None:
    """Print what the exit codes of all commands say."""
    click.echo(EXIT_CODES)
