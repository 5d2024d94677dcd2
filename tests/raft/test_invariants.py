"""The witness sees what it is there for: each property of figure 3, broken by hand, is reported by name."""

import pytest

from coord.raft import MemberId, Raft, Stored
from coord.raft.invariants import Witness
from coord.raft.messages import AppendReply, OfferSnapshot, RequestVote, VoteReply
from coord.raft.types import BEFORE_FIRST, Index, Round, Term

from .texts import disk, elect, follower, leader, member, place, run, runs, save

ONE, TWO, THREE = MemberId(1), MemberId(2), MemberId(3)
EMPTY = {number: disk() for number in (ONE, TWO, THREE)}


def everywhere(log: str, term: int = 0) -> dict[MemberId, Stored]:
    return {number: disk(log, term) for number in (ONE, TWO, THREE)}


def watching(*members: Raft) -> Witness:
    witness = Witness()
    for raft in members:
        witness.started(raft)
    return witness


def test_election_safety() -> None:
    """Figure 3: at most one leader per term."""
    first, second = leader(), member(me=2)
    elect(second)
    witness = watching(first, second)
    witness.check(first, EMPTY)

    with pytest.raises(AssertionError, match="1 and 2 both led term 1"):
        witness.check(second, EMPTY)


def test_leader_append_only() -> None:
    """Figure 3: a leader never overwrites or deletes its entries."""
    raft = leader()
    raft.propose(b"x", 1, 0.0)
    witness = watching(raft)
    witness.check(raft, EMPTY)

    raft.log.truncate(Index(2))

    with pytest.raises(AssertionError, match="leader 1 changed its log"):
        witness.check(raft, EMPTY)


def test_log_matching_of_the_same_index_and_term() -> None:
    """Figure 3: two logs that hold an entry of an index and term hold the same there."""
    first, second = follower("1/1"), follower("1/1", me=3)
    second.log.runs[0] = run("1/1-2")
    witness = watching(first, second)
    witness.check(first, EMPTY)

    with pytest.raises(AssertionError, match="two runs at 1 in term 1"):
        witness.check(second, EMPTY)


def test_log_matching_of_everything_before() -> None:
    """Figure 3: … and are equal in all entries before it."""
    first, second = follower("1/1 3/2"), follower("2/1 3/2", me=3)
    witness = watching(first, second)
    witness.check(first, EMPTY)

    with pytest.raises(AssertionError, match="two pasts before 2"):
        witness.check(second, EMPTY)


def committed(raft: Raft, index: int) -> Raft:
    raft.commit(Index(index))
    return raft


def test_leader_completeness() -> None:
    """Figure 3: what is committed is in the log of every later leader."""
    first = committed(leader(), 1)
    second = member("", term=1, me=2)
    elect(second)
    witness = watching(first, second)
    witness.check(
        first,
        everywhere("") | {number: Stored(disk("", 1).hard_state, first.log.runs) for number in (ONE, TWO)},
    )

    with pytest.raises(AssertionError, match="leader 2 of term 2 lacks 1 of term 1"):
        witness.check(second, EMPTY)


def test_state_machine_safety() -> None:
    """Figure 3: no two members apply different entries at an index, nor any out of order, nor too early."""
    first = committed(leader(), 1)
    witness = watching(first, other := committed(follower("1/1"), 1))
    disks = {number: Stored(disk("", 1).hard_state, first.log.runs) for number in (ONE, TWO, THREE)}
    witness.check(first, disks)

    with pytest.raises(AssertionError, match="member 2 applies another run at 1"):
        witness.took(other, list(runs("1/1")))
    with pytest.raises(AssertionError, match="member 2 skips to 2"):
        witness.took(other, list(runs("1/2")))


def test_commit_index_never_falls() -> None:
    """A committed prefix never shrinks."""
    raft = committed(leader(), 1)
    disks = {number: Stored(disk("", 1).hard_state, raft.log.runs) for number in (ONE, TWO, THREE)}
    witness = watching(raft)
    witness.check(raft, disks)

    raft.commit_index = BEFORE_FIRST

    with pytest.raises(AssertionError, match="took back what it committed"):
        witness.check(raft, disks)


def test_committed_means_durable_on_a_majority() -> None:
    """Read from the disks, not from what anybody believes."""
    raft = committed(leader(), 1)
    witness = watching(raft)

    with pytest.raises(AssertionError, match=r"1 is durable on \[1\] only"):
        witness.check(raft, EMPTY | {ONE: Stored(disk("", 1).hard_state, raft.log.runs)})


