"""Who may lead: paper §5.2 and §5.4.1; thesis §4.2.3 (stickiness), §6.2 (check-quorum), §9.6 (pre-vote)."""

import pytest

from coord.raft import MemberId
from coord.raft.candidate import Candidate
from coord.raft.follower import Follower
from coord.raft.messages import (
    AppendReply,
    NewerTerm,
    PreVoteReply,
    ReadIndex,
    RequestPreVote,
    RequestVote,
    TimeoutNow,
    VoteReply,
)
from coord.raft.ready import BecameFollower, BecameLeader, ElectionStarted, QuorumLost, Voted
from coord.raft.types import BEFORE_FIRST, Index, Round, Term

from .texts import append, elect, follower, leader, member, save, save_and_say, say

ONE, TWO, THREE = MemberId(1), MemberId(2), MemberId(3)


def request_vote(term: int, last: str = "0/0", *, transfer: bool = False) -> RequestVote:
    last_term, _, last_index = last.partition("/")
    return RequestVote(Term(term), Index(int(last_index)), Term(int(last_term)), transfer)


def request_pre_vote(term: int, last: str = "0/0") -> RequestPreVote:
    last_term, _, last_index = last.partition("/")
    return RequestPreVote(Term(term), Index(int(last_index)), Term(int(last_term)))


# Starting an election.


def test_member_that_starts_asks_soon() -> None:
    """A cluster that starts must not wait for the silence of a leader that never was."""
    raft = member()

    assert raft.next_deadline() <= 2 * raft.config.heartbeat_interval

    raft.advance_time(raft.next_deadline())

    assert say(raft) == ["2: pre-vote? t1 0/0", "3: pre-vote? t1 0/0"]


def test_follower_that_hears_nothing_asks_for_pre_votes_and_keeps_its_term() -> None:
    """Thesis §9.6: a pre-vote asks about the next term without entering it."""
    raft = follower("1/1")
    deadline = raft.next_deadline()
    assert 0.5 <= deadline < 1.0

    raft.advance_time(deadline - 0.001)
    assert raft.leader == ONE
    raft.advance_time(deadline)

    assert raft.term == 1
    assert raft.leader is None
    assert say(raft) == ["1: pre-vote? t2 1/1", "3: pre-vote? t2 1/1"]


def test_silence_is_counted_from_the_last_append() -> None:
    """§5.2: a follower stays one as long as it hears from its leader."""
    raft = follower("1/1")

    raft.step(ONE, append("1/1", round_=2), 0.4)

    assert raft.next_deadline() == pytest.approx(0.4 + 0.75)


def test_pre_votes_are_asked_again_soon() -> None:
    """A pre-vote disturbs nobody, so there is no reason to wait long for an answer."""
    raft = member()
    raft.advance_time(0.08)
    say(raft)

    raft.advance_time(raft.next_deadline())

    assert raft.next_deadline() - 0.08 <= 4 * raft.config.pre_vote_interval
    assert say(raft) == ["2: pre-vote? t1 0/0", "3: pre-vote? t1 0/0"]


def test_an_election_is_announced_once_however_often_pre_votes_are_repeated() -> None:
    """What happened goes to a log that people read."""
    raft = member()
    raft.advance_time(0.08)
    assert raft.take_ready().happened == [ElectionStarted(Term(1), pre=True, silence=None)]

    raft.advance_time(raft.next_deadline())

    assert raft.take_ready().happened == []


def test_pre_candidate_stands_when_a_majority_would_vote_for_it() -> None:
    """Thesis §9.6: only then it enters the next term, and asks once its own vote is durable."""
    raft = member()
    raft.advance_time(0.08)
    say(raft)

    raft.step(TWO, PreVoteReply(Term(1), granted=True), 0.08)
    ready = raft.take_ready()

    assert (raft.term, raft.voted_for) == (1, ONE)
    assert ready.messages == []
    assert ready.persist is not None
    raft.persisted(ready.persist.token, 0.081)
    assert say(raft) == ["2: vote? t1 0/0", "3: vote? t1 0/0"]


