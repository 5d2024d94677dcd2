"""Logs that start later, and who is too far behind for them: paper §7."""

import pytest

from coord.raft import UNTOLD, MemberId, Raft
from coord.raft.follower import Follower
from coord.raft.messages import AppendRejected, AppendReply, OfferSnapshot, PreVoteReply, VoteReply
from coord.raft.types import Index, Place, Round, Term

from .storm import Storm, Weather
from .test_storms import USUAL
from .texts import append, disk, follower, leader, member, place, save, say, show_log

ONE, TWO, THREE = MemberId(1), MemberId(2), MemberId(3)


def offer(at: str, *, term: int = 1, round_: int = 2) -> OfferSnapshot:
    return OfferSnapshot(Term(term), Round(round_), place(at).index, place(at).term)


def offered_to(raft: Raft) -> tuple[MemberId, Place] | None:
    assert isinstance(raft.role, Follower)
    return raft.role.offer


def acked(raft: Raft, peer: MemberId, match: int, *, round_: int = 1, now: float = 0.0) -> None:
    raft.step(peer, AppendReply(raft.term, Round(round_), Index(match)), now)


def rejected(raft: Raft, peer: MemberId, at: int, hint: str, *, round_: int = 1) -> None:
    to = place(hint)
    raft.step(peer, AppendRejected(raft.term, Round(round_), Index(at), to.index, to.term), 0.0)


def with_peer_behind() -> Raft:
    """A leader of term 4 whose log starts after 3/30; peer 2 ends at 1/5 and is offered the snapshot."""
    raft = leader("3/31", start="3/30")
    rejected(raft, TWO, at=31, hint="1/5")
    assert say(raft) == ["2: offer t4 3/30 r2", "3: append t4 4/32 [] c30 r2"]
    return raft


# Members that start, and logs.


def test_member_starts_from_its_snapshot() -> None:
    """What the machine was loaded with is committed and taken; the rest comes again as it commits."""
    raft = follower("1/5 1/6-8", start="1/4")
    assert raft.commit_index == 4

    raft.step(ONE, append("1/8", commit=8, round_=2), 0.0)

    assert [run.first for run in raft.take_ready().committed] == [5, 6]


def test_snapshot_that_is_durable_before_its_term_is_raises_the_term() -> None:
    """The two are written side by side. Nobody can have voted in a term that the disk never heard of."""
    stored = disk(start="5/9")
    older = member("", term=3, vote=2).take_ready()
    assert older.persist is None
    config = member().config
    late = type(stored)(disk("", 3, 2).hard_state, [], stored.start, stored.snapshot)

    raft = Raft(config, late, 0.0, lambda: 0.5)
    ready = raft.take_ready()

    assert (raft.term, raft.voted_for) == (5, None)
    assert ready.persist is not None
    assert ready.persist.hard_state is not None


def test_compacted_log_still_ends_where_it_ended() -> None:
    """An empty log that starts at 9 is as long as one that holds 1 to 9: its owner may win elections."""
    raft = follower("1/1 2/2-9")
    raft.step(ONE, append("2/9", term=2, commit=9), 0.0)
    raft.take_ready()
    raft.snapshot_saved(place("2/9"))

    raft.compact(Index(9))

    assert show_log(raft) == ""
    assert (raft.log.last_term, raft.last_index, raft.log.start) == (2, 9, place("2/9"))


def test_what_no_snapshot_holds_is_not_forgotten() -> None:
    """Cutting comes after saving."""
    raft = follower("1/1 1/2")
    raft.step(ONE, append("1/2", commit=2), 0.0)
    raft.take_ready()

    with pytest.raises(AssertionError, match="no snapshot holds"):
        raft.compact(Index(1))


# Appends that reach back before the start.


@pytest.mark.parametrize(
    "late",
    [
        append("1/1", "1/2", round_=2),
        append("0/0", "1/1 1/2-4", round_=2),
        append("1/1", "1/2-4 1/5", round_=2),
        append("1/2", round_=2),
    ],
)
def test_late_append_from_before_the_start_takes_nothing_away(late: object) -> None:
    """What is cut off is committed, hence equal: it is no conflict, and there is nothing to compare it with."""
    raft = follower("1/5 1/6", start="1/4")

    raft.step(ONE, late, 0.0)  # type: ignore[arg-type]

    assert show_log(raft) == "1/5 1/6"
    assert say(raft) == ["1: appended t1 m6 r2"]


def test_append_from_before_the_start_brings_what_is_new() -> None:
    """A leader that goes on from an older ack of ours: the runs that we lack are taken in."""
    raft = follower(start="1/4", term=1)

    raft.step(ONE, append("1/1", "1/2-4 1/5 1/6", round_=2), 0.0)
    save(raft)

    assert show_log(raft) == "1/5 1/6"
    assert say(raft) == ["1: appended t1 m6 r2"]


