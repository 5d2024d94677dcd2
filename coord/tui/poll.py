"""Asking the cluster, once a round: each member in a session of its own, which is kept.

A session costs log entries to begin and to end, so it is begun once; a client whose server dies looks for it again by
itself, for as long as it takes. Members that are not among the servers given are found through those that are.

Whoever does not answer within `PATIENCE` of a round is late: its question stays open, nobody waits for it any more, and
it is asked again when it has answered.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import trio

from coord.tui.model import OWN_NAME, Answer, Detail, Sample
from coord_client import Client, connect
from coord_client.addresses import Address, parse_hosts
from coord_protocol.errors import ConnectionLost, CoordError, ExtensionUnavailable, SessionExpired
from coord_protocol.extensions import LeaseInfo

PATIENCE: Final = 0.5  # seconds; a healthy server answers in a few milliseconds
SESSION_TIMEOUT: Final = 6.0  # a server that stands still is given up after two thirds of it
RETRY_TIMEOUT: Final = 0.5  # for a connection, per question
CONNECT_TIMEOUT: Final = 2.0
PAUSE: Final = 0.5  # between attempts to begin a session
FAREWELL_TIMEOUT: Final = 0.5  # for the sessions to end in order
DETAILS_AT_ONCE: Final = 50  # znodes looked at per round; a longer queue is complete after some rounds

NO_ANSWER: Final = "no answer"
NO_LEADER: Final = "no leader"
LATE: Final = "late"
NOT_COORD: Final = "not coord"
"""A plain ZooKeeper: it has no status to give."""


class Source:
    """One server, and what is known of it."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.client: Client | None = None
        """While there is a session."""
        self.answer = Answer(str(address), excuse=NO_ANSWER, since=trio.current_time())
        self.problem = ""
        """Why it did not answer last, in full."""
        self.is_settled = False
        """It has answered once, or failed to."""
        self.is_late = False
        self._is_stopped = False
        self._asked = trio.Event()
        self._done = trio.Event()

    @property
    def is_answering(self) -> bool:
        return not self.answer.excuse

    def stop(self) -> None:
        """Let `run` end the session and return: one that is cancelled leaves it to expire."""
        self._is_stopped = True
        self._asked.set()

    async def run(self) -> None:
        """Until stopped or cancelled."""
        while not self._is_stopped:
            try:
                async with connect(
                    str(self.address),
                    session_timeout=SESSION_TIMEOUT,
                    retry_timeout=RETRY_TIMEOUT,
                    connect_timeout=CONNECT_TIMEOUT,
                    name=OWN_NAME,
                ) as client:
                    self.client = client
                    await self._answer_questions(client)
            except CoordError as error:
                # Who comes here was never connected: afterwards the client itself goes on looking for the server.
                await self._fail(error)
            self.client = None
            if not self._is_stopped:
                await trio.sleep(PAUSE)

    async def ask(self) -> None:
        """What it says now. Does not wait for one that is late, or that did not answer last time, either."""
        if self.is_late:
            return
        self._done = trio.Event()
        self._asked.set()
        if self.is_settled and not self.is_answering:
            return
        with trio.move_on_after(PATIENCE):
            await self._done.wait()
            return
        if self.is_settled:
            self.is_late = True
            self._excuse(LATE)

    async def _answer_questions(self, client: Client) -> None:
        while not self._is_stopped:
            try:
                status = await client.status()
                self.answer = Answer(str(self.address), status)
                self.problem = ""
            except ExtensionUnavailable as error:
                self.problem = f"{self.address}: {error}"
                self._excuse(NOT_COORD)
            except CoordError as error:
                await self._fail(error)
            self.is_settled = True
            self.is_late = False
            self._done.set()
            if not self._is_stopped:
                self._asked = trio.Event()
                await self._asked.wait()

    async def _fail(self, error: CoordError) -> None:
        self.problem = str(error)
        self._excuse(NO_LEADER if await is_up(self.address) else NO_ANSWER)
        self.is_settled = True

    def _excuse(self, excuse: str) -> None:
        """It keeps the time of the first excuse, and what it said before."""
        old = self.answer
        since = old.since if old.excuse else trio.current_time()
        self.answer = Answer(old.address, old.status, excuse, since)


