"""This server's own snapshots: when one is taken, how it gets to its disk, and to members that are behind.

A snapshot is the state after exactly one run of the log. It begins with a frozen view (`coord.tree.snapshots`), which
is encoded piece by piece, each in a turn whose clients have all been answered, and with a pause between them; so it
costs a turn about a millisecond, however large the state is; only the view itself is made in one go. When the disk
has it, durably and under its name, the log before the older of the two snapshots that are kept is of no use any more
and is cut off, here and on the disk.

It is taken when `snapshot_log_bytes` of the log were applied since the last one, or as many as that one is large: so
the cost of snapshots is at most that of the log itself. A command asks for one at once (`request`).

While a member fetches the newest snapshot none is begun, for the log behind that one must still be here when it has
arrived; unless the log has grown fourfold meanwhile.
"""

from collections.abc import Callable
from itertools import islice

from coord.raft import Raft
from coord.raft.types import BEFORE_FIRST, BEGINNING, Index, MemberId, Place
from coord.replica.config import ReplicaConfig
from coord.replica.inputs import Event, FetchSnapshot, SnapshotChunk, SnapshotTaken
from coord.replica.snapshot_work import (
    BeginSnapshot,
    CutLog,
    EndSnapshot,
    ReadSnapshot,
    SnapshotRead,
    SnapshotSaved,
    SnapshotWork,
    WritePiece,
)
from coord.tree.machine import Machine
from coord.tree.snapshots import Frozen, freeze

PIECES_UNDER_WAY = 8  # that the disk has not answered: what a snapshot costs in memory beyond the view itself

RUNS_FORGOTTEN = 5000  # a turn: a millisecond

LENDING_PATIENCE = 2.0  # seconds since a member last asked for some of a snapshot until we think it does not any more
GROWN = 4

CLIENTS = MemberId(0)
"""Nobody's id."""

Waiter = Callable[[Place], None]
"""Called when a snapshot is durable that has all that was applied when it was asked for."""

Reader = Callable[[SnapshotRead], None]
"""Called with what the disk has read of a snapshot's file, for a client."""


