"""The recipes of `coord_client.recipes` for threads, by the same names: see `coord_client.sync`.

Written by `uv run python -m tests.client.sync_stubs`; do not edit."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Generic, Literal, overload

from coord_client.client import Znode
from coord_client.recipes import Added, Contender, Member, Service
from coord_client.recipes.config_cache import ConfigState, Refused, T
from coord_client.recipes.counter import Number
from coord_client.recipes.key_value_map import Absent, Codec, MapChange, V
from coord_client.recipes.key_value_map import Refused as key_value_map_Refused
from coord_client.recipes.queueing import Layout
from coord_client.recipes.subtree import TreeChange
from coord_client.sync import Client, _Mailbox
from coord_client.transaction import Check, Op
from coord_protocol.records import Stat

__all__ = [
    "Added",
    "Barrier",
    "ConfigCache",
    "Contender",
    "Counter",
    "DoubleBarrier",
    "Election",
    "Held",
    "Item",
    "KeyValueMap",
    "Leadership",
    "Lock",
    "LockingQueue",
    "Member",
    "Party",
    "Queue",
    "ReadWriteLock",
    "Semaphore",
    "Service",
    "ServiceRegistry",
    "TreeCache",
]

class Barrier:
    """See the module's head. All methods raise `ConnectionLost` if no server is reached in time."""

    path: str

    def __init__(self, client: Client, path: str) -> None: ...
    def create(self) -> None:
        """Put it up, if it does not stand yet. Makes missing parents."""

    def remove(self) -> bool:
        """Take it down. False if it did not stand.

        After a lost answer, a barrier that does not stand any more counts as taken down by us."""

    def wait(self, timeout: float | None = None) -> bool:
        """Return when it does not stand. False if it still does after `timeout` seconds; 0: only look."""

class ConfigCache(Generic[T]):
    """See the module's head. Without `parse` the value is the bytes; `parse` may raise what it likes.

    Without a `default` there must be a good value when the scope is entered."""

    path: str

    @overload
    def __init__(self: ConfigCache[bytes], client: Client, path: str, *, default: bytes = ...) -> None: ...
    @overload
    def __init__(self, client: Client, path: str, *, parse: Callable[[bytes], T], default: T = ...) -> None: ...
    @property
    def value(self) -> T:
        """The latest good value that was seen. Raises `NoNode` if there is none, and no default."""

    @property
    def stat(self) -> Stat | None:
        """Of the znode, when it had `value`; None if the value is not from a znode that is there."""

    @property
    def version(self) -> int | None:
        """Of the znode when it had `value`: what a `set` needs that must not overwrite a newer one."""

    @property
    def refused(self) -> Refused | None:
        """What the znode holds, if `parse` refuses it."""

    @property
    def is_live(self) -> bool:
        """Whether changes arrive, and everything missed before was made up for."""

    @property
    def since(self) -> float:
        """When `is_live` became what it is, on the clock of `anyio.current_time()`."""

    def changes(self) -> AbstractContextManager[_Mailbox[ConfigState[T]]]:
        """`with config.changes() as changes: for state in changes: …`

        The state now, and each newer one. A busy reader misses what was replaced meanwhile, never the newest."""

    def refresh(self) -> None:
        """After this, `value` is what the znode held when this was called, or newer. Raises `ConnectionLost`."""

    def __enter__(self) -> ConfigCache[T]:
        """Returns once the value is read. Raises `ConnectionLost`.

        Without a default also `NoNode`, or what `parse` raises."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

class Counter(Generic[Number]):
    """See the module's head. `default` is where it starts, and its type that of the number."""

    path: str
    default: Number

    @overload
    def __init__(self: Counter[int], client: Client, path: str, *, default: int = ...) -> None: ...
    @overload
    def __init__(self: Counter[float], client: Client, path: str, *, default: float) -> None: ...
    def value(self) -> Number:
        """The number now; the default if nobody has counted yet. Raises `MarshallingError` if it is none."""

    def add(self, amount: Number) -> Added[Number]:
        """Add `amount`, which may be negative. Makes the znode and its parents if they are missing."""

