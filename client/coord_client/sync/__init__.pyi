"""The client for plain threads: the same names as `coord_client`, without `await`.

Written by `uv run python -m tests.client.sync_stubs`; do not edit."""

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, Literal, Self, overload

from coord_client import (
    ACL,
    CREATOR_ALL_ACL,
    OPEN_ACL_UNSAFE,
    READ_ACL_UNSAFE,
    Check,
    Create,
    Delete,
    EventType,
    LeaseInfo,
    LeaseKey,
    SessionState,
    Set,
    Stat,
    WatchEvent,
    Znode,
)
from coord_client.addresses import Itinerary
from coord_client.recipes.queueing import Layout
from coord_client.session import Dial
from coord_client.signals import T
from coord_client.sync.portal import ScopeEnded
from coord_client.sync.recipes import Election, Lock
from coord_client.transaction import Op, OpResult
from coord_protocol.extensions import JoiningMember, SnapshotResponse
from coord_protocol.requests import AddWatchMode

__all__ = [
    "ACL",
    "CREATOR_ALL_ACL",
    "OPEN_ACL_UNSAFE",
    "READ_ACL_UNSAFE",
    "Change",
    "Check",
    "Client",
    "Create",
    "Delete",
    "EventType",
    "Lease",
    "LeaseInfo",
    "LeaseKey",
    "ScopeEnded",
    "SessionState",
    "Set",
    "Stat",
    "Transaction",
    "WatchEvent",
    "WatchStream",
    "Znode",
    "connect",
]

def connect(
    hosts: str,
    *,
    session_timeout: float = ...,
    name: str | None = None,
    auth: Iterable[tuple[str, str | bytes]] = (),
    connect_timeout: float | None = None,
    retry_timeout: float | None = None,
    drift: float = ...,
    dial: Dial = ...,
    itinerary: Itinerary | None = None,
) -> Client:
    """A client, connected; options as `coord_client.connect` has them.

    It is closed by `close()`, at the end of `with connect(…) as client`, or at the interpreter's exit.
    """

class Change:
    """The next change of what was read together with it. One task may wait for it."""

    is_cancelled: bool

    def __init__(self) -> None: ...
    def wait(self) -> WatchEvent:
        """The event. Raises `SessionExpired` or `ClientClosed` if none can come any more."""

    @property
    def has_fired(self) -> bool:
        """Whether it has happened."""

    @property
    def on_fire(self) -> Callable[[WatchEvent], None] | None:
        """Called when it fires, by the task that reads the connection; it must neither raise nor wait.

        Called at once if it fired before this was set: the event may have come in one piece with the read's answer."""

    def cancel(self) -> None:
        """Nobody waits for it any more. The server is not told: its watch fires into the void, once."""

    def armed(self, forget: Callable[[Change], None]) -> None:
        """The server watches; `forget` takes us out of the registry."""

    def fire(self, event: WatchEvent) -> None:
        """It has happened."""

    def fail(self, failure: Exception) -> None:
        """It will not be seen happening."""

