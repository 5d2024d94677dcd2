"""The hub with real sockets: what comes in, what goes out, and the limits that keep one client from hurting others."""

import contextlib
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from time import monotonic, sleep

import pytest
import trio

from coord.raft.messages import NewerTerm
from coord.raft.types import MemberId, Term
from coord.replica.inputs import (
    Closed,
    ConnectionId,
    Forward,
    FromPeer,
    Input,
    Opened,
    PeerLost,
    PeerUp,
    Persisted,
    Received,
    Replies,
)
from coord.server import hub
from coord.server.hub import Hub
from coord.server.settings import Limits
from coord.transport.codec import encode_frame

ME = MemberId(1)
OTHER = MemberId(2)
LENGTH_OF_A_FRAME = b"\0\0\0\x2d"


class NoWords:
    def answer(self, first_bytes: bytes) -> bytes | None:
        return b"imok" if first_bytes.startswith(b"ruok") else None


class Stage:
    """A hub that listens, and the batches it gave."""

    def __init__(self, limits: Limits) -> None:
        self.hub = Hub(limits, NoWords())  # type: ignore[arg-type]
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self.hub.listen(listener)
        self.listener = listener
        self.address = listener.getsockname()
        self.seen: list[Input] = []

    @contextmanager
    def client(self) -> Iterator[socket.socket]:
        with socket.create_connection(self.address, timeout=2.0) as sock:
            yield sock

    async def gather(self, seconds: float = 0.05, take_clients: bool = True) -> list[Input]:
        """What came in within that time."""
        batch: list[Input] = []
        end = monotonic() + seconds
        while monotonic() < end:
            batch += await self.hub.gather(end, take_clients)
        self.seen += batch
        return batch


@asynccontextmanager
async def stage(**limits: int) -> AsyncIterator[Stage]:
    one = Stage(Limits(**limits))
    try:
        yield one
    finally:
        one.hub.stop_listening(one.listener)
        one.hub.close()


def is_closed(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


async def test_bytes_come_in_and_go_out() -> None:
    async with stage() as one:
        with one.client() as sock:
            sock.sendall(LENGTH_OF_A_FRAME + b"hello")
            opened, received = await one.gather()
            assert opened == Opened(ConnectionId(1), "127.0.0.1")
            assert received == Received(ConnectionId(1), LENGTH_OF_A_FRAME + b"hello")
            one.hub.reply(Replies([(ConnectionId(1), b"answer")], []))
            assert sock.recv(100) == b"answer"
            one.hub.reply(Replies([(ConnectionId(1), b"bye")], [ConnectionId(1)]))
            assert sock.recv(100) == b"bye"
            assert is_closed(sock)


async def test_a_client_that_leaves_is_told_of_once() -> None:
    async with stage() as one:
        with one.client() as sock:
            sock.sendall(LENGTH_OF_A_FRAME)
            await one.gather()
        assert await one.gather() == [Closed(ConnectionId(1))]
        assert one.hub.connections == 0
        one.hub.reply(Replies([(ConnectionId(1), b"too late")], [ConnectionId(1)]))
        assert await one.gather() == []


async def test_a_word_is_answered_without_the_replica() -> None:
    async with stage() as one:
        with one.client() as sock:
            sock.sendall(b"ruok")
            assert await one.gather() == []
            assert sock.recv(100) == b"imok"
            assert is_closed(sock)


async def test_connections_beyond_a_limit_are_refused_named_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    async with stage(max_connections=2) as one:
        with one.client() as first, one.client() as second, one.client() as third:
            await one.gather()
            assert is_closed(third)
            assert one.hub.refused_connections == 1
            assert "refused a client from 127.0.0.1: limits.max_connections = 2 is reached" in caplog.text
            for sock in (first, second):
                sock.sendall(LENGTH_OF_A_FRAME)
            assert len(await one.gather()) == 4
        await one.gather()
        with one.client() as again:
            again.sendall(LENGTH_OF_A_FRAME)
            assert len(await one.gather()) == 2


async def test_one_address_cannot_take_all_connections() -> None:
    async with stage(max_connections=10, max_connections_per_address=1) as one:
        with one.client(), one.client() as second:
            await one.gather()
            assert is_closed(second)


async def test_who_does_not_read_is_disconnected_and_others_are_not(caplog: pytest.LogCaptureFixture) -> None:
    async with stage(max_output_bytes=100_000) as one:
        with one.client() as slow, one.client() as quick:
            slow.sendall(LENGTH_OF_A_FRAME)
            await one.gather()
            quick.sendall(LENGTH_OF_A_FRAME)
            await one.gather()
            for _ in range(200):
                one.hub.reply(Replies([(ConnectionId(1), bytes(50_000))], []))
            assert Closed(ConnectionId(1)) in await one.gather()
            assert one.hub.dropped_connections == 1
            assert "left more unread than limits.max_output_bytes = 100000" in caplog.text
            one.hub.reply(Replies([(ConnectionId(2), b"ok")], []))
            assert quick.recv(10) == b"ok"


async def test_a_slow_reader_within_the_limit_gets_everything() -> None:
    async with stage(max_output_bytes=64 << 20) as one:
        with one.client() as slow:
            slow.sendall(LENGTH_OF_A_FRAME)
            await one.gather()
            data = bytes(range(256)) * 4096 * 16
            one.hub.reply(Replies([(ConnectionId(1), data)], [ConnectionId(1)]))
            got = b""
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.gather, 1.0)
                while len(got) < len(data):
                    piece = await trio.to_thread.run_sync(slow.recv, 1 << 20)
                    assert piece, "closed only after the last byte"
                    got += piece
            assert got == data
            assert is_closed(slow)