class DoubleBarrier:
    """See the module's head. One object per participant; `timeout` is for waiting to begin."""

    path: str
    count: int
    name: str
    timeout: float | None

    def __init__(
        self, client: Client, path: str, count: int, *, name: str | None = None, timeout: float | None = None
    ) -> None: ...
    def __enter__(self) -> None:
        """Returns when `count` participants are there.

        Raises `LockTimeout`, and `ConnectionLost` or `SessionExpired` if no server can be asked; we do not take
        part then."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...

class Election:
    """See the module's head. `timeout` and `margin` as with `Lock`."""

    path: str
    name: str
    timeout: float | None
    margin: float

    def __init__(
        self,
        client: Client,
        path: str,
        *,
        name: str | None = None,
        timeout: float | None = None,
        margin: float = 0.0,
        layout: Layout = "kazoo",
    ) -> None: ...
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
    """A right, while it is ours."""

    path: str
    name: str
    znode: str
    token: int

    def fence(self) -> Check:
        """Put it first in a transaction: refused if the right is not ours any more by then.

        With `NoNode`; or with `BadVersion`, if somebody has written to our znode."""

    def release(self) -> None:
        """End the body here: it is cancelled, and then the right is let go. No `LockLost` follows."""

    @property
    def deadline(self) -> float:
        """Until then, on the clock of `anyio.current_time()`, the right certainly lasts.

        It moves on with every answered ping. Not if somebody deletes our znode."""

    def remaining(self) -> float:
        """Seconds to the deadline; 0 if the right has ended, or was given up."""

    @property
    def lost(self) -> str | None:
        """Why work under the right must stop, or had to (also after `release`); None while it may go on."""

    def check(self) -> None:
        """Raises `LockLost` if work under the right must stop."""

    def wait_lost(self) -> str:
        """Wait until work under the right must stop; then why.

        For tasks outside the body, which are not cancelled with it. Returns when the body is left, too."""

class Item:
    """An item, while it is ours to work on."""

    path: str
    value: bytes
    token: Any
    is_over: bool

    def check(self) -> None:
        """Raises `LockLost` if work on it must stop: for code that cancellation does not reach."""

    def consume(self, *operations: Op) -> None:
        """Take the item out of the queue now, in one transaction with `operations`; then leave the body.

        Raises the error of the operation at fault, with an `op_index` that counts `operations` only; the item
        is still ours then. Raises `LockLost` if it was not ours any more."""

    def give_back(self) -> None:
        """End the body here: it is cancelled, and then the item is free again. No `LockLost` follows."""

