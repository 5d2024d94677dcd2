"""Who the members are, and how that changes: paper §6; thesis §4.1-4.3; Ongaro's erratum (raft-dev, 2015)."""

import pytest
from msgspec.structs import replace

from coord.raft import (
    NOBODY,
    ChangeUnderWay,
    Config,
    Configuration,
    MemberId,
    NotLeader,
    Raft,
    Seat,
    Stored,
    Term,
)
from coord.raft.candidate import Candidate
from coord.raft.leader import Leader
from coord.raft.messages import (
    AppendRejected,
    PreVoteReply,
    ReadIndex,
    RequestVote,
    TimeoutNow,
    VoteReply,
)
from coord.raft.ready import QuorumLost
from coord.raft.types import BEFORE_FIRST, Index, Round

from .members import acked, brings, decides, entry, founder, in_office, of, stored
from .texts import append, follower, half, leader, place, save, save_and_say, say, show_log

ONE, TWO, THREE, FOUR, FIVE, SIX, SEVEN = (MemberId(number) for number in range(1, 8))

# When it holds.


def test_configuration_holds_from_the_append_on() -> None:
    """§6: "a server always uses the latest configuration in its log, regardless of whether the entry is committed"."""
    raft = follower("1/1")

    raft.step(ONE, brings("1/1", entry("1/2", of(1, 2, 4))), 0.1)

    assert raft.commit_index == 0
    assert raft.configuration == of(1, 2, 4)


def test_leader_uses_it_at_once_and_feeds_who_is_new() -> None:
    """§6: likewise; a new member is asked first where its log ends."""
    raft = in_office(1, 2, 3)

    raft.change_members(of(1, 2, 3, learners=(4,)), 0.0)

    assert raft.configuration == of(1, 2, 3, learners=(4,))
    assert say(raft) == [
        "2: append t1 1/1 [1/2] c1 r2",
        "3: append t1 1/1 [1/2] c1 r2",
        "4: append t1 1/2 [] c1 r2",
    ]


def test_configuration_that_is_truncated_gives_its_place_back() -> None:
    """Thesis §4.1: "a server must be prepared to fall back to the previous configuration in its log"."""
    raft = follower("1/1")
    raft.step(ONE, brings("1/1", entry("1/2", of(1, 2, 3, 4, outgoing=(1, 2, 3)))), 0.1)
    raft.step(ONE, brings("1/2", entry("1/3", of(1, 2, 3, 4))), 0.1)
    save(raft)

    raft.step(THREE, append("1/1", "2/2", term=2), 0.2)

    assert show_log(raft) == "1/1 2/2"
    assert raft.configuration == of(1, 2, 3)


@pytest.mark.parametrize("newest", [of(1, 2, 3, learners=(4,)), of(2, 4, 5, outgoing=(1, 2, 3))])
def test_member_that_restarts_uses_the_newest_in_its_log(newest: Configuration) -> None:
    """§6: committed or not; what it was started with no longer counts."""
    raft = founder(stored(entry("1/1", of(1, 2, 3)), entry("1/2", newest)))

    assert raft.commit_index == 0
    assert raft.configuration == newest


# Joint consensus.


def test_other_voters_take_a_joint_configuration_first() -> None:
    """§6: "the cluster first switches to a transitional configuration we call joint consensus"."""
    raft = in_office(1, 2, 3)

    raft.change_members(of(1, 4, 5), 0.0)

    assert raft.configuration == of(1, 4, 5, outgoing=(1, 2, 3))
    assert raft.configuration.members == (1, 2, 3, 4, 5)


def test_learners_and_addresses_take_one_entry() -> None:
    """Nothing to overlap: the same votes decide before and after."""
    raft = in_office(1, 2, 3)
    index = raft.change_members(replace(of(1, 2, 3, learners=(4,)), seats=(Seat(FOUR, "h:1"),)), 0.0)

    assert decides(raft, index, TWO) == [raft.configuration]  # the one that we asked for, and none after it
    assert raft.commit_index == index
    assert not raft.configuration.is_joint


