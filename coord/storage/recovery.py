"""Reading the write-ahead log back, and judging where it ends. The format is at the head of `wal.py`.

Batches are taken in order for as long as they are intact: head, every record's CRC, padding. A crash may
have torn the batch that was being written; nobody was told that it was durable, so it is *cut off*. Any
other damage has hit what this member has acknowledged; then `CorruptLog` is raised, and the member must not
vote or serve from what is left.

Where the intact batches end, at offset p of a segment, the bytes that follow decide:

    zeros to the segment's end                         the end of this segment; of the log, if it is the last
    anything else, and a later segment exists          damage: that was made when this one was durable
    a good head, and not only zeros past its extent    damage: another batch was begun behind it
    no good head, but one further on                   damage: the same
    anything else                                      a torn batch: cut off

A batch whose checks are right but which does not continue what is before it (number, hash chain, indexes)
was never torn: that is damage wherever it stands, as is a segment that is missing.

*Limits.* Rot in the very last batch looks like a torn write. Its number of victims is small: the log is
marked when it is opened and closed, so only the last batch of a server that was killed is exposed, until it
is opened again. And a rotten head of the last batch but one together with a last batch torn in its head
leaves nothing that would prove anything. Both times this member alone has forgotten what it acknowledged;
only its peers can know better, and `torn` tells whoever wants to ask them before voting (PAR, FAST'18). A
suffix that vanished as a whole and left zeros cannot be told from one that was never written.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from coord.raft.stored import Stored
from coord.raft.types import HardState, Index, MemberId, Place, Run, Term
from coord.storage.errors import CorruptLog, NewerFormat, foreign_member
from coord.storage.files import Files, ReadableFiles
from coord.storage.history import History
from coord.storage.records import (
    BATCH_HEAD,
    FORMAT,
    MAGIC,
    NO_CHAIN,
    PLACE_DATA,
    SECTOR_BYTES,
    SEGMENT_DATA,
    SEGMENT_NAME,
    VOTE_DATA,
    BatchHead,
    Kind,
    Record,
    decode_batch_head,
    decode_hard_state,
    decode_records,
    follows,
    segment_name,
    segment_seed,
)

WINDOW_BYTES = 1024 * 1024  # read at a time: large enough that the system calls do not count
ZEROS = bytes(WINDOW_BYTES)


@dataclass(frozen=True, slots=True)
class Torn:
    """A batch that a crash interrupted, and that was cut off."""

    name: str
    offset: int
    length: int


@dataclass(slots=True)
class Recovered:
    """What the log holds, and where it goes on."""

    history: History = field(default_factory=History)
    hard_state: HardState = field(default_factory=lambda: Stored.nothing().hard_state)
    runs: list[Run] = field(default_factory=list)
    next_number: int = 1
    """Of the next batch."""
    sequence: int = 0
    """The last segment, the one to go on in; 0 if there is none."""
    seed: int = 0
    last_batch: int = 0
    """Where in that segment its last intact batch starts."""
    offset: int = 0
    """Where it ends, and the next one goes."""
    size: int = 0
    torn: Torn | None = None
    segments: list[tuple[int, Index]] = field(default_factory=list)
    """Number of each segment, and the next index at its start."""

    @property
    def is_empty(self) -> bool:
        """Nothing was ever acknowledged in this log."""
        return not self.runs and self.history.next_index == 1 and self.hard_state == Stored.nothing().hard_state


def recover(files: ReadableFiles, member: MemberId) -> Recovered:
    """Read the whole log. Changes nothing on the disk; `Wal.start` cuts the torn batch off.

    Raises `CorruptLog`; `ForeignDirectory` or `NewerFormat` if another member or release wrote it.
    """
    return Recovery(files, member).run()


def cut_off(files: Files, torn: Torn) -> None:
    """Make the torn batch zeros, so that nothing of it can prove anything later. Syncs nothing."""
    if torn.offset == 0:  # the batch that a segment was made for
        files.remove(torn.name)
        return
    for offset in range(torn.offset, torn.offset + torn.length, WINDOW_BYTES):
        files.write(torn.name, offset, ZEROS[: torn.offset + torn.length - offset])


class Segment:
    """One file of the log, read through a window."""

    def __init__(self, files: ReadableFiles, sequence: int) -> None:
        self.name = segment_name(sequence)
        self.size = files.size(self.name)
        self._files = files
        self._window = b""
        self._window_start = 0

    def read(self, offset: int, length: int) -> bytes:
        """Fewer than `length` bytes only at the end of the file."""
        start = offset - self._window_start
        if start < 0 or start + length > len(self._window):
            self._window = self._files.read(self.name, offset, max(length, WINDOW_BYTES))
            self._window_start = offset
            start = 0
        return self._window[start : start + length]

    def is_zero_from(self, offset: int) -> bool:
        return all(chunk == ZEROS[: len(chunk)] for _, chunk in self._chunks(offset))

    def end_of_data(self, offset: int) -> int:
        """Just past the last byte that is not zero, or `offset`."""
        end = offset
        for start, chunk in self._chunks(offset):
            if chunk != ZEROS[: len(chunk)]:
                end = start + len(chunk.rstrip(b"\0"))
        return end

    def has_batch_after(self, offset: int, seed: int, number: int) -> bool:
        """Whether a sector further on than `offset` starts with the head of a batch later than `number`."""
        for _, chunk in self._chunks(offset + SECTOR_BYTES):
            at = chunk.find(MAGIC)
            while at >= 0:
                if at % SECTOR_BYTES == 0:
                    head = decode_batch_head(chunk[at : at + BATCH_HEAD.size], seed)
                    if head is not None and head.number > number:
                        return True
                at = chunk.find(MAGIC, at + 1)
        return False

    def _chunks(self, offset: int) -> Iterable[tuple[int, bytes]]:
        for start in range(offset, self.size, WINDOW_BYTES):
            yield start, self._files.read(self.name, start, WINDOW_BYTES)


class Recovery:
    """One pass over the log."""

    def __init__(self, files: ReadableFiles, member: MemberId) -> None:
        self._files = files
        self._member = member
        self._found = Recovered()

    def run(self) -> Recovered:
        sequences = [int(name[:10]) for name in self._files.names() if SEGMENT_NAME.fullmatch(name)]
        for expected, sequence in enumerate(sequences, start=sequences[0] if sequences else 1):
            if sequence != expected:
                raise self._corrupt(segment_name(expected), 0, "the segment is missing, though later ones exist")
            if expected == sequences[0] != 1:
                self._begin_at(Segment(self._files, sequence), sequence)
            self._read_segment(sequence, is_last=sequence == sequences[-1])
        return self._found

    def _begin_at(self, segment: Segment, sequence: int) -> None:
        """The segments before this one are cut off: go on from what it says of itself."""
        found = self._found
        data = segment.read(0, BATCH_HEAD.size)
        chain = BATCH_HEAD.unpack(data)[-1] if len(data) == BATCH_HEAD.size else NO_CHAIN
        head = decode_batch_head(data, segment_seed(sequence, chain))
        records = (
            [] if head is None else decode_records(segment.read(0, head.extent)[BATCH_HEAD.size :][: head.length])[0]
        )
        if head is None or not records or records[0].kind != Kind.SEGMENT:
            raise self._corrupt(segment.name, 0, "damaged, and it is where the log begins")
        _, _, _, term, vote, term_before = SEGMENT_DATA.unpack(records[0].data)
        found.history.restart(Place(Index(records[0].first - 1), Term(term_before)), chain)
        found.hard_state = decode_hard_state(term, vote)
        found.next_number = head.number

    def _read_segment(self, sequence: int, is_last: bool) -> None:
        found = self._found
        segment = Segment(self._files, sequence)
        found.segments.append((sequence, found.history.next_index))
        seed = segment_seed(sequence, found.history.chain)
        offset = 0
        while True:
            head = self._head_at(segment, sequence, offset, seed)
            if head is None or not self._take_batch(segment, offset, head):
                break
            found.last_batch = offset
            offset += head.extent
        if not segment.is_zero_from(offset):
            self._judge(segment, offset, head, seed, is_last)
        elif offset == 0 and not is_last:
            raise self._corrupt(segment.name, 0, "the segment is empty, though later ones exist")
        if offset == 0:  # made for a batch that was never whole
            found.torn = Torn(segment.name, 0, segment.size)
            found.segments.pop()
        else:
            found.sequence, found.seed, found.offset, found.size = sequence, seed, offset, segment.size

    def _head_at(self, segment: Segment, sequence: int, offset: int, seed: int) -> BatchHead | None:
        data = segment.read(offset, BATCH_HEAD.size)
        if offset == 0 and len(data) == BATCH_HEAD.size:
            # The segment's own claim of the chain at its start: a head that is right by it, but not by
            # ours, means that our end of the segment before is wrong.
            chain = BATCH_HEAD.unpack_from(data)[-1]
            head = decode_batch_head(data, segment_seed(sequence, chain))
            if head is not None and chain != self._found.history.chain:
                raise self._corrupt(segment.name, 0, "the segment does not continue the one before it")
            return head
        return decode_batch_head(data, seed)

    def _take_batch(self, segment: Segment, offset: int, head: BatchHead) -> bool:
        """Replay the batch if it is intact. Raises `CorruptLog` if it is, but does not belong here."""
        found = self._found
        data = segment.read(offset, head.extent)
        end = BATCH_HEAD.size + head.length
        records, is_whole = decode_records(data[BATCH_HEAD.size : end])
        if not is_whole or data.count(0, end) != head.extent - end:
            return False
        if head.number != found.next_number or head.chain != found.history.chain:
            raise self._corrupt(
                segment.name, offset, f"batch {head.number} is where batch {found.next_number} should be"
            )
        for record in records:
            if not follows(record, found.history.chain):
                raise self._corrupt(segment.name, offset, "the hash chain is broken")
            self._replay(record, segment, offset)
        found.next_number += 1
        return True

    def _replay(self, record: Record, segment: Segment, offset: int) -> None:
        found = self._found
        match record.kind:
            case Kind.RUN | Kind.CONFIGURATION:
                if record.first != found.history.next_index:
                    raise self._corrupt(segment.name, offset, f"the log goes on with index {record.first}")
                found.history.append(Index(record.first), record.count, record.chain, Term(record.term))
                index, term = Index(record.first), Term(record.term)
                found.runs.append(Run(index, record.count, term, record.data, record.kind == Kind.CONFIGURATION))
            case Kind.HARD_STATE:
                found.hard_state = decode_hard_state(record.term, VOTE_DATA.unpack(record.data)[0])
            case Kind.TRUNCATION:
                self._truncate(record)
            case Kind.RESTART:
                self._restart(record)
            case Kind.SEGMENT:
                self._check_segment(record, segment)
            case Kind.MARK:
                pass
            case _:
                raise self._corrupt(segment.name, offset, f"a record of kind {record.kind}, which does not exist")

    def _truncate(self, record: Record) -> None:
        found = self._found
        if record.first <= found.history.start.index:  # to where the log does not reach back any more
            self._restart(record)
            return
        found.history.truncate(Index(record.first))
        while found.runs and found.runs[-1].first >= record.first:
            found.runs.pop()

    def _restart(self, record: Record) -> None:
        term, chain = PLACE_DATA.unpack(record.data)
        self._found.history.restart(Place(Index(record.first - 1), Term(term)), chain)
        self._found.runs.clear()

    def _check_segment(self, record: Record, segment: Segment) -> None:
        found = self._found
        written_by, member, sequence, term, vote, _ = SEGMENT_DATA.unpack(record.data)
        if written_by > FORMAT:
            raise NewerFormat(self._files.directory, written_by, FORMAT)
        if member != self._member:
            raise foreign_member(self._files.directory, MemberId(member), self._member)
        if record.first != found.history.next_index or decode_hard_state(term, vote) != found.hard_state:
            raise self._corrupt(segment.name, 0, f"the segment, number {sequence}, continues from another state")

    def _judge(self, segment: Segment, offset: int, head: BatchHead | None, seed: int, is_last: bool) -> None:
        """Decide by the table above what the batch at `offset`, which is not intact, was."""
        if not is_last:
            raise self._damaged(segment, offset, head, "a later segment exists")
        if head is not None:
            if not segment.is_zero_from(offset + head.extent):
                raise self._damaged(segment, offset, head, "another batch was begun behind it")
        elif segment.has_batch_after(offset, seed, self._found.next_number):
            raise self._damaged(segment, offset, head, "there is another batch behind it")
        self._found.torn = Torn(segment.name, offset, segment.end_of_data(offset) - offset)

    def _damaged(self, segment: Segment, offset: int, head: BatchHead | None, proof: str) -> CorruptLog:
        """Names the first record that is damaged, if that can be known."""
        at = offset
        index = self._found.history.next_index
        if head is not None:
            at += BATCH_HEAD.size
            for record in decode_records(segment.read(at, head.length))[0]:
                at += record.extent
                if record.kind in (Kind.RUN, Kind.CONFIGURATION):
                    index = Index(record.first + record.count)
                elif record.kind == Kind.TRUNCATION:
                    index = Index(record.first)
        what = f"damaged, and this was acknowledged: {proof}"
        return CorruptLog(self._files.directory, segment.name, at, index, what)

    def _corrupt(self, name: str, offset: int, what: str) -> CorruptLog:
        return CorruptLog(self._files.directory, name, offset, self._found.history.next_index, what)
