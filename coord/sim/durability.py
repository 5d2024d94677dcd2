"""What one member's disk has confirmed, and what must be found on it ever after.

A model, kept from the writes that were answered. A disk holds a run if its log does, or if a snapshot that was
confirmed covers it. While a write is under way that takes something away, what it takes is in doubt until its answer.
"""

from dataclasses import dataclass, field
from math import inf

from coord.raft import Persist
from coord.raft.stored import Stored
from coord.raft.types import BEGINNING, HardState, Index, MemberId, Place, Run
from coord.sim.verdict import Violation


@dataclass(slots=True)
class Durable:
    member: MemberId
    hard_state: HardState = field(default_factory=lambda: Stored.nothing().hard_state)
    runs: dict[Index, Run] = field(default_factory=dict)
    """By first index, in order. What the log's beginning has lost by a cut is not missed here."""

    snapshots: list[Place] = field(default_factory=list)
    """Confirmed and kept, oldest first."""

    restarted_at: Place = BEGINNING
    """The last place at which the log was begun anew: no snapshot before it can be gone on from."""

    doubtful_from: float = inf
    """A truncation or a restart is under way: what starts here or later may be gone already."""

    @property
    def snapshot(self) -> Place:
        """The newest, or BEGINNING."""
        return self.snapshots[-1] if self.snapshots else BEGINNING

    @property
    def last_index(self) -> int:
        """Everything up to here is on the disk, in one way or another."""
        logged = next(reversed(self.runs.values())).last if self.runs else 0
        return max(logged, self.restarted_at.index, self.snapshot.index)

    def holds(self, run: Run) -> bool:
        found = self.runs.get(run.first)
        return (found is not None and found.term == run.term) or run.last <= self.snapshot.index

    # What is done to it.

    def begin(self, persist: Persist) -> None:
        """A write has begun."""
        if persist.truncate_from is not None:
            self.doubtful_from = min(self.doubtful_from, persist.truncate_from)
        if persist.restart_at is not None:
            if persist.restart_at not in self.snapshots:
                raise Violation(
                    "a log begins anew only at a durable snapshot",
                    f"member {self.member} restarts its log at {persist.restart_at}, and has {self.snapshots}",
                )
            self.doubtful_from = 0
            self.restarted_at = persist.restart_at

    def confirm(self, persist: Persist) -> None:
        """It is done."""
        self.doubtful_from = inf
        if persist.hard_state is not None:
            self.hard_state = persist.hard_state
        if persist.restart_at is not None:
            self.runs.clear()
        if persist.truncate_from is not None:
            while self.runs and next(reversed(self.runs)) >= persist.truncate_from:
                self.runs.popitem()
        for run in persist.runs:
            self.runs[run.first] = run

    def confirm_snapshot(self, place: Place, keeps_from: Place) -> None:
        """The snapshot of `place` has its name; those from `keeps_from` on are kept."""
        kept = {one.index: one for one in (*self.snapshots, place) if one.index >= keeps_from.index}
        self.snapshots = [kept[index] for index in sorted(kept)]

    def spare(self, newest: Index) -> bool:
        """Whether the snapshot of `newest` may be lost, for an older one and the log after it do as well.

        Then it is taken for lost.
        """
        rest = [place for place in self.snapshots if place.index != newest]
        if not rest or rest[-1].index < self.restarted_at.index:
            return False
        self.snapshots = rest
        return True

    # What is found on it.

    def check_recovery(self, found: Stored) -> None:
        """Nothing that was confirmed is lost."""
        member, runs = self.member, {run.first: run for run in found.runs}
        for first, run in self.runs.items():
            if first < self.doubtful_from and runs.get(first) != run and run.last > found.snapshot.index:
                raise Violation(
                    "recovery loses nothing durable",
                    f"member {member} had {self.last_index} on disk, recovered a snapshot of {found.snapshot}"
                    f" and {_ends(found)}",
                )
        if found.snapshot.index < self.snapshot.index:
            raise Violation(
                "a snapshot is replaced only by a newer one",
                f"member {member} had a snapshot of {self.snapshot}, recovered one of {found.snapshot}",
            )
        ours, theirs = self.hard_state, found.hard_state
        if theirs.term < ours.term or (theirs.term == ours.term and ours.voted_for not in (None, theirs.voted_for)):
            raise Violation("term and vote survive", f"member {member} had {ours} on disk, recovered {theirs}")

    def recovered(self, found: Stored) -> "Durable":
        """The model of the next life."""
        older = [place for place in self.snapshots if place.index < found.snapshot.index]
        newest = [found.snapshot] if found.snapshot != BEGINNING else []
        runs = {run.first: run for run in found.runs}
        return Durable(self.member, found.hard_state, runs, older + newest, self.restarted_at)


def check_safe(member: MemberId, found: Stored, safe: Stored) -> None:
    """What recovery found is still there after another power failure, which would leave `safe`.

    Only what was cut from the beginning of the log may come back.
    """
    runs = [run for run in safe.runs if run.first > found.start.index]
    if (safe.hard_state, safe.snapshot, runs) != (found.hard_state, found.snapshot, found.runs):
        raise Violation(
            "what recovery found is safe",
            f"member {member} recovered {found.hard_state}, a snapshot of {found.snapshot} and {_ends(found)};"
            f" its disk holds only {safe.hard_state}, a snapshot of {safe.snapshot} and {_ends(safe)}",
        )


def _ends(stored: Stored) -> str:
    last = f" to {stored.runs[-1].last} of term {stored.runs[-1].term}" if stored.runs else ", empty"
    return f"a log from {stored.start.index}{last}"
