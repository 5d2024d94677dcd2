"""The bytes of a file with a part of the log.

      0   4  magic "CBL1"
      4   4  check    CRC-32 of the rest of this head
      8   4  format   that of data directories
     12   8  cluster
     20   8  index    )
     28   8  term     ) of the entry before the first
     36  16  chain    )
     52      records, one after another, as in the write-ahead log (`coord.storage.wal`): of kind RUN or CONFIGURATION

Each record carries its CRC, and the hash of the whole log up to and including it. So a byte that changed is found, and
so is a file that does not belong where it stands.
"""

from collections.abc import Iterator
from struct import Struct
from zlib import crc32

from coord.raft.types import Index, Place, Run, Term
from coord.storage.errors import DamagedFile, NewerFormat
from coord.storage.files import ReadableFiles
from coord.storage.records import CHECK, FORMAT, RECORD_HEAD, Kind, decode_records, encode_run, follows

MAGIC = b"CBL1"
HEAD_FIELDS = Struct(">IQQQ16s")  # format, cluster, index, term, chain
_KINDS = (Kind.RUN, Kind.CONFIGURATION)
HEAD_BYTES = len(MAGIC) + CHECK.size + HEAD_FIELDS.size


def encode_head(cluster: int, place: Place, chain: bytes) -> bytes:
    fields = HEAD_FIELDS.pack(FORMAT, cluster, place.index, place.term, chain)
    return MAGIC + CHECK.pack(crc32(fields)) + fields


def encode_record(run: Run, chain: bytes) -> tuple[bytes, bytes]:
    """The record, and the chain up to and including it."""
    head, chain = encode_run(run, chain)
    return head + run.data, chain


class LogFile:
    """One, read from its beginning to its end and checked on the way."""

    def __init__(self, files: ReadableFiles, name: str, cluster: int, place: Place, chain: bytes) -> None:
        """It should go on after `place`. Raises `DamagedFile`; `NewerFormat` if a newer release wrote it."""
        self._files = files
        self._name = name
        self._size = files.size(name)
        self.place = place
        self.chain = chain
        """Of what was read so far."""
        self.offset = HEAD_BYTES
        head = files.read(name, 0, HEAD_BYTES)
        fields = head[-HEAD_FIELDS.size :]
        if head[: -HEAD_FIELDS.size] != MAGIC + CHECK.pack(crc32(fields)):
            raise self._damaged(0, "it does not begin as a part of the log does")
        written_by, *found = HEAD_FIELDS.unpack(fields)
        if written_by > FORMAT:
            raise NewerFormat(f"{files.directory}/{name}", written_by, FORMAT)
        if found != [cluster, place.index, place.term, chain]:
            raise self._damaged(0, f"it does not go on after index {place.index} of cluster {cluster:x}")

    def runs(self) -> Iterator[Run]:
        """Raises `DamagedFile` when it comes to what is not as it was written."""
        while self.offset < self._size:
            head = self._files.read(self._name, self.offset, RECORD_HEAD.size)
            length = RECORD_HEAD.unpack(head)[2] if len(head) == RECORD_HEAD.size else 0
            end = self.offset + RECORD_HEAD.size + length
            if end > self._size:
                raise self._damaged(self.offset, "the record is cut off, or its head is damaged")
            data = self._files.read(self._name, self.offset + RECORD_HEAD.size, length)
            records, is_whole = decode_records(head + data)
            if not is_whole or len(records) != 1:
                raise self._damaged(self.offset, "the record does not agree with its checksum")
            record = records[0]
            is_next = record.kind in _KINDS and record.first == self.place.index + 1 and record.count > 0
            if not is_next or not follows(record, self.chain):
                raise self._damaged(self.offset, f"the record does not follow index {self.place.index}")
            is_configuration = record.kind == Kind.CONFIGURATION
            run = Run(Index(record.first), record.count, Term(record.term), data, is_configuration)
            self.place, self.chain, self.offset = Place(run.last, run.term), record.chain, end
            yield run

    def _damaged(self, offset: int, what: str) -> DamagedFile:
        return DamagedFile(self._files.directory, self._name, offset, what)
