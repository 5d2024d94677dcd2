"""A server: its directory, its sockets and its loop in one nursery, from start to end.

What runs beside the loop (`coord.server.driver`) is little: the links to other members are dialled and accepted
(`coord.transport.links`), and the end is waited for. Whatever fails in one of them ends the server; nothing is
restarted inside.

Nothing here touches the process that it runs in: `process.py` does that for a server that has one to itself, and
`coord.local.embedded` runs one in somebody else's.
"""

import contextlib
import logging
import random
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import trio

from coord.admin.words import Words
from coord.raft.ready import (
    BecameFollower,
    BecameLeader,
    ElectionStarted,
    QuorumLost,
    TransferAborted,
    TransferStarted,
    Truncated,
    Voted,
)
from coord.raft.types import MemberId
from coord.replica.inputs import (
    ClusterKnown,
    Event,
    FrameTooLong,
    HandOver,
    LevelRaised,
    MembersKnown,
    SnapshotInstalled,
    SnapshotRefused,
    SnapshotTaken,
)
from coord.replica.replica import Replica
from coord.replica.status import quantiles_ms
from coord.server.driver import drive
from coord.server.hub import Hub
from coord.server.roster import Roster
from coord.server.settings import Address, Settings
from coord.server.standpoint import standpoint_of
from coord.server.statistics import statistics_of
from coord.server.users import read_users
from coord.storage.disk import Disk
from coord.storage.files import Files, RealFiles
from coord.storage.store import Store
from coord.transport.handshake import Standpoint
from coord.transport.links import Links
from coord.tree.levels import LEVELS
from coord.version import __version__

log = logging.getLogger("coord.server")

# How long a leader that is to stop waits for another to take over: an election timeout is what Raft gives it.
HAND_OVER_PATIENCE = 1.0
HAND_OVER_POLL = 0.005

BACKLOG = 1024


class CannotListen(Exception):
    """An address is not ours to listen on; the text names it and says what to do."""

    def __init__(self, what: str, address: Address, error: OSError) -> None:
        super().__init__(
            f"cannot listen for {what} on {address}: {error.strerror}; stop what listens there, or choose another"
            f" address with --{'client' if what == 'clients' else 'peer'}"
        )


class MonotonicClock:
    def now(self) -> float:
        return time.monotonic()

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000


Until = Callable[[Address], Awaitable[object]]
"""Called with where clients reach the server as soon as they do. The server stops in good order when it returns."""


async def serve(settings: Settings, until: Until, files: Files | None = None) -> None:
    """Run one member until `until` returns. Its data is in `files`, which are those of `settings.data` if not given.

    With a port of 0 the kernel chooses one. Raises `StorageError`, `CannotListen`, and what the loop dies of.
    """
    member = MemberId(settings.id)
    users = read_users(settings.sasl_users)
    with contextlib.ExitStack() as resources:
        clients = resources.enter_context(_listen("clients", settings.client))
        at = settings.listens_to_members
        peers = None if at is None else resources.enter_context(_listen("members", at))
        settings = replace(settings, client=replace(settings.client, port=clients.getsockname()[1]))
        store = Store.open(RealFiles(str(settings.data)) if files is None else files, member)
        server = _Server(settings, store, users)
        try:
            await server.run(clients, peers, until)
        finally:
            server.close()


