"""Links between members over real sockets of this machine. Ports are the kernel's choice; only a failure waits."""

import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio

from coord.raft.messages import NewerTerm
from coord.raft.types import MemberId, Term
from coord.replica.inputs import Forward, PeerMessage
from coord.transport import links
from coord.transport.codec import decode_frame, encode_frame
from coord.transport.handshake import Hello
from coord.transport.links import Links
from coord_protocol.frames import FrameSplitter

ONE, TWO, THREE = MemberId(1), MemberId(2), MemberId(3)
HOST = "127.0.0.1"
HELLO_BYTES = 38
PATIENCE = 20.0  # seconds; only a test that fails waits so long
TALK: list[PeerMessage] = [NewerTerm(Term(3)), Forward(b"a block")]


class Journal(logging.Handler):
    """What the links log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._news = trio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.getMessage()}")
        self._news.set()
        self._news = trio.Event()

    async def wait_for(self, *parts: str) -> None:
        """Until a line has all these parts."""
        with trio.fail_after(PATIENCE):
            while not self.matching(*parts):
                await self._news.wait()

    def matching(self, *parts: str) -> list[str]:
        return [line for line in self.lines if all(part in line for part in parts)]


@pytest.fixture
def journal() -> Iterator[Journal]:
    logger = logging.getLogger("coord.transport")
    handler, level = Journal(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


@dataclass
class Link:
    """What a hub was given."""

    member: MemberId
    socket: socket.socket
    gone: trio.Event

    async def send(self, messages: list[PeerMessage]) -> None:
        await trio.lowlevel.wait_writable(self.socket)
        self.socket.sendall(encode_frame(messages))

    async def receive(self) -> list[PeerMessage]:
        """The first frame."""
        splitter = FrameSplitter()
        while True:
            await trio.lowlevel.wait_readable(self.socket)
            data = self.socket.recv(4096)
            assert data, "the other side closed the link"
            for frame in splitter.feed(data):
                return decode_frame(frame)

    def lose(self) -> None:
        """As the hub does when the connection breaks."""
        self.socket.close()
        self.gone.set()


class Member:
    """A member that has links and nothing else. It listens from the start, and accepts once it runs."""

    def __init__(self, member: MemberId, listener: trio.SocketListener, cluster: int) -> None:
        self.id = member
        self.listener = listener
        self.cluster = cluster
        self.links: list[Link] = []
        self._news, self._adopted = trio.open_memory_channel[Link](100)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.listener.socket.getsockname()
        return host, port

    def adopt(self, member: MemberId, sock: socket.socket) -> trio.Event:
        link = Link(member, sock, trio.Event())
        self.links.append(link)
        self._news.send_nowait(link)
        return link.gone

    async def next_link(self) -> Link:
        with trio.fail_after(PATIENCE):
            return await self._adopted.receive()

    async def run(self, addresses: dict[MemberId, tuple[str, int]]) -> None:
        links = Links(self.id, 5, 1, addresses, lambda: self.cluster, lambda member: 0, self.adopt)
        await links.run(self.listener)


@asynccontextmanager
async def member(number: MemberId, cluster: int = 0, port: int = 0) -> AsyncIterator[Member]:
    (listener,) = await trio.open_tcp_listeners(port, host=HOST)
    async with listener:
        one = Member(number, listener, cluster)
        yield one
        for link in one.links:
            link.socket.close()


@asynccontextmanager
async def running(*members: Member, **others: tuple[str, int]) -> AsyncIterator[None]:
    """These members, until the block ends; `others` stand in [members] as well, by name."""
    addresses = {one.id: one.address for one in members}
    addresses |= {{"one": ONE, "two": TWO}[name]: address for name, address in others.items()}
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            for one in members:
                nursery.start_soon(one.run, addresses)
            yield
            nursery.cancel_scope.cancel()


async def rest_of(stream: trio.SocketStream) -> bytes:
    """All that comes until the other side closes."""
    return b"".join([piece async for piece in stream])


async def test_members_link_and_frames_flow_both_ways(journal: Journal) -> None:
    """Member 1 dials, member 2 accepts; after the handshake there is no difference."""
    async with member(ONE, cluster=7) as one, member(TWO, cluster=7) as two, running(one, two):
        at_one, at_two = await one.next_link(), await two.next_link()
        await at_one.send(TALK)
        await at_two.send(TALK[:1])

        assert (at_one.member, at_two.member) == (TWO, ONE)
        assert await at_two.receive() == TALK
        assert await at_one.receive() == TALK[:1]
        await journal.wait_for("INFO linked to member 2 (its incarnation 5)")
        await journal.wait_for("INFO linked to member 1 (its incarnation 5)")


async def test_every_pair_of_members_has_one_link() -> None:
    """Not two crossing ones: the lower id dials, the other does not."""
    async with member(ONE) as one, member(TWO) as two, member(THREE) as three:
        async with running(one, two, three):
            for each in (one, two, three):
                await each.next_link()
                await each.next_link()

        assert [sorted(link.member for link in each.links) for each in (one, two, three)] == [
            [TWO, THREE],
            [ONE, THREE],
            [ONE, TWO],
        ]


async def test_sockets_are_made_for_the_hub() -> None:
    """It waits for them itself; small messages must not wait for each other; a peer without power must be noticed."""
    async with member(ONE) as one, member(TWO) as two, running(one, two):
        for link in (await one.next_link(), await two.next_link()):
            assert not link.socket.getblocking()
            assert link.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert link.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


async def test_lost_link_is_made_again(journal: Journal) -> None:
    async with member(ONE) as one, member(TWO) as two, running(one, two):
        (await one.next_link()).lose()
        (await two.next_link()).lose()

        await (await one.next_link()).send(TALK)

        assert await (await two.next_link()).receive() == TALK
        await journal.wait_for("INFO lost the link to member 2")


async def test_member_that_starts_later_is_reached(journal: Journal) -> None:
    """Its port is closed until then: that is tried often and told once."""
    async with member(ONE) as one:
        async with member(TWO) as early:
            host, port = early.address
        async with running(one, two=(host, port)):
            await journal.wait_for("INFO no link to member 2", "refused")
            async with member(TWO, port=port) as two, running(two, one=one.address):
                await one.next_link()

        assert len(journal.matching("no link to member 2")) == 1


async def test_member_of_another_cluster_is_refused_until_it_is_right(journal: Journal) -> None:
    """Both sides say why, once, and keep trying."""
    text = "member 1 is of cluster 0000000000000007 and member 2 of cluster 0000000000000008"
    async with member(ONE, cluster=7) as one, member(TWO, cluster=8) as two, running(one, two):
        await journal.wait_for("WARNING no link to member 2", text)
        await journal.wait_for("WARNING refused 127.0.0.1", text)

        two.cluster = 7
        await one.next_link()

        assert len(journal.matching(text)) == 2


async def test_garbage_on_the_port_is_refused_and_disturbs_nobody(journal: Journal) -> None:
    """Whoever it is reads why, although it sent more than we looked at."""
    async with member(ONE) as one, member(TWO) as two, running(one, two):
        browser = await trio.open_tcp_stream(*two.address)
        async with browser:
            await browser.send_all(b"GET / HTTP/1.1\r\nHost: db2.example\r\n\r\n")
            await browser.send_eof()

            assert b"something that is not a coord member connected" in await rest_of(browser)

        await journal.wait_for("WARNING refused 127.0.0.1", "b'GET / '")
        await one.next_link()


async def test_connection_that_says_nothing_is_closed_and_holds_up_nobody(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port scanner, or a member that was stopped in the middle of its hello."""
    monkeypatch.setattr(links, "HANDSHAKE_SECONDS", 0.3)
    async with member(TWO) as two, running(two):
        silent = await trio.open_tcp_stream(*two.address)
        async with silent:
            await silent.send_all(Hello(0, ONE, TWO, 1, 0).encode()[:-1])

            assert await rest_of(silent) == b""

        await journal.wait_for("WARNING gave up on 127.0.0.1", "did not finish its hello")


