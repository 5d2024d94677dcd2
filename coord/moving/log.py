"""A log file of ZooKeeper's: `log.` and the zxid of its first transaction, in hex.

    file header    "ZKLG", version 2, a number that means nothing
    each entry     Adler-32 of the payload (in 8 bytes), length of the payload (4), payload, "B"
    padding        zeros: the file is made larger in steps, 64 MiB as a rule, before it is needed

A crash may leave the last entry half written: zeros, or the end of the file, come before its "B". Nobody was told that
it happened, and ZooKeeper goes on with a new file. Whatever else is wrong is damage. A length that is too large looks
like an entry without an end; so before something is taken for that, we look whether the rest hides a whole one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final
from zlib import adler32

from coord.moving.jute import Fields, NotWhatZooKeeperWrites
from coord.moving.transaction import Transaction, read_transaction

MAGIC: Final = b"ZKLG"
VERSION: Final = 2
FILE_HEADER: Final = Struct(">4siq")
ENTRY_HEAD: Final = Struct(">qi")
END: Final = b"B"

_SMALLEST: Final = ENTRY_HEAD.size + 32 + len(END)
"""An entry that has a header and nothing else."""


@dataclass(slots=True)
class Log:
    """One file. `torn_at` is known once all of it is read."""

    content: bytes
    torn_at: int | None = None
    """Where an entry begins that was never finished."""

    def transactions(self) -> Iterator[tuple[int, Transaction]]:
        """Each with the offset where it begins. Raises `NotWhatZooKeeperWrites`."""
        content = self.content
        written = len(content.rstrip(b"\0"))
        if not written:
            self.torn_at = 0  # the file was made, and the crash came before its header was written
            return
        _check_header(content)
        offset = FILE_HEADER.size
        while offset < written:
            end = _end_of(content, offset, written)
            if end is None:
                if _hides_an_entry(content[:written], offset):
                    raise NotWhatZooKeeperWrites(offset, "a transaction whose length is wrong")
                self.torn_at = offset
                return
            yield offset, read_transaction(Fields(content, offset + ENTRY_HEAD.size, end - len(END)))
            offset = end


def _check_header(content: bytes) -> None:
    if len(content) < FILE_HEADER.size:
        raise NotWhatZooKeeperWrites(0, "a file of a few bytes, which is no transaction log")
    magic, version, _ = FILE_HEADER.unpack_from(content)
    if magic != MAGIC:
        raise NotWhatZooKeeperWrites(0, f"no transaction log: it begins with {magic!r}, not with {MAGIC!r}")
    if version != VERSION:
        raise NotWhatZooKeeperWrites(4, f"a transaction log of version {version}; ZooKeeper 3.4 to 3.9 have {VERSION}")


def _end_of(content: bytes, offset: int, written: int) -> int | None:
    """Where the entry at `offset` ends; None if it was not finished: after `written` there are only zeros. Raises
    `NotWhatZooKeeperWrites`."""
    begin = offset + ENTRY_HEAD.size
    if begin > len(content):
        return None
    checksum, length = _head_at(content, offset)
    end = begin + length + len(END)
    if length <= 0 and (length < 0 or begin < written):
        what = "zeros, and something after them" if not checksum and not length else f"a length of {length}"
        raise NotWhatZooKeeperWrites(offset, what)
    if end > written:
        return None
    mark = content[end - len(END) : end]
    if mark != END:
        raise NotWhatZooKeeperWrites(offset, f"a transaction that ends with {mark!r}, not with {END!r}")
    if adler32(memoryview(content)[begin : begin + length]) != checksum:
        raise NotWhatZooKeeperWrites(offset, "the checksum of a transaction differs")
    return end


def _hides_an_entry(content: bytes, offset: int) -> bool:
    """Whether what begins at `offset` is a whole entry but for its length, or has one after it."""
    view = memoryview(content)
    begin = offset + ENTRY_HEAD.size
    checksum, _ = _head_at(content.ljust(begin, b"\0"), offset)
    done, so_far = begin, 1
    while (mark := content.find(END, done)) >= 0:
        so_far = adler32(view[done:mark], so_far)
        if so_far == checksum and mark > begin:
            return True
        done, so_far = mark + 1, adler32(END, so_far)
    # The upper half of each checksum is zeros.
    place = offset
    while (place := content.find(b"\0\0\0\0", place + 1)) >= 0 and place + _SMALLEST <= len(content):
        checksum, length = _head_at(content, place)
        end = place + ENTRY_HEAD.size + length
        is_one = checksum and length > 0 and content[end : end + 1] == END
        if is_one and adler32(view[place + ENTRY_HEAD.size : end]) == checksum:
            return True
    return False


def _head_at(content: bytes, offset: int) -> tuple[int, int]:
    """Checksum and length of the payload."""
    checksum, length = ENTRY_HEAD.unpack_from(content, offset)
    return checksum, length
