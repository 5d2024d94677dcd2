"""One server's brain: consensus, the replicated state, and the clients it answers for. No I/O, no clock, no chance.

The driver (`coord.server.driver`) steps it in turns:

    advance_time(now, wall_ms)   first of all; acts on what is due
    handle(input)                for each input, in the order they came
    take_ready() → Turn          what to send to peers and to write to disk
    apply(turn) → Replies        what committed is done, and clients are told
    take_snapshot_work()         a piece of a snapshot, if one is under way

The path of a write: `Requests` makes a command of it, `Outbox` numbers it and seals those of the turn into a block;
the block goes to the leader's `Office`, here or through a `Forward`; the office puts the blocks of a turn into one run
of Raft's log; `Machine` applies it on every server, and the one that has the client finds its `Slot` and answers.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, assert_never

import msgspec
from msgspec.structs import replace

from coord.raft import MemberId, Persist, Raft, ReadReady, Run, Stored
from coord.raft.configuration import Membership
from coord.raft.types import BEGINNING, Place
from coord.replica import answers
from coord.replica.changes import Changes
from coord.replica.chronicle import Chronicle
from coord.replica.clients import Clients
from coord.replica.config import ReplicaConfig
from coord.replica.connection import Phase, Slot
from coord.replica.inputs import (
    Closed,
    ClusterKnown,
    Event,
    FetchSnapshot,
    Forward,
    FromPeer,
    HandOver,
    Input,
    LevelRaised,
    MembersKnown,
    Opened,
    PeerLost,
    PeerMessage,
    PeerUp,
    Persisted,
    Received,
    Replies,
    SnapshotChunk,
    SnapshotInstalled,
)
from coord.replica.installation import Installation
from coord.replica.office import Office
from coord.replica.outbox import Outbox
from coord.replica.passwords import SECRET_BYTES
from coord.replica.reads import Reads
from coord.replica.requests import Requests
from coord.replica.snapshot_work import (
    PiecesRead,
    SnapshotRead,
    SnapshotReceived,
    SnapshotSaved,
    SnapshotWork,
    SnapshotWritten,
)
from coord.replica.snapshots import Snapshots
from coord.replica.status import status_of
from coord.replica.syncs import Syncs
from coord.replica.upgrades import Upgrades
from coord.tree import commands
from coord.tree.acl import READ, Acl, permits
from coord.tree.machine import Machine, Origin
from coord.tree.outcomes import Outcome
from coord.tree.snapshots import Loader, State
from coord.tree.watches import Watches

# Blocks that other members sent while our office was not open yet. They come again if they are dropped, but later.
MAX_EARLY_BLOCKS = 1000

_OF_REPLICAS = (Forward, FetchSnapshot, SnapshotChunk)


class AddedAgain(Exception):
    """The server has to be started again: the others count what it sends from 1 on, and this process cannot."""

    def __init__(self, member: MemberId) -> None:
        super().__init__(f"member {member} was removed and has been added again while it ran: start it once more")


class Turn(msgspec.Struct, gc=False):
    """What is to be done after a turn's inputs, in this order but for `committed` and `reads`, which `apply` takes."""

    messages: list[tuple[MemberId, Sequence[PeerMessage]]]
    """One entry per peer."""
    notices: list[tuple[MemberId, Sequence[PeerMessage]]]
    """As `messages`, but to be sent when everything else is done (`coord.raft.ready`)."""
    persist: Persist | None
    committed: list[Run]
    reads: list[ReadReady]


