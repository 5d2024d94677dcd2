"""Snapshot files, and the log that begins where they end: whatever is damaged or cut, nothing acknowledged is lost."""

from collections.abc import Callable

import pytest

from coord.raft.ready import Persist
from coord.raft.types import BEGINNING, HardState, Index, MemberId, Place, Run, Term
from coord.replica.snapshot_work import (
    BeginSnapshot,
    EndSnapshot,
    PiecesRead,
    ReadPieces,
    ReadSnapshot,
    ReceiveSnapshot,
    SnapshotRead,
    SnapshotReceived,
    SnapshotSaved,
    WritePiece,
    WriteReceived,
)
from coord.storage import CorruptLog, CorruptSnapshot, Store
from coord.storage.files import Files
from coord.storage.snapshot_format import END, END_DATA, encode_piece
from tests.storage.building import append, open_store, run, truncate, vote
from tests.storage.simulated import Crashed, SimulatedFiles, everything, nothing, some

CLUSTER = 0xC0FFEE
SEGMENT_BYTES = 1024


def place(index: int, term: int = 1) -> Place:
    return Place(Index(index), Term(term))


def pieces_of(index: int) -> list[bytes]:
    return [f"state at {index}, piece {number}".encode() for number in range(3)]


def snapshot(store: Store, at: Place) -> SnapshotSaved:
    store.carry_out(BeginSnapshot(at, CLUSTER), store.chain_at(at))
    for piece in pieces_of(at.index):
        store.carry_out(WritePiece(piece))
    saved = store.carry_out(EndSnapshot(at))
    assert isinstance(saved, SnapshotSaved)
    return saved


def written(count: int = 20, snapshots: tuple[int, ...] = (5, 10), *, cuts: bool = True) -> SimulatedFiles:
    """A directory with so many runs of 300 bytes, and snapshots at some of them."""
    files = SimulatedFiles()
    store = open_store(files, SEGMENT_BYTES)
    store.write([vote(1, 1)])
    for index in range(1, count + 1):
        store.write([append(run(index, bytes([index]) * 300))])
        if index in snapshots:
            saved = snapshot(store, place(index))
            if cuts:
                store.cut_log(saved.keeps_from.index)
    store.close()
    return files


def state_of(store: Store) -> list[bytes]:
    return list(store.read_state())


def snapshot_names(files: Files) -> list[str]:
    return [name for name in files.subdirectory("snapshots").names() if name.endswith(".snap")]


def test_a_snapshot_is_found_again_with_the_log_that_follows() -> None:
    store = open_store(written(), SEGMENT_BYTES)
    assert store.stored.snapshot == place(10)
    assert state_of(store) == pieces_of(10)
    assert 0 < store.stored.start.index <= 5, "the log reaches back to the older of the two"
    assert store.stored.start.term == 1
    assert [one.first for one in store.stored.runs] == list(range(store.stored.start.index + 1, 21))
    assert store.stored.hard_state == HardState(Term(1), MemberId(1)), "its record is in a segment that is gone"


def test_two_are_kept_and_what_is_cut_is_never_needed_by_the_older() -> None:
    files = written(40, (5, 10, 20, 30))
    assert snapshot_names(files) == [f"{index:020d}.snap" for index in (20, 30)]
    assert "0000000001.wal" not in files.names()
    store = open_store(files, SEGMENT_BYTES)
    assert 10 < store.stored.start.index <= 20


def test_with_one_snapshot_only_the_whole_log_is_kept() -> None:
    files = written(40, (30,))
    files.content("snapshots/" + snapshot_names(files)[0])[50] ^= 1
    store = open_store(files, SEGMENT_BYTES)
    assert (store.stored.snapshot, store.stored.start, len(store.stored.runs)) == (BEGINNING, BEGINNING, 40)
    assert state_of(store) == []


def _size_of_newest() -> int:
    files = written()
    return files.size("snapshots/" + snapshot_names(files)[-1])


@pytest.mark.parametrize("what", ["flip", "cut"])
def test_whatever_is_damaged_in_the_newest_the_older_serves(what: str) -> None:
    files = written()
    newest = "snapshots/" + snapshot_names(files)[-1]
    for at in range(_size_of_newest()):
        damaged = files.copy()
        if what == "flip":
            damaged.content(newest)[at] ^= 1
        else:
            del damaged.content(newest)[at:]
        store = open_store(damaged, SEGMENT_BYTES)
        assert store.stored.snapshot == place(5), at
        assert state_of(store) == pieces_of(5)
        assert store.snapshots.damaged == [newest.partition("/")[2]]
        assert store.stored.runs[-1].last == 20
        store.close()


