"""A cluster of Rafts in a list: members with disks that answer when told to, and a wire that holds messages.

Nothing happens by itself. A test says which message arrives, which disk answers, who crashes and when a turn
ends; after each turn everything that `invariants` knows is checked, and every answered read is compared with
what was committed anywhere before it was asked.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from coord.raft import (
    ChangeUnderWay,
    Config,
    Configuration,
    HardState,
    MemberId,
    Message,
    NotLeader,
    Persist,
    Place,
    Raft,
    Run,
    Stored,
    decode_message,
    encode_message,
)
from coord.raft.invariants import Witness
from coord.raft.log import Log
from coord.raft.ready import Happened, ReadReady
from coord.raft.types import BEFORE_FIRST, BEGINNING, Index

KEPT_SNAPSHOTS = 2


@dataclass(slots=True)
class Disk:
    """Does what it is asked in order; a crash loses what it has not done. Snapshots have files and an order of their
    own: they become durable long before or after what the log is told in the same turn."""

    stored: Stored = field(default_factory=Stored.nothing)
    """What recovery would find."""
    queue: deque[Persist] = field(default_factory=deque)
    done: int = 0
    """The newest token that is durable; answered or not."""
    snapshots: list[Place] = field(default_factory=list)
    """The newest that are durable, oldest first."""
    _log: Stored | None = None
    """The log's files, where recovery would not take them as they are: they do not hold the newest snapshot."""

    def write(self) -> None:
        """Do the oldest thing in the queue."""
        persist = self.queue.popleft()
        self._apply(persist, len(persist.runs))
        self.done = persist.token

    def tear(self, runs: int) -> None:
        """The power fails: of the oldest thing in the queue, this many runs got through, nothing after it."""
        if self.queue:
            persist = self.queue[0]
            self._apply(persist, min(runs, len(persist.runs)))
        self.queue.clear()
        self.done = 0
        self._log = None  # recovery has made the files so

    def save_snapshot(self, place: Place) -> None:
        """A snapshot is durable and has its name. Out of those that are too many, the oldest goes."""
        if place not in self.snapshots:
            self.snapshots = sorted([*self.snapshots, place], key=lambda one: one.index)[-KEPT_SNAPSHOTS:]
            self._settle(self._log or self.stored)

    def damage_snapshot(self) -> None:
        """The newest snapshot turns out to be damaged when it is read, if the older one and the log can replace it."""
        log = self._log or self.stored
        if len(self.snapshots) > 1 and _holds(log, self.snapshots[-2]) and _holds(log, self.snapshots[-1]):
            del self.snapshots[-1]
            self._settle(log)

    def cut(self) -> None:
        """Drop the runs that the oldest snapshot holds, so that each of those that are kept can be gone on from."""
        log = self._log or self.stored
        oldest = self.snapshots[0] if self.snapshots else BEGINNING
        if oldest.index > log.start.index and _holds(log, oldest):
            kept = [run for run in log.runs if run.first > oldest.index]
            self._settle(Stored(log.hard_state, kept, oldest))

    def _apply(self, persist: Persist, runs: int) -> None:
        log = self._log or self.stored
        start, kept = log.start, list(log.runs)
        if persist.restart_at is not None:
            start, kept = persist.restart_at, []
            assert persist.truncate_from is None, "a restart takes the place of a truncation"
            assert start in self.snapshots or start.index < self.snapshots[0].index, "no snapshot to restart at"
        elif persist.truncate_from is not None:
            kept = [run for run in kept if run.first < persist.truncate_from]
        for run in persist.runs[:runs]:
            assert run.first == (kept[-1].last if kept else start.index) + 1, "a gap on the disk"
            kept.append(run)
        self._settle(Stored(persist.hard_state or log.hard_state, kept, start))

    def _settle(self, log: Stored) -> None:
        """A log that does not hold the newest snapshot is restarted there by recovery."""
        newest = self.snapshots[-1] if self.snapshots else BEGINNING
        if _holds(log, newest):
            self._log = None
            self.stored = Stored(log.hard_state, log.runs, log.start, newest)
        else:
            self._log = log
            self.stored = Stored(log.hard_state, [], newest, newest)


def _holds(stored: Stored, place: Place) -> bool:
    return Log(stored.runs, stored.start).has(place.index, place.term)


@dataclass(slots=True)
class Letter:
    """A message on its way."""

    sender: MemberId
    to: MemberId
    message: Message


