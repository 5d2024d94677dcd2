"""Linearizable reads without a log entry: thesis §6.4, and the three bugs that etcd shipped with them."""

from coord.raft import Config, Configuration, HardState, MemberId, Raft, ReadReady, Run, Stored
from coord.raft.configuration import encode_configuration
from coord.raft.messages import Append, AppendRejected, AppendReply, ReadIndex, ReadIndexReply
from coord.raft.types import Index, Round, Term

from .texts import append, follower, half, leader, member, runs, save, say

ONE, TWO, THREE, FOUR = (MemberId(number) for number in (1, 2, 3, 4))


def acked(raft: Raft, peer: MemberId, match: int, round_: int) -> None:
    raft.step(peer, AppendReply(raft.term, Round(round_), Index(match)), 0.0)


def settled_leader() -> Raft:
    """A leader whose no-op, index 1, is committed; both peers have answered round 1."""
    raft = leader()
    for peer in (TWO, THREE):
        acked(raft, peer, 1, round_=1)
    raft.take_ready()
    return raft


def reads(raft: Raft) -> list[tuple[int, int]]:
    """End the turn: the reads that are answered, as (request, index)."""
    return [(answer.request, answer.index) for answer in raft.take_ready().reads]


# On a leader.


def test_leader_answers_when_a_majority_has_confirmed_a_round_that_began_later() -> None:
    """§6.4, steps 2 and 3."""
    raft = settled_leader()
    raft.read_index(7, 0.0)

    assert say(raft) == ["2: append t1 1/1 [] c1 r2", "3: append t1 1/1 [] c1 r2"]
    acked(raft, THREE, 1, round_=2)

    assert reads(raft) == [(7, 1)]


def test_answers_to_an_older_round_confirm_nothing_newer() -> None:
    """etcd #20418: the round must have started after the request arrived, or a deposed leader answers."""
    raft = settled_leader()
    raft.advance_time(raft.next_deadline())
    say(raft)

    raft.read_index(7, 0.1)
    assert reads(raft) == []
    acked(raft, TWO, 1, round_=2)
    acked(raft, THREE, 1, round_=2)

    assert reads(raft) == []
    acked(raft, TWO, 1, round_=3)
    assert reads(raft) == [(7, 1)]


def test_each_turn_with_reads_starts_a_round_of_its_own() -> None:
    """etcd #20418, once more: no read joins a round that is under way."""
    raft = settled_leader()
    raft.read_index(7, 0.0)
    say(raft)
    raft.read_index(8, 0.0)
    assert say(raft) == ["2: append t1 1/1 [] c1 r3", "3: append t1 1/1 [] c1 r3"]

    acked(raft, TWO, 1, round_=2)
    assert reads(raft) == [(7, 1)]
    acked(raft, THREE, 1, round_=3)

    assert reads(raft) == [(8, 1)]


def test_new_leader_answers_no_read_before_its_no_op_is_committed() -> None:
    """etcd #7331; §6.4, step 1: its commit index may be behind what was acknowledged by its predecessor."""
    raft = leader("1/1 1/2")
    raft.read_index(7, 0.0)
    assert say(raft) == []
    acked(raft, TWO, 2, round_=1)
    acked(raft, THREE, 2, round_=1)
    assert reads(raft) == []

    acked(raft, TWO, 3, round_=1)
    assert say(raft) == ["2: append t2 2/3 [] c3 r2", "3: append t2 2/3 [] c3 r2"]
    acked(raft, TWO, 3, round_=2)

    assert reads(raft) == [(7, 3)]


def test_deposed_leader_answers_no_read() -> None:
    """etcd #741: whoever leads meanwhile may have committed more."""
    raft = settled_leader()
    raft.read_index(7, 0.0)
    say(raft)

    raft.step(TWO, append("1/1", "2/2", term=2, commit=2), 0.0)
    acked(raft, THREE, 1, round_=2)

    assert reads(raft) == []


def test_reads_of_a_turn_share_a_round() -> None:
    """§6.4: one round of messages, however many ask."""
    raft = settled_leader()
    for request in (7, 8, 9):
        raft.read_index(request, 0.0)
    raft.step(TWO, ReadIndex(Term(1), 55), 0.0)

    assert len(say(raft)) == 2
    acked(raft, TWO, 1, round_=2)
    ready = raft.take_ready()

    assert ready.reads == [ReadReady(request, Index(1)) for request in (7, 8, 9)]
    assert ready.messages == [(TWO, ReadIndexReply(Term(1), 55, Index(1)))]


def test_round_rides_on_appends_that_leave_anyway() -> None:
    """Under load a read costs no message."""
    raft = settled_leader()
    raft.read_index(7, 0.0)
    raft.propose(b"x", 1, 0.0)

    assert say(raft) == ["2: append t1 1/1 [1/2] c1 r2", "3: append t1 1/1 [1/2] c1 r2"]


def test_rejecting_a_log_confirms_the_leader() -> None:
    """A peer that must be repaired first still knows who leads."""
    raft = settled_leader()
    raft.read_index(7, 0.0)
    say(raft)

    raft.step(THREE, AppendRejected(Term(1), Round(2), Index(1), Index(0), Term(0)), 0.0)

    assert reads(raft) == [(7, 1)]


def test_read_covers_what_was_committed_in_the_turn_that_asked() -> None:
    """The index is taken when the round starts: at the end of the turn, acks included."""
    raft = settled_leader()
    raft.propose(b"x", 1, 0.0)
    save(raft)
    raft.read_index(7, 0.0)
    acked(raft, TWO, 2, round_=1)
    say(raft)

    acked(raft, TWO, 2, round_=2)

    assert reads(raft) == [(7, 2)]


