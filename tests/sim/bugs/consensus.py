"""Bugs of Raft: votes, the log, what is committed, and what a read may rely on."""

from collections import deque
from typing import Any

import pytest

from coord.raft import Raft
from coord.raft.candidate import Candidate
from coord.raft.follower import Follower
from coord.raft.leader import Leader
from coord.raft.log import Log
from coord.raft.messages import VoteReply
from coord.raft.quorum import agreed
from coord.raft.reads import ForwardedReads, ReadRounds
from coord.raft.types import Round
from coord.replica.syncs import Syncs
from tests.sim.bugs.registry import bug, hiding_bug

# -- promises


@bug
def vote_before_the_disk(patch: pytest.MonkeyPatch) -> None:
    def grant_vote(self: Follower, raft: Raft, candidate: Any, now: float) -> None:
        self.deadline = now + raft.draw_election_timeout()
        raft.send(candidate, VoteReply(raft.term, granted=True))

    patch.setattr(Follower, "grant_vote", grant_vote)


@bug
def ack_before_the_disk(patch: pytest.MonkeyPatch) -> None:
    append = Log.append

    def forward(self: Log, run: Any) -> None:
        append(self, run)
        self.durable_index = self.last_index

    patch.setattr(Log, "append", forward)


@bug
def candidate_asks_before_its_own_vote_is_durable(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Candidate, "start", lambda self, raft, now: self._ask(raft, now))


@bug
def vote_is_remembered_only_in_memory(patch: pytest.MonkeyPatch) -> None:
    """Row 2."""

    def set_hard_state(self: Raft, term: Any, voted_for: Any) -> None:
        self.term, self.voted_for = term, voted_for
        self._hard_state_changed = voted_for is None

    patch.setattr(Raft, "_set_hard_state", set_hard_state)


@hiding_bug
def one_vote_counts_twice(patch: pytest.MonkeyPatch) -> None:
    """The network may repeat a message."""
    count = Candidate._count

    def count_again(self: Candidate, raft: Raft, member: Any, now: float) -> None:
        if member in self._votes:
            member = -len(self._votes)
        count(self, raft, member, now)

    patch.setattr(Candidate, "_count", count_again)


@bug
def refusal_counts_as_a_vote(patch: pytest.MonkeyPatch) -> None:
    def on_vote_reply(self: Candidate, raft: Raft, sender: Any, message: VoteReply, now: float) -> None:
        if not self.pre:
            self._count(raft, sender, now)

    patch.setattr(Candidate, "on_vote_reply", on_vote_reply)


@hiding_bug
def vote_of_an_earlier_term_counts(patch: pytest.MonkeyPatch) -> None:
    settle = Raft._settle_term

    def settle_all_but_votes(self: Raft, sender: Any, message: Any, now: float) -> bool:
        return isinstance(message, VoteReply) or settle(self, sender, message, now)

    patch.setattr(Raft, "_settle_term", settle_all_but_votes)


# -- the log


@bug
def old_term_is_committed_by_counting(patch: pytest.MonkeyPatch) -> None:
    """Figure 8 of the paper."""

    def advance(self: Leader, raft: Raft) -> None:
        raft.commit(agreed([raft.log.durable_index, *(peer.match_index for peer in self.progress.values())]))

    patch.setattr(Leader, "_advance_commit", advance)


@bug
def vote_for_a_log_that_is_behind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Log, "is_up_to_date", lambda self, last_index, last_term: True)


@bug
def append_truncates_without_conflict(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Log, "missing", lambda self, runs: runs)


@bug
def follower_commits_what_it_did_not_compare(patch: pytest.MonkeyPatch) -> None:
    on_append = Follower.on_append

    def on_append_and_commit(self: Follower, raft: Raft, message: Any, now: float) -> None:
        on_append(self, raft, message, now)
        raft.commit(min(message.commit_index, raft.last_index))

    patch.setattr(Follower, "on_append", on_append_and_commit)


@bug
def leader_commits_alone(patch: pytest.MonkeyPatch) -> None:
    def advance(self: Leader, raft: Raft) -> None:
        if raft.log.durable_index >= self.term_start:
            raft.commit(raft.log.durable_index)

    patch.setattr(Leader, "_advance_commit", advance)