def test_pre_candidate_counts_each_member_once() -> None:
    """The network may repeat an answer; two of five, heard twice, are no majority."""
    raft = member(voters=(1, 2, 3, 4, 5))
    raft.advance_time(0.08)

    raft.step(TWO, PreVoteReply(Term(1), granted=True), 0.08)
    raft.step(TWO, PreVoteReply(Term(1), granted=True), 0.08)

    assert raft.term == 0


def test_old_pre_votes_do_not_count_for_a_new_question() -> None:
    """Who would have voted for us a while ago may hear a leader now."""
    raft = member(voters=(1, 2, 3, 4, 5))
    raft.advance_time(0.08)
    raft.step(TWO, PreVoteReply(Term(1), granted=True), 0.08)

    raft.advance_time(raft.next_deadline())
    raft.step(THREE, PreVoteReply(Term(1), granted=True), 0.3)

    assert raft.term == 0


def test_candidate_with_a_majority_of_votes_leads_and_writes_a_no_op() -> None:
    """§5.2; §8: the no-op lets it find out what is committed."""
    raft = member("1/1-3")
    elect(raft)

    ready = raft.take_ready()

    assert raft.is_leader
    assert (raft.leader, raft.last_index) == (ONE, 4)
    assert raft.log.runs[-1].data == b""
    assert BecameLeader(Term(2)) in ready.happened


def test_candidate_that_hears_a_leader_of_its_term_follows_it() -> None:
    """§5.2: somebody else won."""
    raft = member()
    raft.advance_time(0.08)
    raft.step(TWO, PreVoteReply(Term(1), granted=True), 0.08)
    save(raft)

    raft.step(THREE, append(term=1, entries="1/1"), 0.09)

    assert isinstance(raft.role, Follower)
    assert (raft.term, raft.leader) == (1, THREE)


def test_candidate_that_does_not_win_goes_back_to_pre_votes_and_waits_longer_each_time() -> None:
    """A split vote is over quickly; members that keep losing give each other more and more room."""
    raft = member()
    raft.advance_time(raft.next_deadline())
    waits = []
    for term in range(1, 6):
        now = raft.next_deadline()
        raft.step(TWO, PreVoteReply(Term(term), granted=True), now)
        save(raft, now)
        waits.append(raft.next_deadline() - now)
        assert raft.term == term
        raft.advance_time(raft.next_deadline())
        assert isinstance(raft.role, Candidate)
        assert raft.role.pre
        assert raft.term == term

    assert waits == sorted(waits)
    assert waits[0] < raft.config.election_timeout / 2
    assert waits[-1] >= raft.config.election_timeout


def test_candidate_with_a_slow_disk_waits_for_it() -> None:
    """Standing again would only make the disk write more: nobody was asked yet."""
    raft = member()
    raft.advance_time(0.08)
    raft.step(TWO, PreVoteReply(Term(1), granted=True), 0.08)
    ready = raft.take_ready()
    assert ready.persist is not None

    raft.advance_time(raft.next_deadline())
    raft.advance_time(raft.next_deadline())
    assert raft.term == 1
    raft.persisted(ready.persist.token, 5.0)

    assert say(raft) == ["2: vote? t1 0/0", "3: vote? t1 0/0"]


def test_member_that_appears_is_asked_at_once() -> None:
    """The first of a cluster that starts together has asked before anybody was there."""
    raft = member()
    raft.advance_time(0.08)
    say(raft)

    raft.peer_up(THREE, 0.08)

    assert say(raft) == ["3: pre-vote? t1 0/0"]


def test_candidate_asks_nobody_who_appears_before_its_own_vote_is_durable() -> None:
    """A crash would make it forget that it stood in this term."""
    raft = member()
    raft.advance_time(0.08)
    raft.step(TWO, PreVoteReply(Term(1), granted=True), 0.08)

    raft.peer_up(THREE, 0.08)

    assert say(raft) == ["2: pre-vote? t1 0/0", "3: pre-vote? t1 0/0"]
    raft.persisted(1, 0.09)
    say(raft)
    raft.peer_up(THREE, 0.1)
    assert say(raft) == ["3: vote? t1 0/0"]


# Voting.


