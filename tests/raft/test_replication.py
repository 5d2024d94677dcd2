"""How logs become equal: paper §5.3, thesis §10.2.1 (the leader's disk) and §10.2.2 (pipelining)."""

from dataclasses import replace

import pytest

from coord.raft import MemberId, Raft
from coord.raft.messages import Append, AppendRejected, AppendReply
from coord.raft.ready import Truncated
from coord.raft.types import Index, Round, Term

from .texts import append, follower, leader, member, save, say, show_log

ONE, TWO, THREE = MemberId(1), MemberId(2), MemberId(3)


def acked(raft: Raft, peer: MemberId, match: int, *, round_: int = 1, now: float = 0.0) -> None:
    raft.step(peer, AppendReply(raft.term, Round(round_), Index(match)), now)


def rejected(raft: Raft, peer: MemberId, at: int, hint: str, *, round_: int = 1, now: float = 0.0) -> None:
    hint_term, _, hint_index = hint.partition("/")
    raft.step(
        peer,
        AppendRejected(raft.term, Round(round_), Index(at), Index(int(hint_index)), Term(int(hint_term))),
        now,
    )


def limited(raft: Raft, **limits: int) -> Raft:
    """The same member with other limits."""
    raft.config = replace(raft.config, **limits)  # type: ignore[arg-type]  # all limits are numbers
    return raft


# Followers.


def test_follower_takes_in_what_follows_its_log() -> None:
    """§5.3: and acknowledges it when it is durable, not before."""
    raft = follower("1/1")

    raft.step(ONE, append("1/1", "1/2-4 1/5"), 0.0)
    ready = raft.take_ready()

    assert show_log(raft) == "1/1 1/2-4 1/5"
    assert ready.messages == []
    assert ready.persist is not None
    assert ready.persist.truncate_from is None
    raft.persisted(ready.persist.token, 0.0)
    assert say(raft) == ["1: appended t1 m5 r1"]


def test_follower_confirms_a_round_before_its_disk_answers() -> None:
    """Contact with the leader must not wait for a slow disk: only match_index does."""
    raft = follower("1/1")

    raft.step(ONE, append("1/1", "1/2", round_=7), 0.0)

    assert say(raft) == ["1: appended t1 m1 r7"]
    raft.persisted(1, 0.0)
    assert say(raft) == ["1: appended t1 m2 r7"]


def test_follower_answers_a_turn_once() -> None:
    """However many appends a turn takes in, the newest round and the newest match say it all."""
    raft = follower("1/1")
    raft.step(ONE, append("1/1", "1/2", round_=2), 0.0)
    save(raft)

    raft.step(ONE, append("1/2", "1/3", round_=3), 0.0)
    raft.step(ONE, append("1/3", "1/4", round_=4), 0.0)

    assert say(raft) == ["1: appended t1 m2 r4"]


def test_follower_does_not_answer_what_is_answered() -> None:
    """An append that only brings a newer commit index costs no answer."""
    raft = follower("1/1 1/2")

    raft.step(ONE, append("1/2", commit=2), 0.0)
    ready = raft.take_ready()

    assert raft.commit_index == 2
    assert ready.messages == []


def test_follower_rejects_an_append_that_leaves_a_gap() -> None:
    """§5.3: an append whose previous entry we lack is rejected, with a hint where our log ends."""
    raft = follower("1/1 1/2")

    raft.step(ONE, append("1/4", "1/5"), 0.0)

    assert say(raft) == ["1: rejected t1 at 4, try 1/2 r1"]
    assert show_log(raft) == "1/1 1/2"


def test_follower_rejects_an_append_on_another_term_and_skips_that_term() -> None:
    """§5.3, end: the hint passes over everything that the leader cannot have before its previous entry."""
    raft = member("1/1 2/2 2/3 4/4 4/5", term=6, me=2)

    raft.step(ONE, append("3/5", "6/6", term=6), 0.0)

    assert say(raft) == ["1: rejected t6 at 5, try 2/3 r1"]


def test_rejection_that_later_messages_of_the_turn_made_void_is_not_sent() -> None:
    """Two messages changed places on the way; nothing is missing."""
    raft = follower("1/1")

    raft.step(ONE, append("1/2", "1/3"), 0.0)
    raft.step(ONE, append("1/1", "1/2"), 0.0)
    raft.step(ONE, append("1/2", "1/3"), 0.0)

    assert say(raft) == []
    assert show_log(raft) == "1/1 1/2 1/3"


