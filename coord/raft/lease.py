"""The leader lease: linearizable reads without a round, as long as clocks keep their bound (thesis §6.4.1).

It saves a read the round trip from the leader to a majority. It costs availability, as elections have to wait for it,
and it is only as good as the clocks: hence a cluster has to ask for it (`Config.lease_reads`).

    promise     Whoever accepts an Append or an offer at time c, by its own clock, helps nobody to replace that leader
                before c + T, T being its election timeout: no vote, no pre-vote, no candidacy of its own. It says so in
                each answer (`AppendReply.lent_ms`).
    lease       The leader knows when it began a heartbeat's round: at s, by its own clock. Answers to that round or a
                later one were given to messages that left after s, so each of these promises lasts until
                s + T * (1 - d) at least, by the leader's clock. As long as a majority is bound (each of both, during a
                change of members), nobody else can lead, and what the leader has committed is all that is committed.

d is `Config.max_clock_drift`: while the fastest clock of any member goes on by one second, the slowest must go on by
1 - d. Here "clock" is the one that `now` is read from. One that stands still, while a virtual machine is frozen, breaks
the bound; one that goes on while a process is stopped does not.

What must hold for that:

1. A promise binds the member, not its role: it survives the loss of the connection, of the leader and of the term. Who
   starts may have given one just before, in an earlier life, and keeps quiet for T.
2. The leader gives its own vote away only with its office, and answers nothing from then on.
3. TimeoutNow asks a peer to be elected in spite of all promises, and may arrive at any time within the term. So a
   leader that ever sent one uses no lease any more; peers that get it are free.
4. Leases count from the beginning of a round, not from its answers, and from promises of voters of the newest
   configuration, however old: a learner's are as good as a voter's once it is one.
5. An entry of the leader's own term is committed, as for every read (`reads`).
6. All inputs of a turn arrived before its `now` was read: what was acknowledged before a read was asked was committed
   before `now`, when nobody else could lead. So a leader that is stopped between reading the clock and answering is
   late, but not wrong: the read took place at `now`, which is between question and answer.

A member without the option promises nothing and counts for nothing; the leader does without a lease then, unless a
majority promises. Each promise names its own length, so members may differ in T as well. What a promise cannot survive
is a restart with another configuration: to turn the option off, or to shorten T, a member must be down for the old T.
"""

from collections import deque
from math import inf

from .config import Config
from .types import Round

NEVER = -inf
"""Until when a promise binds that was not given."""


class Promise:
    """Until when a member helps nobody to replace its leader."""

    __slots__ = ("_length", "lent_ms", "until")

    def __init__(self, config: Config, now: float) -> None:
        self._length = config.election_timeout if config.lease_reads else 0.0
        self.lent_ms = int(self._length * 1000)
        """What each answer to the leader promises, from its arrival on; 0: nothing."""
        self.until = NEVER
        self.renew(now)  # an earlier life may have given it up to its end

    def renew(self, now: float) -> None:
        """The leader was heard."""
        if self.lent_ms:
            self.until = now + self._length

    def release(self) -> None:
        """The leader itself wants to be replaced."""
        self.until = NEVER

    def binds(self, now: float) -> bool:
        return now < self.until


class Heartbeats:
    """When a leader began its latest rounds, by which it measures round trips and leases."""

    __slots__ = ("_begun",)

    def __init__(self, config: Config) -> None:
        # A lease from an older one would have run out.
        count = int(config.election_timeout / config.heartbeat_interval) + 1
        self._begun: deque[tuple[Round, float]] = deque(maxlen=count)

    def begin(self, round_: Round, now: float) -> None:
        self._begun.append((round_, now))

    def confirmed_by(self, round_: Round) -> tuple[Round, float] | None:
        """The newest heartbeat of this round or an older one, and when it began; None if that is too long ago."""
        for heartbeat in reversed(self._begun):
            if heartbeat[0] <= round_:
                return heartbeat
        return None
