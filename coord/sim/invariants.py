"""What must hold after every turn, whatever has happened so far. Names follow the paper and CONCEPTS.

Everything is checked as it happens and incrementally: at most one leader per term; votes and acks never
before the disk; one log on all members, for ever; what is committed lies on the disks of a majority; state
digests equal at equal index; every ephemeral has a living owner; no lease ends while its holder believes in
it.

What is durable is a model kept from the completed writes (`durability`). It is itself checked against the simulated
disk whenever a server starts: real recovery of what is *safe* on its platter must find all of it.

Members come and go with snapshots, so everything is counted by index, never by how often something was done here: a
member that was given a state takes part as if it had applied every run before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from coord.raft import Persist, Raft
from coord.raft.leader import Leader
from coord.raft.messages import AppendReply, ReadIndex, ReadIndexReply, RequestVote, VoteReply
from coord.raft.types import BEGINNING, HardState, Index, MemberId, Place, Run, Term
from coord.replica.inputs import PeerMessage, Replies
from coord.replica.replica import Replica
from coord.replica.snapshot_work import (
    BeginSnapshot,
    SnapshotAnswer,
    SnapshotReceived,
    SnapshotSaved,
    SnapshotWork,
)
from coord.sim.clock import Timeline
from coord.sim.disk import VirtualFiles
from coord.sim.durability import Durable, check_safe
from coord.sim.exclusivity import LeaseBook
from coord.sim.growth import check_growth
from coord.sim.leaseclock import LeaseClock
from coord.sim.membership import InForce, is_quorum
from coord.sim.server import Server
from coord.sim.swarm import Profile
from coord.sim.verdict import Violation
from coord.storage.store import Store
from coord.tree.machine import Machine
from coord.tree.members import Members
from coord.tree.snapshots import State

DIGEST_EVERY = 32
"""Runs between two digests of the whole state, which cost far more than a run."""


@dataclass(slots=True)
class Progress:
    """How far one process was when we last looked."""

    term: int = 0
    commit_index: int = 0
    led: int = 0
    """The term that it led then; 0 if it did not lead."""


class Invariants:
    def __init__(
        self,
        founders: tuple[MemberId, ...],
        book: LeaseBook,
        timeline: Timeline,
        fastest: float,
        beginning: Place = BEGINNING,
    ) -> None:
        """`beginning`: where the cluster's history begins, if it was made of another's: the founders' disks have that
        state, whose last entry says that they are the members."""
        self.in_force = InForce(founders, beginning.index)
        self._beginning = beginning
        self.members = Members()
        """Of the newest state."""
        self._book = book
        self._timeline = timeline
        self._lease_clock = LeaseClock(fastest)
        self.committed: list[Run] = []
        """The one log from index 1, as far as anybody has applied it."""

        self._positions: dict[Index, int] = {}
        """Where in it a run is, by its first index."""

        self._places: dict[Index, Term] = {}
        """The boundaries between its runs."""
        if beginning != BEGINNING:
            self._places[beginning.index] = beginning.term

        self.leaders: dict[Term, MemberId] = {}
        self.checked_digests = 0
        self._durable: dict[MemberId, Durable] = {}
        self._relics: dict[MemberId, Durable] = {}
        """What was on the disks that were lost: it was acknowledged, and counts until the member is readmitted."""
        self._levels: dict[MemberId, int] = {}
        """The highest that the release knows which was started last."""

        self._votes: dict[tuple[MemberId, Term], MemberId] = {}
        """Those given by the disks that members have now."""
        self._voters: dict[tuple[Term, MemberId], set[MemberId]] = {}
        """Those who gave their vote to a candidate, on the disks that they had then."""
        self._batches: dict[MemberId, int] = {}
        self._progress: dict[MemberId, Progress] = {}
        self._digests: dict[Index, bytes] = {}
        self.living: dict[int, float] = {}
        """Sessions and leases that live in the newest state that anybody has reached, with their length in seconds."""

    @property
    def frontier(self) -> int:
        """The highest index that anybody has applied: nobody was told of anything beyond."""
        return self.committed[-1].last if self.committed else self._beginning.index

    def has_committed(self, run: Run) -> bool:
        """Whether it is the one that was applied there."""
        position = self._positions.get(run.first)
        return position is not None and self.committed[position] == run

    # -- starting

    def on_disk(self, server: Server) -> None:
        """Its disk is a new one: nothing is on it, and nothing was promised by it."""
        member = server.member
        self._relics.pop(member, None)
        if server.is_lost:
            self._relics[member] = self._durable[member]
        beginning = self._beginning
        if beginning != BEGINNING and member not in self._durable and server.founders:
            state = HardState(beginning.term, None)
            self._durable[member] = Durable(member, state, {}, [beginning], beginning)
        else:
            self._durable[member] = Durable(member)
        self._batches.pop(member, None)
        self._votes = {vote: candidate for vote, candidate in self._votes.items() if vote[0] != member}
        self.in_force.on_disk(member, server.is_lost)

    def on_link(self, server: Server, other: MemberId) -> None:
        assert server.process is not None, "it has just said hello"
        self.in_force.on_link(server.member, server.process.replica.raft, other)

    def on_start(self, server: Server, store: Store) -> None:
        """Recovery lost nothing that was confirmed, and what it found is safe from the next crash, too."""
        member, found = server.member, store.stored
        self._levels[member] = server.level
        known = self._durable[member]
        known.check_recovery(found)
        self._check_place(member, found.snapshot, "recovered")
        check_safe(member, found, Store.open(VirtualFiles(server.platter.copy_safe(), "/copy"), member).stored)
        self._durable[member] = known.recovered(found)

    def on_replica(self, server: Server, replica: Replica) -> None:
        self._progress[server.member] = Progress()
        machine = replica.machine
        apply, adopt = machine.apply, machine.adopt

        def observed_apply(run: Run, *rest: object) -> None:
            is_new = self._on_apply(server.member, run)
            level = machine.levels.in_force
            apply(run, *rest)  # type: ignore[arg-type]
            if machine.levels.in_force != level:
                self._on_level(server.member, machine.levels.in_force)
            if is_new:
                self._on_new_state(machine)
            if self._positions[run.first] % DIGEST_EVERY == 0:
                self.check_digest(server.member, machine)

        def observed_adopt(state: State) -> None:
            adopt(state)
            self._on_adopted(server.member, machine)

        machine.apply = observed_apply  # type: ignore[method-assign,assignment]
        machine.adopt = observed_adopt  # type: ignore[method-assign]
        if machine.applied_index:
            self._on_adopted(server.member, machine)

    def on_stop(self, server: Server) -> None:
        self._progress.pop(server.member, None)

    def may_lose_snapshot(self, member: MemberId, newest: Index) -> bool:
        """Whether a member that is down can do without its snapshot of `newest`; if so, it must from now on."""
        return self._durable[member].spare(newest)

    def check_growth(self, server: Server, profile: Profile) -> None:
        check_growth(server, profile, self._durable[server.member].snapshots)

    # -- promises

    def on_write(self, server: Server, persists: Sequence[Persist]) -> None:
        durable = self._durable[server.member]
        for persist in persists:
            durable.begin(persist)

    def on_durable(self, server: Server, persists: Sequence[Persist]) -> None:
        durable = self._durable[server.member]
        for persist in persists:
            durable.confirm(persist)

    def on_snapshot_work(self, server: Server, item: SnapshotWork) -> None:
        if isinstance(item, BeginSnapshot):
            assert server.process is not None, "it has just begun"
            machine = server.process.replica.machine
            self._check_place(server.member, item.place, "begins")
            assert machine.applied_index == item.place.index, "a snapshot is of the state that is there when it begins"
            self.check_digest(server.member, machine)

    def on_snapshot_answer(self, server: Server, answer: SnapshotAnswer) -> None:
        durable = self._durable[server.member]
        match answer:
            case SnapshotSaved(place, _, keeps_from):
                self._check_place(server.member, place, "has saved")
                durable.confirm_snapshot(place, keeps_from)
            case SnapshotReceived(place, is_whole=True):
                self._check_place(server.member, place, "has received")
                durable.confirm_snapshot(place, BEGINNING)
            case _:
                pass

    def on_messages(self, server: Server, messages: Sequence[tuple[MemberId, Sequence[PeerMessage]]]) -> None:
        member = server.member
        durable = self._durable[member]
        if server.process is not None:
            self.in_force.look(server.process.replica.raft)
        for receiver, content in messages:
            for message in content:
                if isinstance(message, AppendReply):
                    if message.match_index > durable.last_index:
                        raise Violation(
                            "no ack before the disk",
                            f"member {member} acks {message.match_index}, its disk has {durable.last_index}",
                        )
                elif isinstance(message, VoteReply) and message.granted:
                    self._on_vote(member, message.term, receiver, durable)
                elif isinstance(message, RequestVote):
                    self._on_vote(member, message.term, member, durable)
                elif isinstance(message, ReadIndex):
                    self._on_batch(member, message.batch)
                elif isinstance(message, ReadIndexReply):
                    self._check_read_index(server, message)

    def _on_batch(self, member: MemberId, batch: int) -> None:
        """An answer that was late by a life of the process must not serve a read of the next."""
        last = self._batches.get(member, 0)
        if batch <= last:
            raise Violation(
                "no batch of reads has the number of an older one", f"member {member}: {batch} after {last}"
            )
        self._batches[member] = batch

    def _check_read_index(self, server: Server, message: ReadIndexReply) -> None:
        """Thesis §6.4: a leader does not know what is committed before it has committed something itself."""
        assert server.process is not None, "it is just speaking"
        index = message.index
        # What was applied may be gone from its log.
        term = self._places.get(index) or server.process.replica.raft.log.term_at(index)
        if term != message.term:
            raise Violation(
                "a leader answers reads only from its own term on",
                f"member {server.member} leads term {message.term}, answers with {index} of term {term}",
            )

    def on_replies(self, server: Server, replies: Replies) -> None:
        """Whom a server speaks to, takes its session for alive."""
        assert server.process is not None, "it is just speaking"
        connections = server.process.replica.clients.table
        for connection, _ in replies.chunks:
            speaker = connections.get(connection)
            if speaker is not None and speaker.session:
                self._book.told_at[speaker.session] = self._timeline.now

    def _on_vote(self, member: MemberId, term: Term, candidate: MemberId, durable: Durable) -> None:
        if not self.in_force.has_forgotten(member):
            self._voters.setdefault((term, candidate), set()).add(member)
        earlier = self._votes.setdefault((member, term), candidate)
        if earlier != candidate:
            raise Violation(
                "one vote per member and term",
                f"member {member} votes for {candidate} in term {term}, after {earlier}",
            )
        if durable.hard_state.term <= term and durable.hard_state != HardState(term, candidate):
            raise Violation(
                "no vote before the disk",
                f"member {member} votes for {candidate} in term {term}, its disk holds {durable.hard_state}",
            )

    # -- the log and the state

    def _on_apply(self, member: MemberId, run: Run) -> bool:
        """Returns whether nobody has applied it before."""
        if run.first <= self.frontier:
            position = self._positions.get(run.first)
            if position is None or self.committed[position] != run:
                known = "something else" if position is None else _short(self.committed[position])
                raise Violation(
                    "state machine safety", f"member {member} applies {_short(run)} where {known} was applied before"
                )
            return False
        assert run.first == self.frontier + 1, "the machine itself refuses a gap"
        self._positions[run.first] = len(self.committed)
        self._places[run.last] = run.term
        self.committed.append(run)
        holders = [other for other, durable in (self._durable | self._relics).items() if durable.holds(run)]
        if not self.in_force.agree(holders):
            raise Violation(
                "committed means durable on a majority",
                f"member {member} applies {_short(run)}, which lies on the disks of {holders} only",
            )
        if run.is_configuration:
            self.in_force.decide(run)
            self._relics = {other: disk for other, disk in self._relics.items() if self.in_force.has_forgotten(other)}
        return True

    def _on_adopted(self, member: MemberId, machine: Machine) -> None:
        """A state came from a snapshot: at a boundary, and the one that everybody has reached there."""
        if machine.applied_index not in self._places:
            raise Violation(
                "snapshots are of what is committed",
                f"member {member} has a state at {machine.applied_index}, no boundary up to {self.frontier}",
            )
        self.check_digest(member, machine)

    def _check_place(self, member: MemberId, place: Place, doing: str) -> None:
        if place != BEGINNING and self._places.get(place.index) != place.term:
            raise Violation(
                "snapshots are of what is committed",
                f"member {member} {doing} a snapshot of {place}; there is no such boundary up to {self.frontier}",
            )

    def _on_new_state(self, machine: Machine) -> None:
        """The newest state there ever was."""
        self.members = machine.members
        table = machine.leases.table
        ended = [lease for lease in self.living if lease not in table]
        if ended or len(table) != len(self.living):
            for lease in sorted(ended):
                self._book.on_end(lease, self.living[lease], self._timeline.now)
            self.living = {lease.id: lease.ttl_ms / 1000 for lease in table.values()}
        if ended:
            check_owners(machine)

    def _on_level(self, member: MemberId, level: int) -> None:
        early = [other for other, known in self._levels.items() if known < level]
        if early:
            raise Violation(
                "a level is in force when all members know it",
                f"member {member} comes to level {level}, and members {early} run an earlier release",
            )

    def check_level(self, server: Server) -> None:
        """At rest, it is as high as it can be."""
        assert server.process is not None, "everybody is up when everything is at rest"
        in_force, known = server.process.replica.machine.levels.in_force, min(self._levels.values())
        if in_force != known:
            raise Violation(
                "a level that all members know comes in force",
                f"member {server.member} is at level {in_force}, and all members know {known}",
            )

    def check_digest(self, member: MemberId, machine: Machine) -> None:
        digest = machine.digest()
        known = self._digests.setdefault(Index(machine.applied_index), digest)
        self.checked_digests += 1
        if known != digest:
            raise Violation(
                "equal state at equal index",
                f"member {member} at {machine.applied_index} has digest {digest.hex()}, not {known.hex()}",
            )
        check_owners(machine)

    # -- after a turn

    def on_turn(self, server: Server) -> None:
        process = server.process
        if process is None:
            return
        replica = process.replica
        raft = replica.raft
        progress = self._progress[server.member]
        self.in_force.look(raft)
        if raft.is_leader:
            self._on_leader(server.member, raft)
            self._lease_clock.on_turn(server, self._timeline.now)
        if raft.term < progress.term or raft.commit_index < progress.commit_index:
            raise Violation(
                "term and commit index never fall",
                f"member {server.member}: {raft.term}, {raft.commit_index} after {progress}",
            )
        applied = replica.machine.applied_index
        if not applied <= raft.commit_index <= raft.last_index:
            raise Violation(
                "applied ≤ committed ≤ last",
                f"member {server.member}: {applied}, {raft.commit_index}, {raft.last_index}",
            )
        if (
            raft.is_leader
            and progress.led == raft.term
            and raft.commit_index > progress.commit_index
            and raft.log.term_at(raft.commit_index) != raft.term
        ):
            raise Violation(
                "a leader commits only its own term by counting",
                f"member {server.member} leads term {raft.term} and commits {raft.commit_index},"
                f" of term {raft.log.term_at(raft.commit_index)}",
            )
        progress.term, progress.commit_index = raft.term, raft.commit_index
        progress.led = raft.term if raft.is_leader else 0

    def _on_leader(self, member: MemberId, raft: Raft) -> None:
        term = raft.term
        leader = self.leaders.get(term)
        if leader == member:
            return
        if leader is not None:
            raise Violation("election safety", f"members {leader} and {member} both lead term {term}")
        self.leaders[term] = member
        voters = sorted(self._voters.get((term, member), ()))
        is_trusted = not self.in_force.has_forgotten(member)
        if member not in voters and is_trusted and self._durable[member].hard_state == HardState(term, member):
            voters.append(member)  # who is alone asks nobody
        assert isinstance(raft.role, Leader), "it leads"
        # A configuration that it has made itself was not there to vote by.
        elected_by = next(one for one in reversed(raft.log.memberships) if one.index < raft.role.term_start)
        if not is_quorum(elected_by.configuration, voters):
            raise Violation(
                "a leader has a majority's votes",
                f"member {member} leads term {term}, {voters} voted, by {elected_by.configuration}",
            )


def check_owners(machine: Machine) -> None:
    """An ephemeral lives exactly as long as its owner."""
    table = machine.leases.table
    owned = {path: znode.owner for path, znode in machine.znodes.items() if znode.owner}
    keys = {path: lease.id for lease in table.values() for path in lease.keys}
    if owned != keys:
        raise Violation(
            "every ephemeral has a living owner",
            f"owners by znode: {sorted(owned.items())}, by lease: {sorted(keys.items())}",
        )


def _short(run: Run) -> str:
    return f"run {run.first}+{run.count} of term {run.term} ({len(run.data)} B)"