class Snapshots:
    def __init__(
        self, config: ReplicaConfig, raft: Raft, machine: Machine, newest: Place, on_event: Callable[[Event], None]
    ) -> None:
        self._config = config
        self._raft = raft
        self._machine = machine
        self._on_event = on_event
        self.newest = newest
        """BEGINNING if there is none."""
        self.size = 0
        """Of the newest in bytes; 0 if we did not write it in this life."""
        self._log_bytes = 0
        """Of the runs that were applied since the newest."""
        self._log_bytes_frozen = 0
        """As many of them are in the view that is being written."""
        self._frozen: Frozen | None = None
        self._place = newest
        """Of the view."""
        self._pieces_under_way = 0
        self._next_piece_at = float("-inf")
        self._is_ending = False
        self._forget_until = BEFORE_FIRST
        """Up to here the log in memory may go; BEFORE_FIRST: no more of it."""
        self._kept_bytes = 0
        """So many of the log stay in memory then."""
        self._waiting: list[Waiter] = []
        self._served: list[Waiter] = []
        """Those for whom the one under way will do."""
        self.lent_at: dict[MemberId, float] = {}
        """When each member last asked for some of a snapshot; under `CLIENTS` all clients."""
        self._work: list[SnapshotWork] = []
        self._chunks: list[tuple[MemberId, SnapshotChunk]] = []
        self._before = newest
        """The place of the snapshot before the newest, which is kept, too; the newest's if we know of no other."""
        self._readers: dict[int, Reader] = {}
        """By what stands for them where another member would be named as the asker: -1, -2, …"""
        self._asked = 0

    def applied(self, size: int) -> None:
        """One more run, of so many bytes."""
        self._log_bytes += size

    def request(self, waiter: Waiter) -> None:
        """Take one now, unless the newest has everything."""
        if self._machine.applied_index <= self.newest.index:
            waiter(self.newest)
        else:
            self._waiting.append(waiter)

    # -- for other members and for operators

    def lend(self, asker: MemberId, fetch: FetchSnapshot, now: float) -> None:
        """Some of the file, as soon as the disk has read it."""
        self.lent_at[asker] = now
        self._work.append(ReadSnapshot(asker, fetch.place, fetch.id, fetch.offset, fetch.length))

    def read(self, index: int, id_: int, offset: int, length: int, reader: Reader, now: float) -> None:
        """Some of the file of the newest snapshot, or the one before, for a client. As long as somebody reads, they are
        not replaced, as with `lend`."""
        self.lent_at[CLIENTS] = now
        self._asked += 1
        place = next((place for place in (self.newest, self._before) if place.index == index), BEGINNING)
        self._readers[-self._asked] = reader
        self._work.append(ReadSnapshot(-self._asked, place, id_, offset, length))

    def on_read(self, read: SnapshotRead) -> None:
        reader = self._readers.pop(read.asker, None)
        if reader is not None:
            reader(read)
            return
        chunk = SnapshotChunk(read.place, read.id, read.size, read.offset, read.data)
        self._chunks.append((MemberId(read.asker), chunk))

    def take_chunks(self) -> list[tuple[MemberId, SnapshotChunk]]:
        chunks, self._chunks = self._chunks, []
        return chunks

    # -- one step a turn

    def has_work(self, now: float) -> bool:
        """Whether the next turn has something to do even if nothing comes in."""
        if self._work or self._forget_until:
            return True
        if self._frozen is not None:
            return now >= self.next_deadline()
        return not self._is_ending and self._is_due(now)

    def next_deadline(self) -> float:
        """When the next piece is to be encoded, if the disk has room for it."""
        has_room = self._frozen is not None and self._pieces_under_way < PIECES_UNDER_WAY
        return self._next_piece_at if has_room else float("inf")

    def take_work(self, now: float) -> list[SnapshotWork]:
        if self._frozen is None:
            if not self._is_ending and self._is_due(now):
                self._begin()
        elif now >= self.next_deadline():
            self._next_piece_at = now + self._config.snapshot_piece_pause
            self._go_on(self._frozen)
        if self._forget_until:
            self._forget_some()
        if not self._work:
            return []
        work, self._work = self._work, []
        return work

    def _is_due(self, now: float) -> bool:
        if self._waiting:
            return True
        due = max(self._config.snapshot_log_bytes, self.size)
        if self._log_bytes < due:
            return False
        lent_at = max(self.lent_at.values(), default=float("-inf"))
        return now >= lent_at + LENDING_PATIENCE or self._log_bytes >= GROWN * due

    def _begin(self) -> None:
        machine = self._machine
        index = Index(machine.applied_index)
        self._place = Place(index, self._raft.log.term_at(index))
        self._frozen = freeze(machine)
        self._log_bytes_frozen = self._log_bytes
        self._served, self._waiting = self._waiting, []
        cluster = machine.cluster
        self._work.append(BeginSnapshot(self._place, cluster.id if cluster is not None else 0))

    def _go_on(self, frozen: Frozen) -> None:
        piece = frozen.next_piece(self._config.snapshot_piece_znodes, self._config.snapshot_piece_bytes)
        if piece is None:
            self._frozen = None
            self._is_ending = True
            self._work.append(EndSnapshot(self._place))
        else:
            self._pieces_under_way += 1
            self._work.append(WritePiece(piece))

    # -- what the disk says

    def on_written(self, place: Place) -> None:
        if place == self._place and self._pieces_under_way:
            self._pieces_under_way -= 1

    def on_saved(self, saved: SnapshotSaved) -> None:
        if saved.place != self._place or not self._is_ending:
            return  # given up, for another member's was installed meanwhile
        self._is_ending = False
        self._log_bytes -= self._log_bytes_frozen
        self._become_newest(saved)
        self._on_event(SnapshotTaken(saved.place.index, saved.size))
        served, self._served = self._served, []
        for waiter in served:
            waiter(saved.place)

    def installed(self, place: Place) -> None:
        """Another member's snapshot is our state now; what we were writing is of no use."""
        self._frozen = None
        self._is_ending = False
        self._pieces_under_way = 0
        self._forget_until = BEFORE_FIRST
        self._log_bytes = 0
        self.size = 0
        self._before = self.newest
        self.newest = self._place = place
        self._waiting += self._served
        self._served = []

    def _become_newest(self, saved: SnapshotSaved) -> None:
        self._before = self.newest
        self.newest = saved.place
        self.size = saved.size
        self._raft.snapshot_saved(saved.place)
        self._forget_until = saved.place.index
        self._kept_bytes = self._config.retained_log_bytes + self._log_bytes
        self._work.append(CutLog(saved.keeps_from.index))

    def _forget_some(self) -> None:
        """Of the log in memory, the oldest runs, as long as what is left before the newest snapshot is too much."""
        log = self._raft.log
        surplus = log.size - self._kept_bytes
        index = log.start.index
        for run in islice(log.runs, RUNS_FORGOTTEN):
            if surplus <= 0 or run.last > self._forget_until:
                break
            surplus -= len(run.data)
            index = run.last
        if index > log.start.index:
            self._raft.compact(index)
        else:
            self._forget_until = BEFORE_FIRST
