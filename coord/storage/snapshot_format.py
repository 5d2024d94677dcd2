"""The bytes of a snapshot's file. Where they are written: `snapshot_files.py`.

A file is a sequence of *pieces*:

      0   4  magic "CSP1"
      4   4  check    CRC-32 of the rest of the piece, seeded with the file's id and the piece's number
      8   4  number   0, 1, 2, …
     12   1  kind     then 3 bytes of zero
     16   4  length   of the data in bytes
     20      data

    kind      data
    1 HEAD    format u32; cluster, index, term, file id u64; chain of the log at that index
    2 STATE   a piece of the state (`coord.tree.snapshots`)
    3 END     how many pieces are before it u32; SHA-256 of all of them

All numbers are big-endian. HEAD is the first piece, and END the last.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct
from zlib import crc32

from coord.raft.types import Index, Place, Term
from coord.storage.errors import DamagedFile, NewerFormat
from coord.storage.files import ReadableFiles
from coord.storage.records import FORMAT

MAGIC = b"CSP1"
HEAD, STATE, END = 1, 2, 3
PIECE_HEAD = Struct(">4sIIB3xI")  # magic, check, number, kind, length
PIECE_FIELDS = Struct(">IB3xI")  # PIECE_HEAD after its check
HEAD_DATA = Struct(">IQQQQ16s")  # format, cluster, index, term, file id, chain
END_DATA = Struct(">I32s")
SEED_FIELDS = Struct(">QI")  # file id, number of the piece


@dataclass(frozen=True, slots=True)
class Head:
    """What a snapshot is of."""

    place: Place
    cluster: int
    id: int
    chain: bytes
    size: int = 0
    """Of the whole file in bytes, once that is known."""
    format: int = FORMAT


def name_of(place: Place, ending: str = "snap") -> str:
    """
    >>> name_of(Place(Index(4711), Term(2)))
    '00000000000000004711.snap'
    """
    return f"{place.index:020d}.{ending}"


def encode_piece(id_: int, number: int, kind: int, data: bytes) -> bytes:
    fields = PIECE_FIELDS.pack(number, kind, len(data))
    check = crc32(data, crc32(fields, _seed(id_, number)))
    return PIECE_HEAD.pack(MAGIC, check, number, kind, len(data)) + data


def _seed(id_: int, number: int) -> int:
    """Ties a piece to its file and place: the first one, which has the id, to its number only."""
    return crc32(SEED_FIELDS.pack(id_ if number else 0, number))


def decode_head(data: bytes, size: int = 0) -> Head:
    written_by, cluster, index, term, id_, chain = HEAD_DATA.unpack(data)
    return Head(Place(Index(index), Term(term)), cluster, id_, chain, size, written_by)


def sound_piece(
    files: ReadableFiles, name: str, offset: int, limit: int, number: int, head: Head | None
) -> tuple[int, bytes, int] | None:
    """Kind, data and end of the piece that begins here, if it is whole before `limit`, sound, and the next one."""
    raw = files.read(name, offset, PIECE_HEAD.size)
    if len(raw) < PIECE_HEAD.size:
        return None
    magic, check, found, kind, length = PIECE_HEAD.unpack(raw)
    end = offset + PIECE_HEAD.size + length
    is_first = number == 0
    if magic != MAGIC or found != number or end > limit or is_first != (kind == HEAD) or kind not in (1, 2, 3):
        return None
    data = files.read(name, offset + PIECE_HEAD.size, length)
    seed = _seed(0 if head is None else head.id, number)
    if len(data) < length or crc32(data, crc32(raw[PIECE_HEAD.size - PIECE_FIELDS.size :], seed)) != check:
        return None
    if is_first and length != HEAD_DATA.size:
        return None
    return kind, data, end


class SnapshotReader:
    """A file from its beginning to its end, checked on the way."""

    def __init__(self, files: ReadableFiles, name: str) -> None:
        """Reads the head. Raises `DamagedFile`; `NewerFormat` if a newer release wrote it."""
        self._files = files
        self._name = name
        self._size = files.size(name)
        found = sound_piece(files, name, 0, self._size, 0, None)
        if found is None:
            raise self._damaged(0, "it does not begin as a snapshot does")
        _, data, self.offset = found
        """So much of it was read."""
        self.head = decode_head(data, self._size)
        if self.head.format > FORMAT:
            raise NewerFormat(f"{files.directory}/{name}", self.head.format, FORMAT)

    def pieces(self) -> Iterator[bytes]:
        """The pieces of the state. What came before counts only when the last one was followed by the end: raises
        `DamagedFile` if anything is not as it was written."""
        digest = sha256(self._files.read(self._name, 0, self.offset))
        number = 1
        while True:
            found = sound_piece(self._files, self._name, self.offset, self._size, number, self.head)
            if found is None:
                raise self._damaged(self.offset, f"piece {number} is damaged or missing")
            kind, data, end = found
            if kind == END:
                break
            digest.update(self._files.read(self._name, self.offset, end - self.offset))
            number += 1
            self.offset = end
            yield data
        if data != END_DATA.pack(number, digest.digest()):
            raise self._damaged(self.offset, "the end does not agree with what is before it")
        if end != self._size:
            raise self._damaged(end, f"{self._size - end} bytes follow the end")
        self.offset = end

    def _damaged(self, offset: int, what: str) -> DamagedFile:
        return DamagedFile(self._files.directory, self._name, offset, what)