@dataclass(slots=True)
class Member:
    """One member through all its lives."""

    config: Config
    disk: Disk = field(default_factory=Disk)
    raft: Raft | None = None
    applied: Index = BEFORE_FIRST
    reads: dict[int, Index] = field(default_factory=dict)
    """Reads that wait for an answer, each with what was committed anywhere when it was asked."""


class Cluster:
    """Members 1 … n, all started at time 0, with empty disks or those given; more may join."""

    def __init__(
        self,
        size: int,
        jitter: Callable[[], float],
        template: Config | None = None,
        disks: Mapping[MemberId, Stored] | None = None,
        rates: Mapping[MemberId, float] | None = None,
    ) -> None:
        """`rates`: how fast a member's clock runs, if it is not right."""
        voters = tuple(MemberId(number + 1) for number in range(size))
        template = template or Config(member=voters[0], voters=voters, incarnation=0)
        self.now = 0.0
        self.rates = dict.fromkeys(voters, 1.0) | dict(rates or {})
        self.wire: list[Letter] = []
        self.members = {
            voter: Member(replace(template, member=voter, voters=voters, incarnation=0)) for voter in voters
        }
        for voter, stored in (disks or {}).items():
            self.members[voter].disk.stored = stored
        self.witness = Witness()
        self.happened: list[tuple[MemberId, Happened]] = []
        self.sent = 0
        self.answers: list[ReadReady] = []
        """Reads that were answered, all of them checked."""
        self._template = template
        self._jitter = jitter
        self._requests = 0
        self._proposals = 0
        for voter in voters:
            self.start(voter)

    # Time.

    def clock(self, number: MemberId) -> float:
        """What a member's clock shows now."""
        return self.now * self.rates.get(number, 1.0)

    def time_of(self, number: MemberId, reading: float) -> float:
        """When a member's clock shows so much, or a nanosecond later, lest it shows a little less when rounded."""
        return reading / self.rates.get(number, 1.0) + 1e-9

    # What can happen.

    def join(self) -> MemberId:
        """Start one more member, with an empty disk. It knows of nobody until a leader that has it added speaks."""
        number = MemberId(max(self.members) + 1)
        self.members[number] = Member(replace(self._template, member=number, voters=(), incarnation=0))
        self.start(number)
        return number

    def change(self, number: MemberId, configuration: Configuration) -> bool:
        """Ask a member to change the members; False if it cannot, now or at all."""
        raft = self.members[number].raft
        if raft is None:
            return False
        try:
            raft.change_members(configuration, self.now)
        except (NotLeader, ChangeUnderWay):
            return False
        return True

    def start(self, number: MemberId) -> None:
        """Begin a (new) life of a member that is down, with what its disk holds."""
        member = self.members[number]
        assert member.raft is None
        member.config = replace(member.config, incarnation=member.config.incarnation + 1)
        stored = member.disk.stored
        membership = self.witness.membership_at(stored.snapshot.index)
        stored = Stored(stored.hard_state, list(stored.runs), stored.start, stored.snapshot, membership)
        member.raft = Raft(member.config, stored, self.clock(number), self._jitter)
        member.applied = stored.snapshot.index
        self.witness.started(member.raft)
        self.end_turn(number)

    def crash(self, number: MemberId, torn: int = 0) -> None:
        """Kill a member; of its oldest unfinished write, `torn` runs reach the disk."""
        member = self.members[number]
        member.raft = None
        member.disk.tear(torn)
        member.reads.clear()

    def advance(self, number: MemberId) -> None:
        """Let a member look at the clock."""
        raft = self.members[number].raft
        if raft is not None:
            raft.advance_time(self.clock(number))

    def deliver(self, letter: Letter) -> None:
        """A message arrives, through the codec. The caller decides whether it stays on the wire as well."""
        raft = self.members[letter.to].raft
        if raft is not None:
            raft.step(letter.sender, decode_message(encode_message(letter.message)), self.clock(letter.to))

    def write(self, number: MemberId) -> None:
        """A disk does one thing; its owner does not know yet."""
        disk = self.members[number].disk
        if disk.queue:
            disk.write()

    def answer(self, number: MemberId) -> None:
        """A disk tells what it has done."""
        member = self.members[number]
        if member.raft is not None and member.disk.done:
            member.raft.persisted(member.disk.done, self.clock(number))

    def propose(self, number: MemberId, count: int = 1, size: int = 8) -> bool:
        """Propose a run that there never was before; False if the member cannot."""
        raft = self.members[number].raft
        if raft is None or not raft.can_propose:
            return False
        self._proposals += 1
        raft.propose(self._proposals.to_bytes(8, "big").ljust(size, b"."), count, self.clock(number))
        return True

    def read(self, number: MemberId) -> int:
        """Ask a member for a linearizable read; returns the number of the request."""
        member = self.members[number]
        self._requests += 1
        if member.raft is not None:
            member.reads[self._requests] = self.committed
            member.raft.read_index(self._requests, self.clock(number))
        return self._requests

    def snapshot_place(self, number: MemberId) -> Place:
        """Where a snapshot of a member's state would stand now."""
        member = self.members[number]
        assert member.raft is not None
        return Place(member.applied, member.raft.log.term_at(member.applied))

    def snapshot_saved(self, number: MemberId, place: Place) -> None:
        """A member learns that a snapshot of its own state is durable."""
        raft = self.members[number].raft
        if raft is not None:
            raft.snapshot_saved(place)

    def compact(self, number: MemberId, chance: float = 1.0) -> None:
        """A member forgets runs, up to a boundary no later than its newest snapshot."""
        raft = self.members[number].raft
        if raft is None:
            return
        boundaries = [run.last for run in raft.log.runs if run.last <= raft.snapshot.index]
        if boundaries:
            raft.compact(boundaries[int(chance * (len(boundaries) - 1))])

    def fetched(self, number: MemberId, place: Place) -> None:
        """A snapshot that a member was offered is whole and durable on its disk; it does not know yet."""
        self.members[number].disk.save_snapshot(place)

    def install(self, number: MemberId, place: Place) -> bool:
        """A member has loaded such a snapshot, and goes on from it if it is of use."""
        member = self.members[number]
        if member.raft is None or not member.raft.install(place, self.witness.membership_at(place.index)):
            return False
        self.witness.installed(member.raft, place)
        member.applied = place.index
        return True

    def lose_connection(self, number: MemberId, peer: MemberId) -> None:
        """A member's transport reports that a peer is gone."""
        raft = self.members[number].raft
        if raft is not None:
            raft.peer_lost(peer, self.clock(number))

    def get_connection(self, number: MemberId, peer: MemberId) -> None:
        """A member's transport reports a connection to a peer."""
        raft = self.members[number].raft
        if raft is not None:
            raft.peer_up(peer, self.clock(number))

    def end_turn(self, number: MemberId) -> None:
        """Take a member's Ready, start what it asks for, and check everything."""
        member = self.members[number]
        raft = member.raft
        if raft is None:
            return
        ready = raft.take_ready()
        for to, message in ready.messages + ready.notices:
            assert to != number, "a member does not write to itself"
            self.witness.sent(number, to, message, member.disk.stored)
            self.wire.append(Letter(number, to, message))
        self.sent += len(ready.messages) + len(ready.notices)
        if ready.persist is not None:
            member.disk.queue.append(ready.persist)
        self.happened += [(number, event) for event in ready.happened]
        self.witness.check(raft, {other: self.members[other].disk.stored for other in self.members})
        self._take(member, raft, ready.committed)
        for answer in ready.reads:
            self.answers.append(answer)
            least = member.reads.pop(answer.request)
            assert answer.index >= least, f"a stale read: {answer.index}, but {least} was committed before it"
            assert answer.index <= self.committed, "a read of what is not committed"

    def _take(self, member: Member, raft: Raft, committed: list[Run]) -> None:
        self.witness.took(raft, committed)
        if committed:
            member.applied = committed[-1].last
        assert (member.applied < raft.commit_index) <= (raft.next_deadline() <= self.clock(raft.member))

    # What there is to see.

    @property
    def committed(self) -> Index:
        """The newest index that is committed anywhere."""
        history = self.witness.history
        return history[-1].last if history else BEFORE_FIRST

    @property
    def alive(self) -> dict[MemberId, Raft]:
        """The members that are up."""
        return {number: one.raft for number, one in self.members.items() if one.raft is not None}

    @property
    def leader(self) -> Raft | None:
        """Of those who think they lead, the one of the latest term."""
        leaders = [raft for raft in self.alive.values() if raft.is_leader]
        return max(leaders, key=lambda raft: raft.term, default=None)

    def hard_state(self, number: MemberId) -> HardState:
        """What is durable of a member's term and vote."""
        return self.members[number].disk.stored.hard_state