def test_follower_drops_what_conflicts_and_no_more() -> None:
    """§5.3, step 3: from the first run with another term on; the disk is told to do the same."""
    raft = member("1/1 1/2 1/3-4 1/5", term=2, me=2)

    raft.step(ONE, append("1/1", "1/2 2/3", term=2), 0.0)
    ready = raft.take_ready()

    assert show_log(raft) == "1/1 1/2 2/3"
    assert ready.persist is not None
    assert ready.persist.truncate_from == 3
    assert [run.first for run in ready.persist.runs] == [3]
    assert Truncated(Index(3), Index(5)) in ready.happened


@pytest.mark.parametrize("late", [append("1/1", "1/2"), append("0/0", "1/1"), append("1/2"), append()])
def test_late_append_takes_nothing_away(late: Append) -> None:
    """§5.3, step 3: what follows an old message is not in conflict with it."""
    raft = follower("1/1 1/2 1/3")
    raft.step(ONE, append("1/3", "1/4-6", commit=3), 0.0)
    save(raft)
    raft.take_ready()

    raft.step(ONE, late, 0.0)

    assert show_log(raft) == "1/1 1/2 1/3 1/4-6"
    assert say(raft) == []


def test_follower_would_rather_stop_than_drop_what_is_committed() -> None:
    """State Machine Safety: a leader that contradicts a committed run is a bug, not a leader."""
    raft = follower("1/1 1/2", term=1)
    raft.step(ONE, append("1/2", commit=2), 0.0)

    with pytest.raises(AssertionError, match="contradicts our committed run"):
        raft.step(THREE, append("1/1", "2/2", term=2), 0.0)


def test_follower_commits_no_further_than_its_log_equals_the_leaders() -> None:
    """Figure 2, AppendEntries 5: beyond the last new entry there may be runs of another leader."""
    raft = follower("1/1 1/2 1/3", term=1)
    raft.take_ready()

    raft.step(THREE, append("1/1", term=2, commit=3), 0.0)

    assert raft.commit_index == 1


def test_follower_acknowledges_no_further_than_its_log_equals_the_leaders() -> None:
    """A durable run of another leader is no match."""
    raft = follower("1/1 1/2 1/3", term=1)

    raft.step(THREE, append("1/1", term=2, round_=3), 0.0)

    assert say(raft) == ["3: appended t2 m1 r3"]


def test_disk_that_answers_for_dropped_runs_does_not_vouch_for_their_successors() -> None:
    """The write of 2-3 is under way when they are replaced; its answer says nothing about the new 2 and 3."""
    raft = follower("1/1")
    raft.step(ONE, append("1/1", "1/2-3"), 0.0)
    old = raft.take_ready().persist
    raft.step(THREE, append("1/1", "2/2-3", term=2), 0.0)
    new = raft.take_ready().persist
    assert old is not None
    assert new is not None

    raft.persisted(old.token, 0.0)
    assert say(raft) == []
    raft.persisted(new.token, 0.0)

    assert say(raft) == ["3: appended t2 m3 r1"]


def test_runs_that_were_never_handed_out_need_no_truncation_on_disk() -> None:
    """What comes and goes within a turn, the disk never hears of."""
    raft = follower("1/1")

    raft.step(ONE, append("1/1", "1/2"), 0.0)
    raft.step(THREE, append("1/1", "2/2", term=2), 0.0)
    ready = raft.take_ready()

    assert ready.persist is not None
    assert ready.persist.truncate_from is None
    assert [run.term for run in ready.persist.runs] == [2]


def test_two_leaders_of_a_term_are_refused() -> None:
    """Election Safety is what everything else rests on."""
    raft = follower("1/1")

    with pytest.raises(AssertionError, match="two leaders in term 1"):
        raft.step(THREE, append("1/1"), 0.0)


def test_log_that_does_not_begin_at_the_beginning_is_refused() -> None:
    """What it follows must be known: `Stored.start`."""
    with pytest.raises(AssertionError, match="a gap: 5 after 0"):
        follower("1/5 1/6")


# Leaders.


def test_leader_sends_before_its_own_disk_has_answered() -> None:
    """Thesis §10.2.1: the two disks work at the same time."""
    raft = leader()

    raft.propose(b"x", 3, 0.0)
    ready = raft.take_ready()

    assert [to for to, _ in ready.messages] == [TWO, THREE]
    assert ready.persist is not None
    assert [run.first for run in ready.persist.runs] == [2]


