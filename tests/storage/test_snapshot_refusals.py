"""What must not be taken for a snapshot of ours: other files, other pieces, other releases, other clusters."""

import pytest

from coord.replica.snapshot_work import SnapshotRead, SnapshotReceived
from coord.storage import CorruptIdentity, CorruptSnapshot, NewerFormat, Store
from coord.storage.snapshot_format import PIECE_HEAD
from tests.storage.building import append
from tests.storage.lives import (
    CLUSTER,
    ask,
    entries,
    fetch,
    held,
    leaders_file,
    live_store,
    place,
    receive,
    restart,
    save,
    snapshot_path,
    state,
)
from tests.storage.simulated import SimulatedFiles

OLD, NEW = snapshot_path(3), snapshot_path(5)


def two_snapshots() -> SimulatedFiles:
    """At 3 and 5, of a log that begins before the older one and ends with 7."""
    files = SimulatedFiles()
    store = live_store(files)
    store.write([append(*entries(1, 7))])
    for index in (3, 5):
        store.cut_log(save(store, place(index), state(entries(1, index))).keeps_from.index)
    store.close()
    return files


def log_begins_at_the_newest() -> SimulatedFiles:
    """Two snapshots, of which the older one leads nowhere: the log was restarted at the newer one, 20."""
    files = SimulatedFiles()
    store = live_store(files)
    store.write([append(*entries(1, 7))])
    save(store, place(5), state(entries(1, 5)))
    fetch(store, leaders_file())
    store.write([restart(place(20, 2))])
    store.close()
    return files


def extents(data: bytes | bytearray) -> list[tuple[int, int]]:
    """Where each piece begins and ends."""
    found, offset = [], 0
    while offset < len(data):
        end = offset + PIECE_HEAD.size + PIECE_HEAD.unpack_from(data, offset)[-1]
        found.append((offset, end))
        offset = end
    return found


# What was damaged since it was written


def test_bytes_behind_the_end_are_found() -> None:
    files = two_snapshots()
    files.content(NEW).extend(bytes(1))

    assert live_store(files).stored.snapshot == place(3)


def test_two_damaged_snapshots_do_no_harm_while_the_log_has_everything() -> None:
    files = two_snapshots()
    for name in (OLD, NEW):
        files.content(name)[100] ^= 1
    store = live_store(files)

    assert held(store) == state(entries(1, 7))


def test_log_that_does_not_reach_back_to_the_older_snapshot_is_refused() -> None:
    files = log_begins_at_the_newest()
    files.content(snapshot_path(20))[100] ^= 1

    with pytest.raises(CorruptSnapshot, match=r"after index 20.*newest sound one is of index 5; damaged: 0*20.snap"):
        live_store(files)


def test_snapshots_that_vanished_are_missed() -> None:
    files = log_begins_at_the_newest()
    for index in (5, 20):
        files.remove(snapshot_path(index))

    with pytest.raises(CorruptSnapshot, match="there is none"):
        live_store(files)


def test_snapshots_without_identity_are_refused() -> None:
    """The vote that went with them is forgotten."""
    files = two_snapshots()
    for name in files.names():
        files.remove(name)

    with pytest.raises(CorruptIdentity, match="is missing, though there are snapshots"):
        live_store(files)


def test_snapshot_of_a_newer_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        newer.setattr("coord.storage.snapshot_files.FORMAT", 2)
        files = two_snapshots()

    with pytest.raises(NewerFormat, match="format 2"):
        live_store(files)


def test_what_was_begun_is_gone_after_a_start() -> None:
    files = two_snapshots()
    store = live_store(files)
    store.snapshots.begin(place(7), CLUSTER, bytes(16))

    live_store(files)

    assert [name for name in files._names if name.endswith("tmp")] == []


# What comes from another member


LEADERS = leaders_file()


def receiver() -> tuple[SimulatedFiles, Store]:
    files = SimulatedFiles()
    store = live_store(files)
    store.write([append(*entries(1, 13))])
    return files, store


