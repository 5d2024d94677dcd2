"""Handing over: thesis §3.10."""

import pytest

from coord.raft import MemberId, NotLeader, Raft
from coord.raft.messages import AppendReply, TimeoutNow
from coord.raft.ready import TransferAborted, TransferStarted
from coord.raft.types import Index, Round, Term

from .texts import follower, leader, member, save, save_and_say, say

ONE, TWO, THREE = MemberId(1), MemberId(2), MemberId(3)


def acked(raft: Raft, peer: MemberId, match: int, now: float = 0.0) -> None:
    raft.step(peer, AppendReply(raft.term, Round(1), Index(match)), now)


def test_leader_hands_over_to_who_has_everything_at_once() -> None:
    """Step 3 of §3.10, if steps 1 and 2 have nothing to do."""
    raft = leader()
    acked(raft, THREE, 1)
    say(raft)

    raft.transfer_leadership(0.1)
    ready = raft.take_ready()

    assert ready.happened == [TransferStarted(Term(1), THREE)]
    assert ready.messages == [(THREE, TimeoutNow(Term(1)))]


def test_leader_brings_the_target_up_to_date_first() -> None:
    """Step 2: a target that lacks something cannot win."""
    raft = leader()
    raft.propose(b"x", 1, 0.0)
    save(raft)

    raft.transfer_leadership(0.0, to=TWO)
    assert say(raft) == []
    acked(raft, TWO, 1)
    assert "2: timeout-now t1" not in say(raft)
    acked(raft, TWO, 2)

    assert "2: timeout-now t1" in say(raft)


def test_leader_proposes_nothing_while_it_hands_over() -> None:
    """Step 1: otherwise the target would never have everything."""
    raft = leader()

    raft.transfer_leadership(0.0)

    assert raft.is_leader
    assert not raft.can_propose
    with pytest.raises(NotLeader) as caught:
        raft.propose(b"x", 1, 0.0)
    assert caught.value.leader is None


def test_timeout_now_is_repeated_with_each_heartbeat() -> None:
    """It may get lost."""
    raft = leader()
    acked(raft, TWO, 1)
    raft.transfer_leadership(0.0, to=TWO)
    assert "2: timeout-now t1" in say(raft)
    assert say(raft) == []

    raft.advance_time(raft.next_deadline())

    assert "2: timeout-now t1" in say(raft)


def test_transfer_is_given_up_after_an_election_timeout() -> None:
    """The last step of §3.10: a target that is down must not stop the cluster."""
    raft = leader()
    raft.transfer_leadership(0.0, to=TWO)
    raft.take_ready()
    now = 0.0
    events = []
    while now < 0.6:
        now = raft.next_deadline()
        acked(raft, THREE, 1, now)
        raft.advance_time(now)
        events += raft.take_ready().happened

    assert events == [TransferAborted(Term(1), TWO)]
    assert raft.can_propose


def test_leader_chooses_whom_it_reaches_and_who_has_most() -> None:
    """A member whose connection broke may have had everything once."""
    raft = leader(voters=(1, 2, 3, 4, 5))
    raft.propose(b"x", 1, 0.0)
    save(raft)
    for peer, match in ((TWO, 1), (THREE, 2), (MemberId(4), 1), (MemberId(5), 2)):
        acked(raft, peer, match)
    raft.peer_lost(THREE, 0.0)
    say(raft)

    raft.transfer_leadership(0.0)

    assert raft.take_ready().happened == [TransferStarted(Term(1), MemberId(5))]


def test_target_campaigns_at_once_and_says_why() -> None:
    """§3.10: no pre-vote and no waiting; the flag lets voters forget that they hear a leader."""
    raft = follower("1/1")

    raft.step(ONE, TimeoutNow(Term(1)), 0.1)

    assert raft.term == 2
    assert save_and_say(raft) == ["1: vote? t2 1/1 transfer", "3: vote? t2 1/1 transfer"]


def test_only_the_leader_may_ask_for_an_election() -> None:
    """A late TimeoutNow of nobody in particular must not disturb."""
    raft = follower("1/1")

    raft.step(THREE, TimeoutNow(Term(1)), 0.1)

    assert raft.leader == ONE
    assert raft.term == 1


def test_late_timeout_now_of_an_old_term_means_nothing() -> None:
    """§5.1."""
    raft = follower("2/1")

    raft.step(ONE, TimeoutNow(Term(1)), 0.1)

    assert raft.term == 2
    assert raft.leader == ONE


def test_follower_and_single_member_have_nothing_to_hand_over() -> None:
    """A server that stops asks without looking at its role first."""
    lagging = follower("1/1")
    lagging.transfer_leadership(0.0)
    assert say(lagging) == []

    alone = member(voters=(1,))
    save(alone)
    alone.transfer_leadership(0.0)
    assert alone.can_propose


def test_follower_cannot_propose_and_knows_who_can() -> None:
    """Thesis §6.2."""
    raft = follower("1/1")

    with pytest.raises(NotLeader, match="try member 1") as caught:
        raft.propose(b"x", 1, 0.0)

    assert caught.value.leader == ONE
