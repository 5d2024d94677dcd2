"""A follower: takes what the leader sends, answers it, and waits for silence (paper §5.2, §5.3)."""

from math import inf
from typing import TYPE_CHECKING

from .messages import Append, AppendRejected, AppendReply, OfferSnapshot, ReadIndex, ReadIndexReply, VoteReply
from .reads import ForwardedReads
from .ready import Truncated
from .types import BEFORE_FIRST, NO_ROUND, Index, MemberId, Place, Run

if TYPE_CHECKING:
    from .server import Raft


class Follower:
    """What a member holds while it follows one leader, or none, in one term."""

    __slots__ = (
        "_offer",
        "_offer_match",
        "contact",
        "deadline",
        "granted",
        "match_index",
        "reads",
        "rejected",
        "replied_match",
        "replied_round",
        "round",
        "silence",
    )

    def __init__(self, now: float, wait: float, contact: float) -> None:
        self.silence = wait
        """How long a leader may be silent before we ask for an election."""
        self.contact = contact
        """When the leader last spoke to us; minus infinity if there is none."""
        self.deadline = now + wait
        """When we ask for an election."""
        self.granted: tuple[MemberId, int] | None = None
        """Whom we promised our vote, and the token that makes it durable. Until then the answer waits."""

        self.match_index = BEFORE_FIRST
        """Our log equals the leader's up to here; the disk may be behind (log.durable_index)."""
        self.round = NO_ROUND
        """The newest round among the Appends that we accepted."""
        self.replied_match = BEFORE_FIRST
        self.replied_round = NO_ROUND
        self.rejected: AppendRejected | None = None
        """The newest rejection of this turn."""
        self._offer: tuple[MemberId, Place] | None = None
        self._offer_match = BEFORE_FIRST
        """match_index when the offer came."""
        self.reads = ForwardedReads()

    def hears_leader(self, now: float, raft: "Raft") -> bool:
        """Leader stickiness (thesis §4.2.3): whether there is a leader that we would not vote out."""
        return now - self.contact < raft.config.election_timeout

    def _hear(self, raft: "Raft", now: float) -> None:
        """The leader has spoken."""
        self.contact = now
        self.deadline = now + self.silence
        raft.promise.renew(now)

    def on_append(self, raft: "Raft", message: Append, now: float) -> None:
        """§5.3: take the runs in if our log holds what comes before them, and learn what is committed."""
        self._hear(raft, now)
        log = raft.log
        last, runs = message.prev_index, message.runs
        if not log.has(last, message.prev_term):
            if last >= log.start.index:
                self._reject(raft, message)
                return
            # What we have cut off is committed, and so is what a leader has: our logs are equal up to our commit
            # index at least. To look for a conflict before that would find one in what we do not hold.
            last, runs = raft.commit_index, self._after(raft.commit_index, runs)
        if runs:
            last = runs[-1].last
            missing = log.missing(runs)
            if missing:
                if missing[0].first <= log.last_index:
                    self._truncate(raft, missing[0].first)
                log.extend(missing)
        self.match_index = max(self.match_index, last)
        self.round = max(self.round, message.round)
        # Beyond match_index our log may still differ from the leader's, whatever the leader has committed
        # there.
        raft.commit(min(message.commit_index, self.match_index))

    def _reject(self, raft: "Raft", message: Append) -> None:
        hint = raft.log.joint(message.prev_index, message.prev_term)
        assert hint is not None, "the leader lacks what we have cut off, which was committed"
        self.rejected = AppendRejected(raft.term, message.round, message.prev_index, hint, raft.log.term_at(hint))

    @staticmethod
    def _after(index: Index, runs: tuple[Run, ...]) -> tuple[Run, ...]:
        """Those of the runs that follow `index`, a boundary in both logs."""
        return tuple([run for run in runs if run.first > index])

    def on_offer(self, raft: "Raft", sender: MemberId, message: OfferSnapshot, now: float) -> None:
        """Paper §7: the leader cannot go on from where our log ends. If we are that far already, it should know."""
        self._hear(raft, now)
        self.round = max(self.round, message.round)
        place = Place(message.index, message.snapshot_term)
        if raft.commit_index >= place.index:
            self.match_index = max(self.match_index, raft.commit_index)
        elif raft.log.has(place.index, place.term):
            self.match_index = max(self.match_index, place.index)
        elif self.offer is None or self.offer[1].index < place.index:  # the network may turn the order round
            self._offer = sender, place
            self._offer_match = self.match_index

    @property
    def offer(self) -> tuple[MemberId, Place] | None:
        """The leader, and its snapshot that we need to go on; None if we need none.

        Once we have more in common with the leader than when it made the offer, it has no reason to hold on to it:
        we installed what we needed, or it was there already. If it still cannot go on, it offers again.
        """
        return self._offer if self.match_index == self._offer_match else None

    def on_installed(self, place: Place) -> None:
        """Our state and log are those at `place` or later. It is committed: our leader's are so as well."""
        self.match_index = max(self.match_index, place.index)

    def _truncate(self, raft: "Raft", first: Index) -> None:
        assert first > raft.commit_index, f"the leader contradicts our committed run at {first}"
        assert first > self.match_index, "the leader contradicts itself"
        raft.happen(Truncated(first, raft.log.last_index))
        raft.log.truncate(first)

    def grant_vote(self, raft: "Raft", candidate: MemberId, now: float) -> None:
        """Answer the candidate when the vote is durable; and give it time to win (§5.2)."""
        self.granted = candidate, raft.unsaved_token()
        self.deadline = now + raft.draw_election_timeout()
        self.on_persisted(raft, now)

    def on_persisted(self, raft: "Raft", now: float) -> None:
        """The disk has answered: a vote that was promised is true now. Acks leave with the turn."""
        if self.granted is not None and raft.is_saved(self.granted[1]):
            raft.send(self.granted[0], VoteReply(raft.term, granted=True))
            self.granted = None

    def on_time(self, raft: "Raft", now: float) -> None:
        """The leader is silent: find out whether an election would help (§5.2, thesis §9.6). Who has no vote waits."""
        if raft.promise.binds(now):
            # So are the others, and until the same moment, if they heard the leader's last words: let one be first.
            self.deadline = raft.promise.until + raft.config.heartbeat_interval * raft.jitter()
        elif raft.may_stand:
            raft.become_candidate(now, pre=True)
        elif raft.leader is not None:
            raft.become_follower(raft.term, None, now)
        else:
            self.deadline = now + raft.draw_election_timeout()

    def on_peer_lost(self, raft: "Raft", member: MemberId, now: float) -> None:
        """A reset connection is as good as silence, of a leader or of the candidate we wait for."""
        if member == raft.leader:
            raft.distrust(member, now)
        if member == raft.leader or (raft.leader is None and member == raft.voted_for):
            # Less than a heartbeat: the others saw the reset as well, and who is first needs a round trip's
            # lead.
            raft.become_follower(raft.term, None, now, wait=raft.config.heartbeat_interval * raft.jitter())

    def on_peer_up(self, raft: "Raft", member: MemberId, now: float) -> None:
        """A follower waits to be spoken to."""

    def on_read_request(self, raft: "Raft", request: int) -> None:
        """Ask the leader at the end of the turn; without one the request is dropped."""
        if raft.leader is not None:
            self.reads.waiting.append(request)

    def on_read_index_reply(self, raft: "Raft", message: ReadIndexReply) -> None:
        """The leader vouches for this index."""
        for request in self.reads.take_answered(message.batch):
            raft.answer_read(request, message.index)

    def finish_turn(self, raft: "Raft") -> None:
        """Answer the leader once for all that it sent, and ask it once for all reads."""
        leader = raft.leader
        if leader is None:
            return
        match_index = min(self.match_index, raft.log.durable_index)
        if match_index > self.replied_match or self.round > self.replied_round:
            self.replied_match = match_index
            self.replied_round = self.round
            raft.send(leader, AppendReply(raft.term, self.round, match_index, raft.promise.lent_ms))
        if self.rejected is not None:
            if self.rejected.prev_index > self.match_index:  # else what was missing came later in the turn
                raft.send(leader, self.rejected)
            self.rejected = None
        if self.reads.waiting:
            batch = raft.new_batch()
            self.reads.send(batch)
            raft.send(leader, ReadIndex(raft.term, batch))


NO_CONTACT = -inf
"""Contact of a follower that has no leader."""
