"""What a replica asks its disk to do with snapshots, and what the disk answers.

Snapshots live in files of their own, so none of this is in the order of `Persist`, and none of it makes a promise wait.
Work is done in the order it was given, beside the log. An answer comes back as an input.

    asks               is answered by
    BeginSnapshot      nothing; a snapshot of our own state begins
    WritePiece         SnapshotWritten, one for each
    EndSnapshot        SnapshotSaved, when its file has its name, durably
    ReadSnapshot       SnapshotRead: some bytes of a file, for a member that is behind
    ReceiveSnapshot    SnapshotReceived: from where on the file is needed, for a part of it may be here
    WriteReceived      SnapshotReceived, one for each
    ReadPieces         PiecesRead: some of the state of a snapshot that has arrived, to be loaded
    CutLog             nothing; what is older than all snapshots goes

A file is named by the place of its snapshot and by `id`, drawn by whoever wrote it: two members' snapshots of one place
hold the same state, but not the same bytes.
"""

import msgspec

from coord.raft.types import Index, Place

PIECE_BYTES = 256 * 1024
"""About the size of a piece of state, and of what is read and sent at a time: about a millisecond of work."""


class BeginSnapshot(msgspec.Struct, frozen=True, gc=False):
    """Every run up to `place` was handed to the disk before. One snapshot is under way at a time."""

    place: Place
    cluster_id: int


class WritePiece(msgspec.Struct, frozen=True, gc=False):
    data: bytes


class EndSnapshot(msgspec.Struct, frozen=True, gc=False):
    place: Place


class ReadSnapshot(msgspec.Struct, frozen=True, gc=False):
    """Up to `length` bytes from `offset`. With another `id` than that of our file: from its beginning."""

    asker: int
    """Whom the answer is for: a member, or below 0 a request of a client. Comes back with it."""
    place: Place
    id: int
    offset: int
    length: int


class ReceiveSnapshot(msgspec.Struct, frozen=True, gc=False):
    """Get ready for the file of another member's snapshot. It takes the place of what was being received."""

    place: Place


class WriteReceived(msgspec.Struct, frozen=True, gc=False):
    """Bytes of the file `id`, of `size` bytes. Of another id than before: it begins anew, at offset 0."""

    place: Place
    id: int
    size: int
    offset: int
    data: bytes


class ReadPieces(msgspec.Struct, frozen=True, gc=False):
    """The pieces of state from `offset` of the received file on: at least one, about PIECE_BYTES; 0: the first."""

    place: Place
    offset: int


class CutLog(msgspec.Struct, frozen=True, gc=False):
    """Segments of the log that end at `before` or earlier are of no use any more."""

    before: Index


SnapshotWork = (
    BeginSnapshot | WritePiece | EndSnapshot | ReadSnapshot | ReceiveSnapshot | WriteReceived | ReadPieces | CutLog
)


class SnapshotWritten(msgspec.Struct, frozen=True, gc=False):
    """One more piece is written, if not yet durable: there is room for another."""

    place: Place


class SnapshotSaved(msgspec.Struct, frozen=True, gc=False):
    """The snapshot is durable, and named."""

    place: Place
    size: int
    keeps_from: Place
    """The place of the older of the two snapshots that are kept: the log before it is of no use to this disk. BEGINNING
    while there is only one."""


class SnapshotRead(msgspec.Struct, frozen=True, gc=False):
    """What a member asked for; `size` is that of the file. No data and size 0: it is not there any more."""

    asker: int
    place: Place
    id: int
    size: int
    offset: int
    data: bytes


class SnapshotReceived(msgspec.Struct, frozen=True, gc=False):
    """What is here of the file: all bytes before `offset`. `is_whole`: all of it, checked, named and durable.

    An id of 0: nothing is here yet. A file that cannot be taken is dropped: the offset is 0 again; `refusal` says why.
    """

    place: Place
    id: int
    offset: int
    is_whole: bool
    refusal: str = ""
    is_start: bool = False
    """It answers `ReceiveSnapshot`. Answers to what was written before that may still come ahead of it."""


class PiecesRead(msgspec.Struct, frozen=True, gc=False):
    """`next_offset` 0: that was all."""

    place: Place
    pieces: list[bytes]
    next_offset: int


SnapshotAnswer = SnapshotWritten | SnapshotSaved | SnapshotRead | SnapshotReceived | PiecesRead
