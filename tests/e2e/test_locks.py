"""Our locks and kazoo's in one queue, while the Raft leader is killed: never two holders, and both go on.

An outside witness, in the memory that all contenders of the test share, sees who is inside.
"""

import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
import trio
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.recipe.lock import Lock as KazooLock

from coord.local.cluster import LocalCluster, running
from coord_client import Client, connect
from coord_client.recipes import Held, Lock, ReadWriteLock
from coord_protocol.errors import ConnectionLost
from tests.e2e.clusters import until
from tests.e2e.test_kazoo import SESSION_TIMEOUT, client_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

KILLS = 3
TURNS = 3  # of each contender, after each kill
STAY = 0.01  # seconds inside
PATH = "/lock"

Kind = Literal["alone", "shared"]


class Witness:
    """Writes down who enters, and whether anybody was inside who should not have been."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside: list[tuple[str, Kind]] = []
        self.turns: Counter[str] = Counter()
        self.breaches: list[str] = []
        self.shared = 0
        """How often somebody came in while others were there, as readers may."""
        self._last_token = 0

    @contextmanager
    def inside(self, name: str, token: int, kind: Kind = "alone") -> Iterator[None]:
        with self._lock:
            if self._inside and {kind, *(each for _, each in self._inside)} != {"shared"}:
                self.breaches.append(f"{name} ({kind}) came in where {self._inside} were")
            # Readers may be let in together and come in any order; everybody else in the order of the tokens.
            if token <= self._last_token and kind == "alone":
                self.breaches.append(f"{name} came in with token {token} after {self._last_token}")
            self._last_token = max(self._last_token, token)
            self.shared += bool(self._inside)
            self._inside.append((name, kind))
            self.turns[name] += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside.remove((name, kind))


Make = Callable[[KazooClient], KazooLock]


class Contest:
    """Contenders of both kinds on one cluster, which come again and again until it is over."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self.witness = Witness()
        self.over = threading.Event()

    def kazoo(self, name: str, make: Make, kind: Kind = "alone") -> None:
        """In a thread."""
        with client_of(self.cluster) as client:
            lock = make(client)
            while not self.over.is_set():
                try:
                    with lock:
                        token = client.get(f"{PATH}/{lock.node}")[1].czxid
                        with self.witness.inside(name, token, kind):
                            self.over.wait(STAY)
                except KazooException:
                    continue

    async def ours(
        self, name: str, make: Callable[[Client], AbstractAsyncContextManager[Held]], kind: Kind = "alone"
    ) -> None:
        """Leaves no orphan behind: looks for one before its session takes it along."""
        async with connect(self.cluster.servers, name=name, session_timeout=SESSION_TIMEOUT) as client:
            while not self.over.is_set():
                try:
                    async with make(client) as held:
                        with self.witness.inside(name, held.token, kind):
                            await trio.sleep(STAY)
                except ConnectionLost:
                    continue
            await self._expect_no_orphan(client)

    @asynccontextmanager
    async def beside(self, *functions: Callable[[], None]) -> AsyncIterator[None]:
        """In threads of their own, for as long as the scope; then all are told that it is over."""
        async with trio.open_nursery() as nursery:
            for function in functions:
                nursery.start_soon(trio.to_thread.run_sync, function)
            try:
                yield
            finally:
                self.over.set()

    async def _expect_no_orphan(self, client: Client) -> None:
        while True:
            children, change = await client.get_children_and_watch(PATH)
            owners = [(await client.exists(f"{PATH}/{child}"), child) for child in children]
            if client.session_id not in [stat.ephemeral_owner for stat, _ in owners if stat]:
                return
            await change.wait()

    async def through_kills(self, *names: str) -> None:
        """Everybody has turns before, between and after the kills."""
        turns = self.witness.turns
        for kill in range(KILLS + 1):
            if kill:
                leader = await self.cluster.leader()
                await self.cluster.kill(leader)
            goals = {name: turns[name] + TURNS for name in names}
            await until(lambda goals=goals: all(turns[name] >= goal for name, goal in goals.items()))  # type: ignore[misc]
            if kill:
                await self.cluster.start(leader)
        assert self.witness.breaches == []


async def test_kazoos_lock_and_ours_have_one_holder_through_kills(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster, trio.open_nursery() as nursery:
        contest = Contest(cluster)
        threads = [partial(contest.kazoo, name, lambda client: client.Lock(PATH)) for name in ("kazoo 1", "kazoo 2")]
        for name in ("ours 1", "ours 2"):
            nursery.start_soon(contest.ours, name, lambda client: Lock(client, PATH))
        async with contest.beside(*threads):
            await contest.through_kills("kazoo 1", "kazoo 2", "ours 1", "ours 2")


async def test_kazoos_readers_and_writers_and_ours_keep_apart_through_kills(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster, trio.open_nursery() as nursery:
        contest = Contest(cluster)
        threads = [
            partial(contest.kazoo, "kazoo writes", lambda client: client.WriteLock(PATH)),
            partial(contest.kazoo, "kazoo reads", lambda client: client.ReadLock(PATH), "shared"),
            partial(contest.kazoo, "kazoo reads, too", lambda client: client.ReadLock(PATH), "shared"),
        ]
        nursery.start_soon(contest.ours, "we write", lambda client: ReadWriteLock(client, PATH).write())
        for name in ("we read", "we read, too"):
            nursery.start_soon(contest.ours, name, lambda client: ReadWriteLock(client, PATH).read(), "shared")
        async with contest.beside(*threads):
            await contest.through_kills("kazoo writes", "kazoo reads", "we write", "we read")
            assert contest.witness.shared > 0
