"""What a client watches: who waits for which event, and what to tell a server after a reconnect.

Two kinds. A one-shot watch comes with a read and fires once: a `Change`. A persistent watch, or a recursive
one that covers the whole subtree, stays until it is removed: a `WatchStream`. Several readers may share one
watch of the server.

A server forgets the watches of a connection with the connection, so they are armed anew (setWatches2).
One-shot watches lose nothing by that, as the server compares zxids and tells what happened meanwhile.
Persistent ones do lose events; their streams get an event of type NONE then: read anew what you keep, events
go on from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import NamedTuple, Self

from coord_client.signals import Mailbox, new_event
from coord_protocol.errors import WatchOverflow
from coord_protocol.paths import parent_of
from coord_protocol.records import EventType
from coord_protocol.requests import AddWatchMode, SetWatches2

MAX_REARM_BYTES = 128 * 1024  # of path text in one setWatches2, as ZooKeeper's own client sends
DEFAULT_STREAM_SIZE = 1024  # events a stream holds for a reader that is busy


class WatchEvent(NamedTuple):
    """What happened to a znode. It does not say what the znode is now: read that."""

    type: EventType
    path: str
    zxid: int
    """Of the change, from servers that tell it (coord; ZooKeeper from 3.9 on); else -1."""

    @property
    def is_gap(self) -> bool:
        """The connection was renewed: events of a persistent watch may be missing before this one."""
        return self.type is EventType.NONE


class Kind(Enum):
    """The lists of one-shot watches, as setWatches2 has them."""

    DATA = auto()
    EXIST = auto()
    CHILD = auto()


_FIRES: dict[EventType, tuple[Kind, ...]] = {
    EventType.CREATED: (Kind.EXIST, Kind.DATA),
    EventType.DELETED: (Kind.DATA, Kind.EXIST, Kind.CHILD),
    EventType.DATA_CHANGED: (Kind.DATA, Kind.EXIST),
    EventType.CHILDREN_CHANGED: (Kind.CHILD,),
}


class Change:
    """The next change of what was read together with it. One task may wait for it."""

    __slots__ = ("_event", "_failure", "_fired", "_forget", "_on_fire", "is_cancelled")

    def __init__(self) -> None:
        self._fired = new_event()
        self._event: WatchEvent | None = None
        self._failure: Exception | None = None
        self._forget: Callable[[Change], None] | None = None
        self._on_fire: Callable[[WatchEvent], None] | None = None
        self.is_cancelled = False

    async def wait(self) -> WatchEvent:
        """The event. Raises `SessionExpired` or `ClientClosed` if none can come any more."""
        await self._fired.wait()
        if self._failure is not None:
            raise self._failure
        assert self._event is not None, "fired without event or failure"
        return self._event

    @property
    def has_fired(self) -> bool:
        """Whether it has happened."""
        return self._event is not None

    @property
    def on_fire(self) -> Callable[[WatchEvent], None] | None:
        """Called when it fires, by the task that reads the connection; it must neither raise nor wait.

        Called at once if it fired before this was set: the event may have come in one piece with the read's answer.
        """
        return self._on_fire

    @on_fire.setter
    def on_fire(self, function: Callable[[WatchEvent], None]) -> None:
        self._on_fire = function
        if self._event is not None:
            function(self._event)

    def cancel(self) -> None:
        """Nobody waits for it any more. The server is not told: its watch fires into the void, once."""
        self.is_cancelled = True
        if self._forget is not None:
            self._forget(self)

    def armed(self, forget: Callable[[Change], None]) -> None:
        """The server watches; `forget` takes us out of the registry."""
        self._forget = forget

    def fire(self, event: WatchEvent) -> None:
        """It has happened."""
        self._event = event
        self._fired.set()
        if self._on_fire is not None:
            self._on_fire(event)

    def fail(self, failure: Exception) -> None:
        """It will not be seen happening."""
        self._failure = failure
        self._fired.set()


class WatchStream:
    """Events of a persistent watch, for one reader: `async for event in stream`.

    It holds `size` events for a busy reader. Past that, it ends: the reader gets what is held, then
    `WatchOverflow`.
    """

    def __init__(self, path: str, mode: AddWatchMode, size: int) -> None:
        self.path = path
        self.mode = mode
        self._box: Mailbox[WatchEvent] = Mailbox(size)

    def put(self, event: WatchEvent) -> None:
        """Hand an event to the reader."""
        if not self._box.put(event):
            self._box.close(
                WatchOverflow(f"{self.path}: more than {self._box.size} events waited; read anew, then watch")
            )

    def close(self, failure: Exception | None = None) -> None:
        """No more events."""
        self._box.close(failure)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchEvent:
        return await self._box.__anext__()


class Watches:
    """All watches of one session. Paths are the server's; events carry the client's, without the chroot."""

    def __init__(self, chroot: str) -> None:
        self._chroot = chroot
        self._one_shot: dict[Kind, dict[str, list[Change]]] = {kind: {} for kind in Kind}
        self._streams: dict[AddWatchMode, dict[str, list[WatchStream]]] = {mode: {} for mode in AddWatchMode}

    def arm(self, kind: Kind, path: str, change: Change) -> None:
        """A read with a watch was answered: the server will tell the next change."""
        if change.is_cancelled:
            return
        by_path = self._one_shot[kind]
        by_path.setdefault(path, []).append(change)

        def forget(change: Change) -> None:
            changes = by_path.get(path, [])
            if change in changes:
                changes.remove(change)
                if not changes:
                    del by_path[path]

        change.armed(forget)

    def has_one_shot(self, path: str) -> bool:
        """Whether somebody waits for a single change of `path`."""
        return any(path in by_path for by_path in self._one_shot.values())

    def add_stream(self, path: str, stream: WatchStream) -> None:
        """Send the events of `path`, as the stream's mode says, there."""
        self._streams[stream.mode].setdefault(path, []).append(stream)

    def remove_stream(self, path: str, stream: WatchStream) -> bool:
        """True if it was the last one of its mode on `path`, so that the server need not tell us any more."""
        by_path = self._streams[stream.mode]
        streams = by_path.get(path, [])
        if stream in streams:
            streams.remove(stream)
        if not streams:
            by_path.pop(path, None)
        return not streams

    def notify(self, event_type: int, path: str, zxid: int) -> None:
        """An event came: wake everybody whom it concerns."""
        event = WatchEvent(EventType(event_type), self.shown(path), zxid)
        for kind in _FIRES.get(event.type, ()):
            for change in self._one_shot[kind].pop(path, ()):
                change.fire(event)
        for stream in self._streams[AddWatchMode.PERSISTENT].get(path, ()):
            stream.put(event)
        recursive = self._streams[AddWatchMode.PERSISTENT_RECURSIVE]
        if recursive and event.type is not EventType.CHILDREN_CHANGED:
            for ancestor in _with_ancestors(path):
                for stream in recursive.get(ancestor, ()):
                    stream.put(event)

    def rearm(self, last_zxid: int) -> list[SetWatches2]:
        """What to send to a new server that has to watch what the old one did, in packets of bounded size."""
        packets: list[SetWatches2] = []
        size = MAX_REARM_BYTES
        watched = [list(by_path) for by_path in self._one_shot.values()]
        watched += [list(streams_by_path) for streams_by_path in self._streams.values()]
        for position, paths in enumerate(watched):
            for path in paths:
                length = len(path.encode())
                if size + length > MAX_REARM_BYTES:
                    packets.append(SetWatches2(last_zxid, [], [], [], [], []))
                    size = 0
                packet = packets[-1]
                lists = (
                    packet.data,
                    packet.exist,
                    packet.child,
                    packet.persistent,
                    packet.persistent_recursive,
                )
                lists[position].append(path)
                size += length
        return packets

    def tell_gap(self) -> None:
        """The watches are armed on a new connection: tell the streams that they may have missed something."""
        for by_path in self._streams.values():
            for streams in by_path.values():
                for stream in streams:
                    stream.put(WatchEvent(EventType.NONE, stream.path, -1))

    def fail(self, failure: Exception) -> None:
        """The session is over, and with it every watch."""
        for by_path in self._one_shot.values():
            for changes in by_path.values():
                for change in changes:
                    change.fail(failure)
            by_path.clear()
        for streams_by_path in self._streams.values():
            for streams in streams_by_path.values():
                for stream in streams:
                    stream.close(failure)
            streams_by_path.clear()

    def shown(self, path: str) -> str:
        """The server's path as the client names it, without the chroot."""
        if not self._chroot or not f"{path}/".startswith(f"{self._chroot}/"):
            return path
        return path[len(self._chroot) :] or "/"


def _with_ancestors(path: str) -> Iterator[str]:
    yield path
    while path != "/":
        path = parent_of(path)
        yield path
