"""The network between members, without members: bytes arrive, or are held, and nobody is told which."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from coord.local.network import Network, open_network
from coord.raft.types import Index, MemberId
from coord.transport.handshake import SPOKEN, Hello

PATIENCE = 10.0  # seconds; only a test that fails waits so long
HELLO = Hello(SPOKEN, 0, MemberId(1), MemberId(2), 1, 5, Index(0)).encode()
SILENCE = 0.05  # seconds in which something that is not held would have come many times over


class Stage:
    """Three members, of which 2 listens; whoever it accepts is put into `accepted`."""

    def __init__(self, network: Network, accepted: trio.MemoryReceiveChannel[trio.SocketStream]) -> None:
        self.network = network
        self.accepted = accepted
        self.sockets = ExitStack()

    async def dial(self) -> trio.SocketStream:
        """From member 1 to member 2."""
        host, _, port = self.network.address(2).partition(":")
        stream = await trio.open_tcp_stream(host, int(port))
        self.sockets.enter_context(stream.socket)
        await stream.send_all(HELLO)
        return stream

    async def link(self) -> tuple[trio.SocketStream, trio.SocketStream]:
        """Both ends of a connection from 1 to 2, after the hello."""
        ours, theirs = await self.dial(), await self.accepted.receive()
        assert await theirs.receive_some(len(HELLO)) == HELLO
        return ours, theirs


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    accept, accepted = trio.open_memory_channel[trio.SocketStream](10)

    async def take(stream: trio.SocketStream) -> None:
        with stream.socket:
            await accept.send(stream)
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, take, [listener])
        with trio.fail_after(PATIENCE):
            # Nobody listens on the other ports, and nobody is called there.
            async with open_network({1: 1, 2: listener.socket.getsockname()[1], 3: 3}) as network:
                stage = Stage(network, accepted)
                with stage.sockets:
                    yield stage
        nursery.cancel_scope.cancel()


async def is_silent(stream: trio.SocketStream) -> bool:
    with trio.move_on_after(SILENCE) as silence:
        await stream.receive_some()
    return silence.cancelled_caught


async def test_bytes_and_their_end_go_both_ways() -> None:
    async with stage() as the:
        ours, theirs = await the.link()
        await ours.send_all(b"ping")
        assert await theirs.receive_some() == b"ping"
        await theirs.send_all(b"pong")
        assert await ours.receive_some() == b"pong"

        await ours.aclose()

        assert await theirs.receive_some() == b""


@pytest.mark.parametrize("sides", [([1], [2]), ([2], [1, 3]), ([1], [2], [3])])
async def test_what_is_sent_across_a_cut_is_held_until_it_is_healed(sides: tuple[list[int], ...]) -> None:
    async with stage() as the:
        ours, theirs = await the.link()

        the.network.partition(*sides)
        await ours.send_all(b"late")
        await theirs.send_all(b"late, too")
        assert await is_silent(ours)
        assert await is_silent(theirs)
        the.network.heal()

        assert await theirs.receive_some() == b"late"
        assert await ours.receive_some() == b"late, too"


async def test_the_end_of_a_process_is_not_told_across_a_cut() -> None:
    async with stage() as the:
        ours, theirs = await the.link()

        the.network.isolate(2)
        theirs.socket.close()
        assert await is_silent(ours)
        the.network.heal()

        assert await ours.receive_some() == b""


async def test_who_is_on_no_side_reaches_all() -> None:
    async with stage() as the:
        ours, theirs = await the.link()

        the.network.partition([1], [3])

        await ours.send_all(b"on time")
        assert await theirs.receive_some() == b"on time"


async def test_a_direction_can_be_cut_alone() -> None:
    async with stage() as the:
        ours, theirs = await the.link()

        the.network.partition([1], [2], one_way=True)

        await ours.send_all(b"late")
        await theirs.send_all(b"on time")
        assert await ours.receive_some() == b"on time"
        assert await is_silent(theirs)


async def test_a_connection_across_a_cut_is_never_made_and_the_next_is() -> None:
    async with stage() as the:
        the.network.isolate(1)
        vain = await the.dial()
        await vain.send_all(b"a frame")
        await wait_all_tasks_blocked(SILENCE)
        with pytest.raises(trio.WouldBlock):
            the.accepted.receive_nowait()

        the.network.heal()

        with suppress(trio.BrokenResourceError):  # as the system says it if nobody has read what was sent
            assert await vain.receive_some() == b""
        ours, theirs = await the.link()
        await ours.send_all(b"hello")
        assert await theirs.receive_some() == b"hello"
