"""The log: whole runs in memory, and how far the disk has followed.

    1 … durable_index      on the disk
    … last handed out      written by a Persist that the disk has not answered yet
    … last_index           unsaved: goes into the next Persist

Runs begin at index 1: cutting the log's start off needs snapshots, which this version does not have.

Log Matching (paper §5.3) holds for runs as it does for entries: the leader of a term makes each run once, so
two logs that hold an entry of the same index and term hold the same run there. Hence logs part ways only
between runs.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence

from .types import BEFORE_FIRST, MAX_RUNS, Index, Run, Term


def _term_of(run: Run) -> Term:
    return run.term


class Log:
    """A sequence of runs without gaps; terms never fall. Lookups are O(log runs), appending is O(1)."""

    __slots__ = ("_cut", "_handed", "_lasts", "durable_index", "last_index", "last_term", "runs", "unsaved")

    def __init__(self, stored: list[Run]) -> None:
        self.runs: list[Run] = []
        """Read it; change it only through this class."""
        self._lasts: list[Index] = []
        """Last index of each run, for bisecting."""
        self.last_index = BEFORE_FIRST
        self.last_term = Term(0)
        self.durable_index = BEFORE_FIRST
        """The disk holds everything up to here. It moves back only when the log is truncated."""
        self.unsaved: list[Run] = []
        """Runs for the next Persist."""
        self._cut: Index | None = None
        """Where the next Persist has to truncate."""
        self._handed: deque[tuple[int, Index]] = deque()
        """(token, last index written by then) of each Persist that the disk has not answered."""
        assert not stored or stored[0].first == 1, "a log that starts later needs a snapshot to stand on"
        self.extend(stored)
        self.unsaved = []
        self.durable_index = self.last_index

    # What is in it.

    def term_at(self, index: Index) -> Term:
        """Term of an entry we hold; 0 for index 0, the place before the first."""
        if index == self.last_index:
            return self.last_term
        if index == 0:
            return Term(0)
        assert 0 < index < self.last_index, f"there is no entry {index} in a log that ends at {self.last_index}"
        return self.runs[bisect_left(self._lasts, index)].term

    def has(self, index: Index, term: Term) -> bool:
        """The consistency check of §5.3: whether the log holds that entry (or ends before the first, at
        0)."""
        return index <= self.last_index and self.term_at(index) == term

    def is_up_to_date(self, last_index: Index, last_term: Term) -> bool:
        """Whether a log that ends so holds at least all that ours may have committed (§5.4.1)."""
        return (last_term, last_index) >= (self.last_term, self.last_index)

    def joint(self, index: Index, term: Term) -> Index:
        """The last boundary between runs up to `index` that follows no term above `term`.

        Two logs that differ at `index`, where the other one has `term`, join there or earlier.
        """
        position = min(bisect_right(self._lasts, index), bisect_right(self.runs, term, key=_term_of))
        return self._lasts[position - 1] if position else BEFORE_FIRST

    def following(self, index: Index, max_bytes: int) -> tuple[Run, ...]:
        """The runs after `index`, a boundary: at least one, then as many as fit `max_bytes`; at most
        MAX_RUNS."""
        start = bisect_right(self._lasts, index)
        assert self.runs[start].first == index + 1, f"{index} is inside a run"
        following = self.runs[start : start + MAX_RUNS]
        size = 0
        for position, run in enumerate(following):
            size += len(run.data)
            if size > max_bytes and position > 0:
                del following[position:]
                break
        return tuple(following)

    def between(self, after: Index, until: Index, max_entries: int) -> list[Run]:
        """The runs in (after, until], both boundaries: at least one, then as many as fit `max_entries`."""
        start = bisect_right(self._lasts, after)
        stop = bisect_right(self._lasts, min(until, after + max_entries))
        return self.runs[start : max(stop, start + 1)]

    def missing(self, runs: tuple[Run, ...]) -> tuple[Run, ...]:
        """The end of `runs` that we lack, given that we hold the entry before them.

        It begins after our last entry, or at the first conflict: the same index with another term. An old or
        repeated message yields nothing, however far our log goes on: what follows it is not in conflict with
        it (§5.3, step 3).
        """
        if runs[0].first > self.last_index:
            return runs
        position = bisect_left(self._lasts, runs[0].first)
        for skip, run in enumerate(runs):
            if run.first > self.last_index:
                return runs[skip:]
            ours = self.runs[position + skip]
            assert ours.first == run.first, "logs part ways only between runs"
            if ours.term != run.term:
                return runs[skip:]
            assert ours.count == run.count, f"two runs of term {run.term} at {run.first}: two leaders made them"
        return ()

    # How it changes.

    def append(self, run: Run) -> None:
        """Add one run at the end."""
        assert run.first == self.last_index + 1, f"a gap: {run.first} after {self.last_index}"
        assert run.term >= self.last_term, f"term {run.term} after {self.last_term}"
        assert run.count > 0
        self.last_index = last = run.last
        self.last_term = run.term
        self.runs.append(run)
        self._lasts.append(last)
        self.unsaved.append(run)

    def extend(self, runs: Sequence[Run]) -> None:
        """Add runs at the end."""
        for run in runs:
            self.append(run)

    def truncate(self, first: Index) -> None:
        """Drop the run that starts at `first` and all after it."""
        position = bisect_left(self._lasts, first)
        assert self.runs[position].first == first, f"{first} is inside a run"
        dropped = len(self.runs) - position
        del self.runs[position:]
        del self._lasts[position:]
        self.last_index = self._lasts[-1] if self._lasts else BEFORE_FIRST
        self.last_term = self.runs[-1].term if self.runs else Term(0)
        if dropped > len(self.unsaved):  # some of it is on the disk, or on its way there
            self._cut = first if self._cut is None else min(self._cut, first)
            self.unsaved.clear()
        else:
            del self.unsaved[len(self.unsaved) - dropped :]
        self.durable_index = min(self.durable_index, self.last_index)
        # A Persist under way was counted for runs that are void now; its answer must not vouch for their
        # successors.
        self._handed = deque((token, min(last, self.last_index)) for token, last in self._handed)

    # The disk.

    def has_unsaved(self) -> bool:
        """Whether the next Persist has something to do for the log."""
        return bool(self.unsaved) or self._cut is not None

    def hand_out(self, token: int) -> tuple[Index | None, list[Run]]:
        """What the Persist with this token is to do: where to truncate, and which runs to append then."""
        cut, runs = self._cut, self.unsaved
        self._cut = None
        self.unsaved = []
        self._handed.append((token, self.last_index))
        return cut, runs

    def saved(self, token: int) -> None:
        """The disk has done everything up to this token."""
        handed = self._handed
        while handed and handed[0][0] <= token:
            self.durable_index = max(self.durable_index, handed.popleft()[1])
