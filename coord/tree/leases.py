"""Rights that end: sessions and plain leases in one table, with what they own.

A *session* is a lease that a connection keeps alive; a plain *lease* is kept alive by requests, of whatever
session. Both have a length, a deadline by the lease clock, a name, and keys: znodes that are deleted when
they end. Their ids share one space, the zxids of the commands that made them.

The lease clock is milliseconds that leaders stamp into runs (ARCHITECTURE §6); nothing here looks at another
clock. A lease lives while deadline_ms ≥ clock, so it ends in the first run whose clock has passed its
deadline, as a consequence of applying that run, on every member alike.

Not `heapq`: every command of a session moves its deadline, hundreds of times for each session that ever
expires, and each move would leave a stale entry behind. To touch a lease is to store one number. Instead
`bound_ms` is known to be no later than any deadline: touching keeps that true, and only when the clock passes
the bound are all leases looked at, which yields those that ended and the next bound. While clients keep alive
that is a scan about every half ttl.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from coord.tree.acl import Identity
from coord_protocol.extensions import LeaseInfo

NEVER_MS: Final = 1 << 62  # later than any deadline: 10^8 years of milliseconds

# Half a second: "no ephemeral of a dead session older than T + 1 s" (RELIABILITY §2), of which the other half
# is for the entry that ends it.
MAX_GRACE_MS: Final = 500


def grace_ms(ttl_ms: int) -> int:
    """How much later than its ttl a right ends: a tenth of it, at most half a second.

    A sign of life counts from when it was committed, but servers go by when it arrived: they stop to answer a
    session a third of its ttl after that, and clients are silent for about as long when they are idle. The
    grace lets a server wait for the next sign of life to commit before it falls silent itself.

    >>> grace_ms(2000), grace_ms(30_000)
    (200, 500)
    """
    return min(ttl_ms // 10, MAX_GRACE_MS)


@dataclass(slots=True)
class Lease:
    """A session or a plain lease; `epoch` tells which."""

    id: int

    ttl_ms: int
    """What its holder asked for, and counts on."""

    span_ms: int = 0
    """How long it lasts here without a sign of life: ttl_ms and the grace."""

    deadline_ms: int = 0
    """It lives while the lease clock is not past this. Every sign of life moves it to clock + span_ms."""

    name: str = ""
    """What the holder calls itself, for people who look at the list."""

    meta: bytes = b""
    """Whatever the holder of a plain lease wants others to read."""

    epoch: int = 0
    """zxid at which the session got its present connection; 0 for a plain lease, which has none."""

    identities: tuple[Identity, ...] = ()
    """Who the session's connection is; it starts again with the address at each attach."""

    keys: dict[str, int] = field(default_factory=dict)
    """Paths of the znodes that end with it, each with the order of its creation."""

    keys_made: int = 0
    """How many keys there ever were: the order of the next one."""

    @property
    def is_session(self) -> bool:
        return self.epoch != 0

    @property
    def address(self) -> str:
        """Of the session's client; "" for a plain lease, which is nobody's in particular."""
        return next((user for scheme, user in self.identities if scheme == "ip"), "")

    @property
    def kind(self) -> str:
        return "session" if self.epoch else "lease"

    def add_key(self, path: str) -> None:
        self.keys[path] = self.keys_made
        self.keys_made += 1

    def undo_key(self, path: str) -> None:
        """As if the latest `add_key` had not been."""
        del self.keys[path]
        self.keys_made -= 1

    def keys_in_order(self) -> list[str]:
        """Paths in the order of creation, which a dict alone would lose where a multi is undone."""
        return sorted(self.keys, key=self.keys.__getitem__)


Session = Lease
"""Where only a lease with a connection can be meant."""


class End(StrEnum):
    """Why a session or lease is over."""

    EXPIRED = "expired"
    """Its deadline passed."""

    CLOSED = "closed"
    """A session's client said goodbye."""

    REVOKED = "revoked"


