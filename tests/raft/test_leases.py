"""Leader leases, thesis §6.4.1: what a member promises, and what a leader makes of it.

T is 0.5 s and the drift 0.2, so that a lease lasts 0.4 s from the beginning of a heartbeat.
"""

from math import inf

import pytest

from coord.raft import Config, Configuration, MemberId, Raft, ReadReady, Run, Stored, Term
from coord.raft.configuration import encode_configuration
from coord.raft.leader import Leader
from coord.raft.messages import (
    Append,
    AppendReply,
    NewerTerm,
    OfferSnapshot,
    PreVoteReply,
    ReadIndex,
    ReadIndexReply,
    RequestPreVote,
    RequestVote,
    TimeoutNow,
    VoteReply,
)
from coord.raft.types import Index, Round

from .texts import append, disk, elect, half, save, save_and_say, say

ONE, TWO, THREE, FOUR, FIVE = (MemberId(number) for number in range(1, 6))
T = 0.5
T_MS = 500
TRIO = (ONE, TWO, THREE)
QUINTET = (ONE, TWO, THREE, FOUR, FIVE)
STARTED = -10.0
"""When members start: long enough ago that they owe nothing to earlier lives."""


def member(
    log: str = "",
    *,
    me: MemberId = TWO,
    voters: tuple[MemberId, ...] = TRIO,
    lease_reads: bool = True,
    started: float = STARTED,
) -> Raft:
    config = Config(
        member=me, voters=voters, incarnation=1, election_timeout=T, lease_reads=lease_reads, max_clock_drift=0.2
    )
    return Raft(config, disk(log), started, half)


def follower(log: str = "1/1") -> Raft:
    """Member 2, which has heard leader 1 at time 0, and has answered."""
    raft = member(log)
    raft.advance_time(0.0)
    raft.step(ONE, append(log, term=1), 0.0)
    save(raft)
    raft.take_ready()
    return raft


def leader(voters: tuple[MemberId, ...] = TRIO, *, lease_reads: bool = True) -> Raft:
    """Member 1, elected at time 0 in term 1; its no-op is sent and on its own disk. Round 1 began at 0."""
    raft = member(me=ONE, voters=voters, lease_reads=lease_reads)
    raft.now = 0.0
    elect(raft)
    save(raft)
    return raft


def acked(
    raft: Raft, peer: MemberId, now: float, *, match: int = 1, round_: int | None = None, lent_ms: int = T_MS
) -> None:
    """An answer to what the leader sent last, or in this round."""
    assert isinstance(raft.role, Leader)
    round_ = raft.role.round if round_ is None else round_
    raft.step(peer, AppendReply(raft.term, Round(round_), Index(match), lent_ms), now)


def leaseholder(voters: tuple[MemberId, ...] = TRIO) -> Raft:
    """A leader whose no-op is committed and to whom everybody has promised to be loyal until 0.5."""
    raft = leader(voters)
    for peer in voters[1:]:
        acked(raft, peer, 0.0)
    raft.take_ready()
    return raft


def answers(raft: Raft, now: float, request: int = 7) -> list[ReadReady]:
    """What a turn at that time answers to a read, without looking at what else is due."""
    raft.now = now
    raft.read_index(request, now)
    return raft.take_ready().reads


# What a leader makes of promises.


def test_leaseholder_answers_in_the_turn_that_asks_and_sends_nothing() -> None:
    raft = leaseholder()
    raft.now = 0.01
    raft.read_index(7, 0.01)

    ready = raft.take_ready()

    assert ready.reads == [ReadReady(7, Index(1))]
    assert ready.messages == []


def test_leaseholder_answers_followers_and_learners_as_fast() -> None:
    raft = leaseholder()
    raft.now = 0.01
    raft.step(TWO, ReadIndex(Term(1), 55), 0.01)
    raft.step(FOUR, ReadIndex(Term(1), 56), 0.01)

    ready = raft.take_ready()

    assert ready.messages == [
        (TWO, ReadIndexReply(Term(1), 55, Index(1))),
        (FOUR, ReadIndexReply(Term(1), 56, Index(1))),
    ]


def test_lease_ends_when_the_clock_of_a_peer_may_have_come_to_the_end_of_its_promise() -> None:
    """T * (1 - drift), from the beginning of the round."""
    raft = leaseholder()
    assert answers(raft, 0.399) != []

    raft.now = 0.4
    raft.read_index(8, 0.4)

    assert say(raft) == ["2: append t1 1/1 [] c1 r2", "3: append t1 1/1 [] c1 r2"], "so it needs a round"


