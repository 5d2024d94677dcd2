"""The chain of hashes along the log: where it stands, and where it stood before every run.

Only runs move the chain, so two members whose logs agree have the same chain after every run, whatever else
their disks went through. To truncate is to go back; for that the chain before each run is kept: 24 bytes a
run, next to the kilobytes that the run itself takes in Raft's log.
"""

from array import array
from bisect import bisect_left

from coord.raft.types import Index
from coord.storage.records import CHAIN_BYTES, NO_CHAIN


class History:
    """The sequence of runs in the log, by their hashes."""

    __slots__ = ("_chains", "_firsts", "chain", "next_index")

    def __init__(self) -> None:
        self.next_index = Index(1)
        self.chain = NO_CHAIN
        """H of everything before `next_index`."""
        self._firsts = array("Q")
        self._chains = bytearray()
        """The chain before each run, one after another."""

    def append(self, first: Index, count: int, chain: bytes) -> None:
        """Add the run that starts at `first`; `chain` includes it."""
        assert first == self.next_index, f"run {first} does not follow index {self.next_index - 1}"
        assert count > 0, "a run has entries"
        self._firsts.append(first)
        self._chains += self.chain
        self.next_index = Index(first + count)
        self.chain = chain

    def truncate(self, first: Index) -> None:
        """Forget every run that starts at `first` or later."""
        kept = bisect_left(self._firsts, first)
        if kept < len(self._firsts):
            self.next_index = Index(self._firsts[kept])
            self.chain = bytes(self._chains[kept * CHAIN_BYTES : (kept + 1) * CHAIN_BYTES])
            del self._firsts[kept:]
            del self._chains[kept * CHAIN_BYTES :]
