"""A watched value: one znode, parsed, always the latest that was seen.

    async with ConfigCache(client, "/config/app", parse=json.loads, default={}) as config:
        limit = config.value.get("limit", 10)              # from memory, at any time
        async with config.changes() as changes:
            async for state in changes:                    # the state now, then each newer one
                apply(state.value)

A value that `parse` refuses does not replace a good one: `value` stays, and `refused` tells what is wrong until a
good one is seen. If the znode is deleted, the value is the default again; without a default the last good value
stays, with `stat` None.

When the connection or the session is lost, the value stays, `is_live` is False and `since` tells since when; once
there is a connection again, the znode is read anew, and then it is live. How stale a live value may be, and which
watch is used, is told in `coord_client.recipes.tree_cache`, on which this is built: a cache of depth 0.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum
from types import TracebackType
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar, overload

from coord_client.client import Client
from coord_client.recipes.feed import Feed
from coord_client.recipes.subtree import TreeChange
from coord_client.recipes.tree_cache import TreeCache
from coord_client.signals import Mailbox
from coord_protocol.errors import NoNode
from coord_protocol.records import Stat

T = TypeVar("T")


class _Missing(Enum):
    MISSING = "missing"


MISSING: Final = _Missing.MISSING


class Refused(NamedTuple):
    """What the znode holds, and why it is not the value."""

    data: bytes
    stat: Stat
    error: Exception
    """What `parse` raised."""


class ConfigState(NamedTuple, Generic[T]):
    """The value, and what is to be said about it."""

    value: T
    stat: Stat | None
    """Of the znode as it was when it had this value; None if there is none, or none with a good value yet."""
    refused: Refused | None
    is_live: bool


class ConfigCache(Generic[T]):
    """See the module's head. Without `parse` the value is the bytes; `parse` may raise what it likes.

    Without a `default` there must be a good value when the scope is entered.
    """

    @overload
    def __init__(self: ConfigCache[bytes], client: Client, path: str, *, default: bytes = ...) -> None: ...
    @overload
    def __init__(self, client: Client, path: str, *, parse: Callable[[bytes], T], default: T = ...) -> None: ...
    def __init__(
        self,
        client: Client,
        path: str,
        *,
        parse: Callable[[bytes], Any] = bytes,
        default: Any = MISSING,
    ) -> None:
        self.path = path
        self._parse: Callable[[bytes], T] = parse
        self._default: T | Literal[_Missing.MISSING] = default
        self._value: T | Literal[_Missing.MISSING] = default
        self._stat: Stat | None = None
        self._refused: Refused | None = None
        self._cache = TreeCache(client, path, depth=0, on_change=self._on_change)
        self._feed: Feed[ConfigState[T]] = Feed(path, keeps_all=False)

    @property
    def value(self) -> T:
        """The latest good value that was seen. Raises `NoNode` if there is none, and no default."""
        value = self._value
        if value is MISSING:
            raise NoNode(self.path, "there was no good value yet, and there is no default")
        return value

    @property
    def stat(self) -> Stat | None:
        """Of the znode, when it had `value`; None if the value is not from a znode that is there."""
        return self._stat

    @property
    def version(self) -> int | None:
        """Of the znode when it had `value`: what a `set` needs that must not overwrite a newer one."""
        return self._stat.version if self._stat is not None else None

    @property
    def refused(self) -> Refused | None:
        """What the znode holds, if `parse` refuses it."""
        return self._refused

    @property
    def is_live(self) -> bool:
        """Whether changes arrive, and everything missed before was made up for."""
        return self._cache.is_live

    @property
    def since(self) -> float:
        """When `is_live` became what it is, on the clock of `anyio.current_time()`."""
        return self._cache.since

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[Mailbox[ConfigState[T]]]:
        """`async with config.changes() as changes: async for state in changes: …`

        The state now, and each newer one. A busy reader misses what was replaced meanwhile, never the newest.
        """
        async with self._feed.open([self._state()]) as changes:
            yield changes

    async def refresh(self) -> None:
        """After this, `value` is what the znode held when this was called, or newer. Raises `ConnectionLost`."""
        await self._cache.refresh(self.path)

    async def __aenter__(self) -> ConfigCache[T]:
        """Returns once the value is read. Raises `ConnectionLost`.

        Without a default also `NoNode`, or what `parse` raises.
        """
        await self._cache.__aenter__()
        if self._value is MISSING:
            await self._cache.__aexit__(None, None, None)
            raise self._refused.error if self._refused is not None else NoNode(self.path)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._cache.__aexit__(kind, error, trace)
        self._feed.close()

    def _on_change(self, change: TreeChange) -> None:
        if change.new is not None:
            data, stat = change.new
            try:
                self._value = self._parse(data)
                self._stat = stat
                self._refused = None
            except Exception as error:  # whatever a parser raises for what somebody wrote: it is told, not raised
                self._refused = Refused(data, stat, error)
        elif change.old is not None:
            self._stat = None
            self._refused = None
            if self._default is not MISSING:
                self._value = self._default
        if self._value is not MISSING:
            self._feed.tell(self._state())

    def _state(self) -> ConfigState[T]:
        return ConfigState(self.value, self._stat, self._refused, self.is_live)