def test_lease_counts_from_the_beginning_of_the_round_not_from_its_answers() -> None:
    """The promise was made when the message arrived, which may be long before the answer does."""
    raft = leader()
    acked(raft, TWO, 0.3)
    acked(raft, THREE, 0.3)

    assert answers(raft, 0.39) != []
    assert answers(raft, 0.41) == []


def test_heartbeat_that_is_answered_prolongs_the_lease() -> None:
    raft = leaseholder()
    raft.advance_time(0.3)
    raft.take_ready()
    acked(raft, TWO, 0.31, round_=2)
    raft.take_ready()

    assert answers(raft, 0.69) != []
    assert answers(raft, 0.71) == []


def test_late_answer_to_an_older_heartbeat_prolongs_nothing() -> None:
    raft = leaseholder()
    for now in (0.1, 0.2):
        raft.advance_time(now)
        raft.take_ready()
    acked(raft, TWO, 0.25, round_=2)

    assert answers(raft, 0.49) != []
    assert answers(raft, 0.51) == []


def test_lease_needs_promises_of_a_majority() -> None:
    raft = leader(QUINTET)
    for peer in QUINTET[1:]:
        acked(raft, peer, 0.0, lent_ms=0)
    acked(raft, TWO, 0.0)
    assert answers(raft, 0.1) == []

    acked(raft, THREE, 0.1)

    assert answers(raft, 0.1, request=8) != []


def test_promise_counts_for_what_it_says() -> None:
    """Members may have another T, or none: who promises nothing is asked as ever."""
    raft = leader()
    acked(raft, TWO, 0.0, lent_ms=100)
    acked(raft, THREE, 0.0, lent_ms=0)

    assert answers(raft, 0.07) != []
    assert answers(raft, 0.09) == []


def test_leader_without_the_option_makes_no_use_of_promises() -> None:
    raft = leader(lease_reads=False)
    acked(raft, TWO, 0.0)
    acked(raft, THREE, 0.0)

    assert answers(raft, 0.1) == []


def test_lease_is_of_no_use_before_an_entry_of_the_term_is_committed() -> None:
    """Step 1 of §6.4: an earlier leader may have committed what we have but do not know to be committed."""
    raft = leader()
    acked(raft, TWO, 0.0, match=0)
    acked(raft, THREE, 0.0, match=0)
    assert answers(raft, 0.1) == []

    acked(raft, TWO, 0.1)

    assert raft.take_ready().reads == [ReadReady(7, Index(1))]


def test_reads_of_a_round_under_way_are_answered_with_those_of_the_lease() -> None:
    """In order: a follower takes the answer to a newer batch to mean that the older one was lost."""
    raft = leaseholder()
    raft.now = 0.45
    raft.step(TWO, ReadIndex(Term(1), 55), 0.45)
    assert ReadIndexReply not in {type(message) for _, message in raft.take_ready().messages}
    raft.advance_time(0.45)
    raft.take_ready()
    acked(raft, THREE, 0.46, round_=3)
    raft.step(TWO, ReadIndex(Term(1), 56), 0.46)

    replies = [message.batch for _, message in raft.take_ready().messages if isinstance(message, ReadIndexReply)]

    assert replies == [55, 56]


def test_cluster_of_one_needs_nobody() -> None:
    raft = leader((ONE,))
    raft.take_ready()

    assert answers(raft, 9.0) != []


# Handing over.


def test_leader_that_asked_somebody_to_stand_uses_no_lease_for_the_rest_of_its_term() -> None:
    """§3.10: TimeoutNow overrides promises, and may arrive long after the handover was given up."""
    raft = leaseholder()
    raft.now = 0.0
    raft.transfer_leadership(0.0, to=TWO)
    assert "2: timeout-now t1" in say(raft)
    assert answers(raft, 0.01) == []
    now = 0.0
    while not raft.can_propose:
        now = raft.next_deadline()
        acked(raft, THREE, now)
        raft.advance_time(now)
        raft.take_ready()

    assert isinstance(raft.role, Leader)
    acked(raft, TWO, now, round_=raft.role.round)
    acked(raft, THREE, now, round_=raft.role.round)
    raft.take_ready()

    assert answers(raft, now + 0.01, request=8) == []