def test_commitment_takes_both_majorities() -> None:
    """§6: "agreement (for elections and entry commitment) requires separate majorities from both"."""
    raft = in_office(1, 2, 3)
    raft.change_members(of(1, 4, 5), 0.0)
    save(raft)

    acked(raft, FOUR, 2)
    acked(raft, FIVE, 2)
    save(raft)
    assert raft.commit_index == 1
    acked(raft, THREE, 2)
    save(raft)

    assert raft.commit_index == 2


def test_commitment_takes_both_majorities_the_other_way_round() -> None:
    """The old voters alone do not suffice either."""
    raft = in_office(1, 2, 3)
    raft.change_members(of(1, 4, 5), 0.0)
    save(raft)

    acked(raft, TWO, 2)
    acked(raft, THREE, 2)
    save(raft)

    assert raft.commit_index == 1


def test_election_takes_both_majorities() -> None:
    """§6: so that neither can elect a leader of its own."""
    raft = founder(stored(entry("1/1", of(2, 4, 5, outgoing=(1, 2, 3)))))
    raft.advance_time(1.0)
    assert [line.partition(":")[0] for line in say(raft)] == ["1", "3", "4", "5"]

    for voter in (FOUR, FIVE):
        raft.step(voter, PreVoteReply(Term(2), granted=True), 1.0)
    assert raft.term == 1
    raft.step(ONE, PreVoteReply(Term(2), granted=True), 1.0)
    assert raft.term == 2
    save(raft)
    for voter in (ONE, THREE):
        raft.step(voter, VoteReply(Term(2), granted=True), 1.0)
    assert not raft.is_leader
    raft.step(FIVE, VoteReply(Term(2), granted=True), 1.0)

    assert raft.is_leader


def test_read_takes_both_majorities() -> None:
    """Thesis §6.4: each could have another leader by now."""
    raft = in_office(1, 2, 3)
    raft.change_members(of(1, 4, 5), 0.0)
    raft.read_index(7, 0.0)
    assert save(raft).reads == []

    acked(raft, FOUR, 0)
    acked(raft, FIVE, 0)
    assert save(raft).reads == []
    acked(raft, TWO, 1)

    assert [read.request for read in save(raft).reads] == [7]


@pytest.mark.parametrize("heard", [(TWO, THREE), (FOUR, FIVE)])
def test_check_quorum_takes_both_majorities(heard: tuple[MemberId, ...]) -> None:
    """Thesis §6.2."""
    raft = in_office(1, 2, 3)
    raft.change_members(of(1, 4, 5), 0.0)
    save(raft)
    for peer in heard:
        acked(raft, peer, 1, now=0.4)

    raft.advance_time(0.5)

    assert QuorumLost(raft.term) in raft.take_ready().happened


def test_joint_configuration_that_is_committed_is_ended() -> None:
    """§6: "once C-old,new has been committed", the leader creates an entry of C-new."""
    raft = in_office(1, 2, 3)
    index = raft.change_members(of(1, 4, 5), 0.0)

    assert decides(raft, index, FOUR) == [of(1, 4, 5, outgoing=(1, 2, 3))]
    assert decides(raft, index, TWO) == [of(1, 4, 5)]

    assert raft.configuration == of(1, 4, 5)
    assert raft.commit_index == index
    acked(raft, FOUR, index + 1)
    save(raft)
    assert raft.commit_index == index + 1


def test_joint_configuration_is_ended_by_a_later_leader() -> None:
    """§6, by whoever leads by then, and only when something of its own term is committed (§5.4.2)."""
    raft = founder(stored(entry("1/1", of(2, 4, 5, outgoing=(1, 2, 3)))))
    elect_jointly(raft)
    save(raft)

    assert decides(raft, 1, ONE, FOUR) == []
    assert decides(raft, 2, ONE, FOUR) == [of(2, 4, 5)]


