"""The recipes of `coord_client.recipes` for threads, by the same names: see `coord_client.sync`.

Written by `uv run python -m tests.client.sync_stubs`; do not edit."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from types import TracebackType

from coord_client.recipes import Contender
from coord_client.sync import Client
from coord_client.transaction import Check

__all__ = ["Contender", "Election", "Held", "Leadership", "Lock"]

class Election:
    """See the module's head."""

    path: str

    def __init__(self, client: Client, path: str, *, name: str | None = None, timeout: float | None = None) -> None: ...
    def __enter__(self) -> Leadership:
        """Returns when we lead. Raises as `Lock` does: `LockTimeout`, `SessionExpired`, `ConnectionLost`."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...
    def leader(self) -> Contender | None:
        """Who leads, if anybody does."""

    def candidates(self) -> list[Contender]:
        """All who stand for election, the leader first."""

    def watch_leader(self) -> AbstractContextManager[Iterator[Contender | None]]:
        """`with election.watch_leader() as leaders: for leader in leaders: …`

        The leader now, and each new one; None while nobody leads. A leader that came and went between two
        looks is skipped. Ends with `SessionExpired` when the session does."""

class Held:
    """The lock, while it is ours."""

    path: str
    name: str
    znode: str
    token: int

    def fence(self) -> Check:
        """Put it first in a transaction: refused (`NoNode`) if the lock is not ours any more by then."""

    def release(self) -> None:
        """End the body here: it is cancelled, and then the lock is let go. No `LockLost` follows."""

class Leadership:
    """Being the leader."""

    def __init__(self, held: Held) -> None: ...
    @property
    def token(self) -> int:
        """Higher than that of every leader before: what is older than it should be refused."""

    @property
    def name(self) -> str:
        """Ours."""

    @property
    def znode(self) -> str:
        """Ours in the queue of candidates."""

    def fence(self) -> Check:
        """Put it first in a transaction: it is refused (`NoNode`) if we do not lead any more by then."""

    def resign(self) -> None:
        """End the body here: it is cancelled, and then the next candidate leads. No `LockLost` follows."""

class Lock:
    """See the module's head. `with` it again and again, but not within itself: it is not re-entrant.

    `extra_patterns`: what else stands before the number in names of contenders, such as "-lock-" of
    Curator's."""

    path: str
    name: str
    timeout: float | None

    def __init__(
        self,
        client: Client,
        path: str,
        *,
        name: str | None = None,
        timeout: float | None = None,
        extra_patterns: tuple[str, ...] = (),
    ) -> None: ...
    def __enter__(self) -> Held:
        """Raises `LockTimeout`, `SessionExpired`, `ConnectionLost`; no contender of ours is left behind."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...
    def contenders(self) -> list[Contender]:
        """The queue, the holder first. Empty if nobody wants the lock."""

    def holder(self) -> Contender | None:
        """Who holds the lock, if anybody does."""
