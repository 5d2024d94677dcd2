"""The links between members: frames on their way, and everything that may befall them.

Two kinds of network, drawn per seed:

    streams    what TCP gives: in order and complete until the connection breaks; a break loses what was under
               way and is told to both ends (`PeerLost`, later `PeerUp`); behind a cut frames wait, or the
               connection breaks
    packets    worse than any real network: frames are lost, repeated and overtaken, and hints may be missing

Raft promises safety under both (thesis §3.1); nothing above it may quietly lean on the first.

On both nothing passes between two members that have not greeted each other, as production does it; and nothing that was
meant for, or comes from, a data directory that is gone.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import log
from random import Random
from typing import Any, Protocol

from coord.raft.types import Index, MemberId
from coord.sim.clock import Timeline
from coord.sim.greeting import agree
from coord.sim.trace import Trace
from coord.transport.handshake import Standpoint
from coord.transport.links import FAREWELL_SECONDS

REFUSED_PAUSE = (0.1, 0.5)
"""Seconds from a greeting that came to nothing to the next."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How a network behaves apart from what is done to it on purpose. Times in seconds, the rest are
    probabilities.
    """

    delay: float = 0.0005
    """Least time on the way; as much again is added on average."""

    slowest: float = 0.0005
    """Each link has a delay of its own, from `delay` up to this."""

    spike: float = 0.0
    """Chance of a delay up to a hundred times as long."""

    loss: float = 0.0
    duplicate: float = 0.0
    overtake: float = 0.0
    """Chance that a frame does not wait for those before it."""

    hints_lost: float = 0.0
    """Chance that an end is not told of a break, or of its repair."""

    @property
    def is_stream(self) -> bool:
        return not (self.loss or self.duplicate or self.overtake)


class Port(Protocol):
    """What a running member shows to the network."""

    @property
    def standpoint(self) -> Standpoint: ...
    def linked(self, member: MemberId) -> None: ...
    def frame(self, sender: MemberId, frame: bytes) -> None: ...
    def peer_up(self, member: MemberId) -> None: ...
    def peer_lost(self, member: MemberId) -> None: ...


@dataclass(slots=True, eq=False)
class Link:
    """One direction between two members."""

    sender: MemberId
    receiver: MemberId
    delay: float
    cuts: int = 0
    """How many faults block it now."""

    life: int = 0
    """Counts resets: what was sent in an earlier life never arrives."""

    last_arrival: float = 0.0
    under_way: deque[bytes] = field(default_factory=deque)
    """Of a stream: an arrival takes the oldest, whichever it is."""

    stalled: int = 0
    """Frames of a stream that should have arrived, but for a cut; TCP sends them again."""

    def reset(self) -> None:
        self.life += 1
        self.under_way.clear()
        self.stalled = 0


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """What two members, in the order of their ids, know of each other since they greeted."""

    directories: tuple[int, int]
    configurations: tuple[Index, Index]


class Links:
    def __init__(self, timeline: Timeline, chance: Random, trace: Trace, weather: Weather) -> None:
        self._timeline = timeline
        self._chance = chance
        self._trace = trace
        self.weather = weather
        self._ports: dict[MemberId, Port] = {}
        self._links: dict[tuple[MemberId, MemberId], Link] = {}
        self._known: dict[tuple[MemberId, MemberId], Acquaintance] = {}
        """The pairs that are connected."""
        self._trying: set[tuple[MemberId, MemberId]] = set()
        """Those that were refused and will try again."""

    def _link(self, sender: MemberId, receiver: MemberId) -> Link:
        link = self._links.get((sender, receiver))
        if link is None:
            delay = self._chance.uniform(self.weather.delay, self.weather.slowest)
            link = self._links[sender, receiver] = Link(sender, receiver, delay)
        return link

    # Members coming and going.

    def plug(self, member: MemberId, port: Port) -> None:
        """A member has started: links to all that run come up by and by."""
        self._ports[member] = port
        for other in self._ports:
            if other != member:
                self._soon(self._come_up, member, other)

    def unplug(self, member: MemberId) -> None:
        """A member is gone: what it sent is still under way, what was sent to it is lost, the others may be
        told.
        """
        del self._ports[member]
        for other in self._ports:
            was_known = self._known.pop(_pair(member, other), None)
            self._link(other, member).reset()
            if was_known:
                last = self._link(member, other).last_arrival
                self._timeline.at(max(last, self._timeline.now + self._moment()), self._tell_lost, other, member)

    def members_changed(self, member: MemberId) -> None:
        """It has learned of another configuration: it looks for those whom it did not know, and takes leave of those
        who are members no more, but not at once, for what tells them so may be on its way."""
        port = self._ports.get(member)
        if port is None:
            return  # it has only just started, and will look for everybody
        for other in self._ports:
            if other != member and _pair(member, other) not in self._known:
                self._soon(self._come_up, member, other)
        self._timeline.after(FAREWELL_SECONDS, self._take_leave, member, port)

    def _take_leave(self, member: MemberId, port: Port) -> None:
        if self._ports.get(member) is not port:
            return
        me = port.standpoint
        for other in self._ports:
            known = self._known.get(_pair(member, other)) if other != member else None
            if known is not None and me.is_stranger(other, known.configurations[member < other]):
                self.break_connection(member, other)

    # What nemeses do.

    def cut(self, sender: MemberId, receiver: MemberId, holds: bool) -> None:
        """Nothing passes from one to the other until `heal`. `holds`: frames wait; else the connection
        breaks.
        """
        self._link(sender, receiver).cuts += 1
        if self.weather.is_stream and not holds:
            self.break_connection(sender, receiver)

    def heal(self, sender: MemberId, receiver: MemberId) -> None:
        """One cut less; does nothing if everything is healed already."""
        link = self._link(sender, receiver)
        if link.cuts:
            link.cuts -= 1
            if not link.cuts:
                self._join(link)

    def heal_all(self, weather: Weather) -> None:
        """No cuts, and another weather from now on."""
        self.weather = weather
        for link in self._links.values():
            link.delay = weather.delay
            if link.cuts:
                link.cuts = 0
                self._join(link)

    def _join(self, link: Link) -> None:
        self._soon(self._come_up, link.sender, link.receiver)
        stalled, link.stalled = link.stalled, 0
        for _ in range(stalled):
            self._schedule(link)

    def break_connection(self, one: MemberId, other: MemberId) -> None:
        """It comes back by itself as soon as nothing is cut."""
        self._known.pop(_pair(one, other), None)
        for sender, receiver in ((one, other), (other, one)):
            self._link(sender, receiver).reset()
            self._soon(self._tell_lost, sender, receiver)
        self._timeline.after(self._chance.uniform(0.01, 0.2), self._come_up, one, other)

    def raise_false_alarm(self, member: MemberId, about: MemberId) -> None:
        if member in self._ports:
            self._ports[member].peer_lost(about)

    # Frames.

    def send(self, sender: MemberId, receiver: MemberId, frame: bytes) -> None:
        known = self._known.get(_pair(sender, receiver))
        if known is None:
            return
        link = self._link(sender, receiver)
        if self.weather.is_stream:
            link.under_way.append(frame)
            self._schedule(link)
            return
        weather, chance = self.weather, self._chance
        copies = 0 if chance.random() < weather.loss else 2 if chance.random() < weather.duplicate else 1
        for _ in range(copies):
            arrival = self._timeline.now + self._travel_time(link)
            if chance.random() >= weather.overtake:
                arrival = link.last_arrival = max(arrival, link.last_arrival)
            self._timeline.at(arrival, self._arrive_packet, link, known.directories, frame)

    def _schedule(self, link: Link) -> None:
        link.last_arrival = max(self._timeline.now + self._travel_time(link), link.last_arrival)
        self._timeline.at(link.last_arrival, self._arrive, link, link.life)

    def _travel_time(self, link: Link) -> float:
        chance, spike = self._chance, self.weather.spike
        delay = link.delay * (1.0 - log(1.0 - chance.random()))
        if spike and chance.random() < spike:
            delay += 100 * link.delay * chance.random()
        return delay

    def _arrive(self, link: Link, life: int) -> None:
        if link.life != life:
            return
        if link.cuts:
            link.stalled += 1
        else:
            self._hand_over(link, link.under_way.popleft())

    def _arrive_packet(self, link: Link, directories: tuple[int, int], frame: bytes) -> None:
        known = self._known.get(_pair(link.sender, link.receiver))
        if not link.cuts and known is not None and known.directories == directories:
            self._hand_over(link, frame)

    def _hand_over(self, link: Link, frame: bytes) -> None:
        port = self._ports.get(link.receiver)
        if port is not None:
            self._trace.note(self._timeline.now, "frame", link.sender, link.receiver, frame)
            port.frame(link.sender, frame)

    # Hints.

    def _soon(self, action: Callable[..., None], *arguments: Any) -> None:
        self._timeline.after(self._moment(), action, *arguments)

    def _moment(self) -> float:
        return self._chance.uniform(0.0005, 0.02)

    def _come_up(self, one: MemberId, other: MemberId) -> None:
        """A connection needs both directions, so a cut of one keeps it down."""
        there, back = self._link(one, other), self._link(other, one)
        pair = _pair(one, other)
        if pair in self._known or there.cuts or back.cuts or one not in self._ports or other not in self._ports:
            return
        lower, higher = (self._ports[member].standpoint for member in pair)
        if not agree(lower, higher):
            self._trace.mark("member refused")
            if pair not in self._trying:
                self._trying.add(pair)
                self._timeline.after(self._chance.uniform(*REFUSED_PAUSE), self._try_again, *pair)
            return
        self._known[pair] = Acquaintance(
            (lower.directory, higher.directory), (lower.membership.index, higher.membership.index)
        )
        there.reset()
        back.reset()
        for member, about in ((one, other), (other, one)):
            self._ports[member].linked(about)
            if self._chance.random() >= self.weather.hints_lost:
                self._ports[member].peer_up(about)

    def _try_again(self, one: MemberId, other: MemberId) -> None:
        self._trying.discard((one, other))
        self._come_up(one, other)

    def _tell_lost(self, member: MemberId, about: MemberId) -> None:
        if _pair(member, about) in self._known or member not in self._ports:
            return
        if self._chance.random() >= self.weather.hints_lost:
            self._ports[member].peer_lost(about)


def _pair(one: MemberId, other: MemberId) -> tuple[MemberId, MemberId]:
    return (one, other) if one < other else (other, one)
