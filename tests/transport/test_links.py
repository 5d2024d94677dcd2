"""Links between members over real sockets of this machine. Ports are the kernel's choice; only a failure waits."""

import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio

from coord.raft.configuration import UNTOLD, Configuration, Membership, Seat
from coord.raft.messages import NewerTerm
from coord.raft.types import BEFORE_FIRST, Index, MemberId, Term
from coord.replica.inputs import Forward, PeerMessage
from coord.transport import links
from coord.transport.codec import decode_frame, encode_frame
from coord.transport.handshake import SPOKEN, Hello, Standpoint
from coord.transport.links import Links
from coord.transport.streams import split_address
from coord_protocol.frames import FrameSplitter

ONE, TWO, THREE = MemberId(1), MemberId(2), MemberId(3)
HOST = "127.0.0.1"
HELLO_BYTES = 50
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

    def is_closed(self) -> bool:
        try:
            return not self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def lose(self) -> None:
        """As the hub does when the connection breaks."""
        self.socket.close()
        self.gone.set()


def hello(sender: MemberId, receiver: MemberId, incarnation: int = 1) -> bytes:
    return Hello(SPOKEN, 0, sender, receiver, incarnation, 1, BEFORE_FIRST).encode()


class Member:
    """A member that has links and nothing else, and their hub. It listens from the start, and accepts once it runs."""

    def __init__(self, member: MemberId, listener: trio.SocketListener, cluster: int) -> None:
        self.id = member
        self.listener = listener
        self.cluster = cluster
        self.incarnation = 5
        self.membership = UNTOLD
        self.links: list[Link] = []
        self._news, self._adopted = trio.open_memory_channel[Link](100)
        self._told: Callable[[], None] = lambda: None

    @property
    def address(self) -> str:
        host, port = self.listener.socket.getsockname()
        return f"{host}:{port}"

    @property
    def standing(self) -> list[MemberId]:
        """To whom it has links, after a look whether the other side closed some."""
        for link in self.links:
            if not link.gone.is_set() and link.is_closed():
                link.lose()
        return [link.member for link in self.links if not link.gone.is_set()]

    def adopt_peer(self, member: MemberId, sock: socket.socket) -> trio.Event:
        self.drop_peer(member)
        link = Link(member, sock, trio.Event())
        self.links.append(link)
        self._news.send_nowait(link)
        return link.gone

    def drop_peer(self, member: MemberId) -> None:
        for link in self.links:
            if link.member == member and not link.gone.is_set():
                link.lose()

    async def next_link(self) -> Link:
        with trio.fail_after(PATIENCE):
            return await self._adopted.receive()

    def learn(self, index: int, configuration: Configuration) -> None:
        """As when it comes with the log."""
        self.membership = Membership(Index(index), configuration)
        self._told()

    def standpoint(self) -> Standpoint:
        return Standpoint(self.id, self.incarnation, 1, self.cluster, self.membership, lambda member: 0)

    async def run(self, join: str = "") -> None:
        links = Links(self.standpoint, self, join)
        self._told = links.members_changed
        await links.run(self.listener)


@asynccontextmanager
async def member(number: MemberId, cluster: int = 0, port: int = 0) -> AsyncIterator[Member]:
    (listener,) = await trio.open_tcp_listeners(port, host=HOST)
    async with listener:
        one = Member(number, listener, cluster)
        yield one
        for link in one.links:
            link.socket.close()


def configuration(*members: Member, **others: str) -> Configuration:
    """These, and `others` by name, with where they are."""
    addresses = {one.id: one.address for one in members}
    addresses |= {{"one": ONE, "two": TWO, "three": THREE}[name]: address for name, address in others.items()}
    return Configuration(tuple(sorted(addresses)), seats=tuple(Seat(*each) for each in sorted(addresses.items())))


@asynccontextmanager
async def running(*members: Member, **others: str) -> AsyncIterator[trio.Nursery]:
    """These members, until the block ends; `others` stand in [members] as well, by name."""
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            for one in members:
                one.learn(0, configuration(*members, **others))
                nursery.start_soon(one.run)
            yield nursery
            nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE):
        while not condition():
            await trio.sleep(0.01)


