"""What a leader does to bring the members from what they are to what was asked for (`coord.tree.members`).

    1  whoever is new joins as a learner: it is sent everything, and nobody waits for it
    2  it catches up; that takes rounds, each for what was committed when it began, and the last one is as short as an
       election timeout (thesis §4.2.1): when it has a vote, nobody will have to wait for it
    3  one joint change gives votes to all who are to have them, and takes them from the others;
       a leader that is to lose its own hands over before

A newcomer that does not come on for `change_patience` is given up, and the members go back to what they were: an
address that is wrong costs nothing but that time. What is asked for is in the log, so the next leader goes on where
this one stops.

The leader also keeps the seats: what members announce of their data directories is written into the configuration,
which a member knows as soon as it has read its log. So it knows a peer that comes with another directory for one that
forgot.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from coord.raft import Configuration, MemberId, Raft, Seat
from coord.raft.leader import Leader
from coord.raft.progress import Progress
from coord.replica.config import ReplicaConfig
from coord.replica.snapshots import Snapshots
from coord.tree import commands
from coord.tree.configuration import NOTHING_ANNOUNCED
from coord.tree.machine import Machine
from coord.tree.members import Desired, Members

ALL_PATIENCE = 10
"""Times `change_patience`: after so long we give up on a newcomer that comes on, but not as fast as the log grows."""

HAND_OVERS = 3
"""So often a leader tries to hand over before it takes its own vote away, and leaves when that is decided."""


class _Newcomer:
    """How far a member is on its way to a vote."""

    def __init__(self, now: float, goal: int) -> None:
        self.since = now
        self.moved_at = now
        self.match_index = 0
        self.goal = goal
        """What was committed when the present round began."""
        self.round_since = now
        self.is_ready = False

    def look(self, peer: Progress, committed: int, now: float, fast: float) -> None:
        if peer.match_index > self.match_index:
            self.match_index = peer.match_index
            self.moved_at = now
        if peer.match_index >= self.goal:
            self.is_ready = now - self.round_since <= fast
            self.goal, self.round_since = committed, now


class Changes:
    """For as long as one office is open."""

    def __init__(self, config: ReplicaConfig, raft: Raft, machine: Machine, snapshots: Snapshots) -> None:
        self._patience = config.change_patience
        self._pause = config.raft.heartbeat_interval
        self._raft = raft
        self._machine = machine
        self._snapshots = snapshots
        self._look_at = float("-inf")
        self._newcomers: dict[MemberId, _Newcomer] = {}
        self._of = 0
        """The change that they belong to, by the index of its command."""
        self._given_up = 0
        """Likewise, the newest that we gave up on."""
        self._hand_overs = 0

    def look(self, now: float) -> bytes | None:
        """Once a heartbeat, take the next step. Returns a command for the log, if that is it."""
        if now < self._look_at:
            return None
        self._look_at = now + self._pause
        raft, members = self._raft, self._machine.members
        newest = raft.log.memberships[-1]
        if newest.index != members.membership.index or newest.configuration.is_joint or not raft.can_propose:
            return None  # the last step is not decided yet
        desired = members.desired
        if desired is not None:
            return self._advance(desired, newest.configuration, now)
        self._newcomers = {}
        present = newest.configuration
        kept = replace(present, seats=_seats((), present, present.members, members))
        if kept != present or (not newest.index and members.announced):
            raft.change_members(kept, now)
        return None

    def _advance(self, desired: Desired, present: Configuration, now: float) -> bytes | None:
        if desired.index != self._of:
            self._of = desired.index
            self._newcomers = {}
            self._hand_overs = 0
        raft, members = self._raft, self._machine.members
        newcomers = desired.newcomers(present)
        if newcomers:
            # Nothing else changes yet, so that giving up costs nothing else.
            learners = _in_order({*present.learners, *newcomers})
            wanted = [seat for seat in desired.seats if seat.member in newcomers]
            seats = _seats(wanted, present, (*present.voters, *learners), members)
            prepared = Configuration(present.voters, learners=learners, seats=seats)
            if prepared != present:
                raft.change_members(prepared, now)
                return None
            if not self._are_ready(newcomers, now):
                return self._lose_patience(desired, now)
        seats = _seats(desired.seats, present, (*desired.voters, *desired.learners), members)
        final = Configuration(desired.voters, learners=desired.learners, seats=seats)
        if final == present:
            return None  # that it is met will show when it is applied
        if raft.member in desired.voters or self._hand_overs >= HAND_OVERS or not self._hand_over(desired, now):
            raft.change_members(final, now)
        return None

    def _are_ready(self, newcomers: list[MemberId], now: float) -> bool:
        role = self._raft.role
        assert isinstance(role, Leader)
        committed = self._raft.commit_index
        for member in newcomers:
            newcomer = self._newcomers.get(member)
            if newcomer is None:
                newcomer = self._newcomers[member] = _Newcomer(now, committed)
            newcomer.look(role.progress[member], committed, now, self._raft.config.election_timeout)
        levels = self._machine.levels
        return all(
            self._newcomers[member].is_ready and levels.announced.get(member, 0) >= levels.in_force
            for member in newcomers
        )

    def _lose_patience(self, desired: Desired, now: float) -> bytes | None:
        if self._given_up == desired.index:
            return None
        for member, newcomer in self._newcomers.items():
            lent_at = self._snapshots.lent_at.get(member, float("-inf"))
            shortcoming = self._machine.levels.shortcoming(member)
            still = now - max(newcomer.moved_at, lent_at) >= self._patience
            if shortcoming or still or now - newcomer.since >= ALL_PATIENCE * self._patience:
                self._given_up = desired.index
                return commands.give_up_change(desired.index, shortcoming or self._reason(member, newcomer, now))
        return None

    def _reason(self, member: MemberId, newcomer: _Newcomer, now: float) -> str:
        role = self._raft.role
        assert isinstance(role, Leader)
        peer = role.progress[member]
        seat = self._raft.configuration.seat_of(member)
        waited = f"within {now - newcomer.since:.0f} s"
        if not peer.acked_round:
            address = seat.address if seat is not None and seat.address else "an address that nobody gave"
            return (
                f"member {member} did not answer at {address} {waited}: check the address, and that it runs there as"
                f" `coord serve --id {member} --join …` with an empty data directory"
            )
        return (
            f"member {member} did not catch up {waited}: it has {peer.match_index} of {self._raft.commit_index}"
            " entries; see its log, and whether its disk and network keep up"
        )

    def _hand_over(self, desired: Desired, now: float) -> bool:
        """To somebody who stays; False if there is nobody."""
        role = self._raft.role
        assert isinstance(role, Leader)
        staying = [peer for peer in role.progress.values() if peer.member in desired.voters]
        staying = [peer for peer in staying if self._raft.configuration.has_vote(peer.member)]
        if not staying:
            return False
        self._hand_overs += 1
        best = max(staying, key=lambda peer: (peer.is_reachable, peer.match_index, peer.contact))
        self._raft.transfer_leadership(now, best.member)
        return True


def _in_order(members: Iterable[MemberId]) -> tuple[MemberId, ...]:
    return tuple(sorted(members))


def _seats(
    wanted: Iterable[Seat], present: Configuration, members: Iterable[MemberId], known: Members
) -> tuple[Seat, ...]:
    """One for each of `members`: what is wanted or else present, the present directory, and what the member announced
    where these are silent."""
    wishes = {seat.member: seat for seat in wanted}
    seats = []
    for member in sorted(set(members)):
        seat = present.seat_of(member) or Seat(member, "")
        wish = wishes.get(member, seat)
        announced = known.announced.get(member, NOTHING_ANNOUNCED)
        address = wish.address or seat.address or announced.peer
        seats.append(replace(wish, address=address, directory=seat.directory or announced.directory))
    return tuple(seats)