def test_leader_whose_successor_is_not_ready_yet_still_holds_its_lease() -> None:
    """Nobody was asked to stand."""
    raft = leaseholder()
    raft.propose(b"x", 1, 0.0)
    raft.transfer_leadership(0.0, to=TWO)
    assert "2: timeout-now t1" not in save_and_say(raft)

    assert answers(raft, 0.01) != []


def test_who_is_asked_to_stand_by_the_leader_is_bound_no_more() -> None:
    raft = follower()
    raft.step(ONE, TimeoutNow(Term(1)), 0.1)

    assert save_and_say(raft) == ["1: vote? t2 1/1 transfer", "3: vote? t2 1/1 transfer"]
    raft.advance_time(0.4)
    assert "3: pre-vote? t3 1/1" in say(raft)
    assert not asks_in_vain(raft, 0.45, term=3), "nor when it did not win"


def test_vote_in_a_handover_is_given_in_spite_of_the_promise() -> None:
    raft = follower()

    raft.step(THREE, RequestVote(Term(2), Index(1), Term(1), transfer=True), 0.1)

    assert save_and_say(raft) == ["3: vote yes t2"]


# Members that change.


def configured(raft: Raft, configuration: Configuration) -> None:
    raft.change_members(configuration, raft.now)
    save(raft)


def test_new_voters_must_promise_before_the_lease_holds_again() -> None:
    """Both majorities: here the new one, of 1, 4 and 5, has not been heard."""
    raft = leaseholder()
    raft.now = 0.01
    configured(raft, Configuration((ONE, FOUR, FIVE)))
    assert answers(raft, 0.02) == []

    acked(raft, FOUR, 0.02)

    assert answers(raft, 0.02, request=8) != []


def test_old_voters_must_promise_as_long_as_they_have_a_vote() -> None:
    """Both majorities: here the old one is silent for too long."""
    raft = leaseholder()
    raft.advance_time(0.3)
    configured(raft, Configuration((ONE, FOUR, FIVE)))
    acked(raft, FOUR, 0.31)
    acked(raft, FIVE, 0.31)

    assert answers(raft, 0.39) != []
    assert answers(raft, 0.41) == []


def test_promise_of_a_learner_counts_only_when_it_has_a_vote() -> None:
    raft = leader((ONE, TWO))
    acked(raft, TWO, 0.0, lent_ms=0)
    save(raft)
    configured(raft, Configuration((ONE, TWO), learners=(THREE,)))
    acked(raft, THREE, 0.0, match=2)
    acked(raft, TWO, 0.0, match=2, lent_ms=0)
    raft.take_ready()
    assert answers(raft, 0.1) == []

    configured(raft, Configuration((ONE, TWO, THREE)))

    assert answers(raft, 0.1, request=8) == [], "the old majority has not promised anything"
    for peer in (TWO, THREE):
        acked(raft, peer, 0.1, match=3, lent_ms=T_MS if peer == THREE else 0)
    save(raft)
    assert not raft.configuration.is_joint
    assert answers(raft, 0.1, request=9) != []


# What a member promises.


def asks_in_vain(raft: Raft, now: float, term: int = 2) -> bool:
    """Whether the member refuses vote and pre-vote of 3, whose log is as good as any."""
    before = raft.term
    raft.advance_time(now)
    raft.step(THREE, RequestPreVote(Term(term), Index(1), Term(1)), now)
    raft.step(THREE, RequestVote(Term(term), Index(1), Term(1), transfer=False), now)
    replies = [message for to, message in save(raft).messages + raft.take_ready().messages if to == THREE]
    assert {type(reply) for reply in replies} >= {PreVoteReply, VoteReply}
    granted = {reply.granted for reply in replies if isinstance(reply, PreVoteReply | VoteReply)}
    assert len(granted) == 1
    assert granted == {True} or raft.term == before
    return granted == {False}


def test_answer_to_the_leader_says_how_long_the_promise_lasts() -> None:
    raft = member("1/1")
    raft.step(ONE, append("1/1", round_=4), 0.0)

    assert [message for _, message in save(raft).messages] == [AppendReply(Term(1), Round(4), Index(1), T_MS)]


