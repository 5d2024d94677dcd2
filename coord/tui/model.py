"""What there is to see of a cluster at one moment: plain data, made by `history` and drawn by `view`.

Times: `at` and `since` are seconds on the local monotonic clock of whoever polls; `…_ms` are a server's wall clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from coord.tui.claims import Claim
from coord_protocol.extensions import LeaseInfo

OWN_NAME: Final = "coord top"
"""Of the sessions that ask: they hold nothing, and nobody needs to hear of their end."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said when it was last asked, or why it says nothing."""

    address: str
    status: Mapping[str, Any] | None = None
    """The newest that it ever gave (`coord.replica.status`); old if there is an excuse."""

    excuse: str = ""
    """Why it does not answer now; empty if it does."""

    since: float = 0.0
    """When it began not to."""


@dataclass(frozen=True, slots=True)
class Detail:
    """What a contender's znode says about it."""

    token: int
    """The fencing token, if it holds the lock: the zxid at which it entered the queue."""

    created_ms: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Sample:
    """What one round of questions brought."""

    at: float
    answers: Sequence[Answer]
    """One for each server known."""

    rights: Sequence[LeaseInfo] | None
    """All sessions and leases; None if nobody could say."""

    details: Mapping[str, Detail] = field(default_factory=dict)
    """By znode, of those that somebody looks at."""


class Event(NamedTuple):
    """Something that happened, as all who noticed tell it together."""

    at_ms: int
    what: str
    """As in `coord.replica.chronicle`; "lock" for a lock that went from one holder to another."""

    text: str
    why: str
    """Empty if nobody knows."""


Series = Sequence[float | None]
"""One value for each sample, the newest last; None where there is nothing to tell."""


@dataclass(frozen=True, slots=True)
class Member:
    number: int | None
    """None for a server that has never answered, and that no other knows."""

    address: str
    excuse: str = ""
    silent: float = 0.0
    """For how many seconds there has been an excuse."""

    role: str = ""
    """leader, follower or candidate; empty if it never answered. The numbers below are then 0 or None as well."""

    term: int = 0
    commit_index: int = 0
    applied_index: int = 0
    lag: int = 0
    """Entries that it has not applied, of those known to be committed anywhere."""

    round_trip_ms: float | None = None
    """To the leader and back, as the leader measures it."""

    p50_ms: float | None = None
    p99_ms: float | None = None
    """Of its clients' writes, of late."""

    disk_p50_ms: float | None = None
    disk_p99_ms: float | None = None
    """Of writing to its log, with the sync."""

    connections: int = 0
    watches: int = 0
    version: str = ""
    requests: Series = ()
    """Per second."""


@dataclass(frozen=True, slots=True)
class Model:
    """One moment."""

    at: float
    wall_ms: int
    """By the servers; 0 if none ever answered."""

    cluster_id: str = ""
    version: str = ""
    leader: int | None = None
    term: int = 0
    members: Sequence[Member] = ()
    sessions: int = 0
    leases: int = 0
    keys: int = 0
    znodes: int = 0
    watches: int = 0
    claims: Sequence[Claim] = ()
    """In no particular order."""

    are_claims_old: bool = False
    """Nobody could tell them anew: they are the last that were heard."""

    requests: Series = ()
    """Per second, of all members together."""

    latency_ms: Series = ()
    """Of writes: the mean since the sample before; None where there was none."""

    events: Sequence[Event] = ()
    """Oldest first."""

    details: Mapping[str, Detail] = field(default_factory=dict)

    @property
    def answering(self) -> int:
        return sum(not member.excuse for member in self.members)

    @property
    def silent(self) -> float:
        """For how many seconds nobody at all has answered; 0 if somebody does."""
        return 0.0 if self.answering else min((member.silent for member in self.members), default=0.0)
