"""Random schedules: a few here, more with COORD_STORMS set, or by `python -m tests.raft.soak`."""

import os
from dataclasses import replace

import pytest

from coord.raft import Config, MemberId, Raft

from .storm import CLEAR, Storm, Weather, weather_the_storm

USUAL = Config(member=MemberId(1), voters=(MemberId(1),), incarnation=0)
STORMS = int(os.environ.get("COORD_STORMS", "12"))


@pytest.mark.parametrize("seed", range(1, STORMS + 1))
def test_cluster_is_safe_in_any_weather_and_lives_on_after_it(seed: int) -> None:
    """Figure 3 after every turn; then a leader soon, progress, and peace."""
    weather_the_storm(seed, seconds=3.0)


def test_same_seed_same_storm() -> None:
    """A failure can be looked at again: nothing depends on hashes, identities or the real clock."""
    storms = [weather_the_storm(4, seconds=2.0) for _ in range(2)]

    assert storms[0].cluster.happened == storms[1].cluster.happened
    assert storms[0].cluster.witness.history == storms[1].cluster.witness.history
    assert storms[0].cluster.sent == storms[1].cluster.sent


def calm(seed: int, size: int) -> tuple[Storm, Raft]:
    """A cluster in clear weather that has worked for a second, and its leader."""
    storm = Storm(seed, size, CLEAR, USUAL)
    storm.run(1.0)
    leader = storm.cluster.leader
    assert leader is not None
    return storm, leader


def seconds_until_progress(storm: Storm, *, at_most: float) -> float:
    """How long it takes until something new is committed by another leader than now."""
    began, term = storm.now, max(raft.term for raft in storm.cluster.alive.values())

    def is_there_progress() -> bool:
        history = storm.cluster.witness.history
        return bool(history) and history[-1].term > term

    assert storm.run(at_most, is_there_progress), f"no progress in {at_most} s"
    return storm.now - began


@pytest.mark.parametrize("size", [3, 5])
def test_killed_leader_is_replaced_fast(size: int) -> None:
    """Its peers see their connections break: mostly it takes less than 100 ms, with a split vote more."""
    gaps = []
    for seed in range(16):
        storm, leader = calm(seed, size)
        storm.kill(leader.member)
        gaps.append(seconds_until_progress(storm, at_most=0.6))

    assert sorted(gaps)[len(gaps) * 3 // 4] < 0.1


@pytest.mark.parametrize("size", [1, 3, 5])
def test_cluster_that_starts_elects_fast(size: int) -> None:
    """Nobody waits for the silence of a leader that never was."""
    storms = [Storm(seed, size, CLEAR, USUAL) for seed in range(20)]

    for storm in storms:
        storm.run(0.35)

    assert all(storm.cluster.committed > 0 for storm in storms)


@pytest.mark.parametrize("is_deaf", [True, False], ids=["deaf", "mute"])
def test_leader_that_is_cut_off_one_way_is_replaced(is_deaf: bool) -> None:
    """Thesis §6.2, check-quorum: whom nobody answers steps down, though its heartbeats still arrive."""
    for seed in range(5):
        storm, old = calm(seed, 3)
        others = [member for member in storm.members if member != old.member]
        storm.cuts |= {(other, old.member) if is_deaf else (old.member, other) for other in others}
        term = old.term

        seconds_until_progress(storm, at_most=2.0)
        before = storm.cluster.committed
        storm.run(3.0)

        assert storm.cluster.committed > before
        assert not old.is_leader
        assert max(raft.term for raft in storm.cluster.alive.values()) <= term + 3


@pytest.mark.parametrize("size", [3, 5])
def test_one_way_cuts_do_not_inflate_terms(size: int) -> None:
    """Thesis §9.6: whoever does not hear the leader asks in vain, as long as a majority hears it."""
    for seed in range(3):
        storm, leader = calm(seed, size)
        lonely = next(member for member in storm.members if member != leader.member)
        storm.cuts |= {(leader.member, lonely)}
        term, before = leader.term, storm.cluster.committed

        storm.run(5.0)

        assert leader.is_leader
        assert {raft.term for raft in storm.cluster.alive.values()} == {term}
        assert storm.cluster.committed > before + 50


def test_member_that_comes_back_disturbs_nobody() -> None:
    """Thesis §9.6: a member that was cut off from everybody for long returns in the term it left in."""
    for seed in range(3):
        storm, leader = calm(seed, 3)
        lost = next(member for member in storm.members if member != leader.member)
        for _ in range(5):
            storm.cuts |= {link for other in storm.members for link in ((lost, other), (other, lost))}
            storm.run(2.0)
            storm.cuts.clear()
            storm.run(0.5)

        assert leader.is_leader
        assert storm.cluster.alive[lost].leader == leader.member


def test_handing_over_takes_a_moment() -> None:
    """Thesis §3.10: a leader that is told to stop leaves no gap that anybody would notice."""
    for seed in range(20):
        storm, leader = calm(seed, 3)
        storm.hand_over(leader.member)

        seconds_until_progress(storm, at_most=0.05)


def test_lagging_member_catches_up_under_load_through_a_small_window() -> None:
    """Pipelining within bounds: a member that was away for long gets everything while the others go on."""
    limits = replace(USUAL, max_append_bytes=500, max_inflight_appends=3)
    storm = Storm(1, 3, Weather(proposals=300.0), limits)
    storm.run(1.0)
    leader = storm.cluster.leader
    assert leader is not None
    away = next(member for member in storm.members if member != leader.member)
    storm.crash(away)
    storm.run(5.0)
    storm.restart(away)

    storm.run(1.0)

    raft = storm.cluster.alive[away]
    assert raft.last_index > leader.last_index - 30
    assert raft.commit_index > leader.commit_index - 30