def test_member_without_the_option_promises_nothing() -> None:
    raft = member("1/1", lease_reads=False)
    raft.step(ONE, append("1/1", round_=4), 0.0)

    assert [message for _, message in save(raft).messages] == [AppendReply(Term(1), Round(4), Index(1))]
    assert raft.promise.until == -inf


def test_promise_outlives_the_connection() -> None:
    """Without the option, a reset is as good as silence."""
    raft = follower()
    raft.peer_lost(ONE, 0.01)

    assert asks_in_vain(raft, 0.499)
    assert not asks_in_vain(raft, 0.5)


def test_promise_outlives_the_term() -> None:
    """Whoever made us enter it: our leader does not know of it yet."""
    raft = follower()
    raft.step(THREE, NewerTerm(Term(5)), 0.01)

    assert asks_in_vain(raft, 0.499, term=6)
    assert not asks_in_vain(raft, 0.5, term=6)


def test_promise_binds_in_a_term_that_we_entered_without_voting() -> None:
    raft = follower()
    raft.step(THREE, NewerTerm(Term(5)), 0.01)
    save(raft)

    for now, answer in ((0.499, "3: vote no t5"), (0.5, "3: vote yes t5")):
        raft.step(THREE, RequestVote(Term(5), Index(1), Term(1), transfer=False), now)
        assert save_and_say(raft) == [answer]


@pytest.mark.parametrize("what", ["connection", "term"])
def test_who_promised_does_not_stand_for_election_either(what: str) -> None:
    raft = follower()
    if what == "connection":
        raft.peer_lost(ONE, 0.01)
    else:
        raft.step(THREE, NewerTerm(Term(2)), 0.01)
    said: list[str] = []
    while not said:
        now = raft.next_deadline()
        raft.advance_time(now)
        said = say(raft)

    assert said == [f"{peer}: pre-vote? t{raft.term + 1} 1/1" for peer in (1, 3)]
    assert 0.5 <= now < 0.55


def test_promise_counts_from_the_last_that_was_heard() -> None:
    raft = follower()
    raft.advance_time(0.3)
    raft.step(ONE, append("1/1", round_=2), 0.3)
    save(raft)
    raft.peer_lost(ONE, 0.3)

    assert asks_in_vain(raft, 0.799)
    assert not asks_in_vain(raft, 0.8)


@pytest.mark.parametrize(
    "message",
    [
        append("1/9", term=1, round_=2),
        OfferSnapshot(Term(1), Round(2), Index(9), Term(1)),
    ],
    ids=["rejected", "offer"],
)
def test_whatever_confirms_a_round_makes_the_promise(message: Append | OfferSnapshot) -> None:
    raft = follower()
    raft.advance_time(0.3)
    raft.step(ONE, message, 0.3)
    save(raft)
    raft.peer_lost(ONE, 0.3)

    assert asks_in_vain(raft, 0.799)


def test_who_starts_keeps_the_promises_of_an_earlier_life() -> None:
    raft = member("1/1", started=0.0)

    assert asks_in_vain(raft, 0.499)
    assert not asks_in_vain(raft, 0.5)


@pytest.mark.parametrize("voters", [(TWO,), TRIO])
def test_who_starts_does_not_stand_for_election_either(voters: tuple[MemberId, ...]) -> None:
    """Not even alone: others may have had a vote when it was alive."""
    raft = member("1/1", voters=voters, started=0.0)
    now = 0.0
    while not raft.take_ready().happened:
        now = raft.next_deadline()
        raft.advance_time(now)

    assert 0.5 <= now < 0.55


def test_learner_is_bound_like_anybody() -> None:
    """It may be given a vote while its promise lasts; and who has none is asked for votes all the same (§4.2.2)."""
    config = Config(member=FOUR, voters=(), incarnation=1, election_timeout=T, lease_reads=True)
    raft = Raft(config, Stored.nothing(), STARTED, half)
    data = encode_configuration(Configuration(TRIO, learners=(FOUR,)))
    raft.step(
        ONE, Append(Term(1), Index(0), Term(0), Index(1), Round(1), (Run(Index(1), 1, Term(1), data, True),)), 0.0
    )
    assert [message for _, message in save(raft).messages] == [AppendReply(Term(1), Round(1), Index(0), T_MS)]
    raft.peer_lost(ONE, 0.01)

    assert asks_in_vain(raft, 0.499)
    assert not asks_in_vain(raft, 0.5)
