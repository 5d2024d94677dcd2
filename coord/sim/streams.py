"""Client connections: two byte streams each, cut anywhere, late, broken, or open at one end only.

A connection behaves as TCP does. Behind a cut its bytes wait and come through when it heals, which is how a
server gets to see requests of a client that has long moved on. A break loses what is under way and is told to
both ends, to one, or to none, and whoever is not told goes on believing in it.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from coord.raft.types import MemberId
from coord.replica.inputs import ConnectionId
from coord.sim.clock import Timeline

ClientNumber = int


class ClientEnd(Protocol):
    """What a client shows to its connection."""

    def on_open(self, wire: "Wire") -> None: ...
    def on_data(self, wire: "Wire", data: bytes) -> None: ...
    def on_closed(self, wire: "Wire") -> None: ...


class Listener(Protocol):
    """What a running server shows to its connections."""

    def opened(self, wire: "Wire") -> None: ...
    def received(self, wire: "Wire", data: bytes) -> None: ...
    def closed(self, wire: "Wire") -> None: ...


@dataclass(slots=True)
class Flow:
    """One direction. An item is bytes, or None for the end of the stream; arrivals take the oldest, whichever
    it is.
    """

    items: deque[bytes | None] = field(default_factory=deque)
    last_arrival: float = 0.0
    stalled: int = 0
    """Items that should have arrived, but for a cut."""


@dataclass(slots=True, eq=False)
class Wire:
    """One connection. Either end may be open without the other."""

    id: ConnectionId
    client: ClientNumber
    address: str
    """Where the client connects from, as the server sees it."""
    member: MemberId
    client_end: ClientEnd | None
    listener: Listener | None = None
    is_broken: bool = False
    up: Flow = field(default_factory=Flow)
    down: Flow = field(default_factory=Flow)


class Streams:
    def __init__(self, timeline: Timeline, chance: Random, delay: float, cut_chance: float) -> None:
        self._timeline = timeline
        self._chance = chance
        self._delay = delay
        self._cut_chance = cut_chance
        self._listeners: dict[MemberId, Listener] = {}
        self._cuts: dict[tuple[ClientNumber, MemberId], int] = {}
        self._wires: dict[ConnectionId, Wire] = {}
        self._last_id = 0

    # Servers coming and going.

    def listen(self, member: MemberId, listener: Listener) -> None:
        self._listeners[member] = listener

    def hang_up(self, member: MemberId) -> None:
        """The server is gone; its clients are told by a reset, most of them."""
        listener = self._listeners.pop(member)
        for wire in list(self._wires.values()):
            if wire.listener is listener:
                wire.listener = None
                wire.is_broken = True
                if self._chance.random() < 0.8:
                    self._timeline.after(self._chance.uniform(0.0005, 0.05), self._tell_client, wire)

    # Clients.

    def dial(self, client: ClientNumber, address: str, end: ClientEnd, member: MemberId) -> Wire:
        """`on_open` or `on_closed` will be called, or, behind a cut, neither."""
        self._last_id += 1
        wire = Wire(ConnectionId(self._last_id), client, address, member, end)
        self._wires[wire.id] = wire
        self._timeline.after(self._some_delay(), self._accept, wire)
        return wire

    def _accept(self, wire: Wire) -> None:
        if self._is_cut(wire):
            wire.is_broken = True
            return
        listener = self._listeners.get(wire.member)
        if listener is None:
            wire.is_broken = True
            self._timeline.after(self._some_delay(), self._tell_client, wire)
            return
        wire.listener = listener
        listener.opened(wire)
        self._timeline.after(self._some_delay(), self._tell_open, wire)

    def send_up(self, wire: Wire, data: bytes) -> None:
        for piece in self._pieces(data):
            self._depart(wire, wire.up, piece)

    def close_client_end(self, wire: Wire) -> None:
        wire.client_end = None
        self._depart(wire, wire.up, None)
        self._drop_if_done(wire)

    # Servers.

    def send_down(self, wire: Wire, data: bytes) -> None:
        for piece in self._pieces(data):
            self._depart(wire, wire.down, piece)

    def close_server_end(self, wire: Wire) -> None:
        wire.listener = None
        self._depart(wire, wire.down, None)
        self._drop_if_done(wire)

    # What nemeses do.

    def cut(self, client: ClientNumber, member: MemberId) -> None:
        self._cuts[client, member] = self._cuts.get((client, member), 0) + 1

    def heal(self, client: ClientNumber, member: MemberId) -> None:
        """One cut less; does nothing if everything is healed already."""
        cuts = self._cuts.get((client, member), 0)
        if cuts:
            self._cuts[client, member] = cuts - 1
            self._release()

    def heal_all(self) -> None:
        """No cuts, and every end that believes in a broken connection learns the truth."""
        self._cuts.clear()
        self._release()
        for wire in list(self._wires.values()):
            if wire.is_broken:
                self._tell_client(wire)
                self._tell_server(wire)

    def _release(self) -> None:
        """What a cut has stalled arrives after all, unless it still is behind one."""
        for wire in self._wires.values():
            for flow in (wire.up, wire.down):
                stalled, flow.stalled = flow.stalled, 0
                for _ in range(stalled):
                    self._schedule(wire, flow)

    def break_connections(self, client: ClientNumber, tells_client: bool, tells_server: bool) -> None:
        for wire in list(self._wires.values()):
            if wire.client == client and not wire.is_broken:
                wire.is_broken = True
                if tells_client:
                    self._timeline.after(self._some_delay(), self._tell_client, wire)
                if tells_server:
                    self._timeline.after(self._some_delay(), self._tell_server, wire)

    # Bytes.

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        while len(data) > 1 and self._chance.random() < self._cut_chance:
            cut = self._chance.randrange(1, len(data))
            yield data[:cut]
            data = data[cut:]
        yield data

    def _depart(self, wire: Wire, flow: Flow, item: bytes | None) -> None:
        flow.items.append(item)
        self._schedule(wire, flow)

    def _schedule(self, wire: Wire, flow: Flow) -> None:
        flow.last_arrival = max(self._timeline.now + self._some_delay(), flow.last_arrival)
        self._timeline.at(flow.last_arrival, self._arrive, wire, flow)

    def _arrive(self, wire: Wire, flow: Flow) -> None:
        if self._is_cut(wire):
            flow.stalled += 1
        elif wire.is_broken:
            if flow is wire.up:  # the kernel of a server that is gone, or came back, answers with a reset
                self._tell_client(wire)
        elif flow is wire.up:
            self._arrive_up(wire, flow.items.popleft())
        else:
            self._arrive_down(wire, flow.items.popleft())

    def _arrive_up(self, wire: Wire, item: bytes | None) -> None:
        if wire.listener is None:
            return
        if item is None:
            self._tell_server(wire)
        else:
            wire.listener.received(wire, item)

    def _arrive_down(self, wire: Wire, item: bytes | None) -> None:
        if wire.client_end is None:
            return
        if item is None:
            self._tell_client(wire)
        else:
            wire.client_end.on_data(wire, item)

    # Ends.

    def _tell_open(self, wire: Wire) -> None:
        if wire.client_end is not None and not wire.is_broken:
            wire.client_end.on_open(wire)

    def _tell_client(self, wire: Wire) -> None:
        end, wire.client_end = wire.client_end, None
        self._drop_if_done(wire)
        if end is not None:
            end.on_closed(wire)

    def _tell_server(self, wire: Wire) -> None:
        listener, wire.listener = wire.listener, None
        self._drop_if_done(wire)
        if listener is not None:
            listener.closed(wire)

    def _drop_if_done(self, wire: Wire) -> None:
        if wire.client_end is None and wire.listener is None:
            self._wires.pop(wire.id, None)

    def _is_cut(self, wire: Wire) -> bool:
        return self._cuts.get((wire.client, wire.member), 0) > 0

    def _some_delay(self) -> float:
        return self._delay * (0.5 + self._chance.random())
