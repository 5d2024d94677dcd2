"""The chain of hashes along the log: where it stands, and where it stood before every run.

Only runs move the chain, so two members whose logs agree have the same chain after every run, whatever else
their disks went through. To truncate is to go back; for that the chain before each run is kept, and the term: 32
bytes a run, next to the kilobytes that the run itself takes in Raft's log.
"""

from array import array
from bisect import bisect_left, bisect_right

from coord.raft.types import BEGINNING, Index, Place, Term
from coord.storage.records import CHAIN_BYTES, NO_CHAIN


class History:
    """The sequence of runs in the log, by their hashes, from a place on."""

    __slots__ = ("_chains", "_firsts", "_terms", "chain", "next_index", "start", "term")

    def __init__(self, start: Place = BEGINNING, chain: bytes = NO_CHAIN) -> None:
        self.restart(start, chain)

    def restart(self, start: Place, chain: bytes) -> None:
        """Forget every run; the log goes on after `start`, up to which the chain is `chain`."""
        self.start = start
        self.next_index = Index(start.index + 1)
        self.term = start.term
        """Of the last entry."""
        self.chain = chain
        """H of everything before `next_index`."""
        self._firsts = array("Q")
        self._terms = array("Q")
        self._chains = bytearray()
        """First index of each run; term and chain before it, one after another."""

    def append(self, first: Index, count: int, chain: bytes, term: Term) -> None:
        """Add the run that starts at `first`; `chain` includes it."""
        assert first == self.next_index, f"run {first} does not follow index {self.next_index - 1}"
        assert count > 0, "a run has entries"
        self._firsts.append(first)
        self._terms.append(self.term)
        self._chains += self.chain
        self.next_index = Index(first + count)
        self.term = term
        self.chain = chain

    def truncate(self, first: Index) -> None:
        """Forget every run that starts at `first` or later."""
        kept = bisect_left(self._firsts, first)
        if kept < len(self._firsts):
            self.next_index = Index(self._firsts[kept])
            self.chain = self._chain_before(kept)
            self.term = Term(self._terms[kept])
            del self._firsts[kept:]
            del self._terms[kept:]
            del self._chains[kept * CHAIN_BYTES :]

    def forget(self, before: Index) -> None:
        """Begin later: after the runs that end at `before` or earlier."""
        holding = max(0, bisect_right(self._firsts, before + 1) - 1)  # the run that holds `before + 1`, if any does
        gone = holding if before + 1 < self.next_index else len(self._firsts)
        if gone:
            is_last = gone == len(self._firsts)
            first, term = (self.next_index, self.term) if is_last else (self._firsts[gone], self._terms[gone])
            self.start = Place(Index(first - 1), Term(term))
            del self._firsts[:gone]
            del self._terms[:gone]
            del self._chains[: gone * CHAIN_BYTES]

    def chain_at(self, place: Place) -> bytes | None:
        """The chain up to this place; None if the log has no such boundary."""
        next_index = place.index + 1
        if next_index == self.next_index:
            return self.chain if place.term == self.term else None
        position = bisect_left(self._firsts, next_index)
        if position == len(self._firsts) or self._firsts[position] != next_index:
            return None
        return self._chain_before(position) if place.term == self._terms[position] else None

    def _chain_before(self, position: int) -> bytes:
        return bytes(self._chains[position * CHAIN_BYTES : (position + 1) * CHAIN_BYTES])
