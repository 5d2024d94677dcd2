"""Fencing tokens at resources that coord knows nothing of: files, SQL databases, HTTP services.

A lock alone cannot protect what lies outside the cluster. Its holder may be stopped for a minute between the check
and the write (a paused machine, a full collection, a swapped process), wake up, and write, while somebody else has
held the lock for half a minute. Only the resource itself can refuse that write, and all it takes is a number: each
holder has a token (`held.token`), tokens of one lock only grow, and a resource keeps the newest that it saw and
refuses whatever carries an older one (Chubby §2.4 calls them sequencers).

    with FileFence("/srv/report.fence").admit(held.token):     # files, and handlers of HTTP requests
        write_report()

    admit_in_sql(cursor, "accounts", held.token)               # the first statement of the transaction
    cursor.execute("UPDATE accounts …")

    token = token_of(request.headers)                          # sent as `Fencing-Token: 4711` by the holder

Check and write must be one step, or the newer holder comes between them: hence the scope, and the transaction. One
resource, one lock: tokens of different locks must not meet at one fence. After a cluster was set up anew without its
data its tokens begin at 1, and the fences must be reset, too. Nothing here needs a connection.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from coord_protocol.errors import LocalProtocolError, StaleToken

HEADER: Final = "Fencing-Token"
FENCES_TABLE: Final = "CREATE TABLE IF NOT EXISTS fences (resource VARCHAR(255) PRIMARY KEY, token BIGINT NOT NULL)"
"""What `admit_in_sql` needs, once in each database."""

_TOKEN_BYTES: Final = 20  # as many digits as a token can have


class FileFence:
    """The newest token that a resource has seen, in a file of its own; it survives restarts.

    For all processes of one machine, and all their threads. `path` is created when it is missing. Not for network
    file systems whose flock is local.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    @contextmanager
    def admit(self, token: int) -> Iterator[None]:
        """Only one body runs at a time, and none whose token is older than any before it.

        Raises `StaleToken`. Blocks while another body runs: in async code, enter it in a worker thread.
        """
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            newest = int(os.pread(file, _TOKEN_BYTES, 0) or b"0")
            if token < newest:
                raise StaleToken(self.path, token, newest)
            if token > newest:
                # Before the body: whoever crashes in it must not leave the door open to the holder before. Padded, so
                # that one write replaces the old number as a whole.
                os.pwrite(file, b"%0*d" % (_TOKEN_BYTES, token), 0)
                os.fsync(file)
            yield
        finally:
            os.close(file)


class Cursor(Protocol):
    """Of any database module that follows PEP 249."""

    @property
    def rowcount(self) -> int: ...

    def execute(self, operation: str, parameters: Any, /) -> object: ...


def admit_in_sql(cursor: Cursor, resource: str, token: int, *, placeholder: str = "?") -> None:
    """Refuse the cursor's transaction, with `StaleToken`, if the resource has seen a newer token.

    To be called first in the transaction that writes; roll it back when this raises. The row stays locked until the
    commit, so a newer holder waits for it, and an older one after it is refused. For databases with `ON CONFLICT`
    (SQLite 3.24, PostgreSQL 9.5) that have `FENCES_TABLE`. `placeholder`: "%s" for psycopg.
    """
    cursor.execute(
        f"INSERT INTO fences (resource, token) VALUES ({placeholder}, {placeholder}) ON CONFLICT (resource)"
        " DO UPDATE SET token = excluded.token WHERE fences.token <= excluded.token",
        (resource, token),
    )
    if cursor.rowcount != 1:
        raise StaleToken(resource, token)


class Headers(Protocol):
    """Of a request, in whatever framework: `dict`, `http.client.HTTPMessage`, and their like."""

    def items(self) -> Iterable[tuple[str, str]]: ...


def token_of(headers: Headers) -> int:
    """The token of an HTTP request. Raises `LocalProtocolError`, which deserves status 400; `StaleToken` is a 409.

    >>> token_of({"fencing-token": "4711"})
    4711
    """
    found = [value for name, value in headers.items() if name.lower() == HEADER.lower()]
    if len(found) != 1 or not (found[0].isascii() and found[0].isdecimal()):
        raise LocalProtocolError(f"expected one header {HEADER}: NUMBER, the token of the lock's holder; got {found}")
    return int(found[0])
