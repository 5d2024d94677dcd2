"""What a server is told, as types. How it is told with a file and flags: `config.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from coord.raft.config import Config as RaftConfig
from coord.raft.configuration import Seat
from coord.raft.types import MemberId
from coord.replica.config import MAX_FRAME_BYTES, SNAPSHOT_LOG_BYTES, ReplicaConfig

WILDCARDS = ("0.0.0.0", "::")
"""To listen on; no address to be reached at."""


class ConfigError(Exception):
    """The configuration cannot be used; the text names the key, the value and what was expected."""


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations in seconds."""

    heartbeat: float = 0.05
    """A leader is heard at least this often."""

    election: float = 0.5
    """A leader not heard for one to two times this long is replaced; one whose connection broke, at once."""

    lease_reads: bool = False
    """Linearizable reads (sync) need no round trip from the leader to a majority: members promise to elect nobody else
    for `election` after each heartbeat. So a leader that dies is missed for that long at least, and a clock that breaks
    `max_clock_drift` may make a read stale. Read only at start; to turn it off, stop the member for longer than
    `election`."""

    max_clock_drift: float = 0.1
    """By what part of the time the clocks of any two members may run apart, at most, for lease_reads to be right."""

    tick: float = 0.1
    """Keep-alives gather this long into one log entry."""

    min_session: float = 2.0
    max_session: float = 60.0
    """The session timeouts that clients may negotiate."""

    change_patience: float = 60.0
    """A new member that does not come on for so long is given up."""


@dataclass(frozen=True, slots=True)
class Limits:
    max_frame_bytes: int = MAX_FRAME_BYTES
    """A request; ZooKeeper calls it jute.maxbuffer."""

    max_connections: int = 10_000
    max_connections_per_address: int = 5_000
    """One runaway program must not lock out the others."""

    max_output_bytes: int = 8 * 1024 * 1024
    """What a client may leave unread before it is disconnected."""


@dataclass(frozen=True, slots=True)
class Snapshots:
    log_bytes: int = SNAPSHOT_LOG_BYTES
    """The state is written to disk when the log has grown by so much since the last time, or by as much as the state is
    large; then what is older than the last two snapshots is cut off from the log."""


@dataclass(frozen=True, slots=True)
class Settings:
    id: int = 1
    data: Path = Path("coord-data")
    client: Address = Address("127.0.0.1", 2181)
    peer: Address | None = None
    members: Mapping[int, Address] = field(default_factory=dict)
    """Those that found a cluster together. Once it is founded, its own configuration counts."""
    join: Address | None = None
    """The peer address of any member of a cluster that this one is to join."""
    advertise_client: Address | None = None
    super_digest: str = ""
    sasl_users: Path | None = None
    """Who may authenticate by SASL: see `coord.server.users`."""
    reconfig: bool = False
    """Whether operators may change members by ZooKeeper's `reconfig`, too."""
    log_level: str = "info"
    timing: Timing = Timing()
    limits: Limits = Limits()
    snapshots: Snapshots = Snapshots()

    @property
    def voters(self) -> tuple[MemberId, ...]:
        """The founders; nobody, if a cluster is to be joined."""
        if self.join is not None:
            return ()
        return tuple(MemberId(member) for member in sorted(self.members)) or (MemberId(self.id),)

    @property
    def seats(self) -> tuple[Seat, ...]:
        """Where the founders reach each other."""
        addresses = {MemberId(member): str(address) for member, address in self.members.items()}
        return tuple(Seat(member, addresses.get(member, self.peer_address)) for member in self.voters)

    @property
    def listens_to_members(self) -> Address | None:
        """Where; None: a cluster of one, which no other can join."""
        return self.peer or self.members.get(self.id)

    @property
    def peer_address(self) -> str:
        """What members are told; "" if there is nothing to tell, as a wildcard would mean their own machine to them."""
        address = self.members.get(self.id) or self.peer
        return "" if address is None or address.host in WILDCARDS else str(address)

    @property
    def client_address(self) -> Address:
        """What clients are told: never a wildcard, which would mean the client's own machine to them."""
        return self.advertise_client or self.client

    def replica_config(self, incarnation: int, directory_id: int, sasl_users: Mapping[str, str]) -> ReplicaConfig:
        """`incarnation`: how often this member was started on its directory, this time included. `sasl_users`:
        passwords by name."""
        return ReplicaConfig(
            raft=RaftConfig(
                member=MemberId(self.id),
                voters=self.voters,
                seats=self.seats,
                incarnation=incarnation,
                heartbeat_interval=self.timing.heartbeat,
                election_timeout=self.timing.election,
                lease_reads=self.timing.lease_reads,
                max_clock_drift=self.timing.max_clock_drift,
            ),
            client_address=str(self.client_address),
            peer_address=self.peer_address,
            directory_id=directory_id,
            tick=self.timing.tick,
            min_session_timeout=self.timing.min_session,
            max_session_timeout=self.timing.max_session,
            max_frame_bytes=self.limits.max_frame_bytes,
            super_digest=self.super_digest,
            sasl_users=sasl_users,
            reconfig=self.reconfig,
            change_patience=self.timing.change_patience,
            snapshot_log_bytes=self.snapshots.log_bytes,
        )


