"""A candidate: asks for votes, at first only whether asking would help (paper §5.2, thesis §9.6).

    pre   asks about term + 1 without entering it: a member that is cut off, or behind, disturbs nobody
    real  has entered its term and voted for itself; asks as soon as that vote is durable

A pre-vote that finds no majority is repeated soon. A real election that finds none goes back to pre-votes,
each time after a longer wait: a split vote is over quickly, and a disk slower than the first wait gets its
time.
"""

from typing import TYPE_CHECKING

from .messages import Message, PreVoteReply, RequestPreVote, RequestVote, VoteReply
from .quorum import is_majority
from .types import MemberId, Term

if TYPE_CHECKING:
    from .server import Raft


class Candidate:
    """What a member holds while it asks for votes; every attempt is a new Candidate."""

    __slots__ = ("_own_vote", "_votes", "attempt", "deadline", "pre", "transfer")

    def __init__(self, raft: "Raft", now: float, *, pre: bool, attempt: int, transfer: bool) -> None:
        self.pre = pre
        self.attempt = attempt
        """How many real elections we lost in a row."""
        self.transfer = transfer
        """Whether the leader asked for this election (thesis §3.10)."""
        self._own_vote = raft.unsaved_token()
        """The token that makes our own vote durable."""
        self._votes: dict[MemberId, None] = {}
        """Who would vote for us, or did."""
        self.deadline = now + self._wait(raft)
        """When this attempt has failed."""

    def _wait(self, raft: "Raft") -> float:
        config = raft.config
        if self.pre:
            wait = config.pre_vote_interval
        else:
            wait = min(config.election_timeout, config.heartbeat_interval * (1 << min(self.attempt, 16)))
        return wait * (1 + raft.jitter())

    def start(self, raft: "Raft", now: float) -> None:
        """Ask at once what promises nothing; a real vote waits for the disk."""
        if self.pre:
            self._ask(raft, now)

    def _ask(self, raft: "Raft", now: float) -> None:
        request = self._request(raft)
        for peer in raft.configuration.members:
            if peer != raft.member and raft.configuration.has_vote(peer):
                raft.send(peer, request)
        self._count(raft, raft.member, now)

    def _request(self, raft: "Raft") -> Message:
        log = raft.log
        if self.pre:
            return RequestPreVote(Term(raft.term + 1), log.last_index, log.last_term)
        return RequestVote(raft.term, log.last_index, log.last_term, self.transfer)

    def _count(self, raft: "Raft", member: MemberId, now: float) -> None:
        self._votes[member] = None
        if not all(is_majority(voters, self._votes) for voters in raft.configuration.majorities):
            return
        if self.pre:
            raft.become_candidate(now, pre=False, attempt=self.attempt)
        else:
            assert raft.member in self._votes, "we ask for votes only when our own is durable"
            raft.become_leader(now)

    def hears_leader(self, now: float, raft: "Raft") -> bool:
        """A candidate knows of no leader."""
        return False

    def on_pre_vote_reply(self, raft: "Raft", sender: MemberId, message: PreVoteReply, now: float) -> None:
        """A majority that would vote for us is worth a real election."""
        if self.pre and message.granted and message.term == raft.term + 1:
            self._count(raft, sender, now)

    def on_vote_reply(self, raft: "Raft", sender: MemberId, message: VoteReply, now: float) -> None:
        """§5.2: a majority of votes of one term makes a leader."""
        if not self.pre and message.granted:
            self._count(raft, sender, now)

    def on_persisted(self, raft: "Raft", now: float) -> None:
        """Our own vote is durable: from now on it counts, and others may know of it."""
        if not self.pre and raft.member not in self._votes and raft.is_saved(self._own_vote):
            self._ask(raft, now)

    def on_time(self, raft: "Raft", now: float) -> None:
        """Nobody won in time: ask again whether it would help."""
        if raft.member not in self._votes:
            self.deadline = now + self._wait(raft)  # our disk is so slow that we have not asked anybody yet
        else:
            raft.become_candidate(now, pre=True, attempt=self.attempt if self.pre else self.attempt + 1)

    def on_peer_lost(self, raft: "Raft", member: MemberId, now: float) -> None:
        """Its vote, if it gave one, still counts."""

    def on_peer_up(self, raft: "Raft", member: MemberId, now: float) -> None:
        """It may have missed our question: a cluster that starts elects when the second member is there."""
        has_vote = raft.configuration.has_vote(member)
        if has_vote and raft.member in self._votes and member not in self._votes:
            raft.send(member, self._request(raft))

    def on_read_request(self, raft: "Raft", request: int) -> None:
        """Nobody to ask: the request is dropped."""

    def finish_turn(self, raft: "Raft") -> None:
        """Everything was said already."""
