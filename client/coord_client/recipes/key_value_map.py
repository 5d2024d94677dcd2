"""A mapping whose entries are the children of one znode: reads from memory, writes to the servers.

    async with KeyValueMap(client, "/limits", codec=JSON) as limits:
        await limits.set("mail/hour", 100)
        assert limits["mail/hour"] == 100                  # one's own writes are seen
        if await limits.compare_and_set("mail/hour", 100, 200): ...
        async with limits.changes() as changes:
            async for change in changes:                   # first what is there, then LIVE, then what happens
                print(change.kind, change.key, change.old, change.new)

Any `str` is a key: `escape` makes it a name that ZooKeeper allows. Values are bytes, or what a codec makes of
them: `STR`, `JSON`, or one's own. What the codec refuses, and names that `escape` does not make, are somebody
else's: they are not in the map, and `refused` lists them.

Reads are as fresh as `coord_client.recipes.tree_cache` says, on which this is built: each key goes forward only,
and a map that has lost its connection shows what it has, with `is_live` False, until it has read everything anew.
A write returns when the map shows it, or something newer. Should the connection break between the server's answer
and that, the write waits for the next one; if none comes within the client's `retry_timeout`, it returns all the
same, and the map shows what was written once it is live again. Nothing is lost with the session: the entries are
persistent znodes. A write whose own answer is lost raises `ConnectionLost`, as any does: it may have happened.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from enum import Enum
from types import TracebackType
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar, overload
from urllib.parse import unquote_to_bytes

from coord_client.client import Client, Znode
from coord_client.recipes.feed import Feed
from coord_client.recipes.subtree import ChangeKind, TreeChange
from coord_client.recipes.tree_cache import TreeCache
from coord_client.signals import Mailbox
from coord_client.transaction import Create, Op, Set
from coord_client.watches import DEFAULT_STREAM_SIZE
from coord_protocol.errors import BadVersion, ConnectionLost, LocalProtocolError, NodeExists, NoNode
from coord_protocol.paths import is_valid_path, join, split

V = TypeVar("V")


class Codec(NamedTuple, Generic[V]):
    """Values to bytes and back. Each may raise what it likes for what it cannot do."""

    encode: Callable[[V], bytes]
    decode: Callable[[bytes], V]


def _encode_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


BYTES: Final[Codec[bytes]] = Codec(bytes, bytes)
STR: Final[Codec[str]] = Codec(str.encode, bytes.decode)
JSON: Final[Codec[Any]] = Codec(_encode_json, json.loads)


class Absent(Enum):
    """The type of `ABSENT`."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
"""No value: for `compare_and_set`, which can create and delete as well."""


class MapChange(NamedTuple, Generic[V]):
    """What became different. `key` is "" for LIVE and STALE; `old` is None if ADDED, `new` if REMOVED."""

    kind: ChangeKind
    key: str
    old: V | None
    new: V | None


class Refused(NamedTuple):
    """What lies below the map's path and is no entry of it."""

    znode: Znode
    reason: str


class _Undecodable(NamedTuple):
    reason: str


def escape(key: str) -> str:
    """The name of the znode for `key`: percent-encoded UTF-8, as in URLs, for what a name cannot have.

    That is `/`, the characters that `coord_protocol.paths` lists, `%` itself, and the dots of "." and "..". The
    empty key is a lone `%`.

    >>> escape("mail/hour"), escape("100 %"), escape("grün"), escape(".."), escape("")
    ('mail%2Fhour', '100 %25', 'grün', '%2E%2E', '%')
    """
    if not key:
        return "%"
    if key in {".", ".."}:
        return key.replace(".", "%2E")
    return "".join(each if _may_stand(each) else _percent(each) for each in key)


def _may_stand(character: str) -> bool:
    return character == "." or (character != "%" and is_valid_path(f"/{character}"))


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def unescape(name: str) -> str | None:
    """The key whose name is `name`, a legal one; None if `escape` makes no such name.

    >>> unescape("mail%2Fhour"), unescape("%"), unescape("mail%2fhour"), unescape("%zz")
    ('mail/hour', '', None, None)
    """
    if "%" not in name:
        return name
    try:
        key = "" if name == "%" else unquote_to_bytes(name).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    return key if escape(key) == name else None