def test_append_from_before_the_start_commits_no_further_than_it_reaches() -> None:
    """Figure 2, AppendEntries 5: beyond it there may be runs of another leader."""
    raft = member("1/5 1/6", start="1/4", me=2)

    raft.step(THREE, append("1/1", "1/2-4", term=2, commit=6), 0.0)

    assert raft.commit_index == 4


# Followers that are offered a snapshot.


def test_follower_that_is_behind_says_so_once_a_round_and_waits_for_its_driver() -> None:
    """The leader learns that it is followed, and nothing about the log."""
    raft = follower("1/1")

    raft.step(ONE, offer("1/9"), 0.3)

    assert say(raft) == ["1: appended t1 m1 r2"]
    assert offered_to(raft) == (ONE, place("1/9"))
    assert raft.next_deadline() > 0.3 + 0.5


def test_follower_that_has_the_place_needs_no_snapshot() -> None:
    """It was only thought to be behind, or the offer is late."""
    raft = follower("1/1 1/2-4")

    raft.step(ONE, offer("1/4"), 0.0)

    assert offered_to(raft) is None
    assert say(raft) == ["1: appended t1 m4 r2"]


def test_installed_snapshot_is_acknowledged_when_the_log_has_restarted() -> None:
    """The old log, and what the disk is still asked to do for it, vouch for nothing."""
    raft = follower("1/1")
    raft.step(ONE, append("1/1", "1/2-3"), 0.0)
    old = raft.take_ready().persist
    raft.step(ONE, offer("1/9"), 0.0)
    say(raft)

    assert raft.install(place("1/9"), UNTOLD)
    ready = raft.take_ready()

    assert old is not None
    assert ready.persist is not None
    assert ready.persist.restart_at == place("1/9")
    assert ready.committed == []
    assert (raft.commit_index, raft.last_index, show_log(raft)) == (9, 9, "")
    assert offered_to(raft) is None
    raft.persisted(old.token, 0.0)
    assert say(raft) == []
    raft.persisted(ready.persist.token, 0.0)
    assert say(raft) == ["1: appended t1 m9 r2"]


def test_runs_that_came_in_the_turn_of_an_install_go_with_the_old_log() -> None:
    """They follow a log that the disk is told to drop."""
    raft = follower("1/1")
    raft.step(ONE, append("1/1", "1/2-3"), 0.0)

    assert raft.install(place("1/9"), UNTOLD)
    ready = raft.take_ready()

    assert ready.persist is not None
    assert (ready.persist.restart_at, ready.persist.runs) == (place("1/9"), [])


def test_runs_that_follow_an_installed_snapshot_are_written_after_the_restart() -> None:
    """One write: all of it or a prefix, and each prefix is a log that goes on from the snapshot."""
    raft = follower("1/1")
    assert raft.install(place("1/9"), UNTOLD)

    raft.step(ONE, append("1/9", "1/10-12", commit=12), 0.0)
    ready = raft.take_ready()

    assert ready.persist is not None
    assert ready.persist.restart_at == place("1/9")
    assert [run.first for run in ready.persist.runs] == [10]
    assert [run.first for run in ready.committed] == [10]


def test_install_keeps_a_log_that_holds_the_place() -> None:
    """Runs after it may be acknowledged already: to drop them would break a promise."""
    raft = follower("1/1 1/2 1/3")

    assert raft.install(place("1/2"), UNTOLD)
    ready = raft.take_ready()

    assert ready.persist is None
    assert (raft.commit_index, show_log(raft)) == (2, "1/1 1/2 1/3")


def test_install_drops_a_log_that_contradicts_the_place() -> None:
    """It is longer, and of no leader's."""
    raft = follower("1/1 1/2-9", term=3)

    assert raft.install(place("2/5"), UNTOLD)

    assert (raft.last_index, raft.log.last_term, show_log(raft)) == (5, 2, "")


@pytest.mark.parametrize("at", ["1/2", "1/3"])
def test_snapshot_that_is_out_of_date_is_not_installed(at: str) -> None:
    """Old entries would be applied again (etcd-io/raft 8349efa)."""
    raft = follower("1/1 1/2 1/3")
    raft.step(ONE, append("1/3", commit=3), 0.0)
    raft.take_ready()

    assert not raft.install(place(at), UNTOLD)
    assert raft.take_ready().persist is None


def test_leader_installs_nothing() -> None:
    """It was behind when it began to fetch, got the runs after all, and was elected before it had them committed."""
    raft = leader("1/1 1/2")

    assert not raft.install(place("1/2"), UNTOLD)
    assert raft.commit_index == 0