class Client:
    """One session's operations. Made by `connect`; of no use after its scope."""

    name: str | None
    receipts: Any

    @property
    def state(self) -> SessionState:
        """CONNECTED, SUSPENDED or LOST, as `coord_client.session` explains them."""

    def states(self) -> AbstractContextManager[_Mailbox[SessionState]]:
        """`with client.states() as states: for state in states: …`, beginning with the state now."""

    @property
    def session_id(self) -> int:
        """0 while there is none."""

    @property
    def session_deadline(self) -> float:
        """Until then, on the clock of `anyio.current_time()`, the session certainly lives."""

    @overload
    def create(
        self,
        path: str,
        data: bytes = ...,
        *,
        ephemeral: bool = ...,
        sequence: bool = ...,
        acl: tuple[ACL, ...] = ...,
        make_parents: bool = ...,
        lease: LeaseKey | None = ...,
        include_stat: Literal[False] = ...,
    ) -> str: ...
    @overload
    def create(
        self,
        path: str,
        data: bytes = ...,
        *,
        ephemeral: bool = ...,
        sequence: bool = ...,
        acl: tuple[ACL, ...] = ...,
        make_parents: bool = ...,
        lease: LeaseKey | None = ...,
        include_stat: Literal[True],
    ) -> tuple[str, Stat]: ...
    def ensure_path(self, path: str, *, acl: tuple[ACL, ...] = ...) -> None:
        """Create `path` and what is missing above it."""

    def delete(self, path: str, version: int = ...) -> None:
        """Raises `NoNode`, `NotEmpty`, `BadVersion`."""

    def set(self, path: str, data: bytes, version: int = ...) -> Stat:
        """Raises `NoNode`, `BadVersion`."""

    def set_acl(self, path: str, acl: tuple[ACL, ...], version: int = ...) -> Stat:
        """`version` is compared with `Stat.aversion`. Raises `NoNode`, `BadVersion`, `InvalidAcl`."""

    def transaction(self, *first: Op) -> Transaction:
        """Operations that happen together or not at all: see `coord_client.transaction`."""

    def multi(self, operations: list[Op]) -> list[OpResult]:
        """All operations or none; one result each.

        Raises the error of the one at fault, with its `op_index`."""

    def get(self, path: str) -> Znode:
        """Data and `Stat`. Raises `NoNode`."""

    def get_and_watch(self, path: str) -> tuple[Znode, Change]:
        """Also the next change of the data, or the deletion. Raises `NoNode`, and then watches nothing."""

    def exists(self, path: str) -> Stat | None:
        """None if there is no such znode."""

    def exists_and_watch(self, path: str) -> tuple[Stat | None, Change]:
        """Also the next change of the data, the deletion, or the creation if it is not there yet."""

    def get_children(self, path: str) -> list[str]:
        """Their names, in no order to rely on. Raises `NoNode`."""

    def get_children_and_stat(self, path: str) -> tuple[list[str], Stat]:
        """The names of the children, and the `Stat` of `path`."""

    def get_children_and_watch(self, path: str) -> tuple[list[str], Change]:
        """Also the next time a child comes or goes, or `path` itself goes."""

    def get_acl(self, path: str) -> tuple[tuple[ACL, ...], Stat]:
        """Raises `NoNode`, `NoAuth`."""

    def sync(self, path: str = "/") -> None:
        """After this, reads see everything that was written anywhere before it was called."""

    def add_auth(self, scheme: str, auth: str | bytes) -> None:
        """Add an identity, such as ("digest", "user:password"), now and after each reconnect.

        Raises `AuthFailed`; the server then closes the connection, and the client comes back without it."""

    def who_am_i(self) -> list[tuple[str, str]]:
        """The identities of the connection: scheme and user."""

    def watch(self, path: str, *, recursive: bool = False, size: int = ...) -> AbstractContextManager[WatchStream]:
        """`with client.watch(path) as events: for event in events: …`, from now on, until left.

        Events of `path` and of its list of children; if `recursive`, of the whole subtree, without lists.
        `path` need not exist. After a reconnect an event with `is_gap` comes, since some may have been
        missed. A reader that is more than `size` events behind gets `WatchOverflow`; the end of the session
        raises `SessionExpired`."""

    def status(self) -> dict[str, Any]:
        """What the server knows of itself and its cluster."""

    def lease(self, ttl: float = ..., *, name: str | None = None, meta: bytes = b"") -> AbstractContextManager[Lease]:
        """`with client.lease(ttl=10, name="nightly") as lease: …`: see `coord_client.leases`.

        `ttl`: seconds, at least one. `name` (the client's, by default) and `meta` are for whoever looks at the list."""

    def resume_lease(self, key: LeaseKey) -> AbstractContextManager[Lease]:
        """`with client.resume_lease(LeaseKey.parse(text)) as lease: …`: a lease that lives without its scope.

        It was detached, or whoever held it has died. Raises `NoLease` if it has ended."""

    def leases(self, kind: Literal["", "lease", "session"] = "") -> list[LeaseInfo]:
        """Who holds what, and how long still: all leases and sessions, or one kind.

        `keys` are the server's paths, whatever the chroot, since not all of them need be below it."""

    def lease_info(self, lease_id: int) -> LeaseInfo:
        """One lease or session, as `leases` has it. Raises `NoLease`."""

    def revoke_lease(self, key: LeaseKey) -> None:
        """End a lease and its znodes now.

        Raises `NoLease` if it has ended already; that may have been this call, if an answer was lost on the way."""

    def end_lease(self, lease_id: int) -> None:
        """As an operator, end somebody's lease or session, and its znodes. Raises `NoLease` as `revoke_lease` does.

        Raises `NotOperator`, whose text says what makes one: credentials of `super`, or to connect from the
        server's own machine. A session's client hears of it at once, as `SessionExpired`; whoever holds a lease,
        with its next keep-alive: until then both he and the next holder of a znode may believe that it is theirs."""

    def snapshot(self) -> SnapshotResponse:
        """As an operator, have the server that we are connected to write its state to its disk, and wait for it.

        It does so by itself as its log grows; before a copy of its directory is taken, or its disk is full, one may be
        wanted at once. The answer has everything that was applied when it was asked for. Raises `NotOperator` as
        `end_lease` does."""

    def change_members(
        self, joining: Sequence[JoiningMember] = (), leaving: Sequence[int] = (), *, version: int = -1
    ) -> None:
        """As an operator, begin a change of the cluster's members; `status()["change"]` tells how it goes.

        Whoever joins gets a vote by itself as soon as it has caught up, unless it is to be a learner; with `leaving`
        in the same change, that is when the others lose theirs. A member that is there already may get another
        address or part. `version`: index of the configuration that is meant, -1 for whichever there is (`BadVersion`).
        Raises `ChangeRefused`, whose text says why, and `NotOperator` as `end_lease` does."""

    def transfer_leadership(self, to: int = 0) -> None:
        """As an operator, have the leader, which we must be connected to, hand over to member `to`, or to any voter.

        Returns when it has begun; who leads is in `status()`. Raises `NotLeader`, `ChangeRefused` if it cannot be, and
        `NotOperator` as `end_lease` does."""

    def lock(
        self,
        path: str,
        *,
        name: str | None = None,
        timeout: float | None = None,
        margin: float = 0.0,
        layout: Layout = "kazoo",
        extra_patterns: tuple[str, ...] = (),
    ) -> Lock:
        """`with client.lock(path) as held: …`: see `coord_client.recipes.lock`."""

    def election(
        self,
        path: str,
        *,
        name: str | None = None,
        timeout: float | None = None,
        margin: float = 0.0,
        layout: Layout = "kazoo",
    ) -> Election:
        """`with client.election(path) as leadership: …`: see `coord_client.recipes.election`."""

    def start_soon(self, function: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
        """Run something in the background, until the client's scope ends; after that, nothing.

        It must deal with its errors itself."""

    def close(self) -> None:
        """End the session: its ephemerals and locks are gone at once. Closing again does nothing.

        In a child after a fork, the session is the parent's: nothing is done, either."""

    def __enter__(self) -> Self: ...
    def __exit__(self, kind: object, error: object, trace: object) -> None: ...

class Lease:
    """A lease, while we keep it alive."""

    key: LeaseKey
    id: int
    name: str
    ttl: float

    def __init__(self, client: Client, key: LeaseKey, name: str, ttl: float, confirmed_at: float) -> None: ...
    @property
    def deadline(self) -> float:
        """Until then, on the clock of `anyio.current_time()`, it certainly lives. Keep-alives move it."""

    def remaining(self) -> float:
        """Seconds until the deadline; 0 once it has passed, or the lease has ended, or was left."""

    @property
    def lost(self) -> str | None:
        """Why work under the lease must stop, or had to; None while it may go on."""

    def check(self) -> None:
        """Raises `LeaseLost` if work under the lease must stop."""

    def wait_lost(self) -> str:
        """Wait until work under the lease must stop; then why.

        For tasks outside the body, which are not cancelled with it. Returns when the body is left, too."""

    def detach(self) -> LeaseKey:
        """Leaving the scope will not end the lease: it lives on for its ttl, or for as long as somebody takes it up.

        Returns what that takes."""

    @overload
    def create(
        self,
        path: str,
        data: bytes = ...,
        *,
        sequence: bool = ...,
        acl: tuple[ACL, ...] = ...,
        make_parents: bool = ...,
        include_stat: Literal[False] = ...,
    ) -> str: ...
    @overload
    def create(
        self,
        path: str,
        data: bytes = ...,
        *,
        sequence: bool = ...,
        acl: tuple[ACL, ...] = ...,
        make_parents: bool = ...,
        include_stat: Literal[True],
    ) -> tuple[str, Stat]: ...
    def fence(self, path: str) -> Check:
        """Put it first in a transaction: refused (`NoNode`) if our znode at `path` is gone by then.

        Only for znodes made with `sequence`: at any other path somebody else may have created his own since."""

class Transaction:
    """Collects operations; nothing is sent before `commit`."""

    operations: list[Op]

    def __init__(self, send: Callable[[list[Op]], Awaitable[list[OpResult]]], *first: Op) -> None: ...
    def check(self, path: str, version: int = ...) -> Self:
        """Go on only if `path` exists and has `version`."""

    def create(
        self,
        path: str,
        data: bytes = b"",
        *,
        ephemeral: bool = False,
        sequence: bool = False,
        acl: tuple[ACL, ...] = ...,
    ) -> Self:
        """Create `path`."""

    def set(self, path: str, data: bytes, version: int = ...) -> Self:
        """Write the data of `path`."""

    def delete(self, path: str, version: int = ...) -> Self:
        """Delete `path`."""

    def commit(self) -> list[OpResult]:
        """All of it, or the error of the operation that was at fault."""

class WatchStream:
    """Events of a persistent watch, for one reader: `for event in stream`.

    It holds `size` events for a busy reader. Past that, it ends: the reader gets what is held, then
    `WatchOverflow`."""

    path: str
    mode: AddWatchMode

    def __init__(self, path: str, mode: AddWatchMode, size: int) -> None: ...
    def put(self, event: WatchEvent) -> None:
        """Hand an event to the reader."""

    def close(self, failure: Exception | None = None) -> None:
        """No more events."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> WatchEvent: ...

class _Mailbox(Generic[T]):
    """News for one reader, in order, at most `size` of them. It ends with an exception, or just ends."""

    size: int

    def __init__(self, size: int) -> None: ...
    def put(self, item: T) -> bool:
        """False if the box is full or closed; the item is then not taken."""

    def put_over_oldest(self, item: T) -> None:
        """Take the item whatever it costs: the oldest goes if the box is full."""

    def close(self, failure: Exception | None = None) -> None:
        """End the news: what is in the box is still read, then `failure` is raised, if given.

        The first call wins."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> T: ...