def test_peers_that_are_equally_far_get_the_same_object() -> None:
    """It is encoded once."""
    raft = leader()
    raft.propose(b"x", 3, 0.0)

    (_, first), (_, second) = raft.take_ready().messages

    assert first is second
    assert isinstance(first, Append)
    assert first.runs[0] is raft.log.runs[-1]


def test_leader_pipelines() -> None:
    """Thesis §10.2.2: the next append leaves before the last one is acknowledged."""
    raft = leader()

    raft.propose(b"x", 1, 0.0)
    assert say(raft)[0] == "2: append t1 1/1 [1/2] c0 r1"
    raft.propose(b"x", 1, 0.0)
    assert say(raft)[0] == "2: append t1 1/2 [1/3] c0 r1"


def test_proposals_of_one_turn_travel_in_one_append() -> None:
    """One message per peer and turn."""
    raft = leader()

    raft.propose(b"x", 1, 0.0)
    raft.propose(b"y", 2, 0.0)

    assert say(raft) == ["2: append t1 1/1 [1/2 1/3-4] c0 r1", "3: append t1 1/1 [1/2 1/3-4] c0 r1"]


def test_long_batches_are_cut_at_max_append_bytes() -> None:
    """A gigantic message would keep the small ones behind it waiting; several may leave at once."""
    raft = limited(leader(), max_append_bytes=5)

    for _ in range(5):
        raft.propose(b"xx", 1, 0.0)

    assert [line for line in say(raft) if line.startswith("2")] == [
        "2: append t1 1/1 [1/2 1/3] c0 r1",
        "2: append t1 1/3 [1/4 1/5] c0 r1",
        "2: append t1 1/5 [1/6] c0 r1",
    ]


def test_run_that_is_larger_than_an_append_travels_alone() -> None:
    """Runs are atomic."""
    raft = limited(leader(), max_append_bytes=5)

    raft.propose(b"x" * 99, 1, 0.0)
    raft.propose(b"y", 1, 0.0)

    assert say(raft)[:2] == ["2: append t1 1/1 [1/2] c0 r1", "2: append t1 1/2 [1/3] c0 r1"]


@pytest.mark.parametrize("limits", [{"max_inflight_appends": 2}, {"max_inflight_bytes": 6}])
def test_window_bounds_what_is_not_acknowledged(limits: dict[str, int]) -> None:
    """A slow peer must not be buried; acks open the window again."""
    raft = limited(leader(), **limits)
    for peer in (TWO, THREE):
        acked(raft, peer, 1)
    say(raft)

    for _ in range(4):
        raft.propose(b"xxx", 1, 0.0)
        lines = say(raft)
    assert lines == []
    acked(raft, TWO, 2)

    assert "2: append t1 1/3 [1/4 1/5] c1 r1" in say(raft)


def test_full_window_does_not_keep_heartbeats_back() -> None:
    """They build on the last run that was sent, so that a lost append is noticed."""
    raft = limited(leader(), max_inflight_appends=1)
    for peer in (TWO, THREE):
        acked(raft, peer, 1)
    say(raft)
    raft.propose(b"x", 1, 0.0)
    say(raft)
    raft.propose(b"y", 1, 0.0)
    assert say(raft) == []

    raft.advance_time(raft.next_deadline())

    assert say(raft) == ["2: append t1 1/2 [] c1 r2", "3: append t1 1/2 [] c1 r2"]


def test_commit_index_follows_at_once_when_there_is_nothing_else_to_send() -> None:
    """Followers have clients that wait for it."""
    raft = leader()

    acked(raft, TWO, 1)

    assert say(raft) == ["2: append t1 1/1 [] c1 r1", "3: append t1 1/1 [] c1 r1"]
    assert say(raft) == []


def test_commit_index_travels_with_the_next_runs_if_there_are_any() -> None:
    """One message per peer and turn."""
    raft = leader()

    acked(raft, TWO, 1)
    raft.propose(b"x", 1, 0.0)

    assert say(raft) == ["2: append t1 1/1 [1/2] c1 r1", "3: append t1 1/1 [1/2] c1 r1"]


def test_heartbeats_go_to_all_in_a_new_round() -> None:
    """§5.2; a new round is a question, so that the leader learns who follows it."""
    raft = leader()

    raft.advance_time(0.05)

    assert say(raft) == ["2: append t1 1/1 [] c0 r2", "3: append t1 1/1 [] c0 r2"]