def test_offer_of_another_term_is_void() -> None:
    """The next leader may have what we need, and if not it offers its own."""
    raft = follower("1/1")
    raft.step(ONE, offer("1/9"), 0.0)

    raft.step(THREE, append("1/1", term=2), 0.0)

    assert offered_to(raft) is None


def test_offer_is_void_when_the_leader_goes_on() -> None:
    """A newer offer came while we fetched; the older snapshot was enough."""
    raft = follower("1/1")
    raft.step(ONE, offer("1/9"), 0.0)
    raft.step(ONE, offer("1/20", round_=3), 0.0)
    raft.step(ONE, offer("1/9"), 0.0)
    assert offered_to(raft) == (ONE, place("1/20"))

    raft.install(place("1/9"), UNTOLD)

    assert offered_to(raft) is None


def test_candidate_whose_log_was_replaced_stands_back() -> None:
    """A member must not ask for votes with a log that it has no more (etcd-io/raft f1f74e0)."""
    raft = follower("1/1")
    raft.step(ONE, offer("1/9"), 0.0)
    raft.advance_time(raft.next_deadline())
    raft.step(THREE, PreVoteReply(Term(2), granted=True), 2.0)

    assert raft.install(place("1/9"), UNTOLD)
    save(raft)
    raft.step(THREE, VoteReply(Term(2), granted=True), 2.0)

    assert not raft.is_leader
    assert not any("vote?" in line for line in say(raft))


# Leaders.


def test_leader_offers_its_snapshot_once_a_round() -> None:
    """In place of the probe that it has no place for."""
    raft = with_peer_behind()

    raft.propose(b"x", 1, 0.0)
    assert say(raft) == ["3: append t4 4/32 [4/33] c30 r2"]
    raft.advance_time(raft.next_deadline())

    assert say(raft)[0] == "2: offer t4 3/30 r3"


def test_peer_that_confirms_an_offer_is_still_behind() -> None:
    """To fetch and load takes a while, in which it follows us. A late ack brings it no nearer than its index."""
    raft = with_peer_behind()

    acked(raft, TWO, 0, round_=2)
    acked(raft, TWO, 5, round_=2)
    acked(raft, TWO, 17, round_=2)
    raft.advance_time(raft.next_deadline())

    assert say(raft)[0] == "2: offer t4 3/30 r3"


def test_peer_that_has_installed_gets_what_follows() -> None:
    """Its disk holds the place, so there is nothing to ask."""
    raft = with_peer_behind()

    acked(raft, TWO, 30, round_=2)

    assert say(raft) == ["2: append t4 3/30 [3/31 4/32] c30 r2"]


def test_peer_whose_snapshot_is_too_old_by_now_is_offered_the_newest() -> None:
    """Nothing waits for a snapshot that cannot be gone on from."""
    raft = with_peer_behind()
    acked(raft, THREE, 32, round_=2)
    raft.take_ready()
    raft.snapshot_saved(place("4/32"))
    raft.compact(Index(32))

    acked(raft, TWO, 30, round_=2)
    raft.advance_time(raft.next_deadline())

    assert say(raft)[0] == "2: offer t4 4/32 r3"


def test_newest_snapshot_is_offered_although_the_log_goes_back_further() -> None:
    """Where the log starts there need not be a snapshot: what slow peers lack may be kept."""
    raft = with_peer_behind()
    acked(raft, THREE, 32, round_=2)
    raft.take_ready()
    raft.snapshot_saved(place("4/32"))
    raft.compact(Index(31))

    raft.advance_time(raft.next_deadline())

    assert say(raft)[0] == "2: offer t4 4/32 r3"


def test_peer_that_installed_an_older_snapshot_goes_on_if_the_log_was_kept() -> None:
    """What a slow transfer needs is that the log after the snapshot outlives it, not that nothing newer is taken."""
    raft = with_peer_behind()
    acked(raft, THREE, 32, round_=2)
    raft.take_ready()
    raft.snapshot_saved(place("4/32"))
    say(raft)

    acked(raft, TWO, 30, round_=2)

    assert say(raft) == ["2: append t4 3/30 [3/31 4/32] c32 r2"]


def test_compaction_overtakes_a_peer() -> None:
    """It learns so at once, not when an Append has bounced."""
    raft = leader("1/1 1/2")
    acked(raft, THREE, 3)
    raft.peer_lost(TWO, 0.0)
    rejected(raft, TWO, at=2, hint="1/1", round_=2)
    raft.take_ready()
    raft.snapshot_saved(place("1/2"))

    raft.compact(Index(2))

    assert "2: offer t2 1/2 r4" in say(raft)