class KeyValueMap(Generic[V]):
    """See the module's head. `with` it; its writes need the scope. Do not modify what you read from it."""

    path: str

    @overload
    def __init__(self: KeyValueMap[bytes], client: Client, path: str) -> None: ...
    @overload
    def __init__(self, client: Client, path: str, *, codec: Codec[V]) -> None: ...
    def __getitem__(self, key: str) -> V:
        """Raises `KeyError`."""

    def get(self, key: str) -> V | None:
        """None if there is no such entry."""

    def __contains__(self, key: str) -> bool: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[str]:
        """The keys as they are now, sorted."""

    def keys(self) -> list[str]:
        """As they are now, sorted."""

    def values(self) -> list[V]:
        """As they are now, in the order of the keys."""

    def items(self) -> list[tuple[str, V]]:
        """As they are now, in the order of the keys; so `dict(map.items())` is a copy of one moment."""

    @property
    def refused(self) -> dict[str, key_value_map_Refused]:
        """By the name of the znode: what lies below the path now and is not in the map."""

    @property
    def is_live(self) -> bool:
        """Whether changes arrive, and everything missed before was made up for."""

    @property
    def since(self) -> float:
        """When `is_live` became what it is, on the clock of `anyio.current_time()`."""

    def changes(self, *, size: int = ...) -> AbstractContextManager[_Mailbox[MapChange[V]]]:
        """`with map.changes() as changes: for change in changes: …`

        Begins with one ADDED for each key, in order, and LIVE or STALE. Then come the changes. A reader that is
        more than `size` changes behind gets `WatchOverflow`, and may begin anew."""

    def set(self, key: str, value: V) -> None:
        """Write the entry, whether there is one or not."""

    def delete(self, key: str) -> bool:
        """False if there was no such entry."""

    def update(self, entries: Mapping[str, V]) -> None:
        """Write all of them in one transaction, whether they are there or not. Together below 1 MiB."""

    def compare_and_set(
        self, key: str, expected: V | Literal[Absent.ABSENT], value: V | Literal[Absent.ABSENT]
    ) -> bool:
        """Write `value` if the entry is `expected`, as compared by `==`; False if it is not.

        `ABSENT` stands for no entry, on both sides. What is compared is what the servers have, not what the map
        shows: False means that at some moment during this call the entry was something else."""

    def __enter__(self) -> KeyValueMap[V]:
        """Returns when all entries are read. Raises `ConnectionLost`."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

class Leadership(Held):
    """Being the leader: what every right offers, and two ways to end it.

    The token is higher than that of every leader before: what comes with an older one should be refused."""

    def resign(self) -> None:
        """End the body here: it is cancelled, and then the next candidate leads. No `LockLost` follows."""

    def hand_over(self, name: str) -> None:
        """End the body here: it is cancelled, and then the candidate `name` leads. No `LockLost` follows.

        Raises `NoCandidate`, and we lead on, if nobody else of that name stands for election. If the successor
        is gone when the body has ended, the next candidate leads."""

class Lock:
    """See the module's head. `with` it again and again, but not within itself: it is not re-entrant.

    `margin`: end the body so many seconds before the right ends, for work that takes time to stop.
    `extra_patterns`: what else stands before the number in names of contenders, as in kazoo's
    `extra_lock_patterns`; such as "-lock-" of Go's `zk.Lock`, which waits for kazoo's as well."""

    path: str
    name: str
    timeout: float | None
    margin: float

    def __init__(
        self,
        client: Client,
        path: str,
        *,
        name: str | None = None,
        timeout: float | None = None,
        margin: float = 0.0,
        layout: Layout = "kazoo",
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

class LockingQueue:
    """See the module's head. Any number of takes may be under way through one object."""

    path: str

    def __init__(self, client: Client, path: str) -> None: ...
    def put(self, value: bytes, priority: int = ...) -> None:
        """Return when the item is in the queue for good. Makes missing parents."""

    def put_all(self, values: Iterable[bytes], priority: int = ...) -> None:
        """All of them together or none, in one transaction of at most a megabyte."""

    def size(self) -> int:
        """How many items there are, with those that somebody works on."""

    def take(self, *, timeout: float | None = None) -> AbstractContextManager[Item]:
        """`with queue.take() as item: …`: the first item that is free.

        Raises `LockTimeout` if there was none for `timeout` seconds (0: only look), and `ConnectionLost`;
        nothing of ours is left behind then. At the end, raises `LockLost` if the item is not ours any more."""

class Party:
    """See the module's head. `shallow`: names are in the names of znodes."""

    path: str
    name: str
    shallow: bool

    def __init__(self, client: Client, path: str, *, name: str | None = None, shallow: bool = False) -> None: ...
    def join(self) -> AbstractContextManager[Member]:
        """`with party.join(): …`; each time as a member of its own.

        Raises `ConnectionLost` or `SessionExpired` if joining fails, and `BadArguments` for a name that a path
        cannot hold, if `shallow`. Makes missing parents."""

    def members(self) -> frozenset[Member]:
        """All who are there now."""

    def watch_members(self) -> AbstractContextManager[Iterator[frozenset[Member]]]:
        """`with party.watch_members() as views: for members in views: …`

        The members now, and after each change. Changes in quick succession may come as one. Raises
        `ConnectionLost` if no server is reached for the client's `retry_timeout` when it looks."""

class Queue:
    """See the module's head."""

    path: str

    def __init__(self, client: Client, path: str) -> None: ...
    def put(self, value: bytes, priority: int = ...) -> None:
        """Return when the item is in the queue for good. Makes missing parents."""

    def get(self, timeout: float | None = None) -> bytes | None:
        """The first item, waiting for one if need be. None if there is none after `timeout` seconds; 0: only look."""

    def size(self) -> int:
        """How many items wait to be taken."""

class ReadWriteLock:
    """See the module's head. One right at a time: it is not re-entrant, and no read becomes a write.

    `timeout` and `margin` as with `Lock`."""

    path: str
    name: str
    timeout: float | None
    margin: float

    def __init__(
        self,
        client: Client,
        path: str,
        *,
        name: str | None = None,
        timeout: float | None = None,
        margin: float = 0.0,
        layout: Layout = "kazoo",
    ) -> None: ...
    def read(self) -> AbstractContextManager[Held]:
        """Share it with other readers. Raises `LockTimeout`, `SessionExpired`, `ConnectionLost`."""

    def write(self) -> AbstractContextManager[Held]:
        """Have it alone. Raises `LockTimeout`, `SessionExpired`, `ConnectionLost`."""

    def contenders(self) -> list[Contender]:
        """The whole queue in order: `Contender.is_reader` tells who wants to share."""

    def holders(self) -> list[Contender]:
        """Who holds it: readers, or one writer, or nobody."""

