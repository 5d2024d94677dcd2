"""Snapshots on disk, in a directory of their own. Who decides about them: `coord.replica.snapshots`.

    00000000000000004711.snap   a snapshot, whole: of the state after the entry with that index. Two are kept.
    00000000000000004711.part   another member's on its way here
    draft.tmp                   our own, under way; what a crash leaves of it is removed at the next start

Their bytes: `snapshot_format.py`.

A file gets its name when all of it is durable: data, sync, rename, sync of the directory; then the log may be cut, and
the snapshot before the last is removed. What arrives from another member goes through the same: checked piece by piece,
and END at the end. After a crash the pieces at the front of a `.part` that are sound count, and the rest comes again.
"""

import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from coord.raft.types import BEGINNING, Place
from coord.replica.snapshot_work import (
    PIECE_BYTES,
    EndSnapshot,
    PiecesRead,
    ReadPieces,
    ReadSnapshot,
    ReceiveSnapshot,
    SnapshotAnswer,
    SnapshotRead,
    SnapshotReceived,
    SnapshotSaved,
    SnapshotWork,
    SnapshotWritten,
    WritePiece,
    WriteReceived,
)
from coord.storage.errors import DamagedFile
from coord.storage.files import Files
from coord.storage.records import FORMAT
from coord.storage.snapshot_format import (
    END,
    END_DATA,
    HEAD,
    HEAD_DATA,
    PIECE_HEAD,
    STATE,
    Head,
    SnapshotReader,
    decode_head,
    encode_piece,
    name_of,
    sound_piece,
)

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

SNAPSHOTS_NAME = "snapshots"
"""Of their directory, within the member's."""

KEPT = 2
SNAPSHOT_NAME = re.compile(r"\d{20}\.snap")
PART_NAME = re.compile(r"\d{20}\.part")
DRAFT_NAME = "draft.tmp"

SYNC_BYTES = 4 * 1024 * 1024
"""Written between two syncs: so that the last one, and the log's own meanwhile, have little to wait for."""


@dataclass(slots=True)
class _Unfinished:
    """A file that is being written."""

    name: str
    head: Head | None = None
    offset: int = 0
    """So much of it is written."""
    synced: int = 0
    sound: int = 0
    """So much of it is whole pieces that were checked."""
    pieces: int = 0
    is_ended: bool = False
    hash: "Hash" = field(default_factory=sha256)