def test_follower_votes_once_per_term() -> None:
    """§5.2: first come, first served."""
    raft = member(me=3)

    raft.step(ONE, request_vote(1), 0.0)
    assert raft.take_ready().happened == [
        BecameFollower(Term(1), None),
        Voted(Term(1), ONE),
    ]
    raft.persisted(1, 0.0)
    assert say(raft) == ["1: vote yes t1"]
    raft.step(TWO, request_vote(1), 0.0)

    assert say(raft) == ["2: vote no t1"]


def test_vote_leaves_only_when_it_is_durable() -> None:
    """Figure 2: a member that forgot its vote would vote twice in a term (PySyncObj #84)."""
    raft = member(me=3)

    raft.step(ONE, request_vote(1), 0.0)
    ready = raft.take_ready()

    assert ready.messages == []
    assert ready.persist is not None
    assert ready.persist.hard_state is not None
    assert ready.persist.hard_state.voted_for == ONE
    raft.persisted(ready.persist.token, 0.0)
    assert say(raft) == ["1: vote yes t1"]


def test_vote_is_repeated_to_the_same_candidate() -> None:
    """The answer may have been lost; it is durable already."""
    raft = member(term=4, vote=1, me=3)

    raft.step(ONE, request_vote(4), 0.0)

    assert say(raft) == ["1: vote yes t4"]


def test_vote_survives_a_restart() -> None:
    """Figure 2: votedFor is persistent."""
    raft = member(term=4, vote=1, me=3)

    raft.step(TWO, request_vote(4), 0.0)

    assert say(raft) == ["2: vote no t4"]


def test_vote_that_was_overtaken_by_a_newer_term_is_not_sent() -> None:
    """The role that owed it is gone."""
    raft = member(me=3)
    raft.step(ONE, request_vote(1), 0.0)
    first = raft.take_ready().persist
    assert first is not None

    raft.step(TWO, append(term=2, entries="2/1"), 0.0)
    raft.persisted(first.token, 0.0)

    assert say(raft) == ["2: appended t2 m0 r1"]


@pytest.mark.parametrize(
    ("ours", "theirs", "granted"),
    [
        ("1/1 1/2", "1/2", True),
        ("1/1 1/2", "1/3", True),
        ("1/1 1/2", "1/1", False),
        ("1/1 1/2", "2/1", True),  # a later term beats a longer log
        ("1/1 2/2", "1/9", False),
        ("", "0/0", True),
    ],
)
def test_vote_goes_only_to_a_log_that_is_up_to_date(ours: str, theirs: str, granted: bool) -> None:
    """§5.4.1: compare the last terms, then the lengths."""
    raft = member(ours, term=5, me=3)

    raft.step(ONE, request_vote(6, theirs), 0.0)
    assert save_and_say(raft) == [f"1: vote {'yes' if granted else 'no'} t6"]

    raft = member(ours, term=5, me=3)
    raft.step(ONE, request_pre_vote(6, theirs), 0.0)
    assert say(raft) == [f"1: pre-vote {'yes t6' if granted else 'no t5'}"]


def test_pre_vote_changes_nothing_in_who_answers() -> None:
    """Thesis §9.6: no term, no vote, no timer, nothing on the disk."""
    raft = member("1/1", term=5, me=3)
    deadline = raft.next_deadline()

    raft.step(ONE, request_pre_vote(6, "1/1"), 0.01)
    raft.step(TWO, request_pre_vote(9, "1/1"), 0.02)

    assert (raft.term, raft.voted_for, raft.next_deadline()) == (5, None, deadline)
    ready = raft.take_ready()
    assert len(ready.messages) == 2
    assert ready.persist is None


def test_pre_vote_for_a_term_that_is_taken_is_refused() -> None:
    """The asker is told our term, so that it asks about the right one next time."""
    raft = member(term=5, vote=2, me=3)

    raft.step(ONE, request_pre_vote(5), 0.0)

    assert say(raft) == ["1: pre-vote no t5"]


def test_granting_a_vote_gives_the_candidate_time_to_win() -> None:
    """§5.2: the election timer starts again."""
    raft = member(me=3)

    raft.step(ONE, request_vote(1), 0.05)

    assert raft.next_deadline() >= 0.05 + raft.config.election_timeout