def elect_jointly(raft: Raft) -> None:
    """All others vote."""
    raft.role.on_time(raft, 0.0)
    others = [one for one in raft.configuration.members if one != raft.member]
    for peer in others:
        raft.step(peer, PreVoteReply(Term(raft.term + 1), granted=True), 0.0)
    save(raft)
    for peer in others:
        raft.step(peer, VoteReply(raft.term, granted=True), 0.0)
    assert raft.is_leader


def test_seats_of_those_who_leave_stay_as_long_as_they_vote() -> None:
    """The leader must reach them; a learner that goes at the same time has no part in it, and no seat."""
    raft = in_office(1, 2)
    seats = tuple(Seat(one, f"h{one}:1") for one in (ONE, TWO, THREE))
    decides(raft, raft.change_members(replace(of(1, 2, learners=(3,)), seats=seats), 0.0), TWO)

    index = raft.change_members(replace(of(1), seats=seats[:1]), 0.0)

    assert raft.configuration == replace(of(1, outgoing=(1, 2)), seats=seats[:2])
    assert decides(raft, index, TWO)[-1] == replace(of(1), seats=seats[:1])


# One at a time.


def test_no_change_before_an_entry_of_the_own_term_is_committed() -> None:
    """Ongaro, raft-dev 2015: an earlier leader may have made another change that may yet be committed."""
    raft = leader("1/1", voters=(1, 2, 3, 4))

    with pytest.raises(ChangeUnderWay):
        raft.change_members(of(1, 2, 3), 0.0)
    for peer in (TWO, THREE):
        acked(raft, peer, 2)
    save(raft)

    raft.change_members(of(1, 2, 3), 0.0)


def test_no_change_while_one_is_under_way() -> None:
    """Thesis §4.1: neither before the newest configuration is committed nor before a joint one is ended."""
    raft = in_office(1, 2, 3)
    index = raft.change_members(of(1, 2), 0.0)

    with pytest.raises(ChangeUnderWay) as caught:
        raft.change_members(of(1, 2, 3), 0.0)
    assert caught.value.membership.index == index
    decides(raft, index, TWO)
    with pytest.raises(ChangeUnderWay):
        raft.change_members(of(1, 2, 3), 0.0)
    decides(raft, index + 1, TWO)

    raft.change_members(of(1, 2, 3), 0.0)


def test_only_a_leader_that_stays_changes_members() -> None:
    """As with proposals."""
    with pytest.raises(NotLeader):
        follower("1/1").change_members(of(1, 2), 0.0)
    raft = in_office(1, 2, 3)
    raft.transfer_leadership(0.0, TWO)

    with pytest.raises(NotLeader):
        raft.change_members(of(1, 2), 0.0)


# Learners.


def test_learner_never_stands() -> None:
    """Thesis §4.2.1: a non-voting member; it waits, and forgets a leader that is silent."""
    raft = follower("1/1", me=2)
    raft.step(ONE, brings("1/1", entry("1/2", of(1, 3, learners=(2,))), commit=2), 0.1)
    save(raft)

    for _ in range(5):
        raft.advance_time(raft.next_deadline())
        assert not isinstance(raft.role, Candidate)

    assert (raft.leader, raft.term) == (None, 1)
    assert raft.next_deadline() > raft.now


def test_learner_is_not_counted() -> None:
    """Thesis §4.2.1: "not yet counted towards majorities for voting or commitment purposes"."""
    raft = in_office(1, 2, 3)
    index = raft.change_members(of(1, 2, 3, learners=(4, 5)), 0.0)
    raft.read_index(1, 0.0)
    save(raft)

    acked(raft, FOUR, index, now=0.4)
    acked(raft, FIVE, index, now=0.4)
    ready = save(raft)

    assert raft.commit_index == 1
    assert ready.reads == []
    raft.advance_time(0.5)
    assert not raft.is_leader


