"""A data directory belongs to one member and one process, and survives whatever its disk may do to it."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from coord.raft.stored import Stored
from coord.raft.types import HardState, MemberId, Run, Term
from coord.storage import (
    CorruptIdentity,
    CorruptLog,
    DirectoryInUse,
    DiskFailed,
    Files,
    ForeignDirectory,
    NewerFormat,
    RealFiles,
    Store,
)
from tests.storage.building import append, open_store, run, stored, truncate, vote
from tests.storage.simulated import Crashed, SimulatedFiles, everything, nothing, some

IDENTITY = "identity.json"
CLUSTER = 0xC0FFEE


def test_first_start_finds_nothing() -> None:
    store = open_store(SimulatedFiles())

    assert store.stored == Stored.nothing()
    assert store.cluster_id == 0
    assert store.torn is None


def test_store_remembers() -> None:
    files = SimulatedFiles()
    store = open_store(files)
    store.adopt_cluster(CLUSTER)
    store.write([vote(3, 2), append(run(1, b"a"), run(2, b"b"))])
    store.close()

    before = store.incarnation
    store = open_store(files)

    assert store.stored == Stored(HardState(Term(3), MemberId(2)), [run(1, b"a"), run(2, b"b")])
    assert store.cluster_id == CLUSTER
    assert store.incarnation == before + 1


def test_incarnation_counts_starts_not_stops() -> None:
    files = SimulatedFiles()
    first = open_store(files).incarnation

    assert [open_store(files).incarnation for _ in range(2)] == [first + 1, first + 2]


def test_incarnations_on_another_directory_are_others() -> None:
    """A member that comes back with an empty directory must not answer for what an earlier life of it asked."""
    first, second = (open_store(SimulatedFiles()) for _ in range(2))

    assert abs(first.incarnation - second.incarnation) > 1000, "but for one time in a million"
    assert max(first.incarnation, second.incarnation) < 1 << 31


def test_closing_proves_the_last_batch() -> None:
    """Rot in the last batch of a stopped server must not pass for a torn write."""
    files = SimulatedFiles()
    store = open_store(files)
    store.write([append(run(1, b"acknowledged"))])
    store.close()
    content = files.content("0000000001.wal")
    content[content.index(b"acknowledged")] ^= 1

    with pytest.raises(CorruptLog, match="index 1"):
        open_store(files)


# Whose directory it is


def test_directory_of_another_member_is_refused() -> None:
    files = SimulatedFiles()
    open_store(files)

    with pytest.raises(ForeignDirectory, match=r"belongs to member 1, not to member 2.*--id 1"):
        Store.open(files, MemberId(2))


def test_directory_of_another_member_is_refused_before_its_log_is_judged() -> None:
    files = SimulatedFiles()
    open_store(files).write([append(run(1))])
    files.content("0000000001.wal")[100] ^= 1

    with pytest.raises(ForeignDirectory):
        Store.open(files, MemberId(2))


def test_second_cluster_is_refused() -> None:
    store = open_store(SimulatedFiles())
    store.adopt_cluster(CLUSTER)
    store.adopt_cluster(CLUSTER)

    with pytest.raises(ForeignDirectory, match=r"belongs to cluster c0ffee.*cluster beef"):
        store.adopt_cluster(0xBEEF)


def test_directory_of_a_newer_release_is_refused() -> None:
    files = SimulatedFiles()
    open_store(files)
    files.create(IDENTITY, 100)
    files.write(IDENTITY, 0, b'{"format": 2, "something": "new", "check": "unknown"}'.ljust(100))

    with pytest.raises(NewerFormat, match="has format 2, this release knows up to 1"):
        open_store(files)


def test_every_flipped_byte_of_the_identity_is_found() -> None:
    files = SimulatedFiles()
    store = open_store(files)
    store.adopt_cluster(CLUSTER)
    store.close()
    for offset in range(files.size(IDENTITY) - 1):  # the last is a newline
        for bit in range(8):
            rotten = files.copy()
            rotten.content(IDENTITY)[offset] ^= 1 << bit

            with pytest.raises((CorruptIdentity, NewerFormat)):
                open_store(rotten)


def test_log_without_identity_is_refused() -> None:
    files = SimulatedFiles()
    open_store(files).write([append(run(1))])
    files.remove(IDENTITY)

    with pytest.raises(CorruptIdentity, match="is missing, though there is a log"):
        open_store(files)


def test_member_that_lost_its_log_does_not_start() -> None:
    """It may have voted, and acknowledged what others have committed since."""
    files = SimulatedFiles()
    open_store(files)
    files.remove("0000000001.wal")

    with pytest.raises(CorruptLog, match="the log is gone"):
        open_store(files)


def test_member_whose_only_batch_is_damaged_does_not_start() -> None:
    files = SimulatedFiles()
    open_store(files)
    files.content("0000000001.wal")[:] = bytes(files.size("0000000001.wal"))

    with pytest.raises(CorruptLog, match="the log is gone"):
        open_store(files)


def test_second_process_is_refused(tmp_path: object) -> None:
    first = open_store(RealFiles(f"{tmp_path}/data"))

    with pytest.raises(DirectoryInUse, match=r"in use by process \d+"):
        open_store(RealFiles(f"{tmp_path}/data"))

    first.close()
    open_store(RealFiles(f"{tmp_path}/data")).close()


# Crashes


@dataclass
class Promises:
    """What a store has told its caller, and what it was in the middle of."""

    incarnation: int = 0
    cluster: int = 0
    runs: list[Run] = field(default_factory=list)
    next_runs: list[Run] | None = None
    """What the log holds if the write under way got through."""
    term: int = 0

    def check(self, files: Files) -> None:
        """Every promise is kept by a store that is opened now."""
        store = open_store(files, segment_bytes=2048)
        assert store.incarnation > self.incarnation
        assert store.cluster_id in {self.cluster, CLUSTER}
        assert store.stored.hard_state.term >= self.term
        assert store.stored.runs in [self.runs, self.next_runs]
        self.incarnation = store.incarnation
        self.cluster = store.cluster_id
        self.runs = store.stored.runs
        self.next_runs = None
        self.term = store.stored.hard_state.term


def live(files: Files, promises: Promises) -> None:
    """Starts, votes, writes with rolls, truncates, learns its cluster, stops, and starts again."""
    for term in (1, 2):
        store = open_store(files, segment_bytes=2048)
        promises.incarnation = store.incarnation
        store.write([vote(term, 1)])
        promises.term = term
        for _ in range(3):
            first = len(promises.runs) + 1
            added = [run(first, b"x" * 300, term=term), run(first + 1, b"y" * 300, term=term)]
            promises.next_runs = promises.runs + added
            store.write([append(*added)])
            promises.runs = promises.next_runs
        if term == 1:
            store.adopt_cluster(CLUSTER)
            promises.cluster = CLUSTER
        promises.next_runs = [*promises.runs[:-1], run(len(promises.runs), b"z" * 1800, term=term)]
        store.write([truncate(len(promises.runs), promises.next_runs[-1])])
        promises.runs = promises.next_runs
        store.close()


def crashes() -> Iterator[tuple[int, SimulatedFiles, Promises]]:
    """A life that ended before its first, second, … operation on the disk."""
    for operation in range(1000):
        files, promises = SimulatedFiles(), Promises()
        files.crash_at = operation
        try:
            live(files, promises)
        except Crashed:
            yield operation, files, promises
        else:
            assert operation > 80, "the life is long enough to be worth it"
            return
    pytest.fail("the life never ends")


@pytest.mark.parametrize("choice", ["everything", "nothing", 1, 2, 3, 4, 5, 6])
def test_store_keeps_its_promises_after_a_crash_at_any_operation(choice: str | int) -> None:
    survives = some(choice) if isinstance(choice, int) else {"everything": everything, "nothing": nothing}[choice]
    for _, files, promises in crashes():
        after = files.after_crash(survives)

        promises.check(after)
        promises.check(after)  # and what it told then it does not take back either


def test_store_keeps_its_promises_after_a_crash_while_it_recovers_from_one() -> None:
    for seed, files, promises in crashes():
        after = files.after_crash(some(seed))
        for operation in range(100):
            again = after.copy()
            again.crash_at = operation
            try:
                open_store(again, segment_bytes=2048)
            except Crashed:
                pass
            else:
                break
            twice = Promises(**{name: getattr(promises, name) for name in promises.__dataclass_fields__})
            twice.check(again.after_crash(some(seed + operation)))


def test_what_a_killed_process_left_in_the_page_cache_is_durable_before_it_counts() -> None:
    """A kill loses nothing, so recovery reads what no disk holds. The next power failure must not undo it."""
    for _, files, promises in crashes():
        after = files.after_kill()
        promises.check(after)

        promises.check(after.after_crash(nothing))


# Failures


@pytest.mark.parametrize("method", ["write", "sync", "create", "sync_directory"])
def test_failed_disk_is_never_asked_again(method: str) -> None:
    """Row 19, fsyncgate: the second fdatasync would say yes."""
    files = SimulatedFiles()
    store = open_store(files, segment_bytes=512)  # so that each write rolls
    files.errors[method] = OSError(errno.EIO, "Input/output error")

    with pytest.raises(DiskFailed, match="Input/output error"):
        store.write([append(run(1))])

    files.errors.clear()
    before = files.operations
    with pytest.raises(DiskFailed):
        store.write([append(run(1))])
    with pytest.raises(DiskFailed):
        store.adopt_cluster(CLUSTER)
    store.close()
    assert files.operations == before


def test_pages_that_a_failed_sync_left_behind_are_written_again() -> None:
    """After the failure Linux shows the new bytes, calls them clean, and has not written them."""
    files = SimulatedFiles()
    store = open_store(files)
    files.errors["sync"] = OSError(errno.EIO, "Input/output error")
    with pytest.raises(DiskFailed):
        store.write([append(run(1))])
    after = files.after_kill()
    assert stored(after).runs == [run(1)]

    assert stored(after.after_crash(nothing)).runs == [run(1)]


def test_failure_of_the_identity_ends_the_store() -> None:
    files = SimulatedFiles()
    store = open_store(files)
    files.errors["rename"] = OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFailed, match="No space left on device"):
        store.adopt_cluster(CLUSTER)
    with pytest.raises(DiskFailed):
        store.write([append(run(1))])


def test_unreadable_directory_is_a_failed_disk() -> None:
    files = SimulatedFiles()
    open_store(files).close()
    files.errors["read"] = OSError(errno.EIO, "Input/output error")

    with pytest.raises(DiskFailed, match="opening the store in /simulated failed"):
        open_store(files)


def test_write_that_breaks_the_rules_leaves_nothing_behind() -> None:
    """A bug above us must not become a corrupt log: neither the write nor a mark over it reaches the disk."""
    files = SimulatedFiles()
    store = open_store(files)
    store.write([append(run(1))])
    with pytest.raises(AssertionError, match="does not follow"):
        store.write([append(run(2), run(4))])
    store.close()

    assert stored(files).runs == [run(1)]
