"""A cluster of Rafts in a list: members with disks that answer when told to, and a wire that holds messages.

Nothing happens by itself. A test says which message arrives, which disk answers, who crashes and when a turn
ends; after each turn everything that `invariants` knows is checked, and every answered read is compared with
what was committed anywhere before it was asked.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from coord.raft import (
    Config,
    HardState,
    MemberId,
    Message,
    Persist,
    Raft,
    Run,
    Stored,
    decode_message,
    encode_message,
)
from coord.raft.invariants import Witness
from coord.raft.ready import Happened, ReadReady
from coord.raft.types import BEFORE_FIRST, Index


@dataclass(slots=True)
class Disk:
    """Does what it is asked in order; a crash loses what it has not done."""

    stored: Stored = field(default_factory=Stored.nothing)
    queue: deque[Persist] = field(default_factory=deque)
    done: int = 0
    """The newest token that is durable; answered or not."""

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

    def _apply(self, persist: Persist, runs: int) -> None:
        kept = list(self.stored.runs)
        if persist.truncate_from is not None:
            kept = [run for run in kept if run.first < persist.truncate_from]
        kept += persist.runs[:runs]
        self.stored = Stored(persist.hard_state or self.stored.hard_state, kept)


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
    """Members 1 … n, all started at time 0, with empty disks or those given."""

    def __init__(
        self,
        size: int,
        jitter: Callable[[], float],
        template: Config | None = None,
        disks: Mapping[MemberId, Stored] | None = None,
    ) -> None:
        voters = tuple(MemberId(number + 1) for number in range(size))
        template = template or Config(member=voters[0], voters=voters, incarnation=0)
        self.now = 0.0
        self.wire: list[Letter] = []
        self.members = {
            voter: Member(replace(template, member=voter, voters=voters, incarnation=0)) for voter in voters
        }
        for voter, stored in (disks or {}).items():
            self.members[voter].disk.stored = stored
        self.witness = Witness(voters)
        self.happened: list[tuple[MemberId, Happened]] = []
        self.sent = 0
        self.answers: list[ReadReady] = []
        """Reads that were answered, all of them checked."""
        self._jitter = jitter
        self._requests = 0
        self._proposals = 0
        for voter in voters:
            self.start(voter)

    # What can happen.

    def start(self, number: MemberId) -> None:
        """Begin a (new) life of a member that is down, with what its disk holds."""
        member = self.members[number]
        assert member.raft is None
        member.config = replace(member.config, incarnation=member.config.incarnation + 1)
        stored = Stored(member.disk.stored.hard_state, list(member.disk.stored.runs))
        member.raft = Raft(member.config, stored, self.now, self._jitter)
        member.applied = BEFORE_FIRST
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
            raft.advance_time(self.now)

    def deliver(self, letter: Letter) -> None:
        """A message arrives, through the codec. The caller decides whether it stays on the wire as well."""
        raft = self.members[letter.to].raft
        if raft is not None:
            raft.step(letter.sender, decode_message(encode_message(letter.message)), self.now)

    def write(self, number: MemberId) -> None:
        """A disk does one thing; its owner does not know yet."""
        disk = self.members[number].disk
        if disk.queue:
            disk.write()

    def answer(self, number: MemberId) -> None:
        """A disk tells what it has done."""
        member = self.members[number]
        if member.raft is not None and member.disk.done:
            member.raft.persisted(member.disk.done, self.now)

    def propose(self, number: MemberId, count: int = 1, size: int = 8) -> bool:
        """Propose a run that there never was before; False if the member cannot."""
        raft = self.members[number].raft
        if raft is None or not raft.can_propose:
            return False
        self._proposals += 1
        raft.propose(self._proposals.to_bytes(8, "big").ljust(size, b"."), count, self.now)
        return True

    def read(self, number: MemberId) -> int:
        """Ask a member for a linearizable read; returns the number of the request."""
        member = self.members[number]
        self._requests += 1
        if member.raft is not None:
            member.reads[self._requests] = self.committed
            member.raft.read_index(self._requests, self.now)
        return self._requests

    def lose_connection(self, number: MemberId, peer: MemberId) -> None:
        """A member's transport reports that a peer is gone."""
        raft = self.members[number].raft
        if raft is not None:
            raft.peer_lost(peer, self.now)

    def get_connection(self, number: MemberId, peer: MemberId) -> None:
        """A member's transport reports a connection to a peer."""
        raft = self.members[number].raft
        if raft is not None:
            raft.peer_up(peer, self.now)

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
        assert (member.applied < raft.commit_index) <= (raft.next_deadline() <= self.now)

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
