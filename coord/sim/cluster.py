"""A cluster of simulated servers, and the hand that does faults to it."""

from collections.abc import Sequence
from random import Random
from typing import assert_never

from coord.raft.config import Config as RaftConfig
from coord.raft.types import Index, MemberId
from coord.replica.config import ReplicaConfig
from coord.sim.clock import MachineClock, Timeline
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
from coord.sim.process import Process
from coord.sim.server import Hardware, Server
from coord.sim.streams import Streams
from coord.sim.swarm import LEASE_DRIFT, Profile
from coord.sim.trace import Trace
from coord.storage.store import Store
from coord.tree.levels import LEVEL

POWER_FAILS_WITHIN = 0.05
"""Seconds, of all servers: some are in the middle of a write."""


class Cluster:
    def __init__(
        self, profile: Profile, timeline: Timeline, chance: Random, trace: Trace, invariants: Invariants
    ) -> None:
        self.profile = profile
        self._invariants = invariants
        self.timeline = timeline
        self.chance = chance
        self.trace = trace
        self.members = [MemberId(number) for number in range(1, profile.members + 1)]
        self.links = Links(timeline, chance, trace, profile.weather, profile.members)
        self.streams = Streams(timeline, chance, profile.client_delay, profile.cut_chance)
        hardware = Hardware(timeline, chance, trace, self.links, self.streams, invariants, profile.machinery)
        self.servers = {
            member: Server(
                member, hardware, self.new_clock(), self._configure, LEVEL - 1 if member in profile.early else LEVEL
            )
            for member in self.members
        }
        self.is_healed = False
        self.disturbed_until = 0.0
        """When the last fault that has struck so far is over, in true time."""

    def new_clock(self) -> MachineClock:
        chance = self.chance
        rate = chance.uniform(*self.profile.rates)
        return MachineClock(
            self.timeline, rate, chance.uniform(0, 1e6), 1_700_000_000_000 + chance.randint(-5000, 5000)
        )

    def _configure(self, member: MemberId, store: Store, level: int) -> ReplicaConfig:
        profile = self.profile
        raft = RaftConfig(
            member=member,
            voters=tuple(self.members),
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
            directory_id=store.directory_id,
            level=level,
            tick=profile.tick,
            max_outstanding_bytes=profile.outstanding_bytes,
            handshake_deadline=profile.handshake_deadline,
            min_session_timeout=0.1,
            resend_after=10 * profile.heartbeat,
            snapshot_log_bytes=profile.snapshot_log_bytes,
            snapshot_piece_znodes=profile.snapshot_piece_znodes,
            snapshot_piece_bytes=profile.snapshot_piece_bytes,
            retained_log_bytes=profile.retained_log_bytes,
        )

    # -- looking

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
            return self.servers[MemberId(number)]
        leader = self.leader()
        if leader is not None:
            return leader.server
        return next((server for server in self.servers.values() if server.process), self.servers[MemberId(1)])

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

    # -- faults

    def strike(self, fault: Fault) -> None:
        """Do it, and see to its end."""
        if self.is_healed:
            return
        self.trace.tell(self.timeline.now, f"fault: {fault}")
        self.trace.mark(type(fault).__name__)
        self.disturbed_until = max(self.disturbed_until, self.timeline.now + getattr(fault, "lasts", 0.0))
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
                others = [other for other in self.members if other != member]
                cuts = [(other, member) for other in others if fault.deaf]
                self._cut(cuts + [(member, other) for other in others if fault.mute], fault.lasts, fault.holds)
            case Split():
                self._split(fault)
            case BreakLink():
                self.links.break_connection(MemberId(fault.one), MemberId(fault.other))
            case FalseAlarm():
                self.links.raise_false_alarm(MemberId(fault.member), MemberId(fault.about))
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
                self.servers[MemberId(fault.member)].change_rate(fault.rate)
            case SetWall():
                self.servers[MemberId(fault.member)].clock.set_wall(fault.by_ms)
            case CutClient():
                self._cut_client(fault)
            case BreakClient():
                self.streams.break_connections(fault.client, fault.tells_client, fault.tells_server)
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
            self._cut([(other, server.member) for other in self.members if other != server.member], fault.lasts, True)
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
            for a in self.members
            for b in self.members
            if (a in side) != (b in side) and fault.bridge not in (a, b)
        ]
        self._cut(apart, fault.lasts, fault.holds)

    def _cut(self, pairs: list[tuple[MemberId, MemberId]], lasts: float, holds: bool) -> None:
        for sender, receiver in pairs:
            self.links.cut(sender, receiver, holds)
            self.timeline.after(lasts, self.links.heal, sender, receiver)

    def _cut_client(self, fault: CutClient) -> None:
        for member in self.members:
            if fault.member in (0, member):
                self.streams.cut(fault.client, member)
                self.timeline.after(fault.lasts, self.streams.heal, fault.client, member)
