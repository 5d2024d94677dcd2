"""The values that everything else in this package is made of, and the one error it raises to its caller.

`Run` is the unit of the log: entries that were proposed together in one turn of the leader. They are written
as one record, sent whole, truncated whole and applied whole, so an entry costs nothing but its share of
`data`. Entry number i of a run has index `first + i`. Since every log is a sequence of whole runs,
match_index and commit_index are always the last index of a run.
"""

from typing import NewType

import msgspec

MemberId = NewType("MemberId", int)
Term = NewType("Term", int)
Index = NewType("Index", int)
Round = NewType("Round", int)
"""Numbers what a leader asks all its peers to confirm at once; unique and increasing within its term."""

BEFORE_FIRST = Index(0)  # the place before the first entry; its term is 0
NO_ROUND = Round(0)  # rounds begin at 1

MAX_NUMBER = (1 << 63) - 1  # terms, indexes, rounds: they end up in signed 64-bit fields (zxid, jute long)
MAX_RUN_COUNT = (1 << 32) - 1  # an unsigned 32-bit field in messages and in the write-ahead log
# 64 MiB: one turn of a leader that is flooded with requests of 1 MiB; far above any healthy turn.
MAX_RUN_BYTES = 64 << 20
MAX_RUNS = 4096  # in one Append: more are so small that their number decides what they cost, not their bytes


class Run(msgspec.Struct, frozen=True, gc=False):
    """Entries first … first+count-1, all of one term. Of no cost to the garbage collector."""

    first: Index
    count: int
    term: Term
    data: bytes
    """Opaque to Raft. Empty only for the no-op that a leader writes at the start of its term."""
    is_configuration: bool = False
    """Of one entry, whose data is who the members are from here on (`coord.raft.configuration`)."""

    @property
    def last(self) -> Index:
        """Index of the run's last entry."""
        return self.first + self.count - 1  # type: ignore[return-value]  # too hot for a NewType's call


class Place(msgspec.Struct, frozen=True, gc=False):
    """A boundary between runs: after the entry `index`, whose term is `term`. A snapshot is the state at a place."""

    index: Index
    term: Term


BEGINNING = Place(BEFORE_FIRST, Term(0))
"""Before the first entry there ever was."""


class HardState(msgspec.Struct, frozen=True, gc=False):
    """What Figure 2 of the paper calls persistent state, apart from the log."""

    term: Term
    voted_for: MemberId | None


class NotLeader(Exception):
    """This member cannot propose now; ask `leader` if it is known.

    Also raised by a leader that is handing over (thesis §3.10): then `leader` is None, since soon it will be
    another.
    """

    def __init__(self, leader: MemberId | None) -> None:
        super().__init__("no leader known" if leader is None else f"not the leader; try member {leader}")
        self.leader = leader
