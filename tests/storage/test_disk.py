"""Whatever the disk is like, answers come in order, for what is durable, and failures reach the loop."""

import errno
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import msgspec
import pytest

from coord.raft.ready import Persist
from coord.raft.types import BEGINNING, Index, Place, Term
from coord.replica.inputs import Persisted
from coord.replica.snapshot_work import (
    BeginSnapshot,
    CutLog,
    EndSnapshot,
    ReceiveSnapshot,
    SnapshotAnswer,
    SnapshotReceived,
    SnapshotSaved,
    SnapshotWork,
    SnapshotWritten,
    WritePiece,
    WriteReceived,
)
from coord.storage import Disk, DiskFailed, Files, RealFiles, Store
from coord.storage.disk import FAST_SECONDS, SAMPLES, STALL_MEMORY_SECONDS, STALL_SECONDS, Pace
from coord.storage.errors import ForeignDirectory
from coord.storage.snapshot_files import SnapshotFiles
from coord.storage.snapshot_format import name_of
from tests.storage.building import append, open_store, run, stored
from tests.storage.simulated import SimulatedFiles

WAIT = 10.0  # seconds; only a test that fails waits


class Loop:
    """The end of the disk that the server's loop holds."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.answers: list[SnapshotAnswer] = []
        self.threads: list[str] = []
        self.failures: list[Exception] = []
        self._changed = threading.Condition()

    def post(self, answer: Persisted | SnapshotAnswer) -> None:
        with self._changed:
            if isinstance(answer, Persisted):
                self.tokens.append(answer.token)
            else:
                self.answers.append(answer)
            self.threads.append(threading.current_thread().name)
            self._changed.notify()

    def fail(self, error: Exception) -> None:
        with self._changed:
            self.failures.append(error)
            self._changed.notify()

    def wait_for_answers(self, count: int) -> list[SnapshotAnswer]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.answers) >= count, WAIT)
        return self.answers

    def wait_for(self, token: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: token in self.tokens, WAIT)

    def wait_for_failure(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: bool(self.failures), WAIT)


class SlowFiles(SimulatedFiles):
    """Syncs wait until they are let through."""

    def __init__(self) -> None:
        super().__init__()
        self.syncs = 0
        self.is_reached = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def sync(self, name: str) -> None:
        self.is_reached.set()
        assert self.gate.wait(WAIT)
        self.syncs += 1
        super().sync(name)

    @contextmanager
    def stuck(self) -> Iterator[None]:
        """No sync ends while this lasts."""
        self.is_reached.clear()
        self.gate.clear()
        yield
        self.gate.set()


def entry(token: int) -> Persist:
    return msgspec.structs.replace(append(run(token, b"data")), token=token)


def fast() -> Pace:
    pace = Pace()
    for _ in range(SAMPLES):
        pace.add(0.0, now=0.0)
    return pace


def slow() -> Pace:
    """Whatever it is shown, for the length of a test."""
    pace = Pace()
    pace.add(STALL_SECONDS, now=float("inf"))
    return pace


def make(files: Files, pace: Pace) -> tuple[Disk, Loop, Store]:
    loop = Loop()
    store = open_store(files)
    return Disk(store, loop.post, loop.fail, pace), loop, store


def test_fast_disk_answers_before_submit_returns() -> None:
    disk, loop, _ = make(SimulatedFiles(), fast())

    for token in range(1, 6):
        disk.submit(entry(token))
        assert loop.tokens[-1] == token

    assert set(loop.threads) == {threading.current_thread().name}
    disk.close()


@pytest.mark.parametrize("pace", [fast, slow])
def test_disk_tells_how_long_its_writes_take_whoever_writes(pace: Callable[[], Pace]) -> None:
    disk, loop, _ = make(SimulatedFiles(), pace())

    for token in range(1, 6):
        disk.submit(entry(token))
        loop.wait_for(token)

    disk.close()
    assert disk.durations.count == 5
    p50, p99 = disk.durations.quantiles(0.5, 0.99)
    assert p50 is not None
    assert p99 is not None
    assert 0.0 < p50 <= p99 == disk.durations.greatest


def test_slow_disk_does_not_hold_up_the_loop() -> None:
    files = SlowFiles()
    disk, loop, _ = make(files, slow())

    with files.stuck():
        for token in range(1, 6):
            disk.submit(entry(token))
        assert loop.tokens == []

    loop.wait_for(5)
    disk.close()


def test_slow_disk_takes_what_has_gathered_as_one_write() -> None:
    """Group commit: nine entries, of which the first was under way alone, cost two syncs."""
    files = SlowFiles()
    disk, loop, _ = make(files, slow())
    before = files.syncs
    with files.stuck():
        disk.submit(entry(1))
        assert files.is_reached.wait(WAIT)
        for token in range(2, 10):
            disk.submit(entry(token))

    loop.wait_for(9)

    assert loop.tokens == [1, 9]
    assert files.syncs - before == 2
    disk.close()


def test_nothing_overtakes_what_the_worker_has() -> None:
    """The disk has become fast again, but the worker is not done: inline now would be a second writer."""
    files = SlowFiles()
    pace = slow()
    disk, loop, _ = make(files, pace)
    with files.stuck():
        disk.submit(entry(1))
        disk._pace = fast()
        disk.submit(entry(2))
        assert loop.tokens == []

    loop.wait_for(2)
    disk.close()
    assert [each.first for each in stored(files).runs] == [1, 2]


def test_turn_with_nothing_to_write_costs_nothing() -> None:
    files = SimulatedFiles()
    disk, loop, _ = make(files, fast())
    before = files.operations

    disk.submit(None)

    assert files.operations == before
    assert loop.tokens == []
    disk.close()


@pytest.mark.parametrize("pace", [fast(), slow()], ids=["fast", "slow"])
def test_close_flushes(pace: Pace) -> None:
    files = SimulatedFiles()
    disk, loop, _ = make(files, pace)
    for token in range(1, 100):
        disk.submit(entry(token))

    disk.close()

    assert loop.tokens[-1] == 99
    assert loop.tokens == sorted(loop.tokens)
    assert len(stored(files).runs) == 99


@pytest.mark.parametrize("pace", [fast(), slow()], ids=["fast", "slow"])
def test_failure_reaches_the_loop_and_nothing_is_answered_after_it(pace: Pace) -> None:
    files = SimulatedFiles()
    disk, loop, _ = make(files, pace)
    disk.submit(entry(1))
    loop.wait_for(1)
    files.errors["sync"] = OSError(errno.EIO, "Input/output error")

    with suppress(DiskFailed):  # raised at once if written inline
        disk.submit(entry(2))
    loop.wait_for_failure()
    files.errors.clear()

    with pytest.raises(DiskFailed):
        disk.submit(entry(3))
    disk.close()
    assert loop.tokens == [1]
    assert len(loop.failures) == 1


def test_disk_is_slow_until_half_of_its_last_writes_were_fast() -> None:
    pace = Pace()
    for _ in range(SAMPLES // 2):
        assert not pace.is_fast(0.0)
        pace.add(FAST_SECONDS / 2, now=0.0)
    assert pace.is_fast(0.0)

    for _ in range(SAMPLES // 2):
        assert pace.is_fast(0.0)
        pace.add(FAST_SECONDS, now=0.0)
    pace.add(FAST_SECONDS, now=0.0)

    assert not pace.is_fast(0.0)


def test_disk_that_stalled_is_slow_for_a_while() -> None:
    pace = fast()
    pace.add(STALL_SECONDS, now=100.0)

    assert not pace.is_fast(100.0 + STALL_MEMORY_SECONDS * 0.9)
    assert pace.is_fast(100.0 + STALL_MEMORY_SECONDS)


@pytest.mark.parametrize("pace", [fast(), slow()], ids=["fast", "slow"])
def test_the_cluster_is_adopted_by_whoever_writes_the_log(pace: Pace) -> None:
    """The store is for one thread at a time: what is submitted meanwhile waits behind it, and is written."""
    files = SlowFiles()
    disk, loop, _ = make(files, pace)
    with files.stuck():
        disk.adopt_cluster(77)
        for token in range(1, 6):
            disk.submit(entry(token))
        assert loop.tokens == []
    loop.wait_for(5)
    disk.close()

    store = open_store(files)
    assert store.cluster_id == 77
    assert len(store.stored.runs) == 5
    store.close()


def test_another_clusters_directory_is_a_failure() -> None:
    files = SimulatedFiles()
    disk, loop, _ = make(files, slow())
    disk.adopt_cluster(77)
    disk.adopt_cluster(78)
    loop.wait_for_failure()
    assert "belongs to cluster 4d" in str(loop.failures[0])
    with pytest.raises(ForeignDirectory):
        disk.submit(entry(1))
    disk.close()


# Snapshots


class SlowSnapshots(SlowFiles):
    """Only the syncs of snapshots wait."""

    def sync(self, name: str) -> None:
        if name.startswith("snapshots/"):
            super().sync(name)
        else:
            SimulatedFiles.sync(self, name)


def place(index: int) -> Place:
    return Place(Index(index), Term(1))


def snapshot(at: Place, *pieces: bytes) -> list[SnapshotWork]:
    return [BeginSnapshot(at, 0), *(WritePiece(piece) for piece in pieces), EndSnapshot(at)]


@pytest.mark.parametrize("pace", [fast(), slow()], ids=["fast", "slow"])
def test_snapshot_is_answered_piece_by_piece_and_when_it_is_durable(pace: Pace) -> None:
    files = SimulatedFiles()
    disk, loop, _ = make(files, pace)
    disk.submit(entry(1))
    disk.work(snapshot(place(1), b"one", b"two"))

    answers = loop.wait_for_answers(3)

    after = files.after_crash(lambda: False)
    assert answers[:2] == [SnapshotWritten(place(1))] * 2
    assert answers[2] == SnapshotSaved(place(1), files.size(f"snapshots/{name_of(place(1))}"), BEGINNING)
    assert "snapshots" in loop.threads
    disk.close()
    store = open_store(after)
    assert store.stored.snapshot == place(1)
    assert list(store.read_state()) == [b"one", b"two"]


def test_log_is_written_while_a_snapshot_is_stuck() -> None:
    files = SlowSnapshots()
    disk, loop, _ = make(files, slow())
    disk.submit(entry(1))
    with files.stuck():
        disk.work(snapshot(place(1), b"state"))
        assert files.is_reached.wait(WAIT)
        for token in (2, 3):
            disk.submit(entry(token))
            loop.wait_for(token)
        assert loop.answers == [SnapshotWritten(place(1))]

    assert isinstance(loop.wait_for_answers(2)[1], SnapshotSaved)
    disk.close()


def test_log_is_cut_in_its_own_order() -> None:
    """By whoever writes it: what is submitted after a cut waits behind it."""
    files = SimulatedFiles()
    loop = Loop()
    store = open_store(files, segment_bytes=512)  # so that each write rolls
    disk = Disk(store, loop.post, loop.fail, slow())
    for token in range(1, 6):
        disk.submit(entry(token))
        loop.wait_for(token)
    before = [name for name in files.names() if name.endswith(".wal")]
    disk.work([*snapshot(place(3)), *snapshot(place(5))])
    loop.wait_for_answers(2)

    disk.work([CutLog(Index(3))])
    disk.submit(entry(6))
    loop.wait_for(6)

    after = [name for name in files.names() if name.endswith(".wal")]
    assert after[0] not in before[:3]
    disk.close()
    found = stored(files)
    assert found.start == place(3)
    assert [each.first for each in found.runs] == [4, 5, 6]


def test_snapshot_begins_where_the_log_was_then_even_if_it_restarts_at_once() -> None:
    """Another member's snapshot is installed while ours begins, and one write takes what has gathered."""
    at = place(9)
    other = SnapshotFiles(SimulatedFiles(), 0)
    other.begin(at, 0, b"c" * 16)
    other.carry_out(EndSnapshot(at))
    head = other.kept[0]
    data = other._files.read(name_of(at), 0, head.size)
    files = SlowFiles()
    disk, loop, _ = make(files, slow())
    disk.work([ReceiveSnapshot(at), WriteReceived(at, head.id, head.size, 0, data)])
    assert loop.wait_for_answers(2)[1] == SnapshotReceived(at, head.id, head.size, is_whole=True)
    with files.stuck():
        disk.submit(entry(1))
        assert files.is_reached.wait(WAIT)
        disk.submit(entry(2))
        disk.work([BeginSnapshot(place(2), 0), WritePiece(b"given up")])
        disk.submit(Persist(3, None, None, [], restart_at=at))

    loop.wait_for(3)

    assert loop.wait_for_answers(3)[2] == SnapshotWritten(place(2))
    assert loop.failures == []
    disk.close()
    assert (stored(files).start, stored(files).snapshot) == (at, at)