def at(listener: trio.SocketListener) -> str:
    host, port = listener.socket.getsockname()
    return f"{host}:{port}"


async def is_steady(one: Member, other: Member) -> bool:
    """Whether the link between the two stands, and stays."""
    await until(lambda: one.standing == [other.id] and other.standing == [one.id])
    await trio.sleep(0.1)  # what is under way arrives
    links = [*one.links, *other.links]
    await trio.sleep(0.3)
    return [one.standing, other.standing] == [[other.id], [one.id]] and links == [*one.links, *other.links]


async def dial(address: str) -> trio.SocketStream:
    return await trio.open_tcp_stream(*split_address(address))


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
        await journal.wait_for("INFO linked to member 2 (its incarnation 5, protocol 1)")
        await journal.wait_for("INFO linked to member 1 (its incarnation 5, protocol 1)")


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
            address = early.address
        async with running(one, two=address):
            await journal.wait_for("INFO no link to member 2", "refused")
            async with member(TWO, port=split_address(address)[1]) as two, running(two, one=one.address):
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
        browser = await dial(two.address)
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
        silent = await dial(two.address)
        async with silent:
            await silent.send_all(hello(ONE, TWO)[:-1])

            assert await rest_of(silent) == b""

        await journal.wait_for("WARNING gave up on 127.0.0.1", "did not finish its hello")


