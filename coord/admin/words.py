"""The four-letter words: what people and monitoring ask a server with `echo stat | nc`, answered as ZooKeeper 3.8 does.

    ruok   imok, from any server that still takes connections
    isro   rw, or null without a leader
    srvr   version, latencies, counters, mode
    stat   the same and a line for each connection
    mntr   one `key TAB value` a line; ours begin with coord_, all others are ZooKeeper's
    envi   version and environment

A server that knows no leader serves nobody and says so to srvr, stat and mntr. ZooKeeper's other words get the answer
that ZooKeeper gives where they are switched off.
"""

import os
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from coord.version import __version__

ZOOKEEPER_VERSION = f"3.9.5-coord-{__version__}, built on 1970-01-01 00:00 UTC"
"""Whose clients may expect to be at home here. kazoo wants numbers and dots first, tools cut it at `-` or `,`. All
builds of a version are alike and have no date; there is one because a parser may look for it."""

_NOT_SERVING = "This ZooKeeper instance is not currently serving requests\n"

_SWITCHED_OFF = frozenset(b"conf cons crst dirs dump gtmk srst stmk wchc wchp wchs".split())


class Mode(StrEnum):
    LEADER = "leader"
    FOLLOWER = "follower"
    STANDALONE = "standalone"
    """The only member of its cluster."""
    OBSERVER = "observer"
    """A member without a vote: a learner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStatistics:
    address: str
    """`host:port` of the client."""

    queued: int
    """Requests that are not answered yet."""

    received: int
    sent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Leading:
    """What only a leader of several members knows."""

    followers: int
    """All other members that it reaches, learners as well."""

    synced_followers: int
    """Those voters that hold, durably, everything that is committed; and, likewise, learners:"""

    synced_observers: int

    uptime_ms: int
    """Since it became leader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """A server at one moment. Counters are since its start; packets are requests in, replies and notifications out."""

    mode: Mode | None
    """None: it knows no leader and serves nobody."""

    leading: Leading | None = None
    """With `Mode.LEADER` only."""

    voters: int
    uptime_ms: int

    zxid: int
    """The last applied index."""

    term: int
    commit_index: int

    znode_count: int
    approximate_data_size: int
    """Bytes of all paths and data."""

    ephemerals: int
    watch_count: int
    sessions: int
    leases: int

    connection_count: int
    connections: Iterable[ConnectionStatistics]
    """Only `stat` looks at them, so they may be made as it goes."""

    rejected_connections: int
    """Beyond a limit, closed at once."""

    dropped_connections: int
    """Closed by this server later: too slow a reader, bytes that are no request."""

    min_latency_ms: float
    avg_latency_ms: float
    max_latency_ms: float

    received: int
    sent: int
    outstanding: int
    """Requests that are not answered yet."""

    open_file_descriptors: int
    max_file_descriptors: int


class Words:
    """Answers for one server."""

    def __init__(self, statistics: Callable[[], Statistics]) -> None:
        """`statistics` is called for each word that needs it, within a turn: it should not take long."""
        self._statistics = statistics
        self._environment = _environment()
        self._words: Mapping[bytes, Callable[[], str]] = {
            b"ruok": lambda: "imok",
            b"isro": self._isro,
            b"srvr": self._srvr,
            b"stat": self._stat,
            b"mntr": self._mntr,
            b"envi": lambda: self._environment,
        }

    def answer(self, first_bytes: bytes) -> bytes | None:
        """The text to send before closing; None if a connection that begins so is not asking with a word.

        As ZooKeeper, we look at four bytes and at nothing behind them (a newline, mostly). A client's first four are
        the length of a frame, which is never so large that it could be mistaken for letters.
        """
        word = first_bytes[:4]
        answer = self._words.get(word)
        if answer is not None:
            return answer().encode()
        if word in _SWITCHED_OFF:
            return word + b" is not executed because it is not in the whitelist.\n"
        return None

    def _isro(self) -> str:
        return "null" if self._statistics().mode is None else "rw"

    def _srvr(self) -> str:
        now = self._statistics()
        return _NOT_SERVING if now.mode is None else f"Zookeeper version: {ZOOKEEPER_VERSION}\n{_summary(now)}"

    def _stat(self) -> str:
        now = self._statistics()
        if now.mode is None:
            return _NOT_SERVING
        clients = "".join(
            # In brackets Java's interest set: 1, it reads.
            f" /{client.address}[1](queued={client.queued},recved={client.received},sent={client.sent})\n"
            for client in now.connections
        )
        return f"Zookeeper version: {ZOOKEEPER_VERSION}\nClients:\n{clients}\n{_summary(now)}"

    def _mntr(self) -> str:
        now = self._statistics()
        if now.mode is None:
            return _NOT_SERVING
        return "".join(f"{key}\t{value}\n" for key, value in _monitored(now).items())


