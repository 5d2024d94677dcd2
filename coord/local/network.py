"""The network between the members of a local cluster, which can be cut without root's rights.

    async with open_network({1: 2281, 2: 2282, 3: 2283}) as network:
        network.address(2)                  # what all members are told is the address of member 2
        network.partition([1], [2, 3])
        network.heal()

Each member is reached through a forwarder, which copies bytes both ways. Who dials shows in the hello that comes first
(`coord.transport.handshake`). Where the network is cut a forwarder holds what it has: nothing arrives, no connection is
reset, and new ones get no answer; as if a cable was pulled, and unlike a process that dies. When it is healed, what was
held goes on its way, as TCP would send it again; and who dialled in vain is turned away, to dial anew. A direction can
be cut alone.

Only members are cut off from each other. Clients go on to reach all of them; it is the members of a minority that
turn them away.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

import trio

from coord.local.ports import LOOPBACK
from coord.transport.handshake import sender_of

PIECE_BYTES: Final = 65536


class Network:
    """Made by `open_network`."""

    def __init__(self, nursery: trio.Nursery) -> None:
        """`nursery`: of the forwarders."""
        self._nursery = nursery
        self._addresses: dict[int, str] = {}
        self._ways: defaultdict[tuple[int, int], _Way] = defaultdict(_Way)
        """By who sends, and to whom."""

    async def add(self, member: int, peer_port: int) -> None:
        """One more member, which listens, or will listen, on this port."""
        (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
        self._addresses[member] = f"{LOOPBACK}:{listener.socket.getsockname()[1]}"
        self._nursery.start_soon(trio.serve_listeners, partial(self._forward, member, peer_port), [listener])

    def address(self, member: int) -> str:
        """Where the others reach it."""
        return self._addresses[member]

    def partition(self, *sides: Collection[int], one_way: bool = False) -> None:
        """From now on nobody reaches anybody on another side. Who is on no side goes on to reach all.

        `one_way`: what earlier sides send to later ones is lost on its way, but not what those send.
        """
        for number, side in enumerate(sides):
            for other in sides[number + 1 :]:
                self._cut(side, other)
                if not one_way:
                    self._cut(other, side)

    def isolate(self, member: int) -> None:
        """Cut one off from all others."""
        self.partition([member], [other for other in self._addresses if other != member])

    def heal(self) -> None:
        """Everybody reaches everybody."""
        for way in self._ways.values():
            way.open()

    def _cut(self, senders: Collection[int], receivers: Collection[int]) -> None:
        for sender in senders:
            for receiver in receivers:
                self._ways[sender, receiver].cut()

    async def _forward(self, receiver: int, port: int, dialler: trio.SocketStream) -> None:
        """One connection, until both ends have closed or broken it."""
        with dialler.socket:
            beginning = b""
            while (sender := sender_of(beginning)) is None:
                piece = await _receive(dialler)
                if not piece:
                    return
                beginning += piece
            there, back = self._ways[sender, receiver], self._ways[receiver, sender]
            if not (there.is_passable and back.is_passable):  # connecting takes packets both ways
                await there.passable()
                await back.passable()
                return
            try:
                acceptor = await trio.open_tcp_stream(LOOPBACK, port)
            except OSError:  # nobody listens
                return
            with acceptor.socket:
                async with trio.open_nursery() as pumps:
                    pumps.start_soon(_pump, dialler, acceptor, there, beginning)
                    pumps.start_soon(_pump, acceptor, dialler, back)


@asynccontextmanager
async def open_network(peer_ports: Mapping[int, int]) -> AsyncIterator[Network]:
    """Forwarders for the members that will listen on these ports, as long as the scope lasts."""
    try:
        async with trio.open_nursery() as nursery:
            network = Network(nursery)
            for member, port in peer_ports.items():
                await network.add(member, port)
            yield network
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # The group is of our making; whoever leaves the scope with an error should see that error.
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


class _Way:
    """From one member to another."""

    def __init__(self) -> None:
        self._opened = trio.Event()
        self._opened.set()

    def cut(self) -> None:
        if self._opened.is_set():
            self._opened = trio.Event()

    def open(self) -> None:
        self._opened.set()

    async def passable(self) -> None:
        while not self._opened.is_set():  # it may be cut again before we run
            await self._opened.wait()

    @property
    def is_passable(self) -> bool:
        return self._opened.is_set()


async def _pump(source: trio.SocketStream, sink: trio.SocketStream, way: _Way, beginning: bytes = b"") -> None:
    """What comes from `source`, its end included, goes to `sink` as far as the way is open, after `beginning`."""
    while piece := beginning or await _receive(source):
        beginning = b""
        await way.passable()
        try:
            await sink.send_all(piece)
        except trio.BrokenResourceError:
            return  # who pumps the other way finds it broken, too, and tells `source` when that way is open
    await way.passable()
    with suppress(trio.BrokenResourceError):
        await sink.send_eof()


async def _receive(stream: trio.SocketStream) -> bytes:
    """A connection that broke has ended."""
    try:
        return bytes(await stream.receive_some(PIECE_BYTES))
    except trio.BrokenResourceError:
        return b""
