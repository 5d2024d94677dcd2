"""The write-ahead log: what is on disk, and how it is written. How it is read again: `recovery.py`.

The log is a sequence of *segments*, files named by their number (`0000000001.wal`, …). A segment is a
sequence of *batches*, and after them zeros up to its end. A batch is what one call of `Wal.write` made: one
pwrite, one fdatasync.

    batch    starts on a sector (512 bytes) and is padded with zeros to a whole number of sectors
      0   4  magic "CWL1"
      4   4  check     CRC-32 of the rest of this head, seeded with the segment's number and first chain
      8   8  number    1, 2, 3, … through the whole log
     16   8  length    of the records in bytes
     24  16  chain     H before the first record
     40      the records, one after another

    record
      0   4  check     CRC-32 of the rest of this record
      4   1  kind      then 3 bytes of zero
      8   4  length    of the data in bytes
     12   4  count     )
     16   8  first     ) depends on the kind
     24   8  term      )
     32  16  chain     H including this record
     48      data

    kind            first                count     term   data
    1 SEGMENT       next index           0         0      format u32; member, segment, term, vote, term before u64
    2 RUN           index of 1st entry   entries   term   the run's bytes
    3 HARD_STATE    0                    0         term   vote u64 (0: nobody)
    4 TRUNCATION    first void index     0         0      term u64 and H of the entry before `first`
    5 MARK          0                    0         0      –
    6 RESTART       next index           0         0      the same
    7 CONFIGURATION its index            1         term   the members from here on (`coord.raft.configuration`)

All numbers are big-endian. Each segment's first record is SEGMENT, so that segments can be verified on
their own, and the log may begin with any of them: those before are removed (`cut`) when snapshots hold all that
is in them. TRUNCATION voids every run that starts at `first` or later, RESTART all runs there are: the log goes
on after a snapshot that came from elsewhere.

*Chain.* H_i = SHA-256(H_{i-1} ‖ head without check and chain ‖ data), cut to 128 bits; H_0 is zero. Each
record is hashed onto the runs before it, but only runs move the chain on, and TRUNCATION moves it back: so
members with the same log have the same chain after every run, and a changed byte is found and named by its
index.

*One batch at a time.* A batch is written only after the one before it is durable. Hence, whatever a crash
does to the bytes of a batch (any part of it may be missing, see `files.py`), no other batch was under way
with it. That is what lets recovery tell a torn batch from a damaged one: the torn one is the last. Two
places make it so: `write` syncs before it returns, and recovery makes durable what it found, and what it
cut off, before anything else is written; for a process that was killed may have left a whole batch in the
page cache that no disk has seen.

*Marks.* A batch behind proves that everything before it was acknowledged. The last batch has none behind
it, so we write an empty one, a MARK, when the log is opened and when it is closed.

*Preallocation.* An fdatasync into space that holds data already takes 80–160 µs here, into space that the
file has yet to grow into, or that was reserved but never written, 210–260 µs (measured: the file system
commits its journal). So a segment's space is reserved at once, but zeros are written ahead only by 256 KiB,
in the same pwrite as a batch that comes to the end of them: one sync in a hundred takes 1 ms, and a start
writes no more than that. Making the next segment ahead as well was tried on paper and rejected: a roll adds
one fsync of the directory to the batch that rolls, once in 64 MiB, and a segment that exists but is not in
use is one more state for recovery to get wrong.
"""

from collections.abc import Callable

import msgspec

from coord.raft.ready import Persist
from coord.raft.types import HardState, Index, MemberId, Place, Term
from coord.storage.files import Files
from coord.storage.records import (
    BATCH_HEAD,
    FORMAT,
    NO_CHAIN,
    SECTOR_BYTES,
    SEGMENT_DATA,
    Kind,
    encode_batch_head,
    encode_cut,
    encode_hard_state,
    encode_record,
    encode_run,
    padded,
    segment_name,
    segment_seed,
)
from coord.storage.recovery import Recovered, cut_off

SEGMENT_BYTES = 64 * 1024 * 1024  # several seconds of writes at full speed, for a roll of a millisecond
ZERO_AHEAD_BYTES = 256 * 1024  # see "Preallocation": 64 KiB and 1 MiB were no faster on the whole


class Position(msgspec.Struct, frozen=True, gc=False):
    """Where in the history a batch starts; and its segment, if the batch is the first of one."""

    index: Index
    chain: bytes
    hard_state: HardState
    term: Term
    """Of the entry before."""


