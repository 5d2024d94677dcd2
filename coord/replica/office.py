"""What a leader does besides consensus: it gathers blocks into runs and stamps time on them.

An office opens when the leader has applied the no-op of its term: from then on its state machine holds everything that
any leader before it ever committed, so it knows the lease clock to go on from and the last command of every member.
It closes, with all it knows, when leadership ends.

The lease clock (ARCHITECTURE §6) advances with the local monotonic clock but at most by `max_step` between two looks at
it. A process that was stopped, or a leader that was cut off and is gone for good, hence never moves it by more than
that: time in which nobody could keep a lease alive costs nobody a lease.
"""

from collections.abc import Collection

from coord.raft import Raft
from coord.replica.config import MAX_RUN_BYTES
from coord.tree import commands
from coord.tree.machine import Machine


class Office:
    def __init__(self, machine: Machine, now: float, max_step: float) -> None:
        """`max_step`, in seconds: see `ReplicaConfig.max_clock_step`."""
        self._max_step = max_step
        self._machine = machine
        self._clock = machine.clock_ms / 1000
        self._looked_at = now
        self._blocks: list[tuple[bytes, int]] = []
        self._last_taken = {member: (origin.incarnation, origin.last_seq) for member, origin in machine.origins.items()}
        self._clock_in_flight = machine.clock_ms
        """The newest stamp proposed: an expiry that it covers needs no entry of its own."""

    def advance_time(self, now: float) -> None:
        self._clock += min(max(now - self._looked_at, 0.0), self._max_step)
        self._looked_at = now

    def next_deadline(self, now: float) -> float:
        """When an entry is needed for a lease to end on time."""
        if self._is_tick_in_flight():
            return float("inf")
        ends_ms = self._machine.leases.next_deadline_ms
        return float("inf") if ends_ms is None else now + max(0.0, (ends_ms + 1) / 1000 - self._clock)

    def members_are(self, members: Collection[int]) -> None:
        """Forget those that are none: one that comes back with an empty directory counts from 1 again."""
        self._last_taken = {member: last for member, last in self._last_taken.items() if member in members}

    def take(self, block: bytes) -> None:
        """Take a block in, if it continues what its member sent; a repeat, or one after a gap, is dropped."""
        member, incarnation, first, count = commands.block_head(block)
        known_incarnation, last = self._last_taken.get(member, (0, 0))
        if incarnation > known_incarnation:
            last = 0
        if incarnation < known_incarnation or first != last + 1:
            return
        self._last_taken[member] = (incarnation, first + count - 1)
        self._blocks.append((block, count))

    def propose(self, raft: Raft, now: float, wall_ms: int) -> None:
        """Everything taken in since the last turn into the log, in runs of bounded size; a tick if a lease is due."""
        clock_ms = int(self._clock * 1000)
        if not self._blocks:
            if self.next_deadline(now) <= now:
                self._clock_in_flight = clock_ms
                raft.propose(commands.run_data(clock_ms, wall_ms, []), 1, now)
            return
        self._clock_in_flight = clock_ms
        run: list[bytes] = []
        size = count = 0
        for block, commands_in_it in self._blocks:
            run.append(block)
            size += len(block)
            count += commands_in_it
            if size >= MAX_RUN_BYTES:
                raft.propose(commands.run_data(clock_ms, wall_ms, run), count, now)
                run, size, count = [], 0, 0
        if run:
            raft.propose(commands.run_data(clock_ms, wall_ms, run), count, now)
        self._blocks = []

    def _is_tick_in_flight(self) -> bool:
        ends_ms = self._machine.leases.next_deadline_ms
        return ends_ms is not None and self._machine.clock_ms <= ends_ms < self._clock_in_flight
