"""What only threads do with a client: share it, block, forget to leave, and call from where they must not."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

import anyio
import pytest

from coord_client.addresses import Address
from coord_client.session import Stream, dial_tcp
from coord_client.sync import Client, connect
from coord_client.sync.portal import the_portal
from coord_client.sync.recipes import Held, Lock
from coord_client.sync.scope import Scope
from coord_protocol.errors import (
    AuthFailed,
    BadVersion,
    ClientClosed,
    LocalProtocolError,
    LockLost,
    LockTimeout,
    NoNode,
)

pytestmark = pytest.mark.e2e

PATIENCE = 10.0


@pytest.fixture
def server(coord_address: str) -> str:
    """`host:port/chroot`, with nothing below it."""
    root = f"/sync-{os.urandom(8).hex()}"
    with connect(coord_address) as client:
        client.create(root)
    return f"{coord_address}{root}"


@pytest.fixture
def client(server: str) -> Iterator[Client]:
    with connect(server, name="one") as client:
        yield client


def test_many_threads_share_one_client(client: Client) -> None:
    """Each adds to one number, by compare and set: nothing is mixed up, and nothing lost."""
    client.create("/sum", b"0")

    def add() -> None:
        for _ in range(10):
            while True:
                data, stat = client.get("/sum")
                try:
                    client.set("/sum", b"%d" % (int(data) + 1), stat.version)
                    break
                except BadVersion:
                    continue

    with ThreadPoolExecutor(8) as threads:
        for each in [threads.submit(add) for _ in range(8)]:
            each.result(PATIENCE)

    assert client.get("/sum").data == b"80"


def test_threads_that_want_one_lock_have_it_one_after_the_other(client: Client) -> None:
    inside: list[int] = []
    most = 0

    def hold(number: int) -> None:
        nonlocal most
        with client.lock("/lock", timeout=PATIENCE):
            inside.append(number)
            most = max(most, len(inside))
            client.exists("/lock")
            inside.remove(number)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(hold, range(16)))

    assert most == 1
    assert client.get_children("/lock") == []


def test_a_client_needs_no_with(server: str) -> None:
    client = connect(server)
    client.create("/mine", ephemeral=True)
    client.close()
    client.close()

    with pytest.raises(ClientClosed):
        client.get("/")
    with connect(server) as other:
        assert other.exists("/mine") is None


def test_a_client_may_be_closed_by_who_holds_its_lock(server: str) -> None:
    client = connect(server)

    with pytest.raises(LockLost), client.lock("/lock"):
        client.close()

    with connect(server) as other:
        assert other.get_children("/lock") == []


def test_a_client_that_has_ended_by_itself_says_why_when_it_is_left(server: str) -> None:
    """As when a server refuses, at a reconnect, credentials that it has accepted before."""

    async def refuse() -> None:
        raise AuthFailed

    def work(client: Client) -> None:
        client.start_soon(refuse)
        while True:
            client.get("/")

    with pytest.raises(AuthFailed) as refused, connect(server) as client:
        work(client)

    assert isinstance(refused.value.__context__, ClientClosed)


def test_a_thread_that_waits_is_woken_when_another_closes_the_client(server: str) -> None:
    client = connect(server)
    _, change = client.exists_and_watch("/never")
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(change.wait)
        client.close()

        with pytest.raises(ClientClosed):
            waiting.result(PATIENCE)


def test_an_error_looks_as_if_it_were_raised_here(client: Client) -> None:
    with pytest.raises(NoNode, match="/missing"):
        client.get("/missing")
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        client.get("/", watch=True)  # type: ignore[call-arg]


# Scopes, as threads use them.


def test_what_a_lost_lock_means_to_the_threads_that_work_under_it(client: Client) -> None:
    """The holder computes on, but not with the client; what others send for it, only the token stops."""
    log: list[str] = []

    def send_late(held: Held) -> None:
        with pytest.raises(NoNode):
            client.transaction(held.fence()).set("/", b"late").commit()
        log.append("refused")

    def work() -> None:
        with client.lock("/lock") as held, ThreadPoolExecutor(1) as threads:
            client.delete(held.znode)
            threads.submit(send_late, held).result(PATIENCE)
            log.append("computed")
            client.get("/")
            log.append("went on")

    with pytest.raises(LockLost):
        work()

    assert log == ["refused", "computed"]
    assert client.get("/").data == b""


def test_a_thread_can_ask_how_long_its_right_lasts_and_whether_it_was_lost(client: Client) -> None:
    """Asking works to the end, unlike all that waits."""

    def work() -> None:
        with client.lock("/lock") as held, ThreadPoolExecutor(1) as threads:
            assert 0 < held.remaining() <= held.deadline
            held.check()
            watching = threads.submit(held.wait_lost)
            client.delete(held.znode)
            assert watching.result(PATIENCE) == held.lost
            assert held.remaining() == 0
            with pytest.raises(LockLost):
                held.check()

    with pytest.raises(LockLost):
        work()


def test_scopes_can_be_left_in_any_order_and_by_any_thread(client: Client) -> None:
    """As objects do that enter one when they are started, and leave it when they are stopped."""
    first, second = client.lock("/first"), client.lock("/second")
    with ThreadPoolExecutor(1) as threads:
        threads.submit(first.__enter__).result(PATIENCE)
        threads.submit(second.__enter__).result(PATIENCE)
    events = client.watch("/")
    events.__enter__()
    first.__exit__(None, None, None)

    assert client.get_children("/first") == []
    assert len(client.get_children("/second")) == 1

    second.__exit__(None, None, None)
    events.__exit__(None, None, None)
    assert client.get_children("/second") == []


def test_a_generator_that_is_not_read_to_its_end_lets_go_of_its_lock(client: Client) -> None:
    def numbers() -> Iterator[int]:
        with client.lock("/lock"):
            yield 1
            yield 2

    generator = numbers()
    assert next(generator) == 1
    generator.close()  # type: ignore[attr-defined]

    assert client.get_children("/lock") == []


def test_a_lock_is_not_reentrant_here_either(client: Client) -> None:
    lock = Lock(client, "/lock")
    with lock:
        with pytest.raises(LocalProtocolError, match="in use"):
            lock.__enter__()
        with pytest.raises(LockTimeout):
            Lock(client, "/lock", timeout=0).__enter__()

    assert client.get_children("/lock") == []


# Where it must not, or may, be called.


def test_a_callback_in_the_portal_is_told_that_it_would_wait_for_itself(server: str, client: Client) -> None:
    refusals: list[str] = []

    async def dial(address: Address) -> Stream:
        try:
            client.get("/")
        except LocalProtocolError as refusal:
            refusals.append(str(refusal))
        return await dial_tcp(address)

    with connect(server, dial=dial):
        pass

    assert "event loop's thread" in refusals[0]


def test_a_coroutine_of_another_loop_may_call_and_waits(client: Client) -> None:
    async def story() -> bytes:
        return client.get("/").data

    assert asyncio.run(story()) == b""


def test_the_portal_is_one_thread_that_keeps_no_interpreter_alive(client: Client, server: str) -> None:
    with connect(server):
        portals = [thread for thread in threading.enumerate() if thread.name == "coord_client.sync"]

    assert [thread.daemon for thread in portals] == [True]


def test_a_scope_that_is_being_entered_is_left_if_the_client_is_closed(server: str) -> None:
    holder, client = connect(server), connect(server)
    with holder.lock("/lock"), ThreadPoolExecutor(1) as threads:
        entering = threads.submit(client.lock("/lock").__enter__)
        give_up_at = time.monotonic() + PATIENCE
        while len(holder.get_children("/lock")) < 2:
            assert time.monotonic() < give_up_at
        client.close()

        with pytest.raises(ClientClosed):
            entering.result(PATIENCE)
        assert len(holder.get_children("/lock")) == 1
    holder.close()


class GivenUp:
    """A right that ends by `scope.cancel()`, and takes a moment to be left."""

    def __init__(self) -> None:
        self.is_left = False

    async def __aenter__(self) -> Self:
        self.scope = anyio.CancelScope()
        self.scope.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        is_swallowed = self.scope.__exit__(kind, error, trace)
        await anyio.sleep(0.01)
        self.is_left = True
        return bool(is_swallowed)


def test_a_right_that_ends_while_its_thread_leaves_it_does_not_interrupt_the_leaving() -> None:
    """The loop is kept busy, so that it finds the end and the leaving at once, in this order."""
    portal = the_portal()
    right = GivenUp()
    scope = Scope(portal, right)
    scope.enter()

    portal.post(lambda: time.sleep(0.1))
    portal.post(right.scope.cancel)
    scope.leave(None)

    assert right.is_left