@asynccontextmanager
async def following(servers: Sequence[Address]) -> AsyncIterator["Cluster"]:
    """A cluster to ask. Whoever leaves the scope without being cancelled ends its sessions; others let them expire."""
    async with trio.open_nursery() as nursery:
        cluster = Cluster(servers, nursery)
        yield cluster
        for source in cluster.sources:
            source.stop()
        nursery.cancel_scope.deadline = trio.current_time() + FAREWELL_TIMEOUT


class Cluster:
    """All servers that are known, asked together: see `following`."""

    def __init__(self, servers: Sequence[Address], nursery: trio.Nursery) -> None:
        """Each server's task runs in `nursery`."""
        self._nursery = nursery
        self.sources: list[Source] = []
        self._details: dict[str, Detail] = {}
        for address in dict.fromkeys(servers):
            self._add(address)

    async def settle(self) -> None:
        """Wait until each server given, and each member found through them, has answered or failed to."""
        with trio.move_on_after(CONNECT_TIMEOUT + 2 * PATIENCE):
            while True:
                while not all(source.is_settled for source in self.sources):
                    await trio.sleep(0.01)
                if not self._learn():
                    return

    async def sample(self, looked_at: Collection[str]) -> Sample:
        """One round. `looked_at`: znodes of which details are wanted."""
        async with trio.open_nursery() as asking:
            for source in self.sources:
                asking.start_soon(source.ask)
        if all(source.is_settled for source in self.sources):
            self._learn()
        rights = None
        for source in self._most_up_to_date():
            rights = await _within_patience(source, looked_at, self._details)
            if rights is not None:
                break
        self._details = {znode: detail for znode, detail in self._details.items() if znode in looked_at}
        return Sample(trio.current_time(), [source.answer for source in self.sources], rights, dict(self._details))

    @property
    def problems(self) -> list[str]:
        return [source.problem for source in self.sources if source.problem]

    def _add(self, address: Address) -> None:
        source = Source(address)
        self.sources.append(source)
        self._nursery.start_soon(source.run)

    def _learn(self) -> bool:
        """Begin to ask members that others know of; whether there was any.

        Not those that answer already, perhaps under another name: "localhost" may well be 127.0.0.1.
        """
        statuses = [source.answer.status for source in self.sources if source.answer.status is not None]
        answered = {status["member"] for status in statuses}
        addresses = {source.address for source in self.sources}
        found = {
            parse_hosts(known["client"])[0][0]: None
            for status in statuses
            for member, known in status["members"].items()
            if known["client"] and int(member) not in answered
        }
        new = [address for address in found if address not in addresses]
        for address in new:
            self._add(address)
        return bool(new)

    def _most_up_to_date(self) -> Iterable[Source]:
        """Those that answer, the leader first: it knows of every lease and how long it still lasts."""

        def freshness(source: Source) -> tuple[bool, int]:
            status = source.answer.status or {}
            return status.get("role") == "leader", status.get("applied_index", 0)

        return sorted((source for source in self.sources if source.is_answering), key=freshness, reverse=True)


async def is_up(address: Address) -> bool:
    """A server that knows no leader gives no sessions, but answers four-letter words."""
    with trio.move_on_after(PATIENCE):
        try:
            async with await trio.open_tcp_stream(address.host, address.port) as stream:
                await stream.send_all(b"ruok")
                return await stream.receive_some(4) == b"imok"
        except (OSError, trio.BrokenResourceError):
            return False
    return False


async def _within_patience(
    source: Source, looked_at: Collection[str], details: dict[str, Detail]
) -> list[LeaseInfo] | None:
    """All sessions and leases, and what is still missing of the details; None if the server does not say."""
    client = source.client
    if client is None:
        return None
    with trio.move_on_after(PATIENCE):
        try:
            rights = await client.leases()
            for znode in [znode for znode in looked_at if znode not in details][:DETAILS_AT_ONCE]:
                await _look_at(client, znode, details)
            return rights
        except CoordError:
            return None
    return None


async def _look_at(client: Client, znode: str, details: dict[str, Detail]) -> None:
    """What never changes about a contender. Nothing if it is gone, or not for us to read."""
    try:
        data, stat = await client.get(znode)
    except CoordError as error:
        if isinstance(error, ConnectionLost | SessionExpired):
            raise
        return
    details[znode] = Detail(stat.czxid, stat.ctime, data)
