"""One seed from its start to the verdict.

    faults    the cluster and its clients live through what the seed has drawn, under all invariants
    healing   nothing goes wrong any more: a leader must appear, every client must get its answers and finish,
              and what an auditor then reads must agree with what everybody was told
    silence   the clients leave without a word: every session and lease must end by itself, nothing must be
              left of what they owned, and all members must hold the same state

What breaks a rule raises `Violation`; so does an assertion or any other exception of the code under test.
"""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from coord.raft.types import MemberId
from coord.sim.client import Client
from coord.sim.clock import Timeline
from coord.sim.cluster import Cluster
from coord.sim.contenders import lease, lock
from coord.sim.exclusivity import Exclusivity, LeaseBook
from coord.sim.faults import Fault
from coord.sim.invariants import Invariants
from coord.sim.moves import Move
from coord.sim.rebirth import LIVES_ON, Beginning, Rebirth, faults_of_a_second_life
from coord.sim.registers import register
from coord.sim.session import Habits, Script, Surroundings
from coord.sim.swarm import LEASE_DRIFT, NEVER, Profile, draw
from coord.sim.trace import Trace
from coord.sim.verdict import Violation
from coord.sim.workloads import audit, ephemeral, pair, probe, queue, watch
from coord.sim.world import World

WORKLOADS: dict[str, Callable[[Client, World], Script]] = {
    "register": register,
    "queue": queue,
    "pair": pair,
    "watch": watch,
    "probe": probe,
    "ephemeral": ephemeral,
    "lock": lock,
    "lease": lease,
}

DEFAULT_DURATION = 8.0
"""Seconds of faults: time for about ten elections, and for sessions to run out."""

LEADER_WITHIN = 20
"""Election timeouts after healing. Two are the rule; but clocks may be slow by half, and votes may split."""

FINISH_WITHIN = 30.0
SETTLE_WITHIN = 10.0
"""Seconds for clients to finish, and for members to agree at the end: far more than they need."""

END_AFTER = 1.0
"""A session or lease, and what it owned, is gone at most so much later than its length (RELIABILITY §2)."""

END_ANYHOW_WITHIN = 30.0
"""Where clocks run so differently that followers take a slow leader for dead, again and again, which stops the lease
clock each time."""

CHANGED_WITHIN = 5.0
"""Seconds until a change of members is over whose operator has gone: far more than it takes."""

OPERATOR_ADDRESS = "127.0.0.1"
"""Who connects from a server's own machine may change its members."""

LOOK_EVERY = 0.1

NEGLECT_AFTER = 10
"""Election timeouts after the last disturbance in which clients may be let down."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a seed."""

    seed: int
    profile: Profile
    faults: Sequence[Fault]
    failure: str | None
    """The rule that was broken, and how; None if all is well."""

    digest: str
    """Of the trace."""

    simulated: float
    """Seconds of virtual time."""

    figures: dict[str, int]
    """How much was done and checked."""

    reached: dict[str, int]
    """How often faults of each kind struck, and rare situations were reached."""