def test_peer_that_is_lost_while_it_is_behind_is_offered_again() -> None:
    """NuRaft #118, #119: a leader must not believe for ever that a snapshot is on its way."""
    raft = with_peer_behind()

    raft.peer_lost(TWO, 0.0)
    assert say(raft) == ["2: offer t4 3/30 r3", "3: append t4 4/32 [] c30 r3"]
    raft.peer_up(TWO, 0.0)

    assert say(raft)[0] == "2: offer t4 3/30 r4"


def test_old_rejection_does_not_disturb_who_is_behind() -> None:
    """It tells about Appends from before the offer."""
    raft = with_peer_behind()

    rejected(raft, TWO, at=32, hint="1/5", round_=1)
    assert say(raft) == []
    acked(raft, TWO, 30, round_=2)
    rejected(raft, TWO, at=31, hint="1/5", round_=1)

    assert say(raft) == ["2: append t4 3/30 [3/31 4/32] c30 r2"]


def test_peer_with_an_older_term_at_the_start_is_behind() -> None:
    """Its entry there is another one, so the logs join before it."""
    raft = leader("3/31", start="3/30")

    rejected(raft, TWO, at=31, hint="2/30")

    assert say(raft)[0] == "2: offer t4 3/30 r2"


def test_peer_that_may_hold_the_start_is_probed_there() -> None:
    """Only if that bounces it needs the snapshot."""
    raft = leader("3/31", start="3/30")

    rejected(raft, TWO, at=31, hint="3/30")

    assert say(raft)[0] == "2: append t4 3/30 [] c30 r2"


def test_reads_and_leadership_rest_on_peers_that_are_behind() -> None:
    """With one member down, the other is loading for longer than an election timeout: that must not stop the cluster
    from serving reads."""
    storm = Storm(3, 3, Weather(proposals=50.0, reads=50.0), USUAL)
    storm.run(1.0)
    leader_now = storm.cluster.leader
    assert leader_now is not None
    late, down = [one for one in storm.members if one != leader_now.member]
    storm.crash(late)
    storm.run(0.5)
    storm.post(leader_now.member, lambda: _compact(storm, leader_now.member))
    storm.run(0.1)
    storm.crash(down)
    storm.weather = Weather(proposals=50.0, reads=50.0, fetch=1e9)
    storm.restart(late)
    term, answered = leader_now.term, len(storm.cluster.answers)

    storm.run(3.0)

    assert offered_to(storm.cluster.alive[late]) is not None
    assert leader_now.is_leader
    assert {raft.term for raft in storm.cluster.alive.values()} == {term}
    assert len(storm.cluster.answers) > answered + 50


@pytest.mark.parametrize("seed", range(3))
def test_member_catches_up_although_its_leader_goes_on_cutting(seed: int) -> None:
    """Ten snapshots a second and member, logs cut up to the newest: what is installed is often too old already, and
    another is offered. As long as the log outlives a transfer now and then, the member arrives."""
    storm = Storm(seed, 3, Weather(proposals=200.0, snapshots=30.0, cuts_of_logs=5.0, fetch=0.05), USUAL)
    storm.run(1.0)
    leader_now = storm.cluster.leader
    assert leader_now is not None
    away = next(one for one in storm.members if one != leader_now.member)
    storm.crash(away)
    storm.run(2.0)
    storm.restart(away)

    storm.run(3.0)

    raft = storm.cluster.alive[away]
    assert storm.installed
    assert raft.commit_index > leader_now.commit_index - 30


@pytest.mark.parametrize("seed", range(3))
def test_leader_that_dies_while_a_snapshot_travels_leaves_no_gap(seed: int) -> None:
    """NuRaft #118, #119, #121: the next leader, whose log is cut as well, offers its own; nobody waits for the old."""
    storm = Storm(seed, 5, Weather(proposals=100.0, snapshots=30.0, cuts_of_logs=60.0, fetch=0.3), USUAL)
    storm.run(1.0)
    leader_now = storm.cluster.leader
    assert leader_now is not None
    away = next(one for one in storm.members if one != leader_now.member)
    storm.crash(away)
    storm.run(1.0)
    storm.restart(away)
    assert storm.run(1.0, lambda: offered_to(storm.cluster.alive[away]) is not None)

    storm.kill(leader_now.member)
    storm.run(4.0)

    successor = storm.cluster.leader
    assert successor is not None
    assert storm.installed
    assert storm.cluster.alive[away].commit_index > successor.commit_index - 30


def _compact(storm: Storm, number: MemberId) -> None:
    at = storm.cluster.snapshot_place(number)
    storm.cluster.fetched(number, at)
    storm.cluster.snapshot_saved(number, at)
    storm.cluster.compact(number)
