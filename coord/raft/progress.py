"""The leader's view of one peer: how much it holds, and how fast to feed it.

A peer is in one of three states (etcd-io/raft design.md; pipelining: thesis §10.2.2):

    probing       Appends go out empty, one a round; we look for the point where its log joins ours
    replicating   a window of Appends in flight; sent_index runs ahead of match_index
    behind        our log starts after that point: in place of Appends it is offered our snapshot, once a round

A new leader is an optimist: it starts replicating from its own log's end, where most peers are. A member that is added
is probed first. A rejection,
or the loss of the connection, leads to probing; the first accepted probe leads back. Who is behind is so until its
disk holds a place that our log goes on from; nothing is remembered of which snapshot it was offered, so none can be
waited for in vain.
"""

from collections import deque
from dataclasses import dataclass, field

from .config import Config
from .lease import NEVER
from .types import BEFORE_FIRST, NO_ROUND, Index, MemberId, Round


@dataclass(slots=True)
class Progress:
    """What the leader knows of one peer's log. Leader-only; dies with the term."""

    member: MemberId

    sent_index: Index
    """Last entry sent, on which the next Append builds: the paper's nextIndex less one. When we fall back it
    is where the logs may join. Never below match_index; before the log's start only for who is behind."""

    contact: float
    """When it last answered us."""

    since: Round
    """The round in which it became a peer. What it answers to older ones was said when it was a member before."""

    is_probing: bool = False
    """Nothing but probes or offers may leave."""

    is_behind: bool = False
    """Then is_probing as well: no runs may leave, and the probes are offers."""

    match_index: Index = BEFORE_FIRST
    """Highest entry known to be on the peer's disk; it never moves back."""

    round_trip: float | None = None
    """From the newest heartbeat that it answered to the answer, its turn and ours included. None before the first."""

    lent_until: float = NEVER
    """Until then, by our clock, it helps nobody to replace us."""

    acked_round: Round = NO_ROUND
    """Newest round in which the peer still took us for the leader."""

    sent_round: Round = NO_ROUND
    sent_commit: Index = BEFORE_FIRST

    fed_since: Round = NO_ROUND
    """The round in which we last fell back. Answers to older rounds tell about Appends before that: one lost
    Append makes all that follow it bounce, and only the first of these bounces may count."""

    is_reachable: bool = True
    """The transport has not reported it lost, or it has answered since."""

    inflight: deque[tuple[Index, int]] = field(default_factory=deque)
    """(last index, bytes) of each Append with runs that is not acknowledged."""

    inflight_bytes: int = 0

    @property
    def next_index(self) -> Index:
        """As in the paper: the next entry to send."""
        return Index(self.sent_index + 1)

    def has_room(self, config: Config) -> bool:
        """Whether one more Append with runs may leave."""
        return self.inflight_bytes < config.max_inflight_bytes and len(self.inflight) < config.max_inflight_appends

    def sent_runs(self, last: Index, size: int) -> None:
        """Record an Append that carried `size` bytes of runs, up to entry `last`."""
        assert last > self.sent_index
        self.sent_index = last
        self.inflight.append((last, size))
        self.inflight_bytes += size

    def answered(self, round_: Round, now: float) -> None:
        """Record that the peer took us for the leader in this round."""
        self.contact = now
        self.is_reachable = True
        self.acked_round = max(self.acked_round, round_)

    def acknowledge(self, index: Index) -> bool:
        """Record that the peer's disk holds everything up to `index`.

        Returns False for a stale or repeated ack, which the network may well deliver.
        """
        if index <= self.match_index:
            return False
        self.match_index = index
        inflight = self.inflight
        while inflight and inflight[0][0] <= index:
            self.inflight_bytes -= inflight.popleft()[1]
        if index > self.sent_index:
            # After we fell back, a late ack of an earlier Append can overtake us; the logs join there, then.
            self.sent_index = index
            self.is_probing = self.is_behind
        return True

    def fall_back(self, index: Index, round_: Round) -> None:
        """Its log may join ours after `index`: go on from there, with Appends of at least this round."""
        assert not self.is_behind, "it was sent nothing that it could reject"
        assert index >= self.match_index
        self.sent_index = index
        self.probe(round_)
        # What was acknowledged stays there: no need to ask.
        self.is_probing = index != self.match_index

    def fall_behind(self, index: Index, round_: Round) -> None:
        """It needs what follows `index`, and we have that no more: offer it a snapshot from this round on."""
        assert index >= self.match_index
        self.sent_index = index
        self.probe(round_)
        self.is_behind = True

    def catch_up(self) -> None:
        """Its disk holds a place from which our log goes on."""
        assert self.sent_index == self.match_index
        self.is_behind = self.is_probing = False

    def probe(self, round_: Round) -> None:
        """What is in flight may be lost: ask whether it arrived, in this round."""
        self.fed_since = round_
        self.inflight.clear()
        self.inflight_bytes = 0
        self.is_probing = True