@dataclass(slots=True)
class Run:
    profile: Profile
    faults: Sequence[Fault]
    chance: Random
    trace: Trace
    timeline: Timeline = field(default_factory=Timeline)
    world: World = field(init=False)
    invariants: Invariants = field(init=False)
    cluster: Cluster = field(init=False)
    clients: list[Client] = field(default_factory=list)
    undecided: int = 0
    beginning: Beginning = field(default_factory=Beginning.nothing)
    heir: "Run | None" = None
    """The life of the cluster that was made of what was left of this one."""

    def __post_init__(self) -> None:
        profile = self.profile
        founders = tuple(MemberId(number) for number in range(1, profile.members + 1))
        book = LeaseBook(profile.keeps_drift)
        self.invariants = Invariants(founders, book, self.timeline, profile.rates[1], self.beginning.place)
        self.world = World(
            self.chance,
            Exclusivity(profile.keeps_drift),
            book,
            frontier=lambda: self.invariants.frontier,
            think=profile.think,
            keys=profile.keys,
        )
        disks = self.beginning.disks
        self.cluster = Cluster(profile, self.timeline, self.chance, self.trace, self.invariants, disks)

    def play(self) -> None:
        """All three phases; raises `Violation`."""
        self.cluster.start(self.faults)
        for number, workload in enumerate(self.profile.workloads, 1):
            self._begin(number, WORKLOADS[workload])
        if any(isinstance(fault, Move) for fault in self.faults):
            self._begin(self.profile.clients + 1, self.cluster.operator.script, OPERATOR_ADDRESS)
        self.timeline.run(self.profile.duration)
        if self.profile.is_lost:
            self._begin_anew()
            return
        self._heal()
        self._fall_silent()
        self.undecided = len(list(self.world.history.judge()))

    def _begin_anew(self) -> None:
        """All is lost but some disks; the clients of the old cluster are gone with it."""
        for client in self.clients:
            client.vanish()
        beginning = Rebirth(self.cluster, self.invariants).carry_out()
        if not beginning.disks:
            return
        profile = replace(
            self.profile,
            members=len(beginning.disks),
            duration=self.timeline.now + LIVES_ON,
            workloads=("lock", "lock", "lease"),  # those that ask nothing of what was there before
            early=(),
            is_lost=False,
        )
        faults = faults_of_a_second_life(self.cluster)
        self.heir = Run(profile, faults, self.chance, self.trace, self.timeline, beginning=beginning)
        self.heir.play()

    def _begin(self, number: int, workload: Callable[[Client, World], Script], address: str = "") -> Client:
        """With an address if it matters which."""
        profile = self.profile
        is_loyal = not address and (workload is probe or self.chance.random() < 0.2)
        home = MemberId(number % profile.members + 1) if is_loyal else None
        timeout = self.chance.uniform(*profile.session_timeout)
        habits = Habits(number, address or f"10.0.0.{number}", timeout, LEASE_DRIFT, home)
        cluster = self.cluster
        around = Surroundings(
            self.timeline,
            self.chance,
            cluster.streams,
            self.trace,
            self.world.book,
            lambda: cluster.configuration.members,
            self._on_neglect,
        )
        client = Client(habits, cluster.new_clock(), around)
        client.run(workload(client, self.world))
        self.clients.append(client)
        return client

    def _on_neglect(self, client: Client, what: str) -> None:
        """Somebody who kept its session alive was let down: only faults excuse that."""
        if self.cluster.operator.is_busy:
            return
        patience = NEGLECT_AFTER * self.profile.election_timeout + 2 * client.habits.timeout
        if self.profile.is_gentle and self.timeline.now > self.cluster.disturbed_until + patience:
            raise Violation("an undisturbed cluster keeps its clients", f"{client.who} {what}")

    def _heal(self) -> None:
        self.cluster.heal()
        self._wait(
            LEADER_WITHIN * self.profile.election_timeout,
            lambda: self.cluster.leader() is not None,
            lambda: "no leader",
        )
        for client in self.clients:
            client.is_stopping = True
        self._wait(
            FINISH_WITHIN,
            lambda: all(client.is_finished for client in self.clients),
            lambda: f"not finished: {[client.state() for client in self.clients if not client.is_finished]}",
        )
        self._wait(
            CHANGED_WITHIN,
            lambda: self.cluster.members.desired is None and not self.cluster.configuration.is_joint,
            lambda: f"the members are still being changed: {self.cluster.members}",
        )
        auditor = self._begin(self.profile.clients + 2, audit)
        self._wait(FINISH_WITHIN, lambda: auditor.is_finished, lambda: f"the auditor: {auditor.state()}")

    def _fall_silent(self) -> None:
        # A member whose last slow write is still under way may hold commands of clients that are long gone.
        self._wait(SETTLE_WITHIN, self._has_nothing_to_pass_on, self._unrest)
        for client in self.clients:
            client.vanish()
        longest = max((server.longest_lease() for server in self.cluster.present()), default=0.0)
        patience = longest / self.profile.rates[0] + END_AFTER if self.profile.keeps_drift else END_ANYHOW_WITHIN
        self._wait(patience, lambda: not self.invariants.living, self._unrest)
        self._wait(SETTLE_WITHIN, self._is_at_rest, self._unrest)
        for server in self.cluster.present():
            assert server.process is not None
            self.invariants.check_digest(server.member, server.process.replica.machine)
            self.invariants.check_level(server)
            if self.profile.snapshot_log_bytes < NEVER:
                self.invariants.check_growth(server, self.profile)
        self._check_that_former_members_serve_nobody()

    def _check_that_former_members_serve_nobody(self) -> None:
        present = self.cluster.present()
        for server in self.cluster.servers.values():
            if server not in present and server.process is not None and server.process.replica.is_serving:
                raise Violation("only members serve", f"server {server.member}, which is no member, serves clients")

    def _has_nothing_to_pass_on(self) -> bool:
        processes = [server.process for server in self.cluster.present()]
        return all(process is not None and not process.replica.outbox.slots for process in processes)

    def _is_at_rest(self) -> bool:
        processes = [server.process for server in self.cluster.present()]
        if None in processes:
            return False
        machines = [process.replica.machine for process in processes if process is not None]
        return (
            all(not machine.leases.table for machine in machines)
            and len({machine.applied_index for machine in machines}) == 1
        )

    def _unrest(self) -> str:
        states = []
        for server in self.cluster.present():
            if server.process is None:
                states.append(f"member {server.member} is down")
            else:
                machine = server.process.replica.machine
                states.append(f"member {server.member} at {machine.applied_index}: {sorted(machine.leases.table)}")
        return "no rest: " + ", ".join(states)

    def _wait(self, seconds: float, is_done: Callable[[], bool], explain: Callable[[], str]) -> None:
        until = self.timeline.now + seconds
        while not is_done():
            if self.timeline.now >= until:
                raise Violation("liveness", f"{seconds:.1f} s after healing: {explain()}")
            self.timeline.run(self.timeline.now + LOOK_EVERY)


def run_seed(
    seed: int,
    duration: float = DEFAULT_DURATION,
    write: Callable[[str], None] | None = None,
    keep: Callable[[Sequence[Fault]], Sequence[Fault]] = list,
) -> Outcome:
    """Play a seed. `write` is given a line for everything that happens; `keep` may leave some faults out."""
    chance = Random(seed)
    profile, drawn = draw(seed, duration, chance)
    faults = keep(drawn)
    trace = Trace(write)
    run = Run(profile, faults, chance, trace)
    failure = None
    try:
        run.play()
    except Violation as violation:
        failure = str(violation)
    except Exception as error:
        failure = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
    if failure is not None:
        trace.tell(run.timeline.now, f"FAILED: {failure}")
    return Outcome(seed, profile, faults, failure, trace.digest, run.timeline.now, _figures(run), run.trace.marks)


def _figures(run: Run) -> dict[str, int]:
    return {
        "requests answered": sum(client.answered for client in run.clients),
        "runs committed": len(run.invariants.committed),
        "leaders": len(run.invariants.leaders),
        "locks won": run.world.exclusivity.won,
        "leases ended": len(run.world.book.ended),
        "linearizable operations": sum(len(operations) for operations in run.world.history.operations.values()),
        "keys undecided": run.undecided,
        "digests compared": run.invariants.checked_digests,
        "boots": sum(server.boots for server in run.cluster.servers.values()),
        "faults": len(run.faults),
        "events": run.trace.count,
    }
