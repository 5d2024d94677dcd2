"""Who believes to hold what, in true time: the promise that leases and locks are for.

Holders are judged by what they themselves may believe, not by what the servers think: a claim begins when the
client learns that it has won, and ends when it lets go or when its own clock says that its right may have
ended. Since a belief that has ended never comes back, two beliefs overlap if and only if one of them begins
while the other lasts: it is enough to look when a claim begins.

The other half is looked at when the servers end a session or lease: its holder must not believe in it any more, and
a client that counts any reply as a sign of life must have had the time to notice.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from coord.sim.verdict import Violation


@dataclass(frozen=True, slots=True)
class Claim:
    who: str
    token: int
    believes: Callable[[], bool]
    """Whether the holder still believes, now."""


@dataclass(slots=True)
class Exclusivity:
    is_promised: bool
    """False in runs whose clocks drift further apart than leases allow for."""

    claims: dict[str, Claim] = field(default_factory=dict)
    """By lock: the latest claim."""

    last_tokens: dict[str, int] = field(default_factory=dict)
    won: int = 0

    def begin(self, lock: str, claim: Claim) -> None:
        """`claim.who` learns that it holds `lock`."""
        holder, last = self.claims.get(lock), self.last_tokens.get(lock, 0)
        if self.is_promised and holder is not None and holder.believes():
            raise Violation(
                "never two believers of one lock",
                f"{claim.who} won {lock} with {claim.token}, {holder.who} still believes",
            )
        if self.is_promised and claim.token <= last:
            raise Violation(
                "fencing tokens strictly increase",
                f"{claim.who} won {lock} with token {claim.token} after {last}",
            )
        self.last_tokens[lock] = max(claim.token, last)
        self.claims[lock] = claim
        self.won += 1

    def end(self, lock: str, claim: Claim) -> None:
        """The holder lets go, or has noticed that its time is over."""
        if self.claims.get(lock) is claim:
            del self.claims[lock]


@dataclass(frozen=True, slots=True)
class Belief:
    """What a client makes of a session or lease of its own."""

    who: str
    believes: Callable[[], bool]
    """Whether it would act as the holder, now."""

    is_given_up: Callable[[], bool]
    """Whether it has asked for the end itself."""


SILENCE_BEFORE_END = 0.5
"""ZooKeeper's clients take any reply as a sign that their session stands, and leave by themselves only two thirds of
its length later. So servers say nothing to it in the last two thirds of its life (ARCHITECTURE §6); a half is what is
left of that where clocks drift."""


@dataclass(slots=True)
class LeaseBook:
    """What clients believe of the sessions and leases that they were granted."""

    is_promised: bool
    beliefs: dict[int, Belief] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    told_at: dict[int, float] = field(default_factory=dict)
    """By session: when a server last told it anything, in true time."""

    def granted(self, lease: int, belief: Belief) -> None:
        """The client learns of its lease; that may be too late already, and then it must know."""
        self.beliefs[lease] = belief
        if lease in self.ended:
            self._judge(lease, belief)

    def on_end(self, lease: int, ttl: float, now: float) -> None:
        """The log says that the lease, `ttl` seconds long, has ended: it was given up, or ran out."""
        self.ended.add(lease)
        belief = self.beliefs.get(lease)
        if belief is not None:
            self._judge(lease, belief)
            if belief.is_given_up():
                return
        told_at = self.told_at.pop(lease, None)
        if self.is_promised and told_at is not None and now < told_at + SILENCE_BEFORE_END * ttl:
            raise Violation(
                "whoever is spoken to has time to leave",
                f"session {lease} of {ttl:.3f} s has ended, a server spoke to it {now - told_at:.3f} s before",
            )

    def _judge(self, lease: int, belief: Belief) -> None:
        if self.is_promised and belief.believes():
            raise Violation("no lease ends while its holder believes in it", f"lease {lease} of {belief.who} has ended")