async def test_a_connection_that_never_says_a_word_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a few thousand of them would lock out everybody else. Nobody needs to do anything for it to happen."""
    monkeypatch.setattr(hub, "PATIENCE", 0.2)
    async with stage() as one:
        with one.client() as silent, one.client() as talker:
            await one.gather()
            talker.sendall(LENGTH_OF_A_FRAME)
            begin = monotonic()
            seen = [type(item) for item in await one.gather(0.5)]
            assert monotonic() - begin < 0.6
            assert seen == [Opened, Received]
            assert is_closed(silent)
            assert one.hub.connections == 1


async def test_who_is_to_be_closed_and_does_not_read_is_closed_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "PATIENCE", 0.2)
    async with stage(max_output_bytes=64 << 20) as one:
        with one.client() as slow:
            slow.sendall(LENGTH_OF_A_FRAME)
            await one.gather()
            one.hub.reply(Replies([(ConnectionId(1), bytes(32 << 20))], [ConnectionId(1)]))
            assert one.hub.connections == 1
            await one.gather(0.5)
            assert one.hub.connections == 0


async def test_without_descriptors_clients_wait_and_the_hub_does_not_spin(caplog: pytest.LogCaptureFixture) -> None:
    async with stage() as one:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        used = max(int(name) for name in os.listdir("/proc/self/fd"))
        with socket.socket() as sock:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(used, sock.fileno()) + 1, hard))
            try:
                fillers = list(fill_descriptors())
                sock.connect(one.address)
                calls = await count_turns(one, 0.35)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                for filler in fillers:
                    os.close(filler)
            assert calls < 30
            assert "cannot accept a client" in caplog.text
            assert "ulimit -n" in caplog.text
            sock.sendall(LENGTH_OF_A_FRAME)
            assert len(await one.gather(0.3)) == 2


def fill_descriptors() -> Iterator[int]:
    """Open files until no more can be."""
    with contextlib.suppress(OSError):
        while True:
            yield os.open(os.devnull, os.O_RDONLY)


async def count_turns(one: Stage, seconds: float) -> int:
    turns = 0
    end = monotonic() + seconds
    while monotonic() < end:
        await one.hub.gather(end, True)
        turns += 1
    return turns


async def test_back_pressure_leaves_clients_in_their_sockets_and_hears_the_rest() -> None:
    async with stage() as one:
        with one.client() as sock:
            sock.sendall(LENGTH_OF_A_FRAME)
            one.hub.post(Persisted(7))
            assert await one.gather(take_clients=False) == [Persisted(7)]
            assert len(await one.gather()) == 2


async def test_a_post_from_another_thread_ends_the_sleep() -> None:
    async with stage() as one:
        async with trio.open_nursery() as nursery:

            async def later() -> None:
                await trio.sleep(0.05)
                await trio.to_thread.run_sync(one.hub.post, Persisted(1))

            nursery.start_soon(later)
            begin = monotonic()
            batch: list[Input] = []
            while not batch:
                batch += await one.hub.gather(begin + 10.0, True)
        assert batch == [Persisted(1)]
        assert monotonic() - begin < 5.0


def post_later(to: Hub, item: Input) -> None:
    sleep(0.1)
    to.post(item)


async def test_a_post_from_another_thread_ends_the_wait_of_a_busy_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """It lingers outside of trio then; a disk that answers from its thread must not wait for that to end."""
    monkeypatch.setattr(hub, "LINGER", 5.0)
    async with stage() as one:
        one.hub.post(Persisted(1))
        assert await one.hub.gather(monotonic() + 5.0, True) == [Persisted(1)]
        with ThreadPoolExecutor(1) as pool:
            pool.submit(post_later, one.hub, Persisted(2))
            begin = monotonic()
            assert await one.hub.gather(begin + 5.0, True) == [Persisted(2)]
        assert monotonic() - begin < 2.0


async def test_links_carry_frames_both_ways_and_their_loss_is_told() -> None:
    async with stage() as one:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        gone = one.hub.adopt_peer(OTHER, ours)
        assert await one.gather() == [PeerUp(OTHER)]
        message = NewerTerm(Term(3))
        theirs.sendall(encode_frame([message, Forward(b"block")]))
        assert await one.gather() == [FromPeer(OTHER, [message, Forward(b"block")])]
        one.hub.send([(OTHER, [message])])
        assert theirs.recv(100) == encode_frame([message])
        theirs.close()
        assert await one.gather() == [PeerLost(OTHER)]
        assert gone.is_set()
        one.hub.send([(OTHER, [message])])


async def test_a_new_link_replaces_the_old_one() -> None:
    async with stage() as one:
        first, _theirs = socket.socketpair()
        second, theirs = socket.socketpair()
        first.setblocking(False)
        second.setblocking(False)
        gone = one.hub.adopt_peer(OTHER, first)
        one.hub.adopt_peer(OTHER, second)
        assert gone.is_set()
        assert await one.gather() == [PeerUp(OTHER), PeerLost(OTHER), PeerUp(OTHER)]
        one.hub.send([(OTHER, [NewerTerm(Term(1))])])
        assert theirs.recv(100) == encode_frame([NewerTerm(Term(1))])
        _theirs.close()
        theirs.close()


async def test_a_link_that_is_of_no_more_use_is_dropped_after_what_was_sent() -> None:
    """To a member that was removed: the last message told it so."""
    async with stage() as one:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            gone = one.hub.adopt_peer(OTHER, ours)
            one.hub.send([(OTHER, [NewerTerm(Term(1))])])

            one.hub.drop_peer(OTHER)

            one.hub.drop_peer(OTHER)
            assert gone.is_set()
            assert theirs.recv(100) == encode_frame([NewerTerm(Term(1))])
            assert is_closed(theirs)
            assert await one.gather() == [PeerUp(OTHER), PeerLost(OTHER)]


@pytest.mark.parametrize("garbage", [b"\0\0\0\5hello", b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n"])
async def test_garbage_on_a_link_ends_it(garbage: bytes) -> None:
    async with stage() as one:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        one.hub.adopt_peer(OTHER, ours)
        theirs.sendall(garbage)
        assert await one.gather() == [PeerUp(OTHER), PeerLost(OTHER)]
        assert is_closed(theirs)
        theirs.close()