def test_failure_of_a_snapshot_is_a_failure_of_the_disk() -> None:
    files = SimulatedFiles()
    disk, loop, _ = make(files, slow())
    disk.submit(entry(1))
    loop.wait_for(1)
    files.errors["grow"] = OSError(errno.ENOSPC, "No space left on device")  # of snapshots only

    disk.work(snapshot(place(1), b"state"))
    loop.wait_for_failure()

    assert isinstance(loop.failures[0], DiskFailed)
    with pytest.raises(DiskFailed, match="No space left on device"):
        disk.submit(entry(2))
    with pytest.raises(DiskFailed):
        disk.work([WritePiece(b"more")])
    disk.close()
    assert loop.tokens == [1]
    assert loop.answers == []
    assert len(loop.failures) == 1


def test_two_threads_fail_and_one_tells() -> None:
    files = SlowFiles()
    disk, loop, _ = make(files, slow())
    disk.submit(entry(1))
    disk.work(snapshot(place(1), b"state")[:2])
    loop.wait_for(1)
    loop.wait_for_answers(1)
    with files.stuck():
        disk.submit(entry(2))
        disk.work(snapshot(place(1))[-1:])
        files.errors["sync"] = OSError(errno.EIO, "Input/output error")

    loop.wait_for_failure()
    disk.close()
    assert len(loop.failures) == 1


def test_snapshot_under_way_is_given_up_by_close(tmp_path: object) -> None:
    for _ in range(10):  # wherever the thread has got to
        files = RealFiles(f"{tmp_path}/data")
        disk, loop, store = make(files, slow())
        index = len(store.stored.runs) + 1
        disk.submit(entry(index))
        disk.work([BeginSnapshot(place(index), 0), *(WritePiece(bytes(100_000)) for _ in range(50))])
        disk.close()

        assert loop.failures == []
        found = stored(RealFiles(f"{tmp_path}/data"))
        assert found.snapshot == BEGINNING
        assert len(found.runs) == index


def test_snapshots_of_a_real_directory_are_found_again(tmp_path: object) -> None:
    disk, loop, _ = make(RealFiles(f"{tmp_path}/data"), slow())
    for token in (1, 2, 3):
        disk.submit(entry(token))
        disk.work(snapshot(place(token), b"state %d" % token))
    loop.wait_for_answers(6)
    disk.close()

    store = open_store(RealFiles(f"{tmp_path}/data"))
    assert [head.place for head in store.snapshots.kept] == [place(3), place(2)]
    assert list(store.read_state()) == [b"state 3"]
    assert len(store.stored.runs) == 3
    store.close()