def test_refusing_a_vote_does_not_delay_our_own_election() -> None:
    """A candidate whose log is behind must not keep those from standing who could win."""
    raft = member("1/1", me=3)

    raft.step(ONE, request_vote(2), 0.05)

    assert raft.next_deadline() <= 0.05 + 2 * raft.config.pre_vote_interval


# Stickiness.


def test_follower_that_hears_its_leader_refuses_votes_and_keeps_its_term() -> None:
    """Thesis §4.2.3: entering the term would unseat a leader that works."""
    raft = follower("1/1", me=3)

    raft.step(TWO, request_vote(7, "1/1"), 0.49)
    raft.step(TWO, request_pre_vote(7, "1/1"), 0.49)

    assert raft.term == 1
    assert say(raft) == ["2: vote no t1", "2: pre-vote no t1"]


def test_follower_votes_when_the_leader_was_silent_for_the_minimum_timeout() -> None:
    """Thesis §4.2.3: not its own, longer timeout, or nobody would help the first who asks."""
    raft = follower("1/1", me=3)

    raft.step(TWO, request_pre_vote(2, "1/1"), 0.5)

    assert raft.leader == ONE
    assert say(raft) == ["2: pre-vote yes t2"]


def test_leader_keeps_its_office_when_somebody_stands() -> None:
    """Whether it still has a majority, it finds out itself."""
    raft = leader()

    raft.step(THREE, request_vote(7, "1/1"), 0.1)
    raft.step(THREE, request_pre_vote(7, "1/1"), 0.1)

    assert raft.is_leader
    assert say(raft) == ["3: vote no t1", "3: pre-vote no t1"]


def test_leader_that_asked_for_the_election_votes() -> None:
    """Thesis §3.10: the flag in the request says so."""
    raft = leader()

    raft.step(TWO, request_vote(2, "1/1", transfer=True), 0.1)

    assert not raft.is_leader
    assert save_and_say(raft) == ["2: vote yes t2"]


def test_lost_connection_to_the_leader_ends_stickiness_and_starts_an_election() -> None:
    """A process that died resets its connections: no need to wait for its silence."""
    raft = follower("1/1", me=3)

    raft.peer_lost(ONE, 0.1)

    assert raft.leader is None
    assert raft.next_deadline() <= 0.1 + raft.config.heartbeat_interval
    raft.step(TWO, request_pre_vote(2, "1/1"), 0.11)
    assert say(raft) == ["2: pre-vote yes t2"]


def test_lost_connection_to_another_follower_means_nothing() -> None:
    """Only the leader's counts."""
    raft = follower("1/1", me=3)
    deadline = raft.next_deadline()

    raft.peer_lost(TWO, 0.1)

    assert (raft.leader, raft.next_deadline()) == (ONE, deadline)


def test_lost_connection_to_the_candidate_we_voted_for_ends_the_wait_for_it() -> None:
    """It will not win any more."""
    raft = member(me=3)
    raft.step(ONE, request_vote(1), 0.0)
    save(raft)

    raft.peer_lost(ONE, 0.1)

    assert raft.next_deadline() <= 0.1 + raft.config.heartbeat_interval


# Check-quorum.


def test_leader_steps_down_when_no_majority_answers_for_an_election_timeout() -> None:
    """Thesis §6.2: its clients must not wait for a leader that is cut off."""
    raft = leader()
    raft.step(TWO, AppendReply(Term(1), Round(1), Index(1)), 0.1)

    raft.advance_time(0.59)
    assert raft.is_leader
    raft.take_ready()
    raft.advance_time(0.65)

    assert not raft.is_leader
    assert raft.term == 1
    assert raft.take_ready().happened == [QuorumLost(Term(1)), BecameFollower(Term(1), None)]


def test_leader_stays_as_long_as_a_majority_answers() -> None:
    """Thesis §6.2: a minority may be down for ever."""
    raft = leader(voters=(1, 2, 3, 4, 5))
    now = 0.0
    while now < 5.0:
        raft.advance_time(now)
        raft.take_ready()
        for peer in (TWO, THREE):
            raft.step(peer, AppendReply(Term(1), Round(1), Index(1)), now)
        now += 0.05

    assert raft.is_leader


