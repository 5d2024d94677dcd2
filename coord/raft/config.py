"""What a member is told about its cluster and its pace. Times are seconds."""

from dataclasses import dataclass

from .configuration import NOBODY, Configuration, Seat
from .types import MAX_RUN_BYTES, MemberId


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The same on all members, apart from `member` and `incarnation`."""

    member: MemberId
    """Who we are."""

    voters: tuple[MemberId, ...]
    """Whose votes count as long as our disk knows of no configuration: the same on all who found a cluster together, in
    ascending order. Empty for a member that joins one."""

    seats: tuple[Seat, ...] = ()
    """What is known of them, likewise."""

    incarnation: int
    """How often this member was started (a durable boot counter). Keeps answers to reads of an earlier life
    apart."""

    heartbeat_interval: float = 0.05
    """How often a leader speaks to every peer, whether it has something to say or not."""

    election_timeout: float = 0.5
    """T: silence of the leader for T … 2T (drawn anew whenever a leader is found) starts an election; silence
    of a majority for T ends a leadership; and whoever heard from a leader less than T ago helps nobody to
    replace it."""

    pre_vote_interval: float = 0.05
    """How long to wait for pre-votes before asking again, times 1 … 2. Short, as a pre-vote disturbs
    nobody."""

    lease_reads: bool = False
    """Whether this member promises its leaders to help nobody to replace them for T, whatever happens, and answers
    reads on the strength of such promises, without a round, when it leads itself (`lease`). A leader that dies is
    missed for T at least, then. Turn it off only while the member is down, for longer than T."""

    max_clock_drift: float = 0.1
    """With lease_reads: while the fastest clock of any member goes on by a second, the slowest goes on by a second
    times 1 less this. A quartz clock is off by less than 0.0002. If the bound is broken reads may be stale; nothing
    else is at stake."""

    max_append_bytes: int = 1 << 20
    """Runs go into one Append up to this size, at least one. 1 MiB: a few milliseconds of a 1 Gbit/s link."""

    max_inflight_appends: int = 64
    """Unacknowledged Appends with runs per peer."""

    max_inflight_bytes: int = 8 << 20
    """Unacknowledged run bytes per peer; the Append that passes the mark is the last one."""

    max_committed_entries: int = 10_000
    """Entries handed out for applying per turn, at least one run. 10,000 at 4 µs each are one missed
    heartbeat: a restarted member that applies its whole log must not fall silent meanwhile."""

    def __post_init__(self) -> None:
        assert self.member > 0, "member ids are positive"
        if self.voters:
            assert self.member in self.voters, "a founder must be one of the voters"
            flaws = list(self.first.flaws())
            assert not flaws, flaws
        assert 0 <= self.incarnation < 1 << 31, "it shares 63 bits with the number of a read"
        assert self.heartbeat_interval > 0
        assert 2 * self.heartbeat_interval <= self.election_timeout, "one lost heartbeat must not start an election"
        assert self.pre_vote_interval > 0
        assert 0 <= self.max_clock_drift < 1
        assert 0 < self.max_append_bytes <= MAX_RUN_BYTES
        assert self.max_inflight_appends > 0
        assert self.max_inflight_bytes > 0
        assert self.max_committed_entries > 0

    @property
    def first(self) -> Configuration:
        """The configuration before there is any in the log."""
        return Configuration(self.voters, seats=self.seats) if self.voters else NOBODY