class Ended(NamedTuple):
    """`lease` as it was at its end: its keys are those that went with it."""

    lease: Lease
    how: End


class Leases:
    """All sessions and leases by id."""

    def __init__(self) -> None:
        self.table: dict[int, Lease] = {}

        self.bound_ms = NEVER_MS
        """No deadline is earlier. Derived and local: members need not agree on it."""

    @property
    def next_deadline_ms(self) -> int | None:
        """When to look for the dead again; None if nothing can end. Nothing need have ended by then."""
        return self.bound_ms if self.table else None

    def session(self, session_id: int) -> Session | None:
        lease = self.table.get(session_id)
        return lease if lease is not None and lease.epoch else None

    def lease(self, lease_id: int) -> Lease | None:
        """The plain lease; None for a session: requests of others neither prolong nor end those."""
        lease = self.table.get(lease_id)
        return lease if lease is not None and not lease.epoch else None

    def add(self, lease: Lease, clock_ms: int) -> None:
        assert lease.id not in self.table, "ids are zxids, which never repeat"
        self.table[lease.id] = lease
        self.renew(lease, lease.ttl_ms, clock_ms)

    def restore(self, lease: Lease, deadline_ms: int) -> None:
        """A lease from a snapshot."""
        lease.span_ms = lease.ttl_ms + grace_ms(lease.ttl_ms)
        lease.deadline_ms = deadline_ms
        self.table[lease.id] = lease
        self.bound_ms = min(self.bound_ms, deadline_ms)

    def remove(self, lease: Lease) -> None:
        del self.table[lease.id]

    def renew(self, lease: Lease, ttl_ms: int, clock_ms: int) -> None:
        """A sign of life that may come with another ttl. Those that do not just store the new deadline_ms."""
        lease.ttl_ms = ttl_ms
        lease.span_ms = ttl_ms + grace_ms(ttl_ms)
        lease.deadline_ms = clock_ms + lease.span_ms
        self.bound_ms = min(self.bound_ms, lease.deadline_ms)

    def overdue(self, clock_ms: int) -> list[Lease]:
        """Those whose deadline has passed, in order of (deadline, id). Looks at all and moves the bound."""
        ended: list[Lease] = []
        bound = NEVER_MS
        for lease in self.table.values():
            deadline = lease.deadline_ms
            if deadline < clock_ms:
                ended.append(lease)
            elif deadline < bound:
                bound = deadline
        self.bound_ms = bound
        ended.sort(key=lambda lease: (lease.deadline_ms, lease.id))
        return ended

    def info(self, lease_id: int, clock_ms: int) -> LeaseInfo | None:
        """What others may know of a session or lease; None if there is none."""
        lease = self.table.get(lease_id)
        return None if lease is None else _info(lease, clock_ms)

    def infos(self, kind: str, clock_ms: int) -> list[LeaseInfo]:
        """All of a kind ("session" or "lease"; "" for both), oldest first."""
        return [_info(lease, clock_ms) for _, lease in sorted(self.table.items()) if not kind or lease.kind == kind]

    def count(self) -> tuple[int, int, int]:
        """How many sessions, plain leases, and keys of either."""
        sessions = sum(lease.is_session for lease in self.table.values())
        keys = sum(len(lease.keys) for lease in self.table.values())
        return sessions, len(self.table) - sessions, keys


def _info(lease: Lease, clock_ms: int) -> LeaseInfo:
    return LeaseInfo(
        lease_id=lease.id,
        kind=lease.kind,
        name=lease.name,
        ttl_ms=lease.ttl_ms,
        # What its holder may count on, so without the grace.
        remaining_ms=max(0, lease.deadline_ms - clock_ms - (lease.span_ms - lease.ttl_ms)),
        keys=lease.keys_in_order(),
        meta=lease.meta,
        address=lease.address,
    )
