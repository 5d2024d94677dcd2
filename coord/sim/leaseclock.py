"""The lease clock against true time: a stopped leader, or an election, costs nobody a lease (ARCHITECTURE §6).

Leaders stamp the lease clock into runs. From one stamp to the next it may advance by no more than the time that the
leader was awake in between, by the fastest clock there is; the first stamp of a term goes on from what the leader had
applied until then. That it does not fall behind either shows at the end, when everything must have run out in time.
"""

from dataclasses import dataclass, field

from coord.raft.types import Index, Term
from coord.sim.server import Server
from coord.sim.verdict import Violation
from coord.tree.commands import RUN_HEAD

TOLERANCE = 0.002
"""Seconds. Stamps are whole milliseconds."""


@dataclass(slots=True)
class Stamp:
    clock: float
    at: float
    """In true time."""

    slept: float
    """How long the leader's process had slept by then."""


@dataclass(slots=True)
class LeaseClock:
    fastest: float
    """The rate of the fastest clock."""

    _terms: dict[Term, tuple[Index, Stamp | None]] = field(default_factory=dict)
    """By term: how far its leader's log was looked at, and the last stamp, or what the first will go on from."""

    def on_turn(self, server: Server, now: float) -> None:
        """`server` leads, and has ended a turn."""
        assert server.process is not None, "its turn has just ended"
        replica, slept = server.process.replica, server.process.slept
        raft = replica.raft
        seen, last = self._terms.get(raft.term, (Index(0), None))
        run = next((run for run in reversed(raft.log.runs) if not run.is_configuration), None)
        if run is None:
            return  # all of it is in a snapshot, and was seen here before
        if run.data and run.term == raft.term:
            if run.last == seen:
                return
            stamp = Stamp(RUN_HEAD.unpack_from(run.data)[1] / 1000, now, slept)
            assert last is not None, "a turn passes between the no-op and the first stamp"
            awake = now - last.at - (slept - last.slept)
            if stamp.clock > last.clock + self.fastest * awake + TOLERANCE:
                raise Violation(
                    "the lease clock counts the time in which a leader is awake",
                    f"member {server.member} advanced it by {stamp.clock - last.clock:.3f} s in {now - last.at:.3f} s,"
                    f" of which it was awake for {awake:.3f} s",
                )
        else:
            stamp = Stamp(replica.machine.clock_ms / 1000, now, slept)
            if last is not None and last.clock == stamp.clock:
                return  # it has counted since then
        self._terms[raft.term] = run.last, stamp
