"""A member with snapshots, in short words: each entry is one run, and the state is the list of all entries' bytes."""

from collections.abc import Sequence

from coord.raft.ready import Persist
from coord.raft.stored import Stored
from coord.raft.types import Index, Place, Run, Term
from coord.replica.snapshot_work import (
    BeginSnapshot,
    EndSnapshot,
    ReadSnapshot,
    ReceiveSnapshot,
    SnapshotRead,
    SnapshotReceived,
    SnapshotSaved,
    WritePiece,
    WriteReceived,
)
from coord.storage import Store
from coord.storage.snapshot_files import SNAPSHOTS_NAME
from tests.storage.building import append, open_store, run
from tests.storage.simulated import SimulatedFiles

CLUSTER = 0xC0FFEE
SEGMENT_BYTES = 2048
CHUNK_BYTES = 150


def place(index: int, term: int = 1) -> Place:
    return Place(Index(index), Term(term))


def entry(index: int, term: int = 1) -> Run:
    return run(index, b"entry %d of term %d;" % (index, term) * 20, term=term)


def entries(first: int, last: int, term: int = 1) -> list[Run]:
    return [entry(index, term) for index in range(first, last + 1)]


def state(runs: Sequence[Run]) -> list[bytes]:
    return [each.data for each in runs]


def restart(at: Place, *appended: Run) -> Persist:
    return Persist(token=1, hard_state=None, truncate_from=None, runs=list(appended), restart_at=at)


def live_store(files: SimulatedFiles) -> Store:
    return open_store(files, SEGMENT_BYTES)


def save(store: Store, at: Place, pieces: Sequence[bytes]) -> SnapshotSaved:
    """A snapshot of our own, from begin to end."""
    store.carry_out(BeginSnapshot(at, CLUSTER), store.chain_at(at))
    for piece in pieces:
        store.carry_out(WritePiece(piece))
    saved = store.carry_out(EndSnapshot(at))
    assert isinstance(saved, SnapshotSaved)
    return saved


def file_of(store: Store, at: Place) -> SnapshotRead:
    """What another member is sent: all of the file at once."""
    read = store.carry_out(ReadSnapshot(0, at, 0, 0, 1 << 20))
    assert isinstance(read, SnapshotRead)
    assert len(read.data) == read.size
    return read


def ask(store: Store, at: Place) -> SnapshotReceived:
    received = store.carry_out(ReceiveSnapshot(at))
    assert isinstance(received, SnapshotReceived)
    return received


def receive(store: Store, file: SnapshotRead, offset: int = 0, until: int | None = None) -> SnapshotReceived:
    """The file from `offset` on, in chunks; to its end, or as far as `until`. Returns the last answer."""
    end = file.size if until is None else until
    received = None
    while offset < end:
        data = file.data[offset : min(offset + CHUNK_BYTES, end)]
        received = store.carry_out(WriteReceived(file.place, file.id, file.size, offset, data))
        offset += len(data)
    assert isinstance(received, SnapshotReceived)
    return received


def fetch(store: Store, file: SnapshotRead) -> SnapshotReceived:
    """As a member does that is offered the file: what is here of it already is not sent again."""
    received = ask(store, file.place)
    if received.is_whole:
        return received
    return receive(store, file, received.offset if received.id == file.id else 0)


def leaders_file(last: int = 20, term: int = 2) -> SnapshotRead:
    """Of a member whose log has the entries 1 to 11 of term 1, and the rest of `term`."""
    store = live_store(SimulatedFiles())
    runs = [*entries(1, 11), *entries(12, last, term)]
    store.write([append(*runs)])
    save(store, place(last, term), state(runs))
    return file_of(store, place(last, term))


def held(store: Store) -> list[bytes]:
    """Everything that a store which was just opened knows, by its snapshot and by its log."""
    stored: Stored = store.stored
    assert stored.start.index <= stored.snapshot.index
    follow = [each for each in stored.runs if each.first > stored.snapshot.index]
    assert not stored.runs or stored.runs[0].first == stored.start.index + 1
    assert not follow or follow[0].first == stored.snapshot.index + 1, "no gap between the two"
    return [*store.read_state(), *state(follow)]


def snapshot_path(index: int, ending: str = "snap") -> str:
    """Its name, as simulated files call it from above."""
    return f"{SNAPSHOTS_NAME}/{index:020d}.{ending}"
