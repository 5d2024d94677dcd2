"""A cluster of simulated servers, and the hand that does faults to it. It may grow: servers are built when an operator
wants them (`coord.sim.operator`)."""

from collections.abc import Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import assert_never

from coord.raft.config import Config as RaftConfig
from coord.raft.configuration import Configuration, Seat
from coord.raft.types import Index, MemberId
from coord.replica.config import ReplicaConfig
from coord.sim.clock import MachineClock, Timeline
from coord.sim.disk import Platter
from coord.sim.faults import (
    LEADER,
    BreakClient,
    BreakLink,
    ChangeRate,
    CutClient,
    DamageSnapshot,
    FailSync,
    FalseAlarm,
    Fault,
    FillDisk,
    Freeze,
    Isolate,
    Kill,
    KillAll,
    Retire,
    SetWall,
    SlowDisk,
    Split,
    Upgrade,
)
from coord.sim.invariants import Invariants
from coord.sim.links import Links, Weather
from coord.sim.moves import (
    Add,
    Mistype,
    Outage,
    Remove,
    Replace,
    ReplaceAll,
    Return,
    SwapPart,
    Wipe,
)
from coord.sim.operator import Operator, address_of
from coord.sim.process import Process
from coord.sim.server import Hardware, Server
from coord.sim.streams import Streams
from coord.sim.swarm import LEASE_DRIFT, Profile
from coord.sim.trace import Trace
from coord.storage.store import Store
from coord.tree.levels import LEVEL
from coord.tree.members import Members

POWER_FAILS_WITHIN = 0.05
"""Seconds, of all servers: some are in the middle of a write."""

SEEN_TO_WITHIN = 3.0
"""Seconds in which somebody notices that a member has lost its disk; time for it to do harm."""