class Wal:
    """The end of the log, ready for the next batch. Blocking; an OSError leaves it unusable."""

    def __init__(
        self,
        files: Files,
        member: MemberId,
        found: Recovered,
        segment_bytes: int = SEGMENT_BYTES,
        chain_of: Callable[[Place], bytes] = lambda place: NO_CHAIN,
    ) -> None:
        """To go on where `found` ends; `start` comes first. `chain_of`: that of the log at a snapshot's place."""
        assert segment_bytes % SECTOR_BYTES == 0, "segments are whole sectors"
        self._files = files
        self._member = member
        self._segment_bytes = segment_bytes
        self._history = found.history
        self._hard_state = found.hard_state
        self._chain_of = chain_of
        self._segments = found.segments
        """Number and next index of each segment at its start, the oldest first."""
        self._number = found.next_number
        self._sequence = found.sequence
        self._name = segment_name(found.sequence)
        self._seed = found.seed
        self._offset = found.offset
        self._size = found.size
        self._last_batch = found.last_batch
        self._torn = found.torn
        self._zeroed = found.offset
        """Up to here the segment's space has been written to once, if only with zeros."""

    def start(self) -> None:
        """Make durable what recovery found; see "One batch at a time". Before anything else, once."""
        if self._torn is not None:
            cut_off(self._files, self._torn)
        if self._sequence:
            # Written once more, because after an fdatasync that failed the kernel keeps the page, takes it
            # for clean, and would never write it: we would have read back what no disk holds (fsyncgate).
            batch = self._files.read(self._name, self._last_batch, self._offset - self._last_batch)
            self._files.write(self._name, self._last_batch, batch)
            self._files.sync(self._name)
            self._files.sync_directory()
        self.mark()

    def write(self, persists: list[Persist]) -> None:
        """Write all of it as one batch and return when it is durable."""
        history = self._history
        place = self._here()
        parts = [b"", b""]  # places for the batch's head and a SEGMENT record
        for persist in persists:
            if persist.hard_state is not None:
                self._hard_state = persist.hard_state
                parts.append(encode_hard_state(persist.hard_state, history.chain))
            if persist.restart_at is not None:
                start = persist.restart_at
                chain = self._chain_of(start)
                parts.append(encode_cut(Kind.RESTART, start.index + 1, start.term, chain, history.chain))
                history.restart(start, chain)
            elif persist.truncate_from is not None:
                before = history.chain
                history.truncate(persist.truncate_from)
                parts.append(encode_cut(Kind.TRUNCATION, persist.truncate_from, history.term, history.chain, before))
            for run in persist.runs:
                head, chain = encode_run(run, history.chain)
                history.append(run.first, run.count, chain, run.term)
                parts.append(head)
                parts.append(run.data)
        self._commit(parts, place)

    def mark(self) -> None:
        """Prove that everything so far was acknowledged, by writing something behind it."""
        history = self._history
        mark = encode_record(Kind.MARK, b"", history.chain)[0]
        self._commit([b"", b"", mark], self._here())

    def chain_at(self, place: Place) -> bytes | None:
        """The chain up to a boundary of the log; None if it has no such boundary."""
        return self._history.chain_at(place)

    def cut(self, before: Index) -> None:
        """Remove the segments that hold nothing after `before`, which is decided."""
        removed = 0
        while removed + 1 < len(self._segments) and self._segments[removed + 1][1] <= before + 1:
            self._files.remove(segment_name(self._segments[removed][0]))
            # One by one: what a crash leaves must be the end of the log, without a hole.
            self._files.sync_directory()
            removed += 1
        if removed:
            del self._segments[:removed]
            self._history.forget(Index(self._segments[0][1] - 1))

    def _here(self) -> Position:
        history = self._history
        return Position(history.next_index, history.chain, self._hard_state, history.term)

    def _commit(self, parts: list[bytes], place: Position) -> None:
        """Write a batch that starts at `place`."""
        length = sum(map(len, parts))
        extent = padded(BATCH_HEAD.size + length)
        is_roll = self._offset + extent > self._size
        if is_roll:
            parts[1] = self._segment_record(place)
            length += len(parts[1])
            extent = padded(BATCH_HEAD.size + length)
            self._roll(extent, place)
        parts[0] = encode_batch_head(self._number, length, place.chain, self._seed)
        end = self._offset + extent
        padding = extent - BATCH_HEAD.size - length
        if end > self._zeroed:
            self._zeroed = min(end + ZERO_AHEAD_BYTES, self._size)
            padding += self._zeroed - end
        parts.append(bytes(padding))
        self._files.write(self._name, self._offset, b"".join(parts))
        self._files.sync(self._name)
        if is_roll:
            self._files.sync_directory()
        self._offset = end
        self._number += 1

    def _segment_record(self, place: Position) -> bytes:
        """What the segment after the current one starts with."""
        state = place.hard_state
        data = SEGMENT_DATA.pack(FORMAT, self._member, self._sequence + 1, state.term, state.voted_for or 0, place.term)
        return encode_record(Kind.SEGMENT, data, place.chain, first=place.index)[0] + data

    def _roll(self, needed: int, place: Position) -> None:
        """Go on in a new segment, of the usual size or as large as its first batch."""
        self._sequence += 1
        self._segments.append((self._sequence, place.index))
        self._name = segment_name(self._sequence)
        self._seed = segment_seed(self._sequence, place.chain)
        self._size = max(self._segment_bytes, needed)
        self._files.create(self._name, self._size)
        self._offset = self._zeroed = 0