def parse_address(text: str, key: str = "address") -> Address:
    """`HOST:PORT`, with brackets around an IPv6 host.

    >>> parse_address("127.0.0.1:2181"), str(parse_address("[::1]:2181"))
    (Address(host='127.0.0.1', port=2181), '[::1]:2181')
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"{key} = {text!r}: expected HOST:PORT with a port from 0 to 65535, like 127.0.0.1:2181")
    return Address(host.strip("[]"), int(port))


def check(settings: Settings) -> None:
    """Raises `ConfigError` if they contradict each other, or nobody could serve by them."""
    if not __debug__:
        raise ConfigError("python -O removes checks that keep data safe; start it without -O")
    members, timing = settings.members, settings.timing
    if settings.join is not None and members:
        raise ConfigError(
            f"join = {str(settings.join)!r}: [members] are there as well; those who found a cluster list each other in"
            " [members], and who joins one learns from it who they are: give one of the two"
        )
    if settings.join is not None and settings.peer is None:
        raise ConfigError("peer is missing: who joins a cluster needs HOST:PORT to listen for the other members")
    if members and settings.id not in members:
        listed = ", ".join(str(member) for member in sorted(members))
        raise ConfigError(f"id = {settings.id}: not among the members listed ({listed}); give its number in [members]")
    if not 1 <= settings.id <= 0xFFFF_FFFF:
        raise ConfigError(f"id = {settings.id}: expected a number from 1 to 4294967295")
    if not 0 < timing.heartbeat * 4 <= timing.election:
        raise ConfigError(
            f"timing.election = {timing.election}: expected at least four heartbeats ({timing.heartbeat} s each), "
            "or a healthy leader would be replaced over one late message"
        )
    if not 0 <= timing.max_clock_drift < 1:
        raise ConfigError(
            f"timing.max_clock_drift = {timing.max_clock_drift}: expected a part of the time from 0 to less than 1, "
            "like 0.1"
        )
    if not 0 < timing.min_session <= timing.max_session:
        raise ConfigError(
            f"timing.min_session = {timing.min_session}: expected more than 0 and at most max_session "
            f"({timing.max_session})"
        )
    if timing.change_patience <= 0:
        raise ConfigError(f"timing.change_patience = {timing.change_patience}: expected seconds above 0, like 60")
    if settings.snapshots.log_bytes <= 0:
        raise ConfigError(
            f"snapshots.log_bytes = {settings.snapshots.log_bytes}: expected a number of bytes above 0, like 67108864"
        )
    if settings.super_digest and not settings.super_digest.startswith("super:"):
        raise ConfigError(
            f"super_digest = {settings.super_digest!r}: expected super:BASE64, the digest of super:PASSWORD"
        )
    if settings.log_level not in {"debug", "info", "warning", "error"}:
        raise ConfigError(f"log_level = {settings.log_level!r}: expected debug, info, warning or error")