class _Server:
    """The parts of a running server, and how they are wired."""

    def __init__(self, settings: Settings, store: Store, users: Mapping[str, str]) -> None:
        self._settings = settings
        self._store = store
        self._failed = trio.Event()
        self._failure: Exception | None = None
        self._trio = trio.lowlevel.current_trio_token()
        clock = MonotonicClock()
        self._replica = Replica(
            settings.replica_config(store.incarnation, store.directory_id, users),
            store.stored,
            store.incarnation,
            clock.now(),
            random.random,
            secrets.token_bytes,
            self._on_event,
            self._tell_of_disk,
            store.read_state(),
        )
        self._hub: Hub = Hub(settings.limits, Words(lambda: statistics_of(self._replica, self._hub)))
        self._disk = Disk(store, self._hub.post, self._fail)
        self._links = Links(self._standpoint, self._hub, "" if settings.join is None else str(settings.join))
        self._roster = Roster(settings)
        self._clock = clock
        if store.snapshots.damaged:
            log.warning(
                "damaged snapshots, which are removed with the next one: %s; the one before and the log had all that"
                " was in them, but check the disk",
                ", ".join(store.snapshots.damaged),
            )
        if store.torn is not None:
            log.warning("the last write before a crash was not finished, and is cut off: %s", store.torn)

    async def run(self, clients: socket.socket, peers: socket.socket | None, until: Until) -> None:
        settings = self._settings
        self._hub.listen(clients)
        log.info(
            "coord %s: member %d serves clients on %s, data in %s",
            __version__,
            settings.id,
            Address(*clients.getsockname()[:2]),
            self._store.directory,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drive, self._replica, self._hub, self._disk, self._clock)
            nursery.start_soon(self._watch_disk)
            if peers is not None:
                nursery.start_soon(self._links.run, trio.SocketListener(trio.socket.from_stdlib_socket(peers)))
            await until(settings.client)
            self._hub.stop_listening(clients)
            await self._hand_over()
            nursery.cancel_scope.cancel()

    def close(self) -> None:
        """Nothing is lost without it, but the next start finds a log that is marked as complete."""
        self._hub.close()
        self._disk.close()

    def _tell_of_disk(self) -> dict[str, Any]:
        """For the status document: what only the server knows."""
        durations = self._disk.durations
        return {"disk": {"syncs": durations.count, **quantiles_ms(durations)}}

    # -- beside the loop

    async def _hand_over(self) -> None:
        """Thesis §3.10: a leader that stops asks another to take over, which costs no election timeout."""
        raft = self._replica.raft
        if not raft.is_leader or len(raft.configuration.voters) == 1:
            return
        self._hub.post(HandOver())
        with trio.move_on_after(HAND_OVER_PATIENCE) as patience:
            while raft.is_leader:
                await trio.sleep(HAND_OVER_POLL)
        if patience.cancelled_caught:
            log.warning("nobody took over within %g s; the others will elect a leader", HAND_OVER_PATIENCE)

    async def _watch_disk(self) -> None:
        await self._failed.wait()
        assert self._failure is not None
        raise self._failure

    def _fail(self, error: Exception) -> None:
        """From whichever thread: the disk took what it may have lost. The process must end."""
        self._failure = error
        self._trio.run_sync_soon(self._failed.set)

    def _standpoint(self) -> Standpoint:
        return standpoint_of(self._replica, self._store)

    def _on_event(self, event: Event) -> None:
        match event:
            case ClusterKnown(cluster_id):
                self._disk.adopt_cluster(cluster_id)
                log.info("this is cluster %016x", cluster_id)
            case MembersKnown(membership):
                self._links.members_changed()
                self._roster.tell(membership)
            case FrameTooLong(address, length, limit):
                self._hub.complain(
                    "disconnected the client at %s: a request of %d bytes, and limits.max_frame_bytes is %d",
                    address,
                    length,
                    limit,
                )
            case LevelRaised(level):
                log.info("all members know level %d, which is in force now: %s", level, LEVELS[level].text)
            case SnapshotTaken(index, size):
                log.info("snapshot of index %d is on disk, %d bytes", index, size)
            case SnapshotInstalled(index, before):
                log.warning(
                    "was at index %d and too far behind: goes on from a snapshot of another member, at index %d",
                    before,
                    index,
                )
            case SnapshotRefused(sender, reason):
                log.warning("member %d sent what cannot be used: %s", sender, reason)
            case BecameLeader(term):
                log.info("leads term %d", term)
            case BecameFollower(term, None):
                log.info("term %d: no leader is known", term)
            case BecameFollower(term, leader):
                log.info("term %d: follows member %d", term, leader)
            case ElectionStarted(term, pre, _):
                log.info("%s term %d", "asks whether it could win" if pre else "stands for leader in", term)
            case Voted(term, candidate):
                log.info("term %d: votes for member %d", term, candidate)
            case QuorumLost(term):
                log.warning("term %d: heard no majority for an election timeout, leads no more", term)
            case Truncated(first, last):
                log.info("drops entries %d to %d, which were never committed", first, last)
            case TransferStarted(term, target):
                log.info("term %d: hands over to member %d", term, target)
            case TransferAborted(term, target):
                log.warning("term %d: member %d did not take over, leads on", term, target)


def _listen(what: str, address: Address) -> socket.socket:
    try:
        family = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((address.host, address.port), family=family, backlog=BACKLOG, reuse_port=False)
    except OSError as error:
        raise CannotListen(what, address, error) from error
    listener.setblocking(False)
    return listener