def test_learner_votes_for_whoever_asks() -> None:
    """Thesis §4.2.2: it may have a vote by now without knowing."""
    config = Config(member=FOUR, voters=(), incarnation=1)
    raft = Raft(config, stored(entry("1/1", of(1, 2, 3, learners=(4,)))), 0.0, half)

    raft.step(TWO, RequestVote(Term(3), Index(4), Term(2), transfer=False), 1.0)

    assert save_and_say(raft) == ["2: vote yes t3"]


def test_who_knows_nothing_votes_for_nobody() -> None:
    """It gets a vote only when it has caught up; until then it may be one that lost its disk. With another like it,
    that founds its cluster anew, it would make a majority of founders who have all forgotten that there is one."""
    raft = Raft(Config(member=FOUR, voters=(), incarnation=1), Stored.nothing(), 0.0, half)
    assert raft.configuration == NOBODY

    raft.step(TWO, RequestVote(Term(1), Index(0), Term(0), transfer=False), 1.0)

    assert save_and_say(raft) == ["2: vote no t1"]


def test_vote_of_somebody_without_one_does_not_count() -> None:
    """Neither a learner's, nor that of somebody who was removed."""
    raft = founder(stored(entry("1/1", of(1, 2, 3, learners=(4,)))))
    raft.advance_time(1.0)

    raft.step(FOUR, PreVoteReply(Term(2), granted=True), 1.0)
    raft.step(FIVE, PreVoteReply(Term(2), granted=True), 1.0)

    assert raft.term == 1


def test_somebody_without_a_vote_is_not_asked_for_it() -> None:
    """Not when an election starts, and not when a connection comes up."""
    raft = founder(stored(entry("1/1", of(1, 2, 3, learners=(4,)))))
    raft.advance_time(1.0)
    assert [line.partition(":")[0] for line in say(raft)] == ["1", "3"]

    raft.peer_up(FOUR, 1.0)

    assert say(raft) == []


def test_timeout_now_means_nothing_to_a_learner() -> None:
    """It lost its vote while that was on the way."""
    raft = follower("1/1")
    raft.step(ONE, brings("1/1", entry("1/2", of(1, 3, learners=(2,)))), 0.1)

    raft.step(ONE, TimeoutNow(Term(1)), 0.1)

    assert raft.term == 1


def test_leader_hands_over_to_voters_only() -> None:
    """Thesis §3.10: the learner holds more, and could not win."""
    raft = in_office(1, 2)
    index = raft.change_members(of(1, 2, learners=(3,)), 0.0)
    save(raft)
    acked(raft, THREE, index)
    say(raft)

    with pytest.raises(AssertionError, match="3 has no vote"):
        raft.transfer_leadership(0.0, THREE)
    raft.transfer_leadership(0.0)

    assert isinstance(raft.role, Leader)
    assert raft.role.transfer is not None
    assert raft.role.transfer.target == TWO


# A leader that is removed.


def test_removed_leader_does_not_count_itself() -> None:
    """Thesis §4.2.2: "it replicates log entries but does not count itself in majorities"."""
    raft = in_office(1, 2, 3)
    index = raft.change_members(of(2, 3), 0.0)
    decides(raft, index, TWO, THREE)
    assert raft.configuration == of(2, 3)

    acked(raft, TWO, index + 1)
    save(raft)
    assert raft.commit_index == index
    acked(raft, THREE, index + 1)
    save(raft)

    assert raft.commit_index == index + 1


def test_removed_leader_leaves_when_that_is_decided_and_tells_a_successor() -> None:
    """§6: "the leader steps down … once it has committed the C-new log entry"; nobody waits for its silence."""
    raft = in_office(1, 2, 3)
    index = raft.change_members(of(2, 3), 0.0)
    decides(raft, index, TWO, THREE)
    raft.advance_time(0.1)
    assert raft.is_leader
    decides(raft, index + 1, TWO, THREE)

    raft.advance_time(0.2)

    assert not raft.is_leader
    assert "2: timeout-now t1" in say(raft)
    for _ in range(3):
        raft.advance_time(raft.next_deadline())
        assert isinstance(raft.take_ready().messages, list)
        assert not isinstance(raft.role, Candidate)