class Semaphore:
    """See the module's head. One permit at a time: it is not re-entrant. `margin` as with `Lock`."""

    path: str
    permits: int
    name: str
    timeout: float | None
    margin: float

    def __init__(
        self,
        client: Client,
        path: str,
        permits: int,
        *,
        name: str | None = None,
        timeout: float | None = None,
        margin: float = 0.0,
    ) -> None: ...
    def __enter__(self) -> Held:
        """Raises `PermitsDiffer`, `LockTimeout`, `SessionExpired`, `ConnectionLost`."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...
    def holders(self) -> list[Contender]:
        """Who has a permit, in the order in which they got it."""

    def waiting(self) -> list[Contender]:
        """Who stands in the queue for a permit, the next first."""

class ServiceRegistry:
    """See the module's head. `base` is what Curator calls the base path."""

    base: str

    def __init__(self, client: Client, base: str) -> None: ...
    def register(self, service: Service) -> AbstractContextManager[_Registration]:
        """`with registry.register(Service(…)) as registration: …`: others find it until the scope is left.

        Whoever has registered the same id is evicted, as it is taken for our own last life.
        Raises `ConnectionLost`, `SessionExpired`."""

    def names(self) -> list[str]:
        """Of all services that were ever registered, sorted; they may have no instance now."""

    def instances(self, name: str) -> list[Service]:
        """All instances now, by id, disabled ones too. One round trip each: who asks often should `watch`."""

    def watch(self, name: str) -> AbstractContextManager[Iterator[list[Service]]]:
        """`with registry.watch(name) as changes: for instances in changes: …`

        All instances now, as `instances` gives them, and again whenever one of them is another. Raises
        `ConnectionLost` on entering; once inside, it lasts through everything."""

class TreeCache:
    """See the module's head. `with` it again and again, but not within itself.

    `depth`: how many levels below `path` are of interest; None: all. `on_change` is called at each change,
    before it is told to the readers of `changes`, by the cache's own task: it must neither raise nor wait."""

    path: str
    depth: int | None

    def __init__(
        self,
        client: Client,
        path: str,
        *,
        depth: int | None = None,
        on_change: Callable[[TreeChange], None] | None = None,
    ) -> None: ...
    def get(self, path: str) -> Znode | None:
        """None if there is no such znode, as far as we know."""

    def children(self, path: str) -> list[str]:
        """Names, sorted; none if there is no such znode."""

    def __iter__(self) -> Iterator[str]:
        """The paths as they are now, parents before children, siblings by name."""

    def __len__(self) -> int: ...
    def __contains__(self, path: str) -> bool: ...
    @property
    def is_live(self) -> bool:
        """Whether changes arrive, and everything missed before was made up for."""

    @property
    def is_open(self) -> bool:
        """Whether we are in its scope."""

    @property
    def since(self) -> float:
        """When `is_live` became what it is, on the clock of `anyio.current_time()`; -inf before the first load."""

    def changes(self, *, size: int = ...) -> AbstractContextManager[_Mailbox[TreeChange]]:
        """`with cache.changes() as changes: for change in changes: …`

        Begins with one ADDED for each znode that is shown, in order, and LIVE or STALE. Then come the changes.
        A reader that is more than `size` changes behind gets `WatchOverflow`, and may begin anew."""

    def refresh(self, *paths: str) -> None:
        """After this, each of `paths` is shown as it was when this was called, or newer.

        Costs a read each, all at once. Raises `ConnectionLost` if no server could be asked."""

    def __enter__(self) -> TreeCache:
        """Returns when all is read. Raises `ConnectionLost` if there is no server to read from."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

class _Registration:
    """A service that others find, in the scope of `ServiceRegistry.register`."""

    path: str

    def __init__(self, client: Client, path: str, service: Service) -> None: ...
    @property
    def service(self) -> Service:
        """As it was last given to `register` or `update`."""

    @property
    def is_registered(self) -> bool:
        """False while it is to be made anew: after the loss of the session or a deletion.

        Also while somebody else has registered the same id, until that ends."""

    def update(self, metadata: Any = ..., *, enabled: bool | None = None) -> None:
        """Tell others something new; what is not given stays. While we are not registered, it counts from then on.

        Raises `ConnectionLost`, if others may or may not have been told; later registrations will tell them."""