def test_leader_that_slept_steps_down_before_it_says_anything() -> None:
    """A process that was stopped for longer than an election timeout must not speak as if it still led."""
    raft = leader()
    raft.read_index(1, 0.0)

    raft.advance_time(10.0)
    raft.step(TWO, AppendReply(Term(1), Round(1), Index(1)), 10.0)
    ready = raft.take_ready()

    assert not raft.is_leader
    assert ready.messages == []
    assert ready.reads == []


# Terms.


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        (request_pre_vote(2), "1: pre-vote no t5"),
        (request_vote(2), "1: vote no t5"),
        (append(term=2), "1: newer-term t5"),
        (TimeoutNow(Term(2)), "1: newer-term t5"),
        (ReadIndex(Term(2), 1), "1: newer-term t5"),
    ],
)
def test_whoever_asks_in_an_old_term_is_told_so(message: RequestVote, answer: str) -> None:
    """§5.1; raft-rs #42: else a member of a higher term, and who does not know of it, wait for ever."""
    raft = member(term=5, me=3)

    raft.step(ONE, message, 0.0)

    assert say(raft) == [answer]


@pytest.mark.parametrize(
    "message",
    [
        AppendReply(Term(2), Round(1), Index(9)),
        VoteReply(Term(2), granted=True),
        PreVoteReply(Term(2), granted=True),
        NewerTerm(Term(2)),
    ],
)
def test_old_answers_are_ignored(message: AppendReply) -> None:
    """§5.1: they were about a term that is over."""
    raft = member(term=5, me=3)

    raft.step(ONE, message, 0.0)

    assert say(raft) == []
    assert raft.term == 5


def test_leader_that_learns_of_a_newer_term_steps_down() -> None:
    """§5.1."""
    raft = leader()

    raft.step(TWO, NewerTerm(Term(3)), 0.1)

    assert (raft.is_leader, raft.term, raft.leader) == (False, 3, None)


def test_pre_candidate_learns_of_a_newer_term_from_a_refusal() -> None:
    """raft-rs #42: otherwise it would ask about an old term for ever."""
    raft = member(term=2)
    raft.advance_time(0.08)
    say(raft)

    raft.step(TWO, PreVoteReply(Term(9), granted=False), 0.08)
    raft.advance_time(raft.next_deadline())

    assert say(raft) == ["2: pre-vote? t10 0/0", "3: pre-vote? t10 0/0"]


def test_grant_of_a_pre_vote_does_not_move_the_term() -> None:
    """It carries the term that was asked about, not one that anybody is in."""
    raft = member(term=2, voters=(1, 2, 3, 4, 5))
    raft.advance_time(0.08)

    raft.step(TWO, PreVoteReply(Term(3), granted=True), 0.08)

    assert raft.term == 2


def test_new_term_is_handed_to_the_disk_with_the_turn() -> None:
    """Figure 2: currentTerm is persistent."""
    raft = follower("1/1")

    raft.step(THREE, append("1/1", term=4), 0.1)
    ready = raft.take_ready()

    assert ready.persist is not None
    assert ready.persist.hard_state is not None
    assert (ready.persist.hard_state.term, ready.persist.hard_state.voted_for) == (4, None)


# One member.


def test_single_member_leads_as_soon_as_its_vote_is_durable() -> None:
    """Nobody to ask and nothing to wait for."""
    raft = member(voters=(1,))

    ready = raft.take_ready()
    assert ready.persist is not None
    raft.persisted(ready.persist.token, 0.0)

    assert raft.is_leader


def test_single_member_commits_when_its_own_disk_has_answered() -> None:
    """etcd #14370: not before, though nobody else is asked."""
    raft = member(voters=(1,))
    save(raft)
    raft.propose(b"x", 1, 0.0)

    ready = raft.take_ready()
    assert (ready.committed, raft.commit_index) == ([], BEFORE_FIRST)
    assert ready.persist is not None
    raft.persisted(ready.persist.token, 0.0)

    assert [run.data for run in raft.take_ready().committed] == [b"", b"x"]
