"""Any order of anything: hypothesis picks what happens next, and shrinks what breaks to the few steps that matter.

The storms are likelier to get far; this is likelier to find the odd short schedule. Invariants are checked by the
cluster at the end of every turn.
"""

import os
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from coord.raft import MemberId, Place
from coord.raft.follower import Follower

from .cluster import Cluster

MEMBERS = st.integers(1, 5)
CHANCE = st.integers(0, 1 << 30)
SCHEDULES = int(os.environ.get("COORD_SCHEDULES", "15"))


class Schedule(RuleBasedStateMachine):
    """Rules name members and messages by any number; it is taken modulo what there is."""

    cluster: Cluster
    loaded: list[tuple[MemberId, Place]]
    """Snapshots that were fetched, by whom; installing them may be late, or come twice."""

    @initialize(size=st.sampled_from((1, 3, 3, 5)), seed=st.integers(0, 1000))
    def begin(self, size: int, seed: int) -> None:
        self.cluster = Cluster(size, Random(seed).random)
        self.loaded = []

    def member(self, number: int) -> MemberId:
        return MemberId(1 + (number - 1) % len(self.cluster.members))

    @rule(number=MEMBERS)
    def clock_runs_to_a_deadline(self, number: int) -> None:
        raft = self.cluster.members[self.member(number)].raft
        if raft is not None:
            self.cluster.now = max(self.cluster.now, raft.next_deadline())
            self.cluster.advance(raft.member)
            self.cluster.end_turn(raft.member)

    @rule(rounds=st.integers(1, 6), number=MEMBERS, is_cut_off=st.booleans())
    def everything_works_for_a_while(self, rounds: int, number: int, is_cut_off: bool) -> None:
        """Messages arrive in order and disks answer; perhaps one member is cut off."""
        out = self.member(number) if is_cut_off else None
        for _ in range(rounds):
            letters, self.cluster.wire = list(self.cluster.wire), []
            for letter in letters:
                if out not in (letter.sender, letter.to):
                    self.cluster.deliver(letter)
            for one in self.cluster.members:
                self.cluster.write(one)
                self.cluster.answer(one)
                self.cluster.end_turn(one)

    @precondition(lambda self: self.cluster.wire)
    @rule(chance=CHANCE, stays=st.booleans(), ends_turn=st.booleans())
    def message_arrives(self, chance: int, stays: bool, ends_turn: bool) -> None:
        letter = self.cluster.wire[chance % len(self.cluster.wire)]
        if not stays:
            self.cluster.wire.remove(letter)
        self.cluster.deliver(letter)
        if ends_turn:
            self.cluster.end_turn(letter.to)

    @precondition(lambda self: self.cluster.wire)
    @rule(chance=CHANCE)
    def message_is_lost(self, chance: int) -> None:
        self.cluster.wire.pop(chance % len(self.cluster.wire))

    @rule(number=MEMBERS)
    def disk_works(self, number: int) -> None:
        self.cluster.write(self.member(number))

    @rule(number=MEMBERS)
    def disk_answers(self, number: int) -> None:
        self.cluster.answer(self.member(number))
        self.cluster.end_turn(self.member(number))

    @rule(number=MEMBERS, torn=st.integers(0, 2))
    def member_crashes_or_starts(self, number: int, torn: int) -> None:
        if self.cluster.members[self.member(number)].raft is None:
            self.cluster.start(self.member(number))
        else:
            self.cluster.crash(self.member(number), torn)

    @rule(number=MEMBERS, is_told=st.booleans())
    def member_takes_a_snapshot(self, number: int, is_told: bool) -> None:
        one = self.member(number)
        if self.cluster.members[one].raft is not None and self.cluster.members[one].applied:
            place = self.cluster.snapshot_place(one)
            self.cluster.members[one].disk.save_snapshot(place)
            if is_told:
                self.cluster.snapshot_saved(one, place)

    @rule(number=MEMBERS, ends_turn=st.booleans(), on_disk=st.booleans())
    def log_is_cut(self, number: int, ends_turn: bool, on_disk: bool) -> None:
        self.cluster.compact(self.member(number))
        if on_disk:
            self.cluster.members[self.member(number)].disk.cut()
        if ends_turn:
            self.cluster.end_turn(self.member(number))

    @rule(number=MEMBERS)
    def offered_snapshot_arrives(self, number: int) -> None:
        """It is durable; whether it is installed, and when, is another matter."""
        raft = self.cluster.members[self.member(number)].raft
        if raft is not None and isinstance(raft.role, Follower) and raft.role.offer is not None:
            place = raft.role.offer[1]
            self.cluster.fetched(raft.member, place)
            self.loaded.append((raft.member, place))

    @precondition(lambda self: self.loaded)
    @rule(chance=CHANCE, stays=st.booleans(), ends_turn=st.booleans())
    def snapshot_is_installed(self, chance: int, stays: bool, ends_turn: bool) -> None:
        number, place = self.loaded[chance % len(self.loaded)]
        if not stays:
            self.loaded.remove((number, place))
        self.cluster.install(number, place)
        if ends_turn:
            self.cluster.end_turn(number)

    @rule(count=st.integers(1, 3), ends_turn=st.booleans())
    def leaders_propose(self, count: int, ends_turn: bool) -> None:
        for number in self.cluster.members:
            if self.cluster.propose(number, count) and ends_turn:
                self.cluster.end_turn(number)

    @rule(number=MEMBERS)
    def somebody_reads(self, number: int) -> None:
        self.cluster.read(self.member(number))
        self.cluster.end_turn(self.member(number))

    @rule(number=MEMBERS, peer=MEMBERS, is_lost=st.booleans())
    def connection_changes(self, number: int, peer: int, is_lost: bool) -> None:
        one, other = self.member(number), self.member(peer)
        if one != other:
            (self.cluster.lose_connection if is_lost else self.cluster.get_connection)(one, other)

    @rule()
    def leaders_hand_over(self) -> None:
        for raft in self.cluster.alive.values():
            raft.transfer_leadership(self.cluster.now)


TestSchedules = Schedule.TestCase
TestSchedules.settings = settings(max_examples=SCHEDULES, stateful_step_count=60, deadline=None)
