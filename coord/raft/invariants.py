"""What must always hold: figure 3 of the paper as code, and the promises behind it.

    Election Safety         at most one leader per term, and only in one life of it
    Leader Append-Only      a leader never drops or changes what is in its log
    Log Matching            logs that hold the same run hold the same runs before it
    Leader Completeness     what is committed is in the logs of all leaders of later terms
    State Machine Safety    members apply the same runs in the same order
    kept promises           votes, one a term, and acks are on the giver's disk before they leave;
                            what is committed is on the disks of a majority
    one step at a time      majorities of a configuration overlap with those of the one before it, which is
                            decided by then, as is something of its leader's own term
    sound snapshots         they stand where something is committed, and logs begin nowhere else

A `Witness` watches a whole cluster from outside, through all crashes: it is told what happens (`started`,
`sent`, `took`, `installed`) and asked to look at a member after each turn (`check`). Whatever contradicts
anything it ever saw raises an AssertionError. Each look costs about what has changed since the last one.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from .configuration import UNTOLD, Configuration, Membership, decode_configuration, encode_configuration
from .leader import Leader
from .messages import AppendReply, Message, OfferSnapshot, RequestVote, VoteReply
from .quorum import is_majority
from .server import Raft
from .stored import Stored
from .types import BEFORE_FIRST, BEGINNING, Index, MemberId, Place, Run, Term


@dataclass(slots=True)
class _Seen:
    """One life of one member, as it looked last time."""

    raft: Raft
    term: Term
    commit_index: Index
    applied_index: Index
    configuration: Configuration
    """The newest in its log then."""
    led: Term | None = None
    """The term in which it was the leader then."""
    last: Run | None = None
    """The last of its runs that were looked at."""


class Witness:
    """Everything that was ever seen of one cluster."""

    def __init__(self) -> None:
        self._lives: dict[MemberId, _Seen] = {}
        self._leaders: dict[Term, _Seen] = {}
        self._votes: dict[tuple[MemberId, Term], MemberId] = {}
        self._made: dict[tuple[Index, Term], tuple[Run, Run | None]] = {}
        """Each run by first index and term, with the run before it."""
        self.history: list[Run] = []
        """What is committed, from index 1."""
        self._position: dict[Index, int] = {BEFORE_FIRST: 0}
        """How many runs of the history end at or before that index, for each boundary."""
        self._memberships = [UNTOLD]
        """The configurations in it, after the one that it began with."""
        self._committed_in = Term(0)
        """The term in which the newest of it was committed."""
        self._changed: set[tuple[Index, Term]] = set()
        """The configurations that were seen before they were committed."""

    def started(self, raft: Raft) -> None:
        """A member begins a new life; whether it forgot a promise shows when it speaks."""
        self._check_place(raft.member, raft.snapshot)
        self._lives[raft.member] = _Seen(
            raft, raft.term, raft.snapshot.index, raft.snapshot.index, raft.log.memberships[-1].configuration
        )

    def check(self, raft: Raft, disks: Mapping[MemberId, Stored]) -> None:
        """Look at a member after a turn. `disks`: what each member would recover if it crashed now."""
        seen = self._lives[raft.member]
        assert seen.raft is raft, "a life that nobody announced"
        assert raft.term >= seen.term, f"member {raft.member} went back from term {seen.term} to {raft.term}"
        assert raft.commit_index >= seen.commit_index, f"member {raft.member} took back what it committed"
        disk = disks[raft.member]
        for place in (raft.log.start, raft.snapshot, disk.start, disk.snapshot):
            self._check_place(raft.member, place)
        assert raft.log.start.index <= raft.snapshot.index, f"member {raft.member} forgot what no snapshot holds"
        assert disk.snapshot.index >= raft.snapshot.index, f"member {raft.member} lost its snapshot"
        self._check_log_matching(seen, raft)
        self._check_leader(seen, raft)
        if raft.commit_index > seen.commit_index:
            self._check_committed(seen, raft, disks)
        self._check_leader_completeness(raft)
        self._check_memberships(raft)
        seen.configuration = raft.log.memberships[-1].configuration
        seen.term = raft.term
        seen.commit_index = raft.commit_index
        seen.led = raft.term if raft.is_leader else None

    def took(self, raft: Raft, runs: list[Run]) -> None:
        """State Machine Safety: a member applies these runs."""
        seen = self._lives[raft.member]
        for run in runs:
            assert run.first == seen.applied_index + 1, f"member {raft.member} skips to {run.first}"
            expected = self.history[self._position[seen.applied_index]]
            assert run == expected, f"member {raft.member} applies another run at {run.first} than others"
            seen.applied_index = run.last
        assert seen.applied_index <= raft.commit_index, f"member {raft.member} applies what is not committed"

    def installed(self, raft: Raft, place: Place) -> None:
        """State Machine Safety: a member goes on from a snapshot, and never back."""
        seen = self._lives[raft.member]
        self._check_place(raft.member, place)
        assert not raft.is_leader, f"leader {raft.member} installs a snapshot"
        assert place.index > seen.applied_index, f"member {raft.member} goes back to a snapshot at {place.index}"
        assert raft.log.has(place.index, place.term), f"member {raft.member} installed what its log contradicts"
        seen.applied_index = place.index

    def _check_place(self, member: MemberId, place: Place) -> None:
        if place == BEGINNING:
            return
        position = self._position.get(place.index)
        assert position, f"member {member} has a snapshot or a start at {place.index}: nothing is committed there"
        assert self.history[position - 1].term == place.term, f"{place} of member {member} is not what is committed"

    def sent(self, sender: MemberId, to: MemberId, message: Message, disk: Stored) -> None:
        """A message leaves: what it promises must be on the sender's disk by now."""
        match message:
            case VoteReply(term, granted=True):
                self._check_vote(sender, term, to, disk)
            case RequestVote(term):
                self._check_vote(sender, term, sender, disk)
                ends = (disk.runs[-1].term, disk.runs[-1].last) if disk.runs else (disk.start.term, disk.start.index)
                claim = (message.last_term, message.last_index)
                assert ends == claim, f"member {sender} boasts of a log that is not on its disk"
            case AppendReply(match_index=index) if index > 0:
                self._check_ack(sender, index, disk)
            case OfferSnapshot(index=index, snapshot_term=term):
                self._check_place(sender, Place(index, term))
                assert disk.snapshot.index >= index, f"member {sender} offers a snapshot that it does not have"
            case _:
                pass

    def _check_vote(self, voter: MemberId, term: Term, candidate: MemberId, disk: Stored) -> None:
        durable = disk.hard_state
        assert durable.term >= term, f"the vote of {voter} in term {term} is not durable"
        if durable.term == term:
            assert durable.voted_for == candidate, f"the vote of {voter} in term {term} is not durable"
        given = self._votes.setdefault((voter, term), candidate)
        assert given == candidate, f"member {voter} voted for {given} and {candidate} in term {term}"

    def _check_ack(self, member: MemberId, index: Index, disk: Stored) -> None:
        if index <= disk.start.index:
            assert index in self._position, f"member {member} acknowledges {index}, inside a run"
            return
        assert disk.runs, f"member {member} acknowledges {index} with an empty disk"
        assert index <= disk.runs[-1].last, f"member {member} acknowledges {index} too early"
        run = _ending_at(disk.runs, index)
        assert run is not None, f"member {member} acknowledges {index}, inside a run"
        log = self._lives[member].raft.log
        expected = _ending_at(log.runs, index) if index > log.start.index else self._committed_at(index)
        assert run == expected, f"{index} is another run"

    def _committed_at(self, index: Index) -> Run | None:
        """The committed run that ends there."""
        return self.history[self._position[index] - 1] if index else None

    def _check_leader(self, seen: _Seen, raft: Raft) -> None:
        """Election Safety; Leader Append-Only is checked while logs are compared."""
        if not isinstance(raft.role, Leader):
            return
        assert raft.leader == raft.member
        first = self._leaders.setdefault(raft.term, seen)
        assert first is seen, f"{first.raft.member} and {raft.member} both led term {raft.term}"
        for progress in raft.role.progress.values():
            assert progress.match_index <= progress.sent_index <= raft.last_index

    def _check_log_matching(self, seen: _Seen, raft: Raft) -> None:
        """Log Matching, by induction: a run of an index and term is always the same, and so is the one before
        it."""
        runs, start = raft.log.runs, raft.log.start
        known = 0
        if seen.last is not None and seen.last.last > start.index:
            known = bisect_right(runs, seen.last.last, key=lambda run: run.last)
            if not known or runs[known - 1] is not seen.last:
                assert seen.led != raft.term or not raft.is_leader, f"leader {raft.member} changed its log"
                known = 0
        before = runs[known - 1] if known else self._committed_at(start.index)
        for run in runs[known:]:
            made, made_after = self._made.setdefault((run.first, run.term), (run, before))
            assert made == run, f"two runs at {run.first} in term {run.term}"
            assert made_after == before, f"two pasts before {run.first} in term {run.term}"
            assert not run.is_configuration or run.first <= raft.log.memberships[-1].index, (
                f"member {raft.member} does not go by the configuration in its log at {run.first}"
            )
            before = run
        seen.last = before

    def _check_memberships(self, raft: Raft) -> None:
        """§6: one change at a time, by steps whose majorities overlap, and none of a leader that has nothing of its own
        term committed (Ongaro, raft-dev 2015)."""
        memberships = raft.log.memberships
        for before, after in pairwise(memberships):
            assert self.membership_at(before.index) == before or not before.index, (
                f"member {raft.member} has the members changed by {after.index} before {before.index} is decided"
            )
            assert before == UNTOLD or _is_step(before.configuration, after.configuration), (
                f"majorities of {before.configuration} and {after.configuration} need not overlap"
            )
        newest = memberships[-1]
        if newest.index <= raft.commit_index:
            decided = self.membership_at(newest.index)
            assert not newest.index or decided == newest, f"member {raft.member} has other members at {newest.index}"
            return
        run = _ending_at(raft.log.runs, newest.index)
        assert run is not None, f"member {raft.member} goes by configuration {newest.index}, which is not in its log"
        assert run.data == encode_configuration(newest.configuration)
        if (newest.index, run.term) not in self._changed:
            self._changed.add((newest.index, run.term))
            position = bisect_left(self.history, run.term, key=lambda one: one.term)
            assert {one.term for one in self.history[position : position + 1]} == {run.term}, (
                f"the members are changed at {newest.index} before anything of term {run.term} is committed"
            )

    def _check_committed(self, seen: _Seen, raft: Raft, disks: Mapping[MemberId, Stored]) -> None:
        """One history; and whoever adds to it is a leader whose new entries a majority has on disk
        (§5.4.2)."""
        end = self.history[-1].last if self.history else BEFORE_FIRST
        log = raft.log
        if raft.commit_index <= end:
            position = self._position.get(raft.commit_index)
            assert position, f"member {raft.member} commits the middle of a run, at {raft.commit_index}"
            assert raft.log.has(raft.commit_index, self.history[position - 1].term), (
                f"member {raft.member} commits another run at {raft.commit_index} than others"
            )
            return
        assert raft.is_leader, f"member {raft.member} commits {raft.commit_index} before its leader does"
        fresh = log.between(end, raft.commit_index, raft.commit_index)
        holders = [member for member, disk in disks.items() if _ending_at(disk.runs, raft.commit_index) == fresh[-1]]
        # A configuration of this turn asks for more than the one before it, or comes because this is committed.
        for voters in filter(None, (seen.configuration.voters, seen.configuration.outgoing)):
            assert is_majority(voters, holders), f"{fresh[-1].last} is durable on {holders} only, of {voters}"
        assert fresh[-1].term == raft.term, "an entry of an older term committed by counting (figure 8)"
        assert fresh[0].first == end + 1, "the leader's log does not continue what is committed"
        self._committed_in = raft.term
        for run in fresh:
            self.history.append(run)
            self._position[run.last] = len(self.history)
            if run.is_configuration:
                self._memberships.append(Membership(run.first, decode_configuration(run.data)))

    @property
    def newest_membership(self) -> Membership:
        """The newest configuration that is committed."""
        return self._memberships[-1]

    def membership_at(self, index: Index) -> Membership:
        """The newest configuration among what is committed up to there."""
        return next(one for one in reversed(self._memberships) if one.index <= index)

    def _check_leader_completeness(self, raft: Raft) -> None:
        if raft.is_leader and self.history and raft.term >= self._committed_in:
            last = self.history[-1]
            assert raft.log.has(last.last, last.term), (
                f"leader {raft.member} of term {raft.term} lacks {last.last} of term {last.term}"
            )


def _ending_at(runs: list[Run], last: Index) -> Run | None:
    position = bisect_left(runs, last, key=lambda run: run.last)
    return runs[position] if position < len(runs) and runs[position].last == last else None


def _is_step(before: Configuration, after: Configuration) -> bool:
    """Whether any majority of one shares a member with any of the other."""
    if before.is_joint:
        return not after.is_joint and after.voters == before.voters
    return before.voters == (after.outgoing or after.voters)
