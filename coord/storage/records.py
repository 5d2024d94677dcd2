"""The bytes of the write-ahead log: batches of records. What they mean is at the head of `wal.py`."""

import re
from enum import IntEnum
from hashlib import sha256
from struct import Struct
from zlib import crc32

import msgspec

from coord.raft.types import HardState, MemberId, Run, Term

FORMAT = 1
"""Of everything in a data directory. Raised when an older release could not read what we write."""

SECTOR_BYTES = 512
MAGIC = b"CWL1"
CHAIN_BYTES = 16
SEGMENT_NAME = re.compile(r"\d{10}\.wal")
NO_CHAIN = bytes(CHAIN_BYTES)

BATCH_HEAD = Struct(">4sIQQ16s")  # magic, check, number, length of the records, chain before the first record
BATCH_FIELDS = Struct(">QQ16s")  # BATCH_HEAD after its check
RECORD_HEAD = Struct(">IB3xIIQQ16s")  # check, kind, length of the data, count, first, term, chain
RECORD_FIELDS = Struct(">B3xIIQQ")  # RECORD_HEAD between check and chain
CHECK = Struct(">I")
SEGMENT_DATA = Struct(">IQQQQQ")  # format, member, sequence, term, voted_for (0: nobody), term of the entry before
PLACE_DATA = Struct(">Q16s")  # term and chain of the entry before
VOTE_DATA = Struct(">Q")  # voted_for (0: nobody)
SEED_FIELDS = Struct(">Q16s")  # sequence, chain at the segment's start


class Kind(IntEnum):
    SEGMENT = 1
    RUN = 2
    HARD_STATE = 3
    TRUNCATION = 4
    MARK = 5
    RESTART = 6
    CONFIGURATION = 7


class BatchHead(msgspec.Struct, frozen=True, gc=False):
    number: int
    length: int
    """Of the records; the batch itself is longer by its head and its padding."""
    chain: bytes

    @property
    def extent(self) -> int:
        """Bytes from the start of this batch to the start of the next."""
        return padded(BATCH_HEAD.size + self.length)


class Record(msgspec.Struct, frozen=True, gc=False):
    kind: int
    count: int
    first: int
    term: int
    data: bytes
    chain: bytes
    """The hash that it was written with."""

    @property
    def extent(self) -> int:
        return RECORD_HEAD.size + len(self.data)


def padded(length: int) -> int:
    """`length` rounded up to whole sectors.

    >>> padded(1), padded(512), padded(513)
    (512, 512, 1024)
    """
    return (length + SECTOR_BYTES - 1) // SECTOR_BYTES * SECTOR_BYTES


def segment_name(sequence: int) -> str:
    """Sorts as the numbers do.

    >>> segment_name(42)
    '0000000042.wal'
    """
    return f"{sequence:010d}.wal"


def segment_seed(sequence: int, chain: bytes) -> int:
    """What the checks of a segment's batch heads start from.

    It ties a head to its place, so that no bytes inside of a client's data pass for a batch of ours.
    """
    return crc32(SEED_FIELDS.pack(sequence, chain))


def encode_batch_head(number: int, length: int, chain: bytes, seed: int) -> bytes:
    fields = BATCH_FIELDS.pack(number, length, chain)
    return MAGIC + CHECK.pack(crc32(fields, seed)) + fields


def decode_batch_head(data: bytes, seed: int) -> BatchHead | None:
    """None if these bytes are no batch head of this segment."""
    if len(data) < BATCH_HEAD.size:
        return None
    magic, check, number, length, chain = BATCH_HEAD.unpack_from(data)
    if magic != MAGIC or crc32(data[BATCH_HEAD.size - BATCH_FIELDS.size : BATCH_HEAD.size], seed) != check:
        return None
    return BatchHead(number, length, chain)


def next_chain(chain: bytes, fields: bytes, data: bytes) -> bytes:
    """H_i = SHA-256(H_{i-1} ‖ fields ‖ data), its first 128 bits.

    SHA-256 because processors have instructions for it: 2.8 µs for 2 KB against 4.4 µs of BLAKE2b
    (measured). 128 bits keep out chance and carelessness for certain, and 2^64 work away from an attacker
    who may write on our disk.
    """
    digest = sha256(chain + fields)
    digest.update(data)
    return digest.digest()[:CHAIN_BYTES]


def encode_record(
    kind: Kind, data: bytes, chain: bytes, *, first: int = 0, count: int = 0, term: int = 0
) -> tuple[bytes, bytes]:
    """The record's head, which `data` is to follow, and the chain up to and including it."""
    fields = RECORD_FIELDS.pack(kind, len(data), count, first, term)
    chain = next_chain(chain, fields, data)
    head = fields + chain
    return CHECK.pack(crc32(data, crc32(head))) + head, chain


def decode_records(body: bytes) -> tuple[list[Record], bool]:
    """The records up to the first damaged one, and whether that was all of them.

    Chains are not followed here: that takes what came before.
    """
    records: list[Record] = []
    view = memoryview(body)
    offset = 0
    while offset < len(body):
        if offset + RECORD_HEAD.size > len(body):
            return records, False
        check, kind, length, count, first, term, chain = RECORD_HEAD.unpack_from(body, offset)
        data = offset + RECORD_HEAD.size
        end = data + length
        if end > len(body) or crc32(view[offset + CHECK.size : end]) != check:
            return records, False
        records.append(Record(kind, count, first, term, body[data:end], chain))
        offset = end
    return records, True


def follows(record: Record, chain: bytes) -> bool:
    """Whether the record's hash is right for a history that ends in `chain`."""
    fields = RECORD_FIELDS.pack(record.kind, len(record.data), record.count, record.first, record.term)
    return next_chain(chain, fields, record.data) == record.chain


def encode_run(run: Run, chain: bytes) -> tuple[bytes, bytes]:
    kind = Kind.CONFIGURATION if run.is_configuration else Kind.RUN
    return encode_record(kind, run.data, chain, first=run.first, count=run.count, term=run.term)


def encode_hard_state(state: HardState, chain: bytes) -> bytes:
    """A whole record, data and all."""
    data = VOTE_DATA.pack(state.voted_for or 0)
    return encode_record(Kind.HARD_STATE, data, chain, term=state.term)[0] + data


def encode_cut(kind: Kind, first: int, term: int, chain_before: bytes, chain: bytes) -> bytes:
    """A TRUNCATION or a RESTART: the log goes on at `first`, after an entry of `term` up to which the chain is
    `chain_before`."""
    data = PLACE_DATA.pack(term, chain_before)
    return encode_record(kind, data, chain, first=first)[0] + data


def decode_hard_state(term: int, vote: int) -> HardState:
    return HardState(Term(term), MemberId(vote) if vote else None)