class Replica:
    def __init__(
        self,
        config: ReplicaConfig,
        stored: Stored,
        incarnation: int,
        now: float,
        jitter: Callable[[], float],
        entropy: Callable[[int], bytes],
        on_event: Callable[[Event], None] = lambda event: None,
        surroundings: Callable[[], dict[str, Any]] = dict,
        state: Iterable[bytes] = (),
    ) -> None:
        """`incarnation`: higher than in any life of this member before. `jitter`: uniform in [0, 1). `entropy(n)`:
        n bytes that nobody can guess. `on_event` is told what happened, for the server's log. `surroundings`: what
        only the server knows, for the status document. `state`: the pieces of the snapshot that `stored` names.
        """
        self.member = config.raft.member
        self.config = config
        self.started_at = self.now = now
        self.watches = Watches(self._deliver)
        self.machine = Machine(self.watches, config.level)
        if stored.snapshot != BEGINNING:
            self._load(state)
            assert self.machine.applied_index == stored.snapshot.index, "a snapshot of another place"
            stored = replace(stored, membership=self.machine.members.membership)
        self.raft = Raft(config.raft, stored, now, jitter)
        self.outbox = Outbox(self.member, incarnation)
        self.syncs = Syncs()
        self.clients = Clients(config, self.machine, self.watches, self.outbox, self.syncs)
        reads = Reads(self.machine, self.watches, lambda: json.dumps(status_of(self) | surroundings()))
        self.snapshots = Snapshots(config, self.raft, self.machine, stored.snapshot, on_event)
        self.installation = Installation(config, self.raft, on_event)
        self.requests = Requests(
            config,
            self.raft,
            self.machine,
            self.outbox,
            self.syncs,
            self.clients,
            self.snapshots,
            reads.handlers,
            on_event,
            entropy,
        )
        self._origin = Origin(self.member, incarnation)
        self._entropy = entropy
        self._on_event = on_event
        self.chronicle = Chronicle(self.member)
        self.wall_ms = 0
        self._office: Office | None = None
        self._changes: Changes | None = None
        """Of members; open as long as the office is."""
        self._upgrades: Upgrades | None = None
        """Likewise."""
        self.led_since = now
        """When the present leader, if any, was first known here."""
        self._early: list[bytes] = []
        """Blocks from other members that wait for our office to open."""
        self._led_by = (self.raft.term, self.raft.leader)
        self._must_resend = True
        self._moved_at = now
        """When the outbox last got rid of something, or was sent again."""
        self._is_cluster_known = False
        self._told_membership: Membership | None = None
        """The last that was reported."""
        self.clients.now = now

    # -- inputs

    def advance_time(self, now: float, wall_ms: int) -> None:
        self.now = self.clients.now = now
        self.wall_ms = wall_ms
        self.raft.advance_time(now)
        if self._office is not None:
            self._office.advance_time(now)
        self.clients.close_strangers()

    def handle(self, item: Input) -> None:
        match item:  # the most frequent first
            case Received():
                connection = self.clients.table.get(item.connection)
                if connection is not None:
                    self.requests.receive(connection, item.data)
            case FromPeer():
                for message in item.messages:
                    if isinstance(message, _OF_REPLICAS):
                        self._take(item.sender, message)
                    else:
                        self.raft.step(item.sender, message, self.now)
            case Persisted():
                self.raft.persisted(item.token, self.now)
            case Opened():
                self.clients.open(item.connection, item.address)
            case Closed():
                self.clients.forget(item.connection)
            case PeerUp():
                self.chronicle.peer_up(item.member, self.wall_ms)
                self.raft.peer_up(item.member, self.now)
                if item.member == self.raft.leader:
                    self._must_resend = True
            case PeerLost():
                self.chronicle.peer_lost(item.member, self.wall_ms)
                self.raft.peer_lost(item.member, self.now)
            case HandOver():
                self.raft.transfer_leadership(self.now)
            case SnapshotWritten():
                self.snapshots.on_written(item.place)
            case SnapshotSaved():
                self.snapshots.on_saved(item)
            case SnapshotRead():
                self.snapshots.on_read(item)
            case SnapshotReceived():
                self.installation.on_received(item, self.now)
            case PiecesRead():
                self.installation.on_pieces(item)
            case _:
                assert_never(item)

    # -- what to do

    def next_deadline(self) -> float:
        """When a turn has something to do even if nothing comes in; may be past."""
        if self.outbox.is_fresh or self.clients.has_impatient:  # since the last turn was applied
            return self.now
        if self._must_resend and self._has_somewhere_to_go():  # our office has opened since then
            return self.now
        if self.snapshots.has_work(self.now) or self.installation.has_work():
            return self.now
        deadline = min(
            self.raft.next_deadline(),
            self.clients.next_deadline(),
            self.syncs.next_deadline(),
            self.snapshots.next_deadline(),
        )
        if self.installation.is_under_way:
            deadline = min(deadline, self.installation.next_deadline())
        if self._office is not None and self.raft.can_propose:
            deadline = min(deadline, self._office.next_deadline(self.now))
        if self.outbox.outstanding_bytes and self._has_somewhere_to_go():
            deadline = min(deadline, self._moved_at + self.config.resend_after)
        return deadline

    @property
    def is_congested(self) -> bool:
        """So much of our clients' is under way that nothing more should be read from them."""
        return self.outbox.outstanding_bytes > self.config.max_outstanding_bytes

    @property
    def is_serving(self) -> bool:
        """Whether this server leads, or follows a leader."""
        return self.raft.leader is not None

    def take_ready(self) -> Turn:
        self._see_to_installation()
        self._look_who_leads()
        for connection in self.clients.take_impatient():
            self.requests.go_on(connection)
        self.clients.flush_touches()
        if self._changes is not None:
            command = self._changes.look(self.now)
            if command is not None:
                self._say_for_ourselves(command)
        if self._upgrades is not None:
            command = self._upgrades.look()
            if command is not None:
                self._say_for_ourselves(command)
        self.syncs.ask(self.raft, self.now)
        forwards = self._pass_on_commands()
        ready = self.raft.take_ready()
        self._look_who_are_members()
        for happened in ready.happened:
            self.chronicle.happened(happened, self.wall_ms)
            self._on_event(happened)
        messages: dict[MemberId, list[PeerMessage]] = {}
        for to, message in ready.messages:
            messages.setdefault(to, []).append(message)
        if forwards:
            assert self.raft.leader is not None
            messages.setdefault(self.raft.leader, []).extend(forwards)
        if self.installation.is_under_way:
            for fetch in self.installation.take_fetches(self.now):
                messages.setdefault(self.installation.source, []).append(fetch)
        for to, chunk in self.snapshots.take_chunks():
            messages.setdefault(to, []).append(chunk)
        notices: list[tuple[MemberId, Sequence[PeerMessage]]] = [(to, [notice]) for to, notice in ready.notices]
        return Turn(list(messages.items()), notices, ready.persist, ready.committed, ready.reads)

    def apply(self, turn: Turn) -> Replies:
        for run in turn.committed:
            self._apply(run)
        if turn.committed:
            self.requests.sample_latency()
            self.requests.members.look()
        for read in turn.reads:
            self.syncs.confirm(read.request, read.index)
        self.syncs.release(self.machine.applied_index)
        return self.clients.take_replies()

    def take_snapshot_work(self) -> list[SnapshotWork]:
        """The end of the turn: the next piece of a snapshot that is under way, and what else the disk is to do for
        snapshots."""
        work = self.snapshots.take_work(self.now)
        return work + self.installation.take_work() if self.installation.has_work() else work

    # -- inside: snapshots

    def _load(self, pieces: Iterable[bytes]) -> None:
        loader = Loader(self.config.level)
        for piece in pieces:
            loader.add(piece)
        self.machine.adopt(loader.finish())

    def _see_to_installation(self) -> None:
        installation = self.installation
        place = installation.place
        state = installation.take_state()
        if state is not None and self.raft.install(place, state.members.membership):
            self._adopt(state, place)
        installation.look(self.now)

    def _adopt(self, state: State, place: Place) -> None:
        """Go on from another member's state. Clients of ours have missed what happened between: they must come anew,
        so that their watches are compared with what is there now, and ask again what they have had no answer to."""
        before = self.machine.applied_index
        for connection in list(self.clients.table.values()):
            if connection.phase is not Phase.HANDSHAKE:
                self.clients.close(connection)
        self.machine.adopt(state)
        taken = self.machine.origins.get(self.member)
        if taken is not None and taken.incarnation == self.outbox.incarnation:
            self.outbox.skip(taken.last_seq)
        self._check_that_we_are_still_counted()
        self.snapshots.installed(place)
        self._on_event(SnapshotInstalled(place.index, before))
        self._look_at_cluster()

    # -- inside: commands on their way

    def _look_who_are_members(self) -> None:
        membership = self.raft.log.memberships[-1]
        if membership is not self._told_membership:
            self._told_membership = membership
            self._on_event(MembersKnown(membership))

    def _look_who_leads(self) -> None:
        """Blocks that went to an earlier leader may be lost; an office that is not ours any more is closed."""
        led_by = (self.raft.term, self.raft.leader)
        if led_by != self._led_by:
            self._led_by = led_by
            self.led_since = self.now
            self._must_resend = True
            self._office = self._changes = self._upgrades = None
            self._early = []
            if self.raft.leader is not None:
                self._announce()

    def _pass_on_commands(self) -> list[Forward]:
        """Commands of our clients go to whoever leads; returns what is for another member."""
        sealed = self.outbox.seal()
        if not self._has_somewhere_to_go():
            self._must_resend = True
            return []
        if self.outbox.outstanding_bytes and self._moved_at + self.config.resend_after <= self.now:
            self._must_resend = True
        if self._must_resend:
            blocks = [one.block for one in self.outbox.unapplied()]
            self._must_resend = False
            self._moved_at = self.now
        else:
            blocks = [] if sealed is None else [sealed.block]
        office = self._office
        if office is None:
            return [Forward(block) for block in blocks]
        for block in blocks:
            office.take(block)
        if self.raft.can_propose:
            office.propose(self.raft, self.now, self.wall_ms)
        return []

    def _has_somewhere_to_go(self) -> bool:
        """Whether commands can be passed on now: to another leader, or to our own office, once it is open."""
        return self._office is not None or (self.raft.leader is not None and not self.raft.is_leader)

    def _take(self, sender: MemberId, message: Forward | FetchSnapshot | SnapshotChunk) -> None:
        match message:
            case Forward(block):
                self._take_forwarded(block)
            case FetchSnapshot():
                self.snapshots.lend(sender, message, self.now)
            case SnapshotChunk():
                self.installation.on_chunk(message)

    def _take_forwarded(self, block: bytes) -> None:
        if self._office is not None:
            self._office.take(block)
        elif self.raft.is_leader and len(self._early) < MAX_EARLY_BLOCKS:
            self._early.append(block)

    def _open_office(self) -> None:
        """Our term's no-op is applied: we know all that was ever committed, and may speak for the cluster."""
        office = self._office = Office(self.machine, self.now, self.config.max_clock_step)
        self._changes = Changes(self.config, self.raft, self.machine, self.snapshots)
        self._upgrades = Upgrades(self.raft, self.machine)
        if self.machine.cluster is None:
            cluster_id = int.from_bytes(self._entropy(8), "big") >> 1 | 1
            command = commands.init_cluster(cluster_id, self._entropy(SECRET_BYTES))
            # From member 0, which nobody is: each leader that finds no cluster yet is a sender of its own.
            office.take(commands.block(0, self.raft.term, 1, [command]))
        for block in self._early:
            office.take(block)
        self._early = []
        self._must_resend = True

    # -- inside: what committed

    def _apply(self, run: Run) -> None:
        machine = self.machine
        level = machine.levels.in_force
        machine.apply(run, self._origin, self.requests.on_outcome)
        if machine.levels.in_force != level:
            self._on_event(LevelRaised(machine.levels.in_force))
        self.snapshots.applied(len(run.data))
        for session, _ in machine.departed:
            self.clients.session_changed(session)
        if machine.ended:
            self.chronicle.ended(machine.ended, machine.wall_ms)
        if self.outbox.trim():
            self._moved_at = self.now
        if run.is_configuration:
            self._on_configuration()
        elif not run.data:
            if self.raft.is_leader and run.term == self.raft.term:
                self._open_office()
        elif not self._is_cluster_known:
            self._look_at_cluster()

    def _on_configuration(self) -> None:
        self._check_that_we_are_still_counted()
        if self._office is not None:
            self._office.members_are((0, *self.machine.members.membership.configuration.members))

    def _announce(self) -> None:
        """To every new leader, which has not heard us if its state comes from a snapshot. Also if an earlier one is not
        applied here yet: it may be in that snapshot."""
        config = self.config
        addresses = config.client_address, config.peer_address
        self._say_for_ourselves(commands.announce(self.member, *addresses, config.directory_id, config.level))

    def _check_that_we_are_still_counted(self) -> None:
        """A member that is removed is forgotten, with the numbers of its commands; were it to go on from them, nothing
        that it sends would ever be taken."""
        taken = self.machine.origins.get(self.member)
        is_counted = taken is not None and (
            taken.incarnation > self.outbox.incarnation
            or (taken.incarnation == self.outbox.incarnation and taken.last_seq >= self.outbox.applied)
        )
        if self.outbox.applied and not is_counted and self.machine.members.knows(self.member):
            raise AddedAgain(self.member)

    def _say_for_ourselves(self, command: bytes) -> None:
        """A command that no client waits for."""
        self.outbox.add(command, Slot(None, 0, self.now, finish=_nothing))

    def _look_at_cluster(self) -> None:
        cluster = self.machine.cluster
        if cluster is not None and not self._is_cluster_known:
            self._is_cluster_known = True
            self._on_event(ClusterKnown(cluster.id))

    def _deliver(self, connection_id: int, event_type: int, path: str, zxid: int, acl: Acl) -> None:
        """An event for a connection of ours; not of a znode that it may not read (CVE-2024-23944)."""
        connection = self.clients.table.get(connection_id)  # type: ignore[call-overload]
        if connection is not None and connection.phase is Phase.OPEN and permits(acl, READ, connection.identities):
            self.clients.say(connection, answers.notification(zxid, event_type, path))


def _nothing(slot: Slot, zxid: int, outcome: Outcome) -> None:
    """Nobody waits for it."""