def test_part_that_is_longer_than_the_file_is_refused() -> None:
    """Named, it would pass for damaged at the next start, when the log may not lead anywhere else any more."""
    files, store = receiver()
    ask(store, LEADERS.place)
    receive(store, LEADERS, until=LEADERS.size // 2)
    files.content(snapshot_path(20, "part")).extend(bytes(LEADERS.size))
    store = live_store(files)

    received = receive(store, LEADERS, ask(store, LEADERS.place).offset)

    assert not received.is_whole
    assert fetch(store, LEADERS).is_whole
    assert live_store(files).stored.snapshot == LEADERS.place


def test_file_that_was_whole_but_for_its_name_is_not_sent_again() -> None:
    files, store = receiver()
    ask(store, LEADERS.place)
    receive(store, LEADERS, until=LEADERS.size - 1)
    files.content(snapshot_path(20, "part"))[:] = LEADERS.data

    received = ask(live_store(files), LEADERS.place)

    assert received.is_whole
    assert live_store(files).stored.snapshot == LEADERS.place


def test_snapshot_that_is_here_is_not_sent_again() -> None:
    files, store = receiver()
    fetch(store, LEADERS)

    assert ask(store, LEADERS.place).is_whole
    assert ask(live_store(files), LEADERS.place).is_whole


def refused(store: Store, data: bytes) -> SnapshotReceived:
    ask(store, LEADERS.place)
    return receive(store, SnapshotRead(0, LEADERS.place, LEADERS.id, len(data), 0, data))


def test_pieces_do_not_change_places() -> None:
    parts = extents(LEADERS.data)
    one, other = next((a, b) for a in parts[1:-1] for b in parts[2:-1] if a < b and a[1] - a[0] == b[1] - b[0])
    data = bytearray(LEADERS.data)
    data[slice(*one)], data[slice(*other)] = data[slice(*other)], data[slice(*one)]
    _, store = receiver()

    assert not refused(store, bytes(data)).is_whole


def test_piece_of_another_file_of_the_same_place_is_none_of_ours() -> None:
    other = leaders_file()
    start, end = extents(LEADERS.data)[3]
    assert other.id != LEADERS.id
    _, store = receiver()

    assert not refused(store, LEADERS.data[:start] + other.data[start:end] + LEADERS.data[end:]).is_whole


def test_piece_that_is_left_out_is_missed() -> None:
    start, end = extents(LEADERS.data)[-2]
    _, store = receiver()

    assert not refused(store, LEADERS.data[:start] + LEADERS.data[end:]).is_whole


def test_snapshot_of_another_cluster_is_refused() -> None:
    _, store = receiver()
    store.adopt_cluster(0xBEEF)

    answer = fetch(store, LEADERS)
    assert not answer.is_whole
    assert "belongs to cluster c0ffee, and this is cluster beef" in answer.refusal


def test_snapshot_that_a_newer_release_sends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken, it would keep this release from ever starting again."""
    with monkeypatch.context() as newer:
        newer.setattr("coord.storage.snapshot_files.FORMAT", 2)
        file = leaders_file()
    _, store = receiver()

    answer = fetch(store, file)
    assert not answer.is_whole
    assert "format 2, this release knows up to 1" in answer.refusal


# What the log does for it


def test_log_that_leads_to_another_members_snapshot_is_kept() -> None:
    files = SimulatedFiles()
    store = live_store(files)
    runs = [*entries(1, 11), *entries(12, 22, 2)]
    store.write([append(*runs)])
    fetch(store, LEADERS)

    assert live_store(files).stored.runs == runs


def test_log_is_not_cut_but_behind_all_snapshots_that_are_kept() -> None:
    files = two_snapshots()
    store = live_store(files)

    with pytest.raises(AssertionError, match="held by every snapshot"):
        store.cut_log(place(4).index)


def test_hashes_of_what_is_cut_are_forgotten() -> None:
    """A log of years must not grow in memory."""
    store = live_store(SimulatedFiles())
    for each in entries(1, 100):
        store.write([append(each)])
    for index in (90, 95):
        saved = save(store, place(index), [])
    store.cut_log(saved.keeps_from.index)

    assert len(store._wal._history._firsts) < 20
    assert store.chain_at(place(90)) is not None
    assert store.chain_at(place(100)) is not None