def _summary(now: Statistics) -> str:
    lines = [
        f"Latency min/avg/max: {int(now.min_latency_ms)}/{round(now.avg_latency_ms, 4)}/{int(now.max_latency_ms)}",
        f"Received: {now.received}",
        f"Sent: {now.sent}",
        f"Connections: {now.connection_count}",
        f"Outstanding: {now.outstanding}",
        f"Zxid: {now.zxid:#x}",
        f"Mode: {now.mode}",
        f"Node count: {now.znode_count}",
    ]
    if now.leading is not None:
        # What ZooKeeper says as long as there was none: we do not propose one at a time.
        lines.append("Proposal sizes last/min/max: -1/-1/-1")
    return "\n".join(lines) + "\n"


def _monitored(now: Statistics) -> dict[str, object]:
    assert now.mode is not None
    monitored: dict[str, object] = {
        "zk_version": ZOOKEEPER_VERSION,
        "zk_server_state": now.mode,
        "zk_ephemerals_count": now.ephemerals,
        "zk_num_alive_connections": now.connection_count,
        "zk_min_latency": int(now.min_latency_ms),
        "zk_avg_latency": round(now.avg_latency_ms, 4),
        "zk_max_latency": int(now.max_latency_ms),
        "zk_outstanding_requests": now.outstanding,
        "zk_znode_count": now.znode_count,
        "zk_global_sessions": now.sessions,
        "zk_local_sessions": 0,  # ours are always known to all
        "zk_packets_sent": now.sent,
        "zk_packets_received": now.received,
        "zk_watch_count": now.watch_count,
        "zk_approximate_data_size": now.approximate_data_size,
        "zk_open_file_descriptor_count": now.open_file_descriptors,
        "zk_max_file_descriptor_count": now.max_file_descriptors,
        "zk_connection_rejected": now.rejected_connections,
        "zk_connection_drop_count": now.dropped_connections,
        "zk_uptime": now.uptime_ms,
    }
    if now.mode is not Mode.STANDALONE:
        doing = {Mode.LEADER: "leading", Mode.OBSERVER: "observing"}.get(now.mode, "following")
        monitored |= {"zk_peer_state": f"{doing} - broadcast", "zk_quorum_size": now.voters}
    if now.leading is not None:
        monitored |= {
            "zk_learners": now.leading.followers,  # since 3.6, and as many tools still call it:
            "zk_followers": now.leading.followers,
            "zk_synced_followers": now.leading.synced_followers,
            "zk_synced_observers": now.leading.synced_observers,
            "zk_synced_non_voting_followers": 0,
            "zk_pending_syncs": 0,  # a sync takes no place in a queue: it is one round for all (thesis §6.4)
            "zk_leader_uptime": now.leading.uptime_ms,
        }
    return monitored | {
        "coord_version": __version__,
        "coord_term": now.term,
        "coord_commit_index": now.commit_index,
        "coord_applied_index": now.zxid,
        "coord_sessions": now.sessions,
        "coord_leases": now.leases,
    }


def _environment() -> str:
    """Of this process, as it started. kazoo learns the server's version from the first 8 KiB."""
    system = platform.uname()
    environment = {
        "zookeeper.version": ZOOKEEPER_VERSION,
        "coord.version": __version__,
        "host.name": system.node,
        "python.version": platform.python_version(),
        "python.implementation": platform.python_implementation(),
        "os.name": system.system,
        "os.arch": system.machine,
        "os.version": system.release,
        "user.name": os.environ.get("USER", str(os.getuid())),
        "user.home": os.path.expanduser("~"),
        "user.dir": os.getcwd(),
    }
    return "Environment:\n" + "".join(f"{key}={value}\n" for key, value in environment.items())