def test_both_damaged_are_named() -> None:
    files = written()
    for name in snapshot_names(files):
        files.content("snapshots/" + name)[60] ^= 1
    with pytest.raises(CorruptSnapshot, match=r"0+10\.snap, 0+5\.snap"):
        open_store(files, SEGMENT_BYTES)


def test_a_damaged_one_is_none_of_the_two_that_are_kept() -> None:
    files = written()
    files.content("snapshots/" + snapshot_names(files)[-1])[60] ^= 1
    store = open_store(files, SEGMENT_BYTES)
    assert snapshot(store, place(20)).keeps_from == place(5)
    assert snapshot_names(files) == [f"{index:020d}.snap" for index in (5, 20)]


def test_a_snapshot_of_another_history_is_refused() -> None:
    files, other = written(), SimulatedFiles()
    store = open_store(other, SEGMENT_BYTES)
    store.write([*(append(run(index, b"other")) for index in range(1, 16))])
    snapshot(store, place(15))
    store.close()
    name = snapshot_names(other)[0]
    files.subdirectory("snapshots").create(name, other.size("snapshots/" + name))
    files.content("snapshots/" + name)[:] = other.content("snapshots/" + name)
    with pytest.raises(CorruptLog, match="hash chain"):
        open_store(files, SEGMENT_BYTES)


@pytest.mark.parametrize("after", [everything, nothing, some(1), some(2), some(3)])
def test_power_fails_at_any_moment_of_a_snapshot_and_its_cut(after: Callable[[], bool]) -> None:
    for at in range(10_000):
        files = written(20, (5, 10)).after_kill()
        saved = place(10)
        store = open_store(files, SEGMENT_BYTES)
        files.crash_at = files.operations + at
        try:
            for index in (15, 20):
                keeps_from = snapshot(store, place(index)).keeps_from
                saved = place(index)
                store.cut_log(keeps_from.index)
        except Crashed:
            pass
        else:
            assert at > 30, "there was something to crash in"
            return
        again = open_store(files.after_crash(after), SEGMENT_BYTES)
        assert again.stored.snapshot.index >= saved.index
        assert state_of(again) == pieces_of(again.stored.snapshot.index)
        assert again.stored.runs[-1].last == 20
        # And the one before would do as well.
        assert again.stored.start.index <= again.snapshots.kept[1].place.index


# From another member.


def sent() -> tuple[int, bytes]:
    """The file of a snapshot at 30, of term 2, and its id."""
    files = SimulatedFiles()
    store = open_store(files)
    store.write([vote(2, 2), *(append(Run(Index(index), 1, Term(2), b"theirs")) for index in range(1, 31))])
    snapshot(store, place(30, 2))
    read = store.carry_out(ReadSnapshot(3, place(30, 2), 0, 0, 1 << 20))
    assert isinstance(read, SnapshotRead)
    assert (read.asker, read.size) == (3, len(read.data))
    return read.id, read.data


def receive(store: Store, id_: int, data: bytes, *, begin: int = 0, step: int = 40) -> SnapshotReceived | None:
    answer: object = None
    for at in range(begin, len(data), step):
        answer = store.carry_out(WriteReceived(place(30, 2), id_, len(data), at, data[at : at + step]))
    assert answer is None or isinstance(answer, SnapshotReceived)
    return answer


def refused(reason: str) -> SnapshotReceived:
    what = f"the snapshot of index 30 that another member sent {reason}"
    return SnapshotReceived(place(30, 2), 0, 0, False, what)


def begun(files: Files) -> tuple[Store, SnapshotReceived]:
    store = open_store(files, SEGMENT_BYTES)
    answer = store.carry_out(ReceiveSnapshot(place(30, 2)))
    assert isinstance(answer, SnapshotReceived)
    return store, answer


def test_a_snapshot_from_elsewhere_is_checked_named_and_the_log_goes_on_after_it() -> None:
    id_, data = sent()
    files = written()
    store, answer = begun(files)
    assert (answer.id, answer.offset, answer.is_whole) == (0, 0, False)
    assert receive(store, id_, data) == SnapshotReceived(place(30, 2), id_, len(data), True)
    read = store.carry_out(ReadPieces(place(30, 2), 0))
    assert read == PiecesRead(place(30, 2), pieces_of(30), 0)
    store.write([Persist(9, HardState(Term(2), None), None, [Run(Index(31), 1, Term(2), b"on")], place(30, 2))])
    store.close()
    again = open_store(files, SEGMENT_BYTES)
    assert (again.stored.snapshot, again.stored.start) == (place(30, 2), place(30, 2))
    assert [one.first for one in again.stored.runs] == [31]
    assert state_of(again) == pieces_of(30)


