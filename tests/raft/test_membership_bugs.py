"""Bugs of membership changes, put in by hand: each of them is caught by storms in which the members change a lot."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from coord.raft import UNTOLD, Configuration, Index, MemberId, Membership, Place, Raft
from coord.raft.leader import Leader, Majority
from coord.raft.log import Log
from coord.raft.progress import Progress

from .storm import Storm, Weather, weather_the_storm
from .test_storms import USUAL

Bug = Callable[[pytest.MonkeyPatch], None]

WEATHER = Weather(
    loss=0.05,
    delay=0.02,
    crashes=1.0,
    cuts=2.0,
    coups=2.0,
    transfers=0.5,
    snapshots=20.0,
    cuts_of_logs=20.0,
    proposals=20.0,
    reads=5.0,
    changes=30.0,
    retirements=1.0,
)
"""Nothing that slows the members down, so that many changes come through; and leaders that come and go."""


def learners_are_counted(patch: pytest.MonkeyPatch) -> None:
    def majorities(self: Configuration) -> tuple[tuple[MemberId, ...], ...]:
        voters = tuple(sorted({*self.voters, *self.learners}))
        return (voters, self.outgoing) if self.outgoing else (voters,)

    patch.setattr(Configuration, "majorities", property(majorities))


def new_majority_is_enough(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Configuration, "majorities", property(lambda self: (self.voters,)))


def old_majority_is_enough(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Configuration, "majorities", property(lambda self: (self.outgoing or self.voters,)))


def changes_come_before_the_no_op(patch: pytest.MonkeyPatch) -> None:
    change = Leader.change

    def early(self: Leader, raft: Raft, configuration: Configuration, now: float) -> Index:
        right, self.term_start = self.term_start, Index(0)
        try:
            return change(self, raft, configuration, now)
        finally:
            self.term_start = right

    patch.setattr(Leader, "change", early)


def changes_overtake_each_other(patch: pytest.MonkeyPatch) -> None:
    change = Leader.change

    def early(self: Leader, raft: Raft, configuration: Configuration, now: float) -> Index:
        right, raft.commit_index = raft.commit_index, raft.last_index
        try:
            return change(self, raft, configuration, now)
        finally:
            raft.commit_index = right

    patch.setattr(Leader, "change", early)


def configuration_holds_from_the_commit_on(patch: pytest.MonkeyPatch) -> None:
    def configuration(self: Raft) -> Configuration:
        decided = [one for one in self.log.memberships if one.index <= self.commit_index]
        return (decided or self.log.memberships[:1])[-1].configuration

    patch.setattr(Raft, "configuration", property(configuration))


def truncation_leaves_the_configuration(patch: pytest.MonkeyPatch) -> None:
    truncate = Log.truncate

    def forgetful(self: Log, first: Index) -> None:
        before = list(self.memberships)
        truncate(self, first)
        self.memberships = before

    patch.setattr(Log, "truncate", forgetful)


def joint_configuration_is_skipped(patch: pytest.MonkeyPatch) -> None:
    configure = Leader._configure

    def skip(self: Leader, raft: Raft, configuration: Configuration, now: float) -> Index:
        seats = tuple(
            seat for seat in configuration.seats if seat.member in (*configuration.voters, *configuration.learners)
        )
        return configure(self, raft, replace(configuration, outgoing=(), seats=seats), now)

    patch.setattr(Leader, "_configure", skip)


def joint_configuration_ends_before_it_is_committed(patch: pytest.MonkeyPatch) -> None:
    end = Leader._end_change

    def early(self: Leader, raft: Raft) -> None:
        right, raft.commit_index = raft.commit_index, raft.last_index
        try:
            end(self, raft)
        finally:
            raft.commit_index = right

    patch.setattr(Leader, "_end_change", early)


def joint_configuration_is_not_ended_by_a_later_leader(patch: pytest.MonkeyPatch) -> None:
    end = Leader._end_change

    def only_our_own(self: Leader, raft: Raft) -> None:
        if raft.log.memberships[-1].index > self.term_start:
            end(self, raft)

    patch.setattr(Leader, "_end_change", only_our_own)


def removed_leader_counts_itself(patch: pytest.MonkeyPatch) -> None:
    init = Majority.__init__

    def with_us_always(self: Majority, others: list[Progress], *, with_us: bool) -> None:
        init(self, others, with_us=True)

    patch.setattr(Majority, "__init__", with_us_always)


def snapshot_brings_no_configuration(patch: pytest.MonkeyPatch) -> None:
    install = Raft.install

    def without(self: Raft, place: Place, membership: Membership) -> bool:
        return install(self, place, UNTOLD)

    patch.setattr(Raft, "install", without)


def removed_member_never_stands(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Raft, "may_stand", property(lambda self: self.configuration.has_vote(self.member)))


BUGS: list[tuple[Bug, int]] = [
    (learners_are_counted, 1),
    (new_majority_is_enough, 6),
    (old_majority_is_enough, 1),
    (changes_come_before_the_no_op, 1),
    (changes_overtake_each_other, 1),
    (configuration_holds_from_the_commit_on, 1),
    (truncation_leaves_the_configuration, 1),
    (joint_configuration_is_skipped, 1),
    (joint_configuration_ends_before_it_is_committed, 1),
    (joint_configuration_is_not_ended_by_a_later_leader, 3),
    (removed_leader_counts_itself, 1),
    (snapshot_brings_no_configuration, 1),
    (removed_member_never_stands, 72),
]
"""Each with a seed that finds it."""


@pytest.mark.parametrize(("bug", "seed"), BUGS, ids=[bug.__name__ for bug, _ in BUGS])
def test_storms_find_it(bug: Bug, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the same storm finds nothing without it."""
    storm = Storm(seed, 3, WEATHER, USUAL)
    weather_the_storm(seed, 3.0, storm)

    bug(monkeypatch)

    with pytest.raises(AssertionError):
        weather_the_storm(seed, 3.0, Storm(seed, 3, WEATHER, USUAL))