class Cluster:
    def __init__(
        self,
        profile: Profile,
        timeline: Timeline,
        chance: Random,
        trace: Trace,
        invariants: Invariants,
        disks: Mapping[MemberId, Platter] = MappingProxyType({}),
    ) -> None:
        """`disks`: of the founders, if they are not empty."""
        self.profile = profile
        self._invariants = invariants
        self.timeline = timeline
        self.chance = chance
        self.trace = trace
        self.links = Links(timeline, chance, trace, profile.weather)
        self.streams = Streams(timeline, chance, profile.client_delay, profile.cut_chance)
        self._hardware = Hardware(timeline, chance, trace, self.links, self.streams, invariants, profile.machinery)
        self.founders = tuple(MemberId(number) for number in range(1, profile.members + 1))
        self.servers: dict[MemberId, Server] = {}
        """All that there ever were."""
        self._last_member = MemberId(0)
        for founder in self.founders:
            server = self._build(self.founders, LEVEL - 1 if founder in profile.early else LEVEL)
            server.platter = disks.get(founder, server.platter)
        self.operator = Operator(self)
        self.is_healed = False
        self.disturbed_until = 0.0
        """When the last fault that has struck so far is over, in true time."""

    def new_clock(self) -> MachineClock:
        chance = self.chance
        rate = chance.uniform(*self.profile.rates)
        return MachineClock(
            self.timeline, rate, chance.uniform(0, 1e6), 1_700_000_000_000 + chance.randint(-5000, 5000)
        )

    def unused(self) -> MemberId:
        """An id that nobody has had."""
        self._last_member = MemberId(self._last_member + 1)
        return self._last_member

    def _build(self, founders: tuple[MemberId, ...], level: int = LEVEL) -> Server:
        server = Server(self.unused(), self._hardware, self.new_clock(), self._configure, founders, level)
        self.servers[server.member] = server
        return server

    def build(self, late: float) -> MemberId:
        """A new server with an empty disk, which is to join; it starts so many seconds from now."""
        server = self._build(())
        self.timeline.after(late, server.start)
        return server.member

    def _configure(self, server: Server, store: Store) -> ReplicaConfig:
        profile, member = self.profile, server.member
        raft = RaftConfig(
            member=member,
            voters=server.founders,
            seats=tuple(Seat(founder, address_of(founder)) for founder in server.founders),
            incarnation=store.incarnation,
            heartbeat_interval=profile.heartbeat,
            election_timeout=profile.election_timeout,
            lease_reads=profile.lease_reads,
            max_clock_drift=LEASE_DRIFT,
            pre_vote_interval=profile.heartbeat,
            max_append_bytes=profile.append_bytes,
            max_inflight_appends=profile.appends_in_flight,
            max_committed_entries=profile.entries_per_turn,
        )
        return ReplicaConfig(
            raft=raft,
            client_address=f"10.1.0.{member}:2181",
            peer_address=address_of(member),
            directory_id=store.directory_id,
            level=server.level,
            change_patience=profile.change_patience,
            tick=profile.tick,
            max_outstanding_bytes=profile.outstanding_bytes,
            handshake_deadline=profile.handshake_deadline,
            min_session_timeout=0.1,
            resend_after=10 * profile.heartbeat,
            snapshot_log_bytes=profile.snapshot_log_bytes,
            snapshot_piece_znodes=profile.snapshot_piece_znodes,
            snapshot_piece_bytes=profile.snapshot_piece_bytes,
            snapshot_piece_pause=profile.machinery.turn,
            retained_log_bytes=profile.retained_log_bytes,
        )

    # -- looking

    @property
    def members(self) -> Members:
        """As far as anybody has come with the log."""
        return self._invariants.members

    @property
    def configuration(self) -> Configuration:
        """The newest that anybody has applied."""
        membership = self.members.membership
        return membership.configuration if membership.index else Configuration(self.founders)

    def present(self) -> list[Server]:
        """The servers of all members but those that nobody ever built."""
        members = self.configuration.members
        return [self.servers[member] for member in members if member in self.servers]

    def can_spare(self, members: Sequence[MemberId]) -> bool:
        """Whether the other voters can go on without them."""
        voters = [voter for voter in self.configuration.voters if voter not in members]
        return bool(voters) and _survives(voters, self.lost(voters))

    def may_lose(self, member: MemberId) -> bool:
        """Whether the configuration, and what it is being changed to, survives the loss of its disk: enough others have
        theirs, and everybody there is knows it by its directory, or does not know it at all."""
        if member not in self.configuration.members or self.lost([member]):
            return False
        in_force = self._invariants.in_force
        desired = self.members.desired.voters if self.members.desired is not None else ()
        majorities = [self.operator.wanted, desired, *in_force.majorities(), self.configuration.voters]
        for voters in filter(None, majorities):
            if member in voters and not _survives(voters, {member, *self.lost(voters)}):
                return False
        return all(self._would_notice(server, member) for server in self.servers.values() if server.member != member)

    @staticmethod
    def _would_notice(server: Server, member: MemberId) -> bool:
        if server.process is None:
            return False
        log = server.process.replica.raft.log
        newest = log.memberships[-1]
        seat = newest.configuration.seat_of(member)
        knows = member not in newest.configuration.members or (seat is not None and seat.directory != 0)
        return knows and newest.index <= log.durable_index

    def lost(self, members: Sequence[MemberId]) -> set[MemberId]:
        """Those of them whose disks are gone, or will never be seen again."""
        return {
            member
            for member in members
            if member not in self.servers or self.servers[member].is_lost or self.servers[member].is_off
        }

    def member_at(self, number: int) -> MemberId:
        """The member that a fault means by this number."""
        members = self.configuration.members
        if number == LEADER:
            leader = self.leader()
            return members[0] if leader is None else leader.member
        return MemberId(number) if number in members else members[number % len(members)]

    def disturbed(self, lasts: float) -> None:
        """Clients may be let down for so long from now on, and a while after."""
        self.disturbed_until = max(self.disturbed_until, self.timeline.now + lasts)

    def leader(self) -> Process | None:
        """Who leads the newest term, if anybody who runs does."""
        leading = [
            server.process
            for server in self.servers.values()
            if server.process is not None and server.process.replica.raft.is_leader
        ]
        return max(leading, key=lambda process: process.replica.raft.term, default=None)

    def _server(self, number: int) -> Server:
        if number != LEADER:
            return self.servers[self._exists(number)]
        leader = self.leader()
        if leader is not None:
            return leader.server
        return next((server for server in self.servers.values() if server.process), self.servers[MemberId(1)])

    def _exists(self, number: int) -> MemberId:
        """The server of that number, or another if it was never built."""
        existing = list(self.servers)
        return MemberId(number) if number in self.servers else existing[number % len(existing)]

    # -- starting and healing

    def start(self, faults: Sequence[Fault]) -> None:
        for server in self.servers.values():
            self.timeline.after(self.chance.uniform(0, 0.1), server.start)
        for fault in faults:
            self.timeline.at(fault.at, self.strike, fault)

    def heal(self) -> None:
        """From now on nothing goes wrong. Cuts and freezes end by themselves, at the latest now."""
        self.is_healed = True
        self.trace.tell(self.timeline.now, "all faults heal")
        self.links.heal_all(Weather())
        self.streams.heal_all()
        for server in self.servers.values():
            server.heal()

    # -- moves

    def give_new_disk(self, server: Server) -> None:
        """As an operator should who adds a member again."""
        server.change_disk((), is_lost=False)

    def _lose_disk(self, fault: Wipe) -> None:
        member = self.member_at(fault.member)
        if not self.may_lose(member):
            return
        server = self.servers[member]
        server.change_disk(server.founders, is_lost=True)
        self.trace.mark("member wiped")
        self.timeline.after(fault.lasts, server.start)
        self.operator.take(
            Wipe(fault.at, member, fault.lasts),
            self.timeline.now + fault.lasts * self.chance.uniform(0.5, SEEN_TO_WITHIN),
        )

    def _black_out(self, fault: Outage) -> None:
        voters = list(self.configuration.voters)
        self.chance.shuffle(voters)
        spare = (len(voters) - 1) // 2 - len(self.lost(voters))
        for voter in [voter for voter in voters if voter not in self.lost(voters)][: max(0, spare)]:
            self.servers[voter].kill(loses_power=self.chance.random() < 0.5)
            self.timeline.after(fault.lasts, self.servers[voter].start)

    # -- faults

    def strike(self, fault: Fault) -> None:
        """Do it, and see to its end."""
        if self.is_healed:
            return
        self.trace.tell(self.timeline.now, f"fault: {fault}")
        self.trace.mark(type(fault).__name__)
        self.disturbed(getattr(fault, "lasts", 0.0))
        match fault:
            case Kill():
                self._kill(fault)
            case KillAll():
                for server in self.servers.values():
                    self._kill_soon(server, "writing", POWER_FAILS_WITHIN, loses_power=True)
                    self.timeline.after(POWER_FAILS_WITHIN + fault.lasts * self.chance.uniform(0.8, 1.2), server.start)
            case Retire():
                self._retire(self._server(fault.member), fault)
            case Freeze():
                self._freeze(self._server(fault.member), fault.lasts)
            case Isolate():
                member = self._server(fault.member).member
                others = [other for other in self.servers if other != member]
                cuts = [(other, member) for other in others if fault.deaf]
                self._cut(cuts + [(member, other) for other in others if fault.mute], fault.lasts, fault.holds)
            case Split():
                self._split(fault)
            case BreakLink():
                self.links.break_connection(self._exists(fault.one), self._exists(fault.other))
            case FalseAlarm():
                self.links.raise_false_alarm(self._exists(fault.member), self._exists(fault.about))
            case SlowDisk():
                server = self._server(fault.member)
                server.disk_delay = fault.seconds
                self.timeline.after(fault.lasts, server.mend_disk)
            case FailSync():
                self._fail_sync(self._server(fault.member), fault.lasts)
            case FillDisk():
                server = self._server(fault.member)
                server.fill_disk()
                self.timeline.after(fault.lasts, server.mend_disk)
                self.timeline.after(fault.lasts, server.start)
            case DamageSnapshot():
                server = self._server(fault.member)
                server.kill(loses_power=True)
                self.timeline.after(fault.lasts, server.start)
                self._damage_snapshot(server)
            case Upgrade():
                server = self.servers[MemberId(fault.member)]
                server.upgrade()
                self.timeline.after(fault.lasts, server.start)
            case ChangeRate():
                self._server(fault.member).change_rate(fault.rate)
            case SetWall():
                self._server(fault.member).clock.set_wall(fault.by_ms)
            case CutClient():
                self._cut_client(fault)
            case BreakClient():
                self.streams.break_connections(fault.client, fault.tells_client, fault.tells_server)
            case Wipe():
                self._lose_disk(fault)
            case Outage():
                self._black_out(fault)
            case Add() | Mistype() | SwapPart() | Remove() | Replace() | ReplaceAll() | Return():
                self.operator.take(fault, self.timeline.now)
            case _:
                assert_never(fault)

    def _kill(self, fault: Kill) -> None:
        server = self._server(fault.member)
        server.doom = fault.doom
        self.timeline.after(fault.lasts, server.start)
        if fault.point is None or server.process is None:
            server.kill(fault.loses_power)
            return
        self._kill_soon(server, fault.point, min(0.2, fault.lasts / 2), fault.loses_power)

    def _kill_soon(self, server: Server, point: str, patience: float, loses_power: bool) -> None:
        """At that point of a turn; if it is not reached in a while, between two turns."""
        process = server.process
        if process is None:
            server.kill(loses_power)
            return
        process.kill_loses_power = loses_power
        process.kill_at = point
        self.timeline.after(patience, self._kill_if_alive, server, process, loses_power)

    def _kill_if_alive(self, server: Server, process: Process, loses_power: bool) -> None:
        if server.process is process and not self.is_healed:
            server.kill(loses_power)

    def _retire(self, server: Server, fault: Retire) -> None:
        process = server.process
        if process is None:
            return
        process.hand_over()
        if fault.is_deaf:
            self._cut([(other, server.member) for other in self.servers if other != server.member], fault.lasts, True)
        if fault.stops:
            self.timeline.after(min(self.profile.election_timeout, fault.lasts / 2), self._stop, server, process)
            self.timeline.after(fault.lasts, server.start)

    def _stop(self, server: Server, process: Process) -> None:
        if server.process is process and not process.is_frozen and not self.is_healed:
            server.stop()

    def _freeze(self, server: Server, lasts: float) -> None:
        process = server.process
        if process is not None and not process.is_frozen:
            process.freeze()
            self.timeline.after(lasts, process.thaw)

    def _fail_sync(self, server: Server, lasts: float) -> None:
        if server.process is not None:
            server.process.disk.files.trouble.fails_next_sync = True
        self.timeline.after(lasts, server.start)

    def _damage_snapshot(self, server: Server) -> None:
        """Of a server that is down."""
        snapshots = server.platter.subdirectory("snapshots")
        newest = max((name for name in snapshots.names if name.endswith(".snap")), default=None)
        if newest is not None and self._invariants.may_lose_snapshot(server.member, Index(int(newest[:20]))):
            snapshots.rot(newest)
            self.trace.mark("snapshot damaged")

    def _split(self, fault: Split) -> None:
        side = set(fault.side)
        apart = [
            (a, b)
            for a in self.servers
            for b in self.servers
            if a != b and (a in side) != (b in side) and fault.bridge not in (a, b)
        ]
        self._cut(apart, fault.lasts, fault.holds)

    def _cut(self, pairs: list[tuple[MemberId, MemberId]], lasts: float, holds: bool) -> None:
        for sender, receiver in pairs:
            self.links.cut(sender, receiver, holds)
            self.timeline.after(lasts, self.links.heal, sender, receiver)

    def _cut_client(self, fault: CutClient) -> None:
        for member in self.servers:
            if fault.member in (0, member):
                self.streams.cut(fault.client, member)
                self.timeline.after(fault.lasts, self.streams.heal, fault.client, member)


def _survives(voters: Sequence[MemberId], lost: set[MemberId]) -> bool:
    return len(lost) <= (len(voters) - 1) // 2