async def test_oldest_silent_connection_makes_room_for_a_member(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many say nothing, a member is heard at once, not after their deadline."""
    monkeypatch.setattr(links, "MAX_PENDING", 2)
    monkeypatch.setattr(links, "HANDSHAKE_SECONDS", 10 * PATIENCE)
    async with member(ONE) as one, member(TWO) as two:
        strangers = [await dial(two.address) for _ in range(5)]
        async with running(one, two):
            await one.next_link()
            for stranger in strangers[:3]:
                assert await rest_of(stranger) == b""
        for stranger in strangers:
            await stranger.aclose()


async def test_nothing_behind_a_hello_is_lost_to_the_acceptor() -> None:
    """Hello and first frame may come in one packet."""
    async with member(TWO) as two, running(two, one=f"{HOST}:1"), await dial(two.address) as dialler:
        await dialler.send_all(hello(ONE, TWO) + encode_frame(TALK))

        assert await (await two.next_link()).receive() == TALK


async def test_nothing_behind_a_hello_is_lost_to_the_dialler() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host=HOST)
    async with listener, member(ONE) as one, running(one, two=at(listener)):
        acceptor = await listener.accept()
        async with acceptor:
            await acceptor.receive_some(HELLO_BYTES)
            await acceptor.send_all(hello(TWO, ONE) + encode_frame(TALK))

            assert await (await one.next_link()).receive() == TALK


async def test_dialler_tries_again_after_a_broken_handshake(journal: Journal) -> None:
    """A member that is stopped while it is being dialled, or a port that belongs to something else."""
    (listener,) = await trio.open_tcp_listeners(0, host=HOST)
    async with listener, member(ONE) as one, running(one, two=at(listener)):
        async with await listener.accept() as acceptor:
            await acceptor.receive_some(HELLO_BYTES)
        await journal.wait_for("INFO no link to member 2", "closed the connection in the middle of the handshake")

        async with await listener.accept() as acceptor:
            await acceptor.receive_some(HELLO_BYTES)
            await acceptor.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await journal.wait_for("WARNING no link to member 2", "is not a coord member")

        async with await listener.accept() as acceptor:
            await acceptor.receive_some(HELLO_BYTES)
            await acceptor.send_all(hello(TWO, ONE))
            assert (await one.next_link()).member == TWO


async def test_dialler_does_not_wait_for_an_answer_for_ever(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel accepts for a process that is stopped."""
    monkeypatch.setattr(links, "HANDSHAKE_SECONDS", 0.3)
    async with member(TWO) as stopped, member(ONE) as one, running(one, two=stopped.address):
        await journal.wait_for("INFO no link to member 2", "no answer in time")


# Members come and go.


async def test_a_member_that_is_added_is_linked_and_one_that_is_removed_is_let_go(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But not at once: it should still be told."""
    monkeypatch.setattr(links, "FAREWELL_SECONDS", 0.2)
    async with member(ONE) as one, member(TWO) as two, member(THREE) as three, running(one, two) as nursery:
        await one.next_link()
        nursery.start_soon(three.run)

        one.learn(3, configuration(one, two, three))
        two.learn(3, configuration(one, two, three))
        await until(lambda: sorted(three.standing) == [ONE, TWO])

        one.learn(4, configuration(one, two))
        link = next(link for link in one.links if link.member == THREE)
        await link.send(TALK)
        two.learn(4, configuration(one, two))
        assert await next(link for link in three.links if link.member == ONE).receive() == TALK
        await link.gone.wait()
        await until(lambda: (one.standing, two.standing) == ([TWO], [ONE]))
        await journal.wait_for("INFO closes the link to member 3, which is a member no more")


async def test_a_configuration_that_is_taken_back_takes_its_links_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its entry was truncated, and the one before holds again."""
    monkeypatch.setattr(links, "FAREWELL_SECONDS", 0.1)
    async with member(ONE) as one, member(TWO) as two, member(THREE) as three, running(one, two) as nursery:
        nursery.start_soon(three.run)
        one.learn(3, configuration(one, two, three))
        await until(lambda: sorted(one.standing) == [TWO, THREE])

        one.learn(0, configuration(one, two))

        await until(lambda: one.standing == [TWO])


async def test_a_link_to_a_member_that_is_back_before_the_farewell_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "FAREWELL_SECONDS", 0.2)
    async with member(ONE) as one, member(TWO) as two, running(one, two):
        await one.next_link()
        one.learn(3, configuration(one))
        await trio.testing.wait_all_tasks_blocked(0.05)
        one.learn(4, configuration(one, two))

        await trio.sleep(0.4)

        assert [link.gone.is_set() for link in one.links] == [False]


async def test_a_link_from_one_that_only_others_know_as_a_member_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Member 2 has the newer log; that member 1 does not know of it yet is no reason to part."""
    monkeypatch.setattr(links, "FAREWELL_SECONDS", 0.1)
    async with member(ONE) as one, member(TWO) as two, running(one) as nursery:
        two.learn(9, configuration(one, two))
        nursery.start_soon(two.run)
        await one.next_link()

        one.learn(8, configuration(one))
        await trio.sleep(0.3)
        assert one.standing == [TWO]

        one.learn(10, configuration(one))
        await until(lambda: one.standing == [])


async def test_a_new_address_counts_from_the_next_dial_on(journal: Journal) -> None:
    async with member(ONE) as one, member(TWO) as two, member(TWO) as moved, running(one, two) as nursery:
        link = await one.next_link()
        moved.learn(5, configuration(one, moved))
        nursery.start_soon(moved.run)
        one.learn(5, configuration(one, moved))
        assert not link.gone.is_set()

        two.drop_peer(ONE)
        link.lose()

        assert (await moved.next_link()).member == ONE


@pytest.mark.parametrize("typo", [f"{HOST}:1", "nobody.invalid:2281", "", "db2", "db2:x", f"{HOST}:70000", "a..b:1"])
async def test_a_wrong_address_costs_nothing_while_the_other_side_can_dial(
    typo: str, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lower id should have dialled; what it has for an address is told in its log."""
    monkeypatch.setattr(links, "TURN_SECONDS", 0.1)
    async with member(ONE) as one, member(TWO) as two, running(one, two=typo) as nursery:
        await journal.wait_for("no link to member 2 at")
        two.learn(0, configuration(one, two))
        nursery.start_soon(two.run)

        assert (await one.next_link()).member == TWO
        assert await is_steady(one, two)


# Two links at once.


async def test_two_that_dial_each_other_at_once_end_with_one_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes first: it stays, and is the same one on both sides."""
    monkeypatch.setattr(links, "TURN_SECONDS", 0.0)
    async with member(ONE) as one, member(TWO) as two, running(one, two):
        for _ in range(5):
            assert await is_steady(one, two)
            await one.links[-1].send(TALK)
            assert await two.links[-1].receive() == TALK
            one.links[-1].lose()
            two.links[-1].lose()


async def test_a_higher_id_that_dials_a_member_which_has_dialled_it_is_refused() -> None:
    """It will find the link that it was given meanwhile, or find out that it lost it."""
    async with member(ONE) as one, member(TWO) as two, running(one, two):
        link = await one.next_link()

        async with await dial(one.address) as crossing:
            await crossing.send_all(hello(TWO, ONE, incarnation=5))
            assert b"has a link to member 2, which it dialled itself" in await rest_of(crossing)

        assert not link.gone.is_set()
        async with await dial(one.address) as restarted:
            await restarted.send_all(hello(TWO, ONE, incarnation=6))
            assert (await one.next_link()).member == TWO
        assert link.gone.is_set()


async def test_a_lower_id_that_dials_replaces_the_link_that_we_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "TURN_SECONDS", 0.0)
    (listener,) = await trio.open_tcp_listeners(0, host=HOST)
    async with (
        listener,
        member(TWO) as two,
        running(two, one=at(listener)),
        await listener.accept() as ours,
        await dial(two.address) as theirs,
    ):
        await ours.receive_some(HELLO_BYTES)
        await ours.send_all(hello(ONE, TWO))
        first = await two.next_link()

        await theirs.send_all(hello(ONE, TWO))

        await two.next_link()
        assert first.gone.is_set()
        assert await rest_of(ours) == b""


async def test_our_link_is_given_up_if_a_lower_id_has_dialled_us_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "TURN_SECONDS", 0.0)
    (listener,) = await trio.open_tcp_listeners(0, host=HOST)
    async with (
        listener,
        member(TWO) as two,
        running(two, one=at(listener)),
        await listener.accept() as ours,
        await dial(two.address) as theirs,
    ):
        await ours.receive_some(HELLO_BYTES)
        await theirs.send_all(hello(ONE, TWO))
        link = await two.next_link()

        await ours.send_all(hello(ONE, TWO))

        assert await rest_of(ours) == b""
        assert not link.gone.is_set()


# Joining.


async def test_who_joins_asks_at_the_address_it_has_until_it_is_a_member(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says once why it is not one yet, and then is dialled by those who know it."""
    async with member(ONE) as one, member(TWO) as two, member(THREE) as new, running(one, two) as nursery:
        for each in (one, two):
            each.learn(3, configuration(one, two))
            await each.next_link()
        nursery.start_soon(new.run, two.address)
        text = "member 3 is not in the cluster's configuration: run `coord member add 3 HOST:PORT`"
        await journal.wait_for(f"WARNING no link to the cluster that is to be joined at {two.address}", text)
        await trio.sleep(1.0)
        assert len(journal.matching("to be joined")) == 1

        for each in (one, two):
            each.learn(4, configuration(one, two, new))

        await until(lambda: sorted(new.standing) == [ONE, TWO])


async def test_who_joins_reaches_a_member_that_does_not_reach_it() -> None:
    """Of one that is known by a wrong address: the way in is its own."""
    async with member(TWO) as two, member(THREE) as new, running(two) as nursery:
        two.learn(3, configuration(two, three=f"{HOST}:1"))
        nursery.start_soon(new.run, two.address)

        assert (await new.next_link()).member == TWO
        assert (await two.next_link()).member == THREE


async def test_who_was_removed_is_told_what_to_do_and_asks_seldom(journal: Journal) -> None:
    async with member(ONE) as one, member(TWO) as two, running(one, two):
        await one.next_link()
        two.learn(7, configuration(one, two))
        one.learn(8, configuration(one))
        await until(lambda: two.standing == [])

        await journal.wait_for(
            "WARNING no link to member 1", "member 2 was removed", "its data directory is of no more"
        )

        assert len(journal.matching("refused 127.0.0.1")) == 1