def test_a_crash_before_the_log_begins_anew_is_made_good_at_the_next_start() -> None:
    id_, data = sent()
    files = written()
    store, _ = begun(files)
    receive(store, id_, data)
    again = open_store(files.after_crash(nothing), SEGMENT_BYTES)
    assert (again.stored.snapshot, again.stored.start, again.stored.runs) == (place(30, 2), place(30, 2), [])
    again.write([append(Run(Index(31), 1, Term(2), b"on"))])
    again.close()


def test_a_transfer_goes_on_after_a_crash_at_every_byte() -> None:
    id_, data = sent()
    for cut in range(1, len(data)):
        files = written()
        store, _ = begun(files)
        store.carry_out(WriteReceived(place(30, 2), id_, len(data), 0, data[:cut]))
        store, answer = begun(files.after_kill())
        assert answer.offset <= cut
        assert (answer.id == id_) == (answer.offset > 0)
        finished = receive(store, id_, data, begin=answer.offset)
        assert finished is not None
        assert finished.is_whole, cut


def test_bytes_of_another_file_begin_anew() -> None:
    (id_, data), (other_id, other) = sent(), sent()
    store, _ = begun(written())
    store.carry_out(WriteReceived(place(30, 2), id_, len(data), 0, data[:100]))
    answer = receive(store, other_id, other)
    assert answer == SnapshotReceived(place(30, 2), other_id, len(other), True)


@pytest.mark.parametrize("at", range(0, 240, 7))
def test_a_file_that_arrives_damaged_is_dropped(at: int) -> None:
    id_, data = sent()
    wrong = bytearray(data)
    wrong[at] ^= 1
    files = written()
    store, _ = begun(files)
    assert receive(store, id_, bytes(wrong)) == refused("is damaged")
    assert snapshot_names(files)[-1] == f"{10:020d}.snap"
    answer = receive(store, id_, data)
    assert answer is not None
    assert answer.is_whole, "it may come again"


def test_the_snapshot_of_another_cluster_is_not_taken() -> None:
    id_, data = sent()
    files = written()
    store = open_store(files, SEGMENT_BYTES)
    store.adopt_cluster(CLUSTER + 1)
    store.carry_out(ReceiveSnapshot(place(30, 2)))
    assert receive(store, id_, data) == refused(f"belongs to cluster {CLUSTER:x}, and this is cluster {CLUSTER + 1:x}")


def test_what_is_gone_cannot_be_lent() -> None:
    store = open_store(written(), SEGMENT_BYTES)
    assert store.carry_out(ReadSnapshot(2, place(7), 0, 0, 100)) == SnapshotRead(2, place(7), 0, 0, 0, b"")
    right = store.carry_out(ReadSnapshot(2, place(10), 0, 50, 100))
    assert isinstance(right, SnapshotRead)
    assert right.offset == 0, "whoever has another file, or none, gets it from its beginning"
    more = store.carry_out(ReadSnapshot(2, place(10), right.id, 50, 100))
    assert isinstance(more, SnapshotRead)
    assert (more.offset, len(more.data)) == (50, 100)


def test_a_log_that_begins_later_can_be_truncated_to_before_its_first_segment() -> None:
    """Segments are cut by where they begin, and one may begin with what was never committed."""
    files = SimulatedFiles()
    store = open_store(files, SEGMENT_BYTES)
    for index in range(1, 13):
        store.write([append(run(index, bytes(300)))])
    store.write([truncate(6, run(6, bytes(300), term=2))])
    for index in range(7, 30):
        store.write([append(run(index, bytes(300), term=2))])
        if index in (14, 16):
            snapshot(store, place(index, 2))
    store.cut_log(Index(14))
    store.close()
    again = open_store(files, SEGMENT_BYTES)
    assert again.stored.start.index <= 14
    assert [one.last for one in again.stored.runs][-1] == 29
    assert all(one.term == 2 for one in again.stored.runs if one.first > 5)


def test_an_end_that_does_not_fit_the_rest_is_none() -> None:
    """Each piece may be right by itself, and one of them of another writing of the same file."""
    id_, data = sent()
    forged_end = encode_piece(id_, 4, END, END_DATA.pack(4, bytes(32)))
    store, _ = begun(written())
    forged = data[: -len(forged_end)] + forged_end
    assert receive(store, id_, forged) == refused("is damaged")
