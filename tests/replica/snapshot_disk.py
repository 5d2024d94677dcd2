"""What `coord.replica.snapshot_work` says of a disk, as short as it can be said: files in a dict, answers at once."""

from itertools import count

import msgspec

from coord.raft.types import BEGINNING, Place
from coord.replica.snapshot_work import (
    BeginSnapshot,
    CutLog,
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

KEPT = 2


class SnapshotDisk:
    """A file is its pieces in msgpack. It keeps two of them."""

    def __init__(self, member: int) -> None:
        self.files: dict[Place, tuple[int, bytes]] = {}
        """id and bytes, the oldest first."""
        self.cut: list[int] = []
        """Where the log was cut, each time."""
        self.reads: list[ReadSnapshot] = []
        self._ids = count(member * 1000 + 1)
        self._pieces: list[bytes] = []
        self._place: Place | None = None
        self._received: tuple[int, bytes] = (0, b"")

    def work(self, item: SnapshotWork) -> list[SnapshotAnswer]:
        match item:
            case BeginSnapshot(place):
                self._place, self._pieces = place, []
                return []
            case WritePiece(data):
                assert self._place is not None
                self._pieces.append(data)
                return [SnapshotWritten(self._place)]
            case EndSnapshot(place):
                assert place == self._place
                data = msgspec.msgpack.encode(self._pieces)
                self._keep(place, next(self._ids), data)
                return [
                    SnapshotSaved(place, len(data), next(iter(self.files)) if len(self.files) == KEPT else BEGINNING)
                ]
            case ReadSnapshot(asker, place, id_, offset, length):
                self.reads.append(item)
                if place not in self.files:
                    return [SnapshotRead(asker, place, 0, 0, 0, b"")]
                found, data = self.files[place]
                if id_ != found:
                    offset = 0
                return [SnapshotRead(asker, place, found, len(data), offset, data[offset : offset + length])]
            case ReceiveSnapshot(place):
                return [SnapshotReceived(place, *self._so_far(), False, is_start=True)]
            case WriteReceived(place, id_, size, offset, data):
                if id_ != self._received[0]:
                    self._received = (id_, b"")
                assert offset == len(self._received[1])
                self._received = (id_, self._received[1] + data)
                is_whole = len(self._received[1]) == size
                if is_whole:
                    self._keep(place, *self._received)
                return [SnapshotReceived(place, *self._so_far(), is_whole)]
            case ReadPieces(place, offset):
                pieces = msgspec.msgpack.decode(self.files[place][1], type=list[bytes])
                return [PiecesRead(place, [pieces[offset]], offset + 1 if offset + 1 < len(pieces) else 0)]
            case CutLog(before):
                self.cut.append(before)
                return []

    def _so_far(self) -> tuple[int, int]:
        return self._received[0], len(self._received[1])

    def _keep(self, place: Place, id_: int, data: bytes) -> None:
        self.files[place] = (id_, data)
        while len(self.files) > KEPT:
            del self.files[next(iter(self.files))]