async def test_oldest_silent_connection_makes_room_for_a_member(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many say nothing, a member is heard at once, not after their deadline."""
    monkeypatch.setattr(links, "MAX_PENDING", 2)
    monkeypatch.setattr(links, "HANDSHAKE_SECONDS", 10 * PATIENCE)
    async with member(ONE) as one, member(TWO) as two:
        strangers = [await trio.open_tcp_stream(*two.address) for _ in range(5)]
        async with running(one, two):
            await one.next_link()
            for stranger in strangers[:3]:
                assert await rest_of(stranger) == b""
        for stranger in strangers:
            await stranger.aclose()


async def test_nothing_behind_a_hello_is_lost_to_the_acceptor() -> None:
    """Hello and first frame may come in one packet."""
    async with member(TWO) as two, running(two, one=(HOST, 1)), await trio.open_tcp_stream(*two.address) as dialler:
        await dialler.send_all(Hello(0, ONE, TWO, 1, 0).encode() + encode_frame(TALK))

        assert await (await two.next_link()).receive() == TALK


async def test_nothing_behind_a_hello_is_lost_to_the_dialler() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host=HOST)
    async with listener, member(ONE) as one, running(one, two=listener.socket.getsockname()):
        acceptor = await listener.accept()
        async with acceptor:
            await acceptor.receive_some(HELLO_BYTES)
            await acceptor.send_all(Hello(0, TWO, ONE, 1, 0).encode() + encode_frame(TALK))

            assert await (await one.next_link()).receive() == TALK


async def test_dialler_tries_again_after_a_broken_handshake(journal: Journal) -> None:
    """A member that is stopped while it is being dialled, or a port that belongs to something else."""
    (listener,) = await trio.open_tcp_listeners(0, host=HOST)
    async with listener, member(ONE) as one, running(one, two=listener.socket.getsockname()):
        async with await listener.accept() as acceptor:
            await acceptor.receive_some(HELLO_BYTES)
        await journal.wait_for("INFO no link to member 2", "closed the connection in the middle of the handshake")

        async with await listener.accept() as acceptor:
            await acceptor.receive_some(HELLO_BYTES)
            await acceptor.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await journal.wait_for("WARNING no link to member 2", "is not a coord member")

        async with await listener.accept() as acceptor:
            await acceptor.receive_some(HELLO_BYTES)
            await acceptor.send_all(Hello(0, TWO, ONE, 1, 0).encode())
            assert (await one.next_link()).member == TWO


async def test_dialler_does_not_wait_for_an_answer_for_ever(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel accepts for a process that is stopped."""
    monkeypatch.setattr(links, "HANDSHAKE_SECONDS", 0.3)
    async with member(TWO) as stopped, member(ONE) as one, running(one, two=stopped.address):
        await journal.wait_for("INFO no link to member 2", "no answer in time")