def test_rejection_makes_the_leader_step_back_by_terms() -> None:
    """§5.3, end: one step per term in conflict, and probes are empty until one is accepted."""
    raft = leader("1/1 1/2 3/3 3/4 4/5")

    rejected(raft, TWO, at=5, hint="2/4")

    assert say(raft)[0] == "2: append t5 1/2 [] c0 r2"
    acked(raft, TWO, 2, round_=2)
    assert say(raft) == ["2: append t5 1/2 [3/3 3/4 4/5 5/6] c0 r2"]


def test_hint_inside_a_run_is_rounded_down() -> None:
    """Logs part ways only between runs: who lacks the end of a run lacks all of it."""
    raft = leader("1/1 2/2-9")

    rejected(raft, TWO, at=9, hint="2/5")

    assert say(raft)[0] == "2: append t3 1/1 [] c0 r2"


def test_lost_append_makes_one_step_back_however_many_bounce_after_it() -> None:
    """Answers to what was sent before the step back say nothing about what was sent since."""
    raft = leader()
    for _ in range(3):
        raft.propose(b"x", 1, 0.0)
        say(raft)

    rejected(raft, TWO, at=2, hint="1/1")
    assert say(raft)[0] == "2: append t1 1/1 [] c0 r2"
    acked(raft, TWO, 1, round_=2)
    assert "2: append t1 1/1 [1/2 1/3 1/4] c1 r2" in say(raft)
    rejected(raft, TWO, at=3, hint="1/1")
    rejected(raft, TWO, at=4, hint="1/1")

    assert say(raft) == []


def test_rejection_where_the_peer_acknowledged_already_is_old() -> None:
    """A durable match never moves back."""
    raft = leader("1/1 1/2")
    acked(raft, TWO, 3)
    say(raft)

    rejected(raft, TWO, at=2, hint="1/1", round_=1)

    assert say(raft) == []


def test_step_back_to_what_is_acknowledged_needs_no_probe() -> None:
    """What was durable there is still there: the runs follow at once."""
    raft = leader()
    acked(raft, TWO, 1)
    say(raft)
    raft.propose(b"x", 1, 0.0)
    raft.propose(b"y", 1, 0.0)
    say(raft)

    rejected(raft, TWO, at=3, hint="1/1")

    assert say(raft)[0] == "2: append t1 1/1 [1/2 1/3] c1 r2"


def test_acks_of_an_older_round_do_not_end_probing() -> None:
    """They were given before the step back."""
    raft = leader("1/1 1/2 3/3")
    rejected(raft, TWO, at=3, hint="2/3")
    say(raft)

    acked(raft, TWO, 0, round_=1)

    assert say(raft) == []


def test_peer_whose_connection_broke_is_probed_from_where_we_were() -> None:
    """Most of what was in flight may have arrived: ask, instead of sending it all again."""
    raft = leader()
    acked(raft, TWO, 1)
    raft.propose(b"x", 1, 0.0)
    say(raft)

    raft.peer_lost(TWO, 0.0)
    raft.propose(b"y", 1, 0.0)

    assert say(raft) == ["2: append t1 1/2 [] c1 r2", "3: append t1 1/2 [1/3] c1 r2"]
    acked(raft, TWO, 1, round_=2)
    assert say(raft) == ["2: append t1 1/2 [1/3] c1 r2"]


def test_peer_that_connects_is_probed_at_once() -> None:
    """It should not have to wait for the next heartbeat."""
    raft = leader()

    raft.peer_up(TWO, 0.0)

    assert "2: append t1 1/1 [] c0 r2" in say(raft)


def test_repeated_ack_changes_nothing() -> None:
    """The network may deliver it twice, or late."""
    raft = leader()
    raft.propose(b"x", 1, 0.0)
    say(raft)
    acked(raft, TWO, 2)
    say(raft)
    assert raft.is_leader
    commit_index = raft.commit_index

    acked(raft, TWO, 2)
    acked(raft, TWO, 1)

    assert raft.commit_index == commit_index
    assert say(raft) == []


# What the driver gets.


def test_committed_runs_come_once_and_in_slices() -> None:
    """A restarted member applies its whole log; between slices it must be able to answer its leader."""
    raft = limited(follower("1/1 1/2-3 1/4 1/5-9"), max_committed_entries=3)

    raft.step(ONE, append("1/9", commit=9), 0.2)
    slices = []
    while raft.next_deadline() <= 0.2:
        raft.advance_time(0.2)
        slices.append([run.first for run in raft.take_ready().committed])

    assert slices == [[1, 2], [4], [5]]
    assert raft.take_ready().committed == []