def test_removed_member_stands_as_long_as_that_is_not_decided() -> None:
    """Thesis §4.2.2: "a server that is not part of its own latest configuration should still start new elections".

    The storms found it: 1 leads 1 and 2, removes itself, and loses its office before 2 has that entry. The vote of 1
    is needed by 2, and refused, as its own log is longer.
    """
    joint, new = entry("1/1", of(2, outgoing=(1, 2))), entry("1/2", of(2))
    raft = founder(stored(joint, new), me=ONE)

    raft.advance_time(1.0)
    assert say(raft) == ["2: pre-vote? t2 1/2"]
    raft.step(TWO, PreVoteReply(Term(2), granted=True), 1.0)
    assert save_and_say(raft) == ["2: vote? t2 1/2"]
    raft.step(TWO, VoteReply(Term(2), granted=True), 1.0)
    assert raft.is_leader
    save(raft)
    assert raft.commit_index == 0
    decides(raft, 3, TWO)
    raft.advance_time(raft.next_deadline())

    assert raft.commit_index == 3
    assert not raft.is_leader


# Peers that come and go.


def test_late_answers_of_a_removed_peer_mean_nothing() -> None:
    """The network may deliver them long after."""
    raft = in_office(1, 2, 3)
    index = raft.change_members(of(1, 2), 0.0)
    decides(raft, index, TWO, THREE)
    decides(raft, index + 1, TWO)

    acked(raft, THREE, index)
    raft.step(THREE, AppendRejected(raft.term, Round(1), Index(1), BEFORE_FIRST, Term(0)), 0.0)
    raft.step(THREE, ReadIndex(raft.term, 1), 0.0)
    raft.peer_lost(THREE, 0.0)
    raft.peer_up(THREE, 0.0)
    save(raft)

    assert isinstance(raft.role, Leader)
    assert list(raft.role.progress) == [TWO]


def test_late_answers_of_an_earlier_membership_do_not_count() -> None:
    """A member that comes back may have another disk: only what it says to this round or a later one is about that."""
    raft = in_office(1, 2, 3)
    index = raft.change_members(of(1, 2), 0.0)
    decides(raft, index, TWO)
    decides(raft, index + 1, TWO)
    index = raft.change_members(of(1, 2, learners=(3,)), 0.0)
    save(raft)
    assert isinstance(raft.role, Leader)

    acked(raft, THREE, 1, round_=1)
    raft.step(THREE, AppendRejected(raft.term, Round(1), Index(1), BEFORE_FIRST, Term(0)), 0.0)

    peer = raft.role.progress[THREE]
    assert (peer.match_index, peer.acked_round, peer.sent_index) == (0, 0, index)


def test_new_member_is_fed_from_the_beginning() -> None:
    """Its answer to the probe says that it has nothing."""
    raft = in_office(1, 2, 3)
    raft.change_members(of(1, 2, 3, learners=(4,)), 0.0)
    save(raft)

    raft.step(FOUR, AppendRejected(raft.term, Round(2), Index(2), BEFORE_FIRST, Term(0)), 0.0)

    assert "4: append t1 0/0 [1/1 1/2] c1 r3" in say(raft)


def test_new_member_is_offered_a_snapshot_if_the_log_starts_later() -> None:
    """§7 and §6: which holds the configuration too."""
    raft = in_office(1, 2, 3)
    index = raft.change_members(of(1, 2, 3, learners=(4,)), 0.0)
    decides(raft, index, TWO)
    raft.snapshot_saved(place("1/2"))
    raft.compact(Index(2))
    say(raft)

    raft.step(FOUR, AppendRejected(raft.term, Round(2), Index(2), BEFORE_FIRST, Term(0)), 0.0)

    assert "4: offer t1 1/2 r3" in say(raft)
