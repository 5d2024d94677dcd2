"""The log: whole runs in memory, and how far the disk has followed.

    … start.index          cut off: all of it is committed, and a snapshot holds what it did
    … durable_index        on the disk
    … last handed out      written by a Persist that the disk has not answered yet
    … last_index           unsaved: goes into the next Persist

A slow disk may be behind the start: then a snapshot was durable before the runs that it holds.

Log Matching (paper §5.3) holds for runs as it does for entries: the leader of a term makes each run once, so
two logs that hold an entry of the same index and term hold the same run there. Hence logs part ways only
between runs.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence

from .configuration import UNTOLD, Membership, decode_configuration
from .types import BEFORE_FIRST, BEGINNING, MAX_RUNS, Index, Place, Run, Term


def _term_of(run: Run) -> Term:
    return run.term


class Log:
    """The runs that follow `start`, without gaps; terms never fall. Lookups are O(log runs), appending is O(1)."""

    __slots__ = (
        "_cut",
        "_handed",
        "_lasts",
        "_restart",
        "durable_index",
        "last_index",
        "last_term",
        "memberships",
        "runs",
        "size",
        "start",
        "unsaved",
    )

    def __init__(self, stored: list[Run], start: Place = BEGINNING, membership: Membership = UNTOLD) -> None:
        """`membership`: the newest there is, but for those among the runs."""
        self.start = start
        """The place that the first run follows."""
        self.runs: list[Run] = []
        """Read it; change it only through this class."""
        self.size = 0
        """Bytes of data in them."""
        self._lasts: list[Index] = []
        """Last index of each run, for bisecting."""
        self.memberships = [membership]
        """The configurations that may still be needed, oldest first: those in the log, and the one before them. The
        last one holds."""
        self.last_index = start.index
        self.last_term = start.term
        self.durable_index = BEFORE_FIRST
        """The disk holds everything up to here. It moves back only when the log is truncated or restarted."""
        self.unsaved: list[Run] = []
        """Runs for the next Persist."""
        self._cut: Index | None = None
        """Where the next Persist has to truncate."""
        self._restart: Place | None = None
        """Where the next Persist has to restart the log; never together with a cut."""
        self._handed: deque[tuple[int, Index]] = deque()
        """(token, last index written by then) of each Persist that the disk has not answered."""
        self.extend(stored)
        self.unsaved = []
        self.durable_index = self.last_index

    # What is in it.

    def term_at(self, index: Index) -> Term:
        """Term of an entry we hold, or of the one at the start, which we know."""
        if index == self.last_index:
            return self.last_term
        start = self.start
        if index == start.index:
            return start.term
        assert start.index < index < self.last_index, f"no entry {index} between {start.index} and {self.last_index}"
        return self.runs[bisect_left(self._lasts, index)].term

    def has(self, index: Index, term: Term) -> bool:
        """The consistency check of §5.3: whether the log holds that entry, or starts after it."""
        if index == self.last_index:
            return self.last_term == term
        return self.start.index <= index < self.last_index and self.term_at(index) == term

    def ends_run_at(self, place: Place) -> bool:
        """Whether we hold the run that ends there, or start there: what follows can be handed out."""
        if place in (self.start, Place(self.last_index, self.last_term)):
            return True
        position = bisect_left(self._lasts, place.index)
        return position < len(self.runs) and (self.runs[position].last, self.runs[position].term) == (
            place.index,
            place.term,
        )

    def is_up_to_date(self, last_index: Index, last_term: Term) -> bool:
        """Whether a log that ends so holds at least all that ours may have committed (§5.4.1)."""
        return (last_term, last_index) >= (self.last_term, self.last_index)

    def joint(self, index: Index, term: Term) -> Index | None:
        """The last boundary between runs up to `index` that follows no term above `term`.

        Two logs that differ at `index`, where the other one has `term`, join there or earlier. None: before our start.
        """
        position = min(bisect_right(self._lasts, index), bisect_right(self.runs, term, key=_term_of))
        if position:
            return self._lasts[position - 1]
        start = self.start
        return start.index if start.index <= index and start.term <= term else None

    def following(self, index: Index, max_bytes: int) -> tuple[Run, ...]:
        """The runs after `index`, a boundary not before the start: at least one, then as many as fit `max_bytes`; at
        most MAX_RUNS."""
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
        """The runs in (after, until], boundaries not before the start: at least one, then as many as fit
        `max_entries`."""
        start = bisect_right(self._lasts, after)
        stop = bisect_right(self._lasts, min(until, after + max_entries))
        return self.runs[start : max(stop, start + 1)]

    def missing(self, runs: tuple[Run, ...]) -> tuple[Run, ...]:
        """The end of `runs` that we lack, given that we hold the entry before them, or start after it.

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
        self.size += len(run.data)
        self.unsaved.append(run)
        if run.is_configuration:
            self._configure(run)

    def _configure(self, run: Run) -> None:
        if run.first > self.memberships[-1].index:  # else a snapshot that holds it was taken later
            self.memberships.append(Membership(run.first, decode_configuration(run.data)))

    def extend(self, runs: Sequence[Run]) -> None:
        """Add runs at the end."""
        for run in runs:
            self.append(run)

    def truncate(self, first: Index) -> None:
        """Drop the run that starts at `first` and all after it."""
        position = bisect_left(self._lasts, first)
        assert self.runs[position].first == first, f"{first} is inside a run"
        dropped = len(self.runs) - position
        self.size -= sum([len(run.data) for run in self.runs[position:]])
        del self.runs[position:]
        del self._lasts[position:]
        self.last_index = self._lasts[-1] if self._lasts else self.start.index
        self.last_term = self.runs[-1].term if self.runs else self.start.term
        if dropped > len(self.unsaved):  # some of it is on the disk, or on its way there
            self._cut = first if self._cut is None else min(self._cut, first)
            self.unsaved.clear()
        else:
            del self.unsaved[len(self.unsaved) - dropped :]
        while self.memberships[-1].index >= first:
            self.memberships.pop()
        self.durable_index = min(self.durable_index, self.last_index)
        # A Persist under way was counted for runs that are void now; its answer must not vouch for their
        # successors.
        self._handed = deque((token, min(last, self.last_index)) for token, last in self._handed)

    def compact(self, index: Index) -> None:
        """Forget the runs up to `index`, a boundary; nothing happens if they are forgotten already.

        In memory only, and only what the disk was told before. A run takes about 0.2 µs: 100,000 of them at once are
        20 ms, in which nothing else happens.
        """
        if index <= self.start.index:
            return
        position = bisect_right(self._lasts, index)
        assert position, f"{index} is inside the first run"
        assert self._lasts[position - 1] == index, f"{index} is inside a run"
        assert len(self.runs) - position >= len(self.unsaved), "the disk was never told of some of it"
        self.start = Place(index, self.runs[position - 1].term)
        self.size -= sum([len(run.data) for run in self.runs[:position]])
        del self.runs[:position]
        del self._lasts[:position]
        while len(self.memberships) > 1 and self.memberships[1].index <= index:
            del self.memberships[0]

    def restart(self, place: Place, membership: Membership) -> None:
        """Drop every run and go on after `place`, in memory, and on the disk with the next Persist. `membership`: the
        newest up to there."""
        self.memberships = [membership]
        self.start = self._restart = place
        self.runs.clear()
        self._lasts.clear()
        self.size = 0
        self.last_index, self.last_term = place.index, place.term
        self._cut = None
        self.unsaved.clear()
        # Whatever the disk has or is still told of the old log vouches for nothing now. That it holds `place` counts
        # when it has restarted there: it would say so too early by the indexes of the old log.
        self.durable_index = BEFORE_FIRST
        self._handed.clear()

    # The disk.

    def has_unsaved(self) -> bool:
        """Whether the next Persist has something to do for the log."""
        return bool(self.unsaved) or self._cut is not None or self._restart is not None

    def hand_out(self, token: int) -> tuple[list[Run], Index | None, Place | None]:
        """What the Persist with this token is to do: which runs to append, after it truncated or restarted the log."""
        runs, cut, restart = self.unsaved, self._cut, self._restart
        self.unsaved = []
        self._cut = self._restart = None
        self._handed.append((token, self.last_index))
        return runs, cut, restart

    def saved(self, token: int) -> None:
        """The disk has done everything up to this token."""
        handed = self._handed
        while handed and handed[0][0] <= token:
            self.durable_index = max(self.durable_index, handed.popleft()[1])
