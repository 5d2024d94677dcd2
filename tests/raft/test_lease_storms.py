"""Leader leases in bad weather, on clocks that run apart: no read is ever stale, unless a guard is taken away.

`Cluster` compares each answer with what was committed anywhere when the read was asked. So a storm in which a bug was
put in shows whether that comparison, in this weather, would notice.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any, TypeAlias

import pytest

from coord.raft import Config, MemberId, Raft
from coord.raft.follower import Follower
from coord.raft.leader import Leader, Transfer
from coord.raft.lease import Promise

from .cluster import Cluster
from .storm import Storm, Weather
from .test_storms import STORMS, USUAL

DRIFT = 0.4
LEASES = replace(
    USUAL,
    lease_reads=True,
    max_clock_drift=DRIFT,
    heartbeat_interval=0.03,
    election_timeout=0.2,
    pre_vote_interval=0.01,
)
"""A drift so large that a slow leader which is cut off believes in itself for longer than an election takes: else it
gives up in time by itself (check-quorum), and no lease would be to blame for anything."""

SEEDS_FOR_A_BUG = 120
"""How many storms a bug may survive before we call it hidden; the most stubborn one needs a third of that."""


def weather(rng: Random) -> Weather:
    """Rough, but good enough for a leader to be elected before a lease that is too long has run out."""
    return Weather(
        loss=rng.choice((0.0, 0.0, 0.05)),
        repeats=rng.choice((0.0, 0.3)),
        delay=rng.choice((0.001, 0.001, 0.02)),
        turn=rng.choice((0.0005, 0.002)),
        disk=rng.choice((0.001, 0.01)),
        crashes=rng.choice((0.0, 0.0, 0.5)),
        cuts=rng.choice((0.0, 0.0, 0.5)),
        coups=2.0,
        pauses=rng.choice((0.0, 0.0, 0.5)),
        false_alarms=rng.choice((0.0, 0.0, 1.0)),
        transfers=rng.choice((0.0, 0.0, 0.5)),
        snapshots=rng.choice((0.0, 20.0)),
        cuts_of_logs=rng.choice((0.0, 20.0)),
        proposals=rng.choice((2.0, 100.0)),
        reads=200.0,
    )


class LeaseStorm(Storm):
    """Trouble for who relies on the clock: a slow member gets to lead, and then is cut off together with a few friends,
    stopped, or deserted by members that forget what they promised."""

    def _cut_off_leader(self) -> None:
        raft = self.cluster.leader
        others = [member for member in self.members if raft is not None and member != raft.member]
        if raft is None or not others:
            return
        number, rates, chance = raft.member, self.cluster.rates, self.rng.random
        slowest = min(others, key=lambda member: rates[member])
        if rates[slowest] < rates[number] and chance() < 0.7:
            self._hand_over(number, slowest)
            return
        start = self.now
        if chance() < 0.3:
            # This one may help to elect another at any time, and has all of the log if little is proposed.
            self._part([number], [self.rng.choice(others)], 1.0)
            start += 0.25
        if chance() < 0.3:
            target = self.rng.choice(others)
            self.at(start, lambda: self._hand_over(number, target))
        friends = self.rng.sample(others, self.rng.randrange(max(1, len(others) // 2)))
        strangers = [member for member in others if member not in friends]
        self.at(start + chance() * 0.005, lambda: self._part([number, *friends], strangers, 0.2 + chance() * 0.5))
        if chance() < 0.4:
            self.at(start + chance() * 0.01, lambda: self._stop(number, 0.2 + chance() * 0.15))
        if chance() < 0.3:
            for stranger in strangers:
                self.at(start + chance() * 0.05, partial(self._crash_for_a_moment, stranger))

    def _hand_over(self, number: MemberId, to: MemberId) -> None:
        raft = self.cluster.members[number].raft
        if raft is not None:
            self.post(number, lambda: raft.transfer_leadership(self.cluster.clock(number), to))

    def _part(self, some: list[MemberId], others: list[MemberId], seconds: float) -> None:
        links = {link for one in some for other in others for link in ((one, other), (other, one))}
        self._cut(links, seconds, is_noticed=True)

    def _stop(self, number: MemberId, seconds: float) -> None:
        self._paused_until[number] = self.now + seconds

    def _crash_for_a_moment(self, number: MemberId) -> None:
        if number in self.cluster.alive:
            self.crash(number)
            self.at(self.now + self.rng.random() * 0.02, lambda: self._restart_if_down(number))


def storm(seed: int, *, drift: float = DRIFT, config: Config = LEASES) -> Storm:
    """A cluster in which one clock, or all but one, loses `drift` against the others."""
    rng = Random(seed)
    size = rng.choice((2, 3, 3, 5))
    slow = rng.sample(range(1, size + 1), rng.choice((1, 1, 1, size - 1)))
    return LeaseStorm(seed, size, weather(rng), config, {MemberId(number): 1 - drift for number in slow})


def is_found(*, seconds: float = 4.0, **how: Any) -> bool:
    """Whether some storm yields a stale read, and none anything worse."""
    for seed in range(1, SEEDS_FOR_A_BUG + 1):
        try:
            storm(seed, **how).run(seconds)
        except AssertionError as violation:
            if "a stale read" not in str(violation):
                raise
            return True
    return False


@pytest.mark.parametrize("seed", range(1, STORMS + 1))
def test_no_read_is_stale_while_clocks_keep_their_bound(seed: int) -> None:
    """And when the sky clears, there is a leader again, and it answers."""
    bad = storm(seed)
    bad.run(3.0)
    late = bad.weather.delay
    bad.clear_up()
    bad.run(late + 8 * LEASES.election_timeout)
    answered, committed = len(bad.cluster.answers), bad.cluster.committed

    bad.run(3.0)

    assert len(bad.cluster.answers) > answered + 10
    assert bad.cluster.committed > committed


def test_reads_are_stale_when_clocks_break_their_bound() -> None:
    assert is_found(drift=0.7)


def test_reads_are_stale_when_the_bound_is_not_heeded() -> None:
    """A leader that takes promises for as long as they sound."""
    assert is_found(config=replace(LEASES, max_clock_drift=0.0))


# Bugs, put in by hand.

Bug: TypeAlias = Callable[[pytest.MonkeyPatch], None]


def promise_ends_with_the_connection(patch: pytest.MonkeyPatch) -> None:
    on_peer_lost = Follower.on_peer_lost

    def forget(self: Follower, raft: Raft, member: MemberId, now: float) -> None:
        if member == raft.leader:
            raft.promise.release()
        on_peer_lost(self, raft, member, now)

    patch.setattr(Follower, "on_peer_lost", forget)


def promise_ends_with_the_process(patch: pytest.MonkeyPatch) -> None:
    init = Promise.__init__

    def forget(self: Promise, config: Config, now: float) -> None:
        init(self, config, now)
        self.release()

    patch.setattr(Promise, "__init__", forget)


def promise_binds_others_only(patch: pytest.MonkeyPatch) -> None:
    """Its giver stands for election itself."""
    patch.setattr(Follower, "on_time", lambda self, raft, now: raft.become_candidate(now, pre=True))


def promise_binds_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Raft, "_is_loyal", lambda self, now: self.role.hears_leader(now, self))


def lease_counts_from_the_answer(patch: pytest.MonkeyPatch) -> None:
    on_append_reply = Leader.on_append_reply

    def count(self: Leader, raft: Raft, sender: MemberId, message: Any, now: float) -> None:
        on_append_reply(self, raft, sender, message, now)
        self.progress[sender].lent_until = now + message.lent_ms / 1000 * (1 - raft.config.max_clock_drift)

    patch.setattr(Leader, "on_append_reply", count)


def lease_of_any_one_peer_will_do(patch: pytest.MonkeyPatch) -> None:
    def holds(self: Leader, raft: Raft) -> bool:
        return not self._may_be_replaced and raft.now < max(peer.lent_until for peer in self.progress.values())

    patch.setattr(Leader, "_holds_lease", holds)


def lease_outlives_a_handover(patch: pytest.MonkeyPatch) -> None:
    go_on = Leader._go_on_with_transfer

    def hold_on(self: Leader, raft: Raft, transfer: Transfer) -> None:
        go_on(self, raft, transfer)
        self._may_be_replaced = False

    patch.setattr(Leader, "_go_on_with_transfer", hold_on)


def lease_before_anything_of_the_term_is_committed(patch: pytest.MonkeyPatch) -> None:
    finish_turn = Leader.finish_turn

    def answer(self: Leader, raft: Raft) -> None:
        if self._holds_lease(raft):
            self._answer(raft, self.reads.take_all(raft.commit_index))
        finish_turn(self, raft)

    patch.setattr(Leader, "finish_turn", answer)


def clock_is_read_before_the_inputs_come(patch: pytest.MonkeyPatch) -> None:
    """At the end of the turn before; then the process is stopped."""
    clock, turn = Cluster.clock, Storm._turn
    readings: dict[MemberId, float] = {}

    def read(self: Cluster, number: MemberId) -> float:
        return readings.get(number, clock(self, number))

    def take(self: Storm, member: MemberId, time: float) -> None:
        turn(self, member, time)
        readings[member] = clock(self.cluster, member)

    def init(self: Cluster, *arguments: Any, **more: Any) -> None:
        readings.clear()
        build(self, *arguments, **more)

    build = Cluster.__init__
    patch.setattr(Cluster, "__init__", init)
    patch.setattr(Cluster, "clock", read)
    patch.setattr(Storm, "_turn", take)


@pytest.mark.parametrize(
    "bug",
    [
        promise_ends_with_the_connection,
        promise_ends_with_the_process,
        promise_binds_others_only,
        promise_binds_nobody,
        lease_counts_from_the_answer,
        lease_of_any_one_peer_will_do,
        lease_outlives_a_handover,
        lease_before_anything_of_the_term_is_committed,
        clock_is_read_before_the_inputs_come,
    ],
)
def test_guard_that_is_taken_away_is_missed(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them is all that stands between some storm and a stale read."""
    bug(monkeypatch)

    assert is_found()