def test_old_terms_are_not_committed_by_counting() -> None:
    """§5.4.2."""
    raft = member("1/1")
    elect(raft)
    save(raft)
    committed(raft, 1)
    witness = watching(raft)

    with pytest.raises(AssertionError, match="figure 8"):
        witness.check(raft, everywhere("1/1"))


def test_vote_that_is_not_durable() -> None:
    """Figure 2: persistent state first, answers later."""
    witness = watching(member(me=2))

    with pytest.raises(AssertionError, match="vote of 2 in term 1 is not durable"):
        witness.sent(TWO, ONE, VoteReply(Term(1), granted=True), disk())
    witness.sent(TWO, ONE, VoteReply(Term(1), granted=True), disk(term=1, vote=1))


def test_two_votes_in_a_term() -> None:
    """§5.2, over all lives of a member."""
    witness = watching(member(me=2))
    witness.sent(TWO, ONE, VoteReply(Term(1), granted=True), disk(term=1, vote=1))

    with pytest.raises(AssertionError, match="member 2 voted for 1 and 3 in term 1"):
        witness.sent(TWO, THREE, VoteReply(Term(1), granted=True), disk(term=1, vote=3))


def test_candidate_that_boasts() -> None:
    """A candidate's log counts as far as its disk holds it."""
    witness = watching(member(me=2))
    request = RequestVote(Term(2), Index(2), Term(1), transfer=False)

    with pytest.raises(AssertionError, match="member 2 boasts"):
        witness.sent(TWO, ONE, request, disk("1/1", term=2, vote=2))


def test_ack_that_is_not_durable() -> None:
    """§5.3: an ack promises a disk."""
    witness = watching(follower("1/1 1/2"))

    with pytest.raises(AssertionError, match="acknowledges 2 too early"):
        witness.sent(TWO, ONE, AppendReply(Term(1), Round(1), Index(2)), disk("1/1"))
    with pytest.raises(AssertionError, match="2 is another run"):
        witness.sent(TWO, ONE, AppendReply(Term(1), Round(1), Index(2)), disk("1/1 2/2"))
    witness.sent(TWO, ONE, AppendReply(Term(1), Round(1), Index(2)), disk("1/1 1/2"))


def with_committed_no_op() -> tuple[Raft, Witness]:
    """A leader that has committed 1/1, and the witness of that."""
    raft = committed(leader(), 1)
    witness = watching(raft)
    witness.check(raft, {number: Stored(disk("", 1).hard_state, raft.log.runs) for number in (ONE, TWO, THREE)})
    return raft, witness


def test_log_that_starts_where_nothing_is_committed() -> None:
    """A snapshot of what may still be undone."""
    _, witness = with_committed_no_op()

    with pytest.raises(AssertionError, match="at 5: nothing is committed there"):
        witness.started(member(start="1/5", me=2))
    with pytest.raises(AssertionError, match="is not what is committed"):
        witness.started(member(start="2/1", me=2))
    witness.started(member(start="1/1", me=2))


def test_runs_that_are_forgotten_before_a_snapshot_holds_them() -> None:
    """A crash would find them; the peers that ask for them would not."""
    raft, witness = with_committed_no_op()

    raft.log.compact(Index(1))

    with pytest.raises(AssertionError, match="member 1 forgot what no snapshot holds"):
        witness.check(raft, everywhere("1/1"))


def test_install_on_a_leader_or_back_or_beside_the_log() -> None:
    """State Machine Safety again: a state that jumps back applies runs twice."""
    raft, witness = with_committed_no_op()
    behind, ahead = member(me=2), member(start="1/1", me=3)
    witness.started(behind)
    witness.started(ahead)

    with pytest.raises(AssertionError, match="leader 1 installs"):
        witness.installed(raft, place("1/1"))
    with pytest.raises(AssertionError, match="member 2 installed what its log contradicts"):
        witness.installed(behind, place("1/1"))
    with pytest.raises(AssertionError, match="member 3 goes back to a snapshot at 1"):
        witness.installed(ahead, place("1/1"))


def test_offer_of_a_snapshot_that_is_not_there() -> None:
    """Whoever asks for it would ask for ever."""
    _, witness = with_committed_no_op()
    offer = OfferSnapshot(Term(1), Round(1), Index(1), Term(1))

    with pytest.raises(AssertionError, match="member 1 offers a snapshot that it does not have"):
        witness.sent(ONE, TWO, offer, disk("1/1"))
    witness.sent(ONE, TWO, offer, disk(start="1/1"))