class KeyValueMap(Generic[V]):
    """See the module's head. `async with` it; its writes need the scope. Do not modify what you read from it."""

    @overload
    def __init__(self: KeyValueMap[bytes], client: Client, path: str) -> None: ...
    @overload
    def __init__(self, client: Client, path: str, *, codec: Codec[V]) -> None: ...
    def __init__(self, client: Client, path: str, *, codec: Codec[Any] = BYTES) -> None:
        self.path = path
        self._client = client
        self._codec: Codec[V] = codec
        self._values: dict[str, V] = {}
        self._refused: dict[str, Refused] = {}
        self._cache = TreeCache(client, path, depth=1, on_change=self._on_change)
        self._feed: Feed[MapChange[V]] = Feed(path, keeps_all=True)

    # What it shows.

    def __getitem__(self, key: str) -> V:
        """Raises `KeyError`."""
        return self._values[key]

    def get(self, key: str) -> V | None:
        """None if there is no such entry."""
        return self._values.get(key)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[str]:
        """The keys as they are now, sorted."""
        return iter(self.keys())

    def keys(self) -> list[str]:
        """As they are now, sorted."""
        return sorted(self._values)

    def values(self) -> list[V]:
        """As they are now, in the order of the keys."""
        return [self._values[key] for key in self.keys()]

    def items(self) -> list[tuple[str, V]]:
        """As they are now, in the order of the keys; so `dict(map.items())` is a copy of one moment."""
        return [(key, self._values[key]) for key in self.keys()]

    @property
    def refused(self) -> dict[str, Refused]:
        """By the name of the znode: what lies below the path now and is not in the map."""
        return dict(self._refused)

    @property
    def is_live(self) -> bool:
        """Whether changes arrive, and everything missed before was made up for."""
        return self._cache.is_live

    @property
    def since(self) -> float:
        """When `is_live` became what it is, on the clock of `anyio.current_time()`."""
        return self._cache.since

    @asynccontextmanager
    async def changes(self, *, size: int = DEFAULT_STREAM_SIZE) -> AsyncIterator[Mailbox[MapChange[V]]]:
        """`async with map.changes() as changes: async for change in changes: …`

        Begins with one ADDED for each key, in order, and LIVE or STALE. Then come the changes. A reader that is
        more than `size` changes behind gets `WatchOverflow`, and may begin anew.
        """
        shown = [MapChange(ChangeKind.ADDED, key, None, self[key]) for key in self]
        kind = ChangeKind.LIVE if self.is_live else ChangeKind.STALE
        async with self._feed.open([*shown, MapChange(kind, "", None, None)], size) as changes:
            yield changes

    # Writes.

    async def set(self, key: str, value: V) -> None:
        """Write the entry, whether there is one or not."""
        path, data = self._path(key), self._codec.encode(value)
        while True:
            try:
                await self._client.set(path, data)
                break
            except NoNode:
                if await self._create(path, data):
                    break
        await self._show(path)

    async def delete(self, key: str) -> bool:
        """False if there was no such entry."""
        path = self._path(key)
        is_deleted = True
        try:
            await self._client.delete(path)
        except NoNode:
            is_deleted = False
        await self._show(path)
        return is_deleted

    async def update(self, entries: Mapping[str, V]) -> None:
        """Write all of them in one transaction, whether they are there or not. Together below 1 MiB."""
        data_of = {self._path(key): self._codec.encode(value) for key, value in entries.items()}
        existing = {path for path in data_of if path in self._cache}
        while data_of:
            operations: list[Op] = [
                Set(path, data) if path in existing else Create(path, data) for path, data in data_of.items()
            ]
            try:
                await self._client.multi(operations)
                break
            except (NoNode, NodeExists) as error:
                if isinstance(error, NodeExists):
                    existing.add(error.path)
                elif error.path in existing:
                    existing.remove(error.path)
                else:
                    await self._client.ensure_path(self.path)
        await self._show(*data_of)

    async def compare_and_set(
        self, key: str, expected: V | Literal[Absent.ABSENT], value: V | Literal[Absent.ABSENT]
    ) -> bool:
        """Write `value` if the entry is `expected`, as compared by `==`; False if it is not.

        `ABSENT` stands for no entry, on both sides. What is compared is what the servers have, not what the map
        shows: False means that at some moment during this call the entry was something else.
        """
        path = self._path(key)
        data = ABSENT if value is ABSENT else self._codec.encode(value)
        is_current = False
        while True:
            found = await self._find(path)
            if self._is(found, expected):
                if await self._replace(path, found, data):
                    await self._show(path)
                    return True
            elif is_current:
                return False
            await self._client.sync(path)  # the server that we read from may lag behind
            is_current = True

    async def _find(self, path: str) -> Znode | None:
        try:
            return await self._client.get(path)
        except NoNode:
            return None

    def _is(self, found: Znode | None, expected: V | Literal[Absent.ABSENT]) -> bool:
        if found is None or expected is ABSENT:
            return found is None and expected is ABSENT
        value = self._decoded(found.data)
        return not isinstance(value, _Undecodable) and value == expected

    async def _replace(self, path: str, found: Znode | None, data: bytes | Literal[Absent.ABSENT]) -> bool:
        """False if the entry is not what was found any more."""
        try:
            if found is None:
                return data is ABSENT or await self._create(path, data)
            if data is ABSENT:
                await self._client.delete(path, found.stat.version)
            else:
                await self._client.set(path, data, found.stat.version)
        except (BadVersion, NoNode):
            return False
        return True

    async def _create(self, path: str, data: bytes) -> bool:
        """False if it is there already."""
        try:
            await self._client.create(path, data, make_parents=True)
        except NodeExists:
            return False
        return True

    async def _show(self, *paths: str) -> None:
        """The servers have it; wait for the map to have it, too."""
        try:
            await self._cache.refresh(*paths)
        except ConnectionLost:
            return  # as the module's head says

    def _path(self, key: str) -> str:
        if not self._cache.is_open:
            raise LocalProtocolError(f"{self.path}: written to outside of the map's scope")
        return join(self.path, escape(key))

    # Its scope.

    async def __aenter__(self) -> KeyValueMap[V]:
        """Returns when all entries are read. Raises `ConnectionLost`."""
        await self._cache.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._cache.__aexit__(kind, error, trace)
        self._feed.close()

    # Keeping it current.

    def _on_change(self, change: TreeChange) -> None:
        if change.kind in {ChangeKind.LIVE, ChangeKind.STALE}:
            self._feed.tell(MapChange(change.kind, "", None, None))
        elif change.path != self.path:
            _, name = split(change.path)
            self._on_entry(name, change.new)

    def _on_entry(self, name: str, znode: Znode | None) -> None:
        self._refused.pop(name, None)
        key = unescape(name)
        new = ABSENT if znode is None else self._decoded(znode.data)
        if znode is not None and key is None:
            self._refused[name] = Refused(znode, "no key has this name")
        elif znode is not None and isinstance(new, _Undecodable):
            self._refused[name] = Refused(znode, new.reason)
        if key is not None:
            self._put(key, ABSENT if isinstance(new, _Undecodable) else new)

    def _put(self, key: str, new: V | Literal[Absent.ABSENT]) -> None:
        old = self._values.get(key, ABSENT)
        if new is not ABSENT:
            self._values[key] = new
            if old is ABSENT:
                self._feed.tell(MapChange(ChangeKind.ADDED, key, None, new))
            else:
                self._feed.tell(MapChange(ChangeKind.CHANGED, key, old, new))
        elif old is not ABSENT:
            del self._values[key]
            self._feed.tell(MapChange(ChangeKind.REMOVED, key, old, None))

    def _decoded(self, data: bytes) -> V | _Undecodable:
        try:
            return self._codec.decode(data)
        except Exception as error:  # whatever a codec raises for what somebody wrote: it is told, not raised
            return _Undecodable(f"the codec refuses it: {error!r}")