class SnapshotFiles:
    """Of one member. Blocking, for one thread at a time; an OSError leaves it unusable."""

    def __init__(self, files: Files, cluster: int, draw_id: Callable[[], int] = lambda: secrets.randbits(63)) -> None:
        """`cluster`: 0 if it is not known; snapshots of others are not taken."""
        self._files = files
        self.cluster = cluster
        self._draw_id = draw_id
        self.damaged: list[str] = []
        """Names of snapshots that are not what was written: worth a line in the server's log."""
        self.kept: list[Head] = []
        """The sound ones, the newest first. Of the older one only its head is looked at while the newest is sound."""
        self._draft: _Unfinished | None = None
        self._part: _Unfinished | None = None
        self._look()

    # -- when the server starts

    def _look(self) -> None:
        names = self._files.names()
        if DRAFT_NAME in names:
            self._files.remove(DRAFT_NAME)
        for name in sorted((name for name in names if SNAPSHOT_NAME.fullmatch(name)), reverse=True):
            head = self._check_head(name) if self.kept else self._check(name)
            if head is None:
                self.damaged.append(name)
            else:
                self.kept.append(head)
        # A process that was killed may have named a file, and no disk knows of it yet.
        self._files.sync_directory()

    @property
    def newest(self) -> Head | None:
        return self.kept[0] if self.kept else None

    def chain_at(self, place: Place) -> bytes:
        """Of the log, at the place of a snapshot that is kept."""
        return next(head.chain for head in self.kept if head.place == place)

    def read_state(self) -> Iterator[bytes]:
        """The pieces of the newest one's state, which were checked when it was opened."""
        if self.kept:
            head = self.kept[0]
            name, offset = name_of(head.place), 0
            while offset < head.size:
                _, kind, data, offset = self._piece(name, offset)
                if kind == STATE:
                    yield data

    # -- the disk's work

    def begin(self, place: Place, cluster: int, chain: bytes) -> None:
        """Our own snapshot at `place` is coming."""
        head = Head(place, cluster, self._draw_id(), chain)
        self._draft = _Unfinished(DRAFT_NAME, head)
        self._files.create(DRAFT_NAME, 0)
        self._append(self._draft, HEAD, HEAD_DATA.pack(FORMAT, cluster, place.index, place.term, head.id, chain))

    def carry_out(self, item: SnapshotWork) -> SnapshotAnswer:
        """All other work but that on the log."""
        match item:
            case WritePiece(data):
                assert self._draft is not None, "BeginSnapshot comes first"
                assert self._draft.head is not None
                self._append(self._draft, STATE, data)
                return SnapshotWritten(self._draft.head.place)
            case EndSnapshot(place):
                return self._end(place)
            case ReadSnapshot():
                return self._read(item)
            case ReceiveSnapshot(place):
                return msgspec.structs.replace(self._receive(place), is_start=True)
            case WriteReceived():
                return self._write_received(item)
            case ReadPieces(place, offset):
                return self._read_pieces(place, offset)
            case _:
                raise AssertionError(item)

    def close(self) -> None:
        """What is under way is given up: the next start removes our own, and goes on with another member's."""
        self._files.close()

    # -- our own

    def _append(self, file: _Unfinished, kind: int, data: bytes) -> None:
        assert file.head is not None
        piece = encode_piece(file.head.id, file.pieces, kind, data)
        self._write(file, piece)
        file.hash.update(piece)
        file.pieces += 1

    def _write(self, file: _Unfinished, data: bytes) -> None:
        end = file.offset + len(data)
        self._files.grow(file.name, end)
        self._files.write(file.name, file.offset, data)
        file.offset = end
        if end - file.synced >= SYNC_BYTES:
            self._files.sync(file.name)
            file.synced = end

    def _end(self, place: Place) -> SnapshotSaved:
        draft = self._draft
        assert draft is not None
        assert draft.head is not None
        assert draft.head.place == place
        self._append(draft, END, END_DATA.pack(draft.pieces, draft.hash.digest()))
        self._name(draft, draft.head)
        self._draft = None
        # As long as there is only one, the whole log stands in for it.
        return SnapshotSaved(place, draft.offset, self.kept[-1].place if len(self.kept) == KEPT else BEGINNING)

    def _name(self, file: _Unfinished, head: Head) -> None:
        """It is whole: make it durable, give it its name, and let go of what it replaces."""
        self._files.sync(file.name)
        self._files.rename(file.name, name_of(head.place))
        self._files.sync_directory()
        head = Head(head.place, head.cluster, head.id, head.chain, file.offset)
        others = [other for other in self.kept if other.place != head.place]
        kept = sorted([head, *others], key=lambda one: one.place.index, reverse=True)
        for old in kept[KEPT:]:
            self._files.remove(name_of(old.place))
        self.kept = kept[:KEPT]
        for name in self.damaged:
            if name in self._files.names() and name != name_of(head.place):
                self._files.remove(name)
        self.damaged = []

    # -- for others

    def _read(self, item: ReadSnapshot) -> SnapshotRead:
        head = next((head for head in self.kept if head.place == item.place), None)
        if head is None or not head.size:
            return SnapshotRead(item.asker, item.place, 0, 0, 0, b"")
        offset = item.offset if item.id == head.id else 0
        data = self._files.read(name_of(head.place), offset, item.length)
        return SnapshotRead(item.asker, item.place, head.id, head.size, offset, data)

    # -- from others

    def _receive(self, place: Place) -> SnapshotReceived:
        """What is here of the file of that snapshot."""
        name = name_of(place, "part")
        for other in self._files.names():
            if PART_NAME.fullmatch(other) and other != name:
                self._files.remove(other)
        part = self._part = _Unfinished(name)
        whole = next((head for head in self.kept if head.place == place and head.size), None)
        if whole is not None:
            return SnapshotReceived(place, whole.id, whole.size, True)
        if name in self._files.names():
            part.offset = self._files.size(name)
            self._take_sound(part)
            part.offset = part.sound
            self._write_again(part)
        if part.is_ended:  # a crash came just before it got its name
            return self._finish(part, place)
        if part.head is None:
            self._begin_part(part)
        return self._received(place)

    def _write_again(self, part: _Unfinished) -> None:
        """What is left from another life: after a sync that failed the kernel takes its pages for clean, and a later
        one would vouch for what no disk holds (fsyncgate)."""
        for offset in range(0, part.offset, PIECE_BYTES):
            length = min(PIECE_BYTES, part.offset - offset)
            self._files.write(part.name, offset, self._files.read(part.name, offset, length))

    def _begin_part(self, part: _Unfinished) -> _Unfinished:
        self._files.create(part.name, 0)
        self._part = anew = _Unfinished(part.name)
        return anew

    def _received(self, place: Place, *, is_whole: bool = False, refusal: str = "") -> SnapshotReceived:
        part = self._part
        assert part is not None
        return SnapshotReceived(place, 0 if part.head is None else part.head.id, part.offset, is_whole, refusal)

    def _write_received(self, item: WriteReceived) -> SnapshotReceived:
        part = self._part
        assert part is not None
        if item.offset == 0 and part.offset:
            part = self._begin_part(part)
        assert item.offset == part.offset, "what was received comes in order"
        end = part.offset + len(item.data)
        # A file that is left from before may be longer than what is sound of it.
        if end > self._files.size(part.name):
            self._files.grow(part.name, end)
        self._files.write(part.name, part.offset, item.data)
        part.offset = end
        self._take_sound(part)
        if end < item.size:
            if end - part.synced >= SYNC_BYTES:
                self._files.sync(part.name)
                part.synced = end
            head = part.head
            return SnapshotReceived(item.place, item.id if head is None else head.id, end, False)
        return self._finish(part, item.place)

    def _finish(self, part: _Unfinished, place: Place) -> SnapshotReceived:
        """All of it is here, or should be."""
        head = part.head
        flaw = self._flaw(part, place)
        if flaw or head is None:
            self._begin_part(part)
            return self._received(place, refusal=flaw)
        answer = self._received(place, is_whole=True)
        self._name(part, head)
        self._part = None
        return answer

    def _flaw(self, part: _Unfinished, place: Place) -> str:
        """Why we cannot take it; empty if we can."""
        head = part.head
        what = f"the snapshot of index {place.index} that another member sent"
        is_all = part.is_ended and part.sound == part.offset == self._files.size(part.name)
        if head is None or head.place != place or not is_all:
            return f"{what} is damaged"
        if head.format > FORMAT:
            return f"{what} has format {head.format}, this release knows up to {FORMAT}: use the newer release"
        if self.cluster and head.cluster not in (0, self.cluster):
            return f"{what} belongs to cluster {head.cluster:x}, and this is cluster {self.cluster:x}"
        return ""

    def _take_sound(self, part: _Unfinished) -> None:
        """Look at the pieces that are whole by now."""
        while not part.is_ended and part.sound + PIECE_HEAD.size <= part.offset:
            found = sound_piece(self._files, part.name, part.sound, part.offset, part.pieces, part.head)
            if found is None:
                return
            kind, data, end = found
            if kind == HEAD:
                part.head = decode_head(data)
            elif kind == END:
                part.is_ended = data == END_DATA.pack(part.pieces, part.hash.digest())
                if not part.is_ended:
                    return
            part.hash.update(self._files.read(part.name, part.sound, end - part.sound))
            part.pieces += 1
            part.sound = end

    def _read_pieces(self, place: Place, offset: int) -> PiecesRead:
        head = next(head for head in self.kept if head.place == place)
        pieces: list[bytes] = []
        size = 0
        while offset < head.size and size < PIECE_BYTES:
            _, kind, data, offset = self._piece(name_of(place), offset)
            if kind == STATE:
                pieces.append(data)
                size += len(data)
        return PiecesRead(place, pieces, offset if offset < head.size else 0)

    # -- reading

    def _piece(self, name: str, offset: int) -> tuple[int, int, bytes, int]:
        """Number, kind and data of a piece that was checked before, and where the next one is."""
        _, _, number, kind, length = PIECE_HEAD.unpack(self._files.read(name, offset, PIECE_HEAD.size))
        start = offset + PIECE_HEAD.size
        return number, kind, self._files.read(name, start, length), start + length

    def _check_head(self, name: str) -> Head | None:
        """None if it is damaged. Raises `NewerFormat`."""
        try:
            head = SnapshotReader(self._files, name).head
        except DamagedFile:
            return None
        return head if name == name_of(head.place) else None

    def _check(self, name: str) -> Head | None:
        """The head of a file all of whose pieces are sound. Raises `NewerFormat`, as `_check_head`."""
        try:
            reader = SnapshotReader(self._files, name)
            for _ in reader.pieces():
                pass
        except DamagedFile:
            return None
        return self._check_head(name)