def test_single_member_answers_in_the_same_turn() -> None:
    """It is a majority by itself; only its no-op must be durable."""
    raft = member(voters=(1,))
    save(raft)
    raft.read_index(7, 0.0)
    ready = save(raft)
    assert ready.reads == []
    assert reads(raft) == [(7, 1)]

    raft.read_index(8, 0.0)

    assert reads(raft) == [(8, 1)]


# On a follower.


def test_follower_asks_its_leader_once_for_all_reads_of_a_turn() -> None:
    """One message, however many ask."""
    raft = follower("1/1")
    raft.read_index(7, 0.0)
    raft.read_index(8, 0.0)

    assert say(raft) == ["1: read-index? t1 #1"]
    raft.read_index(9, 0.0)
    assert say(raft) == ["1: read-index? t1 #2"]


def test_follower_passes_the_leaders_index_on() -> None:
    """§6.4: it may be ahead of what this member has; the caller waits until it has applied it."""
    raft = follower("1/1")
    raft.read_index(7, 0.0)
    (to, question) = raft.take_ready().messages[0]
    assert to == ONE
    assert isinstance(question, ReadIndex)

    raft.step(ONE, ReadIndexReply(Term(1), question.batch, Index(40)), 0.0)
    raft.step(ONE, ReadIndexReply(Term(1), question.batch, Index(40)), 0.0)

    assert reads(raft) == [(7, 40)]


def test_answer_to_an_older_batch_does_not_serve_a_newer_one() -> None:
    """What was asked later may be about a newer state."""
    raft = follower("1/1")
    batches = []
    for request in (7, 8):
        raft.read_index(request, 0.0)
        (_, question) = raft.take_ready().messages[0]
        assert isinstance(question, ReadIndex)
        batches.append(question.batch)

    raft.step(ONE, ReadIndexReply(Term(1), batches[0], Index(1)), 0.0)

    assert reads(raft) == [(7, 1)]
    raft.step(ONE, ReadIndexReply(Term(1), batches[1], Index(2)), 0.0)
    assert reads(raft) == [(8, 2)]


def test_batches_of_different_lives_have_different_numbers() -> None:
    """An answer that was on its way when we crashed is about a state before that (etcd raft 63903dd)."""
    numbers = []
    for incarnation in (1, 2):
        config = Config(member=TWO, voters=(ONE, TWO, THREE), incarnation=incarnation)
        raft = Raft(config, Stored(HardState(Term(1), None), list(runs("1/1"))), 0.0, half)
        raft.step(ONE, append("1/1"), 0.0)
        raft.read_index(7, 0.0)
        numbers += [message.batch for _, message in raft.take_ready().messages if isinstance(message, ReadIndex)]

    assert len(set(numbers)) == 2


def test_reads_are_dropped_when_the_leader_is_lost() -> None:
    """The caller retries; an answer of the old leader comes too late to mean anything."""
    raft = follower("1/1")
    raft.read_index(7, 0.0)
    (_, question) = raft.take_ready().messages[0]
    assert isinstance(question, ReadIndex)

    raft.peer_lost(ONE, 0.0)
    raft.step(ONE, append("1/1", round_=2), 0.0)
    raft.step(ONE, ReadIndexReply(Term(1), question.batch, Index(1)), 0.0)

    assert reads(raft) == []


def test_reads_without_a_leader_are_dropped() -> None:
    """There is nobody to ask: neither a follower nor a candidate keeps them."""
    raft = member()
    raft.read_index(7, 0.0)
    raft.advance_time(0.08)
    raft.read_index(8, 0.08)
    say(raft)

    raft.step(TWO, append(entries="1/1"), 0.1)

    assert say(raft) == ["2: appended t1 m0 r1"]


def test_follower_does_not_answer_for_the_leader() -> None:
    """Whoever asks the wrong member gets nothing, and asks again when it knows better."""
    raft = follower("1/1")

    raft.step(THREE, ReadIndex(Term(1), 5), 0.0)

    assert say(raft) == []


# On a learner.


def learner() -> Raft:
    """Member 4, without a vote, which has all of the leader's log: one entry, that says so."""
    config = Config(member=FOUR, voters=(), incarnation=1)
    raft = Raft(config, Stored.nothing(), 0.0, half)
    data = encode_configuration(Configuration((ONE, TWO, THREE), learners=(FOUR,)))
    entry = Run(Index(1), 1, Term(1), data, True)
    raft.step(ONE, Append(Term(1), Index(0), Term(0), Index(1), Round(1), (entry,)), 0.0)
    save(raft)
    say(raft)
    return raft


def test_learner_asks_its_leader_once_for_all_reads_of_a_turn() -> None:
    """As a follower does: it needs no vote for that."""
    raft = learner()
    raft.read_index(7, 0.0)
    raft.read_index(8, 0.0)
    ready = raft.take_ready()
    ((to, question),) = ready.messages
    assert to == ONE
    assert isinstance(question, ReadIndex)

    raft.step(ONE, ReadIndexReply(Term(1), question.batch, Index(1)), 0.0)

    assert reads(raft) == [(7, 1), (8, 1)]


def test_leader_answers_learners_but_does_not_take_them_for_voters() -> None:
    """The round of a learner's read is confirmed by those who have a vote."""
    raft = settled_leader()
    raft.change_members(Configuration((ONE, TWO, THREE), learners=(FOUR,)), 0.0)
    save(raft)
    raft.take_ready()
    raft.step(FOUR, ReadIndex(Term(1), 55), 0.0)
    say(raft)
    acked(raft, FOUR, 2, round_=3)
    assert say(raft) == []

    acked(raft, TWO, 2, round_=3)

    assert "4: read-index t1 #55 1" in say(raft)