@bug
def leader_counts_itself_before_its_disk(patch: pytest.MonkeyPatch) -> None:
    """Row 15, for any size of cluster."""

    def advance(self: Leader, raft: Raft) -> None:
        index = agreed([raft.log.last_index, *(peer.match_index for peer in self.progress.values())])
        if index >= self.term_start:
            raft.commit(index)

    patch.setattr(Leader, "_advance_commit", advance)


@bug
def reply_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    propose = Leader.propose

    def propose_and_commit(self: Leader, raft: Raft, data: bytes, count: int) -> Any:
        index = propose(self, raft, data, count)
        raft.commit(raft.log.last_index)
        return index

    patch.setattr(Leader, "propose", propose_and_commit)


@bug
def follower_acks_what_it_has_beyond_the_leaders_log(patch: pytest.MonkeyPatch) -> None:
    on_append = Follower.on_append

    def on_append_and_boast(self: Follower, raft: Raft, message: Any, now: float) -> None:
        on_append(self, raft, message, now)
        if self.rejected is None:
            self.match_index = raft.last_index

    patch.setattr(Follower, "on_append", on_append_and_boast)


@hiding_bug
def answer_of_the_disk_vouches_for_what_was_cut_off(patch: pytest.MonkeyPatch) -> None:
    """A write under way is answered after the log was truncated and has grown again."""
    truncate = Log.truncate

    def truncate_and_remember(self: Log, first: Any) -> None:
        handed = deque(self._handed)
        truncate(self, first)
        self._handed = handed

    patch.setattr(Log, "truncate", truncate_and_remember)


# -- reads


@hiding_bug
def read_needs_no_round(patch: pytest.MonkeyPatch) -> None:
    """etcd #741: a leader answers without asking whether it still is one."""
    take = ReadRounds.take_confirmed
    patch.setattr(ReadRounds, "take_confirmed", lambda self, round_: take(self, Round(1 << 60)))


@bug
def read_does_not_wait_for_the_no_op(patch: pytest.MonkeyPatch) -> None:
    """etcd #7331: a new leader's commit index is behind what was acknowledged."""
    finish = Leader.finish_turn

    def finish_turn(self: Leader, raft: Raft) -> None:
        if self.reads.waiting:
            self.round = Round(self.round + 1)
            self.reads.start(self.round, raft.commit_index)
        finish(self, raft)

    patch.setattr(Leader, "finish_turn", finish_turn)


@bug
def read_is_answered_by_whoever_is_asked(patch: pytest.MonkeyPatch) -> None:
    for role in (Follower, Leader):
        patch.setattr(role, "on_read_request", lambda self, raft, request: raft.answer_read(request, raft.commit_index))


@hiding_bug
def read_reuses_the_round_under_way(patch: pytest.MonkeyPatch) -> None:
    """Row 6, etcd #20418: a round that started before the request proves nothing for it."""
    finish = Leader.finish_turn

    def finish_turn(self: Leader, raft: Raft) -> None:
        reads = self.reads
        if reads.waiting and raft.commit_index >= self.term_start:
            reads.under_way.append((self.round, raft.commit_index, reads.waiting))
            reads.waiting = []
        finish(self, raft)

    patch.setattr(Leader, "finish_turn", finish_turn)


@hiding_bug
def answer_to_an_earlier_batch_serves_all_reads(patch: pytest.MonkeyPatch) -> None:
    def take_answered(self: ForwardedReads, batch: int) -> list[int]:
        requests = [request for _, requests in self.asked for request in requests]
        self.asked.clear()
        return requests

    patch.setattr(ForwardedReads, "take_answered", take_answered)


@bug
def batch_numbers_of_reads_start_again_with_the_process(patch: pytest.MonkeyPatch) -> None:
    def new_batch(self: Raft) -> int:
        self._batches += 1
        return self._batches

    patch.setattr(Raft, "new_batch", new_batch)


@bug
def sync_does_not_wait_until_the_index_is_applied(patch: pytest.MonkeyPatch) -> None:
    """Row 31."""
    release = Syncs.release
    patch.setattr(Syncs, "release", lambda self, applied: release(self, 1 << 62))
