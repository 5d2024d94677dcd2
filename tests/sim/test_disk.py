"""The simulated disk keeps what `coord.storage.files` promises, and loses everything else sooner or later."""

import errno
from collections.abc import Callable
from random import Random

import pytest

from coord.sim.disk import SECTOR, Platter, PowerLost, VirtualFiles
from coord.storage.errors import DirectoryInUse

SEEDS = range(200)


def after_power_loss(seed: int, prepare: Callable[[VirtualFiles], None]) -> VirtualFiles:
    """What a process finds that starts after `prepare` was done and the power failed."""
    platter = Platter(Random(seed))
    files = VirtualFiles(platter, "/data")
    prepare(files)
    files.settle()
    platter.lose_power()
    return VirtualFiles(platter, "/data")


def synced_file(files: VirtualFiles, name: str = "a", content: bytes = b"old" * 1000) -> None:
    files.create(name, len(content))
    files.write(name, 0, content)
    files.sync(name)
    files.sync_directory()


def contents(files: VirtualFiles, name: str = "a") -> bytes:
    return files.read(name, 0, files.size(name))


@pytest.mark.parametrize("seed", range(20))
def test_synced_bytes_and_names_survive(seed: int) -> None:
    files = after_power_loss(seed, synced_file)

    assert contents(files) == b"old" * 1000


def test_unsynced_write_survives_in_any_sectors() -> None:
    """Also in part of a sector, and not at all; but never are there bytes that nobody wrote."""

    def prepare(files: VirtualFiles) -> None:
        synced_file(files, content=bytes(4 * SECTOR))
        files.write("a", 100, b"n" * 3 * SECTOR)

    found = [contents(after_power_loss(seed, prepare)) for seed in SEEDS]

    assert all(set(content) <= {0, ord("n")} for content in found)
    assert all(content[:100] == bytes(100) and content[100 + 3 * SECTOR :] == bytes(SECTOR - 100) for content in found)
    shapes = {tuple(content[at] != 0 for at in range(100, 100 + 3 * SECTOR, SECTOR)) for content in found}
    assert len(shapes) == 8, "every subset of the three full sectors should turn up"
    assert any(0 < content[:SECTOR].count(b"n") < SECTOR - 100 for content in found), "no sector was ever torn"


def test_size_of_a_file_that_was_never_synced_is_open() -> None:
    def prepare(files: VirtualFiles) -> None:
        files.create("a", 3000)
        files.sync_directory()

    sizes = {after_power_loss(seed, prepare).size("a") for seed in SEEDS}

    assert {0, 3000} <= sizes
    assert len(sizes) > 2


def test_file_that_has_grown_has_any_length_from_its_old_one_until_it_is_synced() -> None:
    def prepare(files: VirtualFiles) -> None:
        synced_file(files, content=b"old")
        files.grow("a", 2000)
        files.write("a", 1500, b"new")

    def prepare_and_sync(files: VirtualFiles) -> None:
        prepare(files)
        files.sync("a")

    found = [contents(after_power_loss(seed, prepare)) for seed in SEEDS]
    lengths = {len(content) for content in found}
    assert {3, 2000} <= lengths <= set(range(3, 2001))
    assert len(lengths) > 4
    assert all(content[:3] == b"old" and set(content[3:]) <= set(b"new\0") for content in found)
    synced = b"old" + bytes(1497) + b"new" + bytes(497)
    assert {contents(after_power_loss(seed, prepare_and_sync)) for seed in SEEDS} == {synced}


@pytest.mark.parametrize(
    ("change", "outcomes"),
    [
        (lambda files: files.create("b", 0), {("a",), ("a", "b")}),
        (lambda files: files.remove("a"), {("a",), ()}),
        (lambda files: files.rename("a", "b"), {("a",), ("b",)}),
    ],
    ids=["create", "remove", "rename"],
)
def test_change_of_a_name_may_be_undone_until_the_directory_is_synced(
    change: Callable[[VirtualFiles], None], outcomes: set[tuple[str, ...]]
) -> None:
    def prepare(files: VirtualFiles) -> None:
        synced_file(files)
        change(files)

    def prepare_and_sync(files: VirtualFiles) -> None:
        prepare(files)
        files.sync_directory()

    assert {tuple(after_power_loss(seed, prepare).names()) for seed in SEEDS} == outcomes
    assert len({tuple(after_power_loss(seed, prepare_and_sync).names()) for seed in SEEDS}) == 1


def test_rename_onto_a_file_leaves_the_old_or_the_new() -> None:
    def prepare(files: VirtualFiles) -> None:
        synced_file(files, "a", b"old")
        files.create("draft", 3)
        files.write("draft", 0, b"new")
        files.sync("draft")
        files.rename("draft", "a")

    found = {contents(after_power_loss(seed, prepare)) for seed in SEEDS}

    assert found == {b"old", b"new"}


def test_killed_process_loses_no_page_cache() -> None:
    """kill -9 is not a power failure: the next process reads what was written, synced or not."""
    platter = Platter(Random(0))
    files = VirtualFiles(platter, "/data")
    synced_file(files, content=b"old")
    files.write("a", 0, b"new")
    files.settle()

    files.die()

    assert contents(VirtualFiles(platter, "/data")) == b"new"
    assert contents(VirtualFiles(platter.copy_safe(), "/data")) == b"old"


def test_crash_happens_between_two_calls() -> None:
    """What the platter has not answered is done up to some point in the order of the calls."""
    found = set()
    for seed in SEEDS:
        platter = Platter(Random(seed))
        files = VirtualFiles(platter, "/data")
        synced_file(files, content=b"....")
        files.settle()
        for position in range(4):
            files.write("a", position, b"x")
            files.sync("a")
        files.die()
        platter.lose_power()
        found.add(contents(VirtualFiles(platter, "/data")))

    assert found == {b"....", b"x...", b"xx..", b"xxx.", b"xxxx"}


def test_subdirectory_has_names_and_syncs_of_its_own() -> None:
    def prepare(files: VirtualFiles) -> None:
        synced_file(files)
        synced_file(files.subdirectory("sub"), content=b"below")
        files.subdirectory("sub").create("b", 0)
        files.sync_directory()

    found = [after_power_loss(seed, prepare) for seed in SEEDS]

    assert {contents(files.subdirectory("sub")) for files in found} == {b"below"}
    assert {tuple(files.subdirectory("sub").names()) for files in found} == {("a",), ("a", "b")}
    assert {tuple(files.names()) for files in found} == {("a",)}


def test_crash_cuts_directories_at_one_point_until_each_has_a_thread_of_its_own() -> None:
    def crash(seed: int, is_separate: bool) -> tuple[int, int]:
        platter = Platter(Random(seed))
        files = VirtualFiles(platter, "/data")
        sub = files.subdirectory("sub")
        if is_separate:
            files.separate()
        for position in range(3):
            files.create(f"{position}", 0)
            sub.create(f"{position}", 0)
        files.die()
        left = VirtualFiles(platter, "/data")
        return len(left.names()), len(left.subdirectory("sub").names())

    assert {crash(seed, False) for seed in SEEDS} == {(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (3, 2), (3, 3)}
    assert {crash(seed, True) for seed in SEEDS} >= {(0, 2), (0, 3), (3, 0), (3, 3)}


def test_answer_of_a_subdirectory_says_nothing_about_the_directory() -> None:
    platter = Platter(Random(0))
    files = VirtualFiles(platter, "/data")
    sub = files.subdirectory("sub")
    files.separate()
    files.create("a", 0)
    sub.create("b", 0)

    sub.settle()

    assert "a" not in platter.names
    assert "b" in platter.subdirectory("sub").names


def test_power_can_be_lost_in_the_middle_of_a_start() -> None:
    files = VirtualFiles(Platter(Random(0)), "/data")
    files.trouble.calls_until_power_loss = 2
    files.create("a", 10)
    files.write("a", 0, b"x")

    with pytest.raises(PowerLost):
        files.sync("a")


def test_directory_has_one_user() -> None:
    platter = Platter(Random(0))
    first, second = VirtualFiles(platter, "/data"), VirtualFiles(platter, "/data")
    first.lock()

    with pytest.raises(DirectoryInUse):
        second.lock()
    first.close()
    second.lock()


def test_full_disk_and_failing_sync_are_told() -> None:
    files = VirtualFiles(Platter(Random(0)), "/data")
    synced_file(files)
    files.trouble.is_full = files.trouble.fails_next_sync = True

    with pytest.raises(OSError) as full:  # noqa: PT011  (the number is what matters)
        files.create("b", 1)
    with pytest.raises(OSError) as failed:  # noqa: PT011
        files.sync("a")

    with pytest.raises(OSError, match="No space left"):
        files.subdirectory("sub").create("b", 1)

    assert (full.value.errno, failed.value.errno) == (errno.ENOSPC, errno.EIO)


def test_what_a_failing_sync_left_behind_is_never_written() -> None:
    """Fsyncgate: the next sync reports success, reads show the new bytes, and no disk holds them."""

    def write_and_fail(files: VirtualFiles) -> None:
        synced_file(files)
        files.write("a", 0, b"new")
        files.trouble.fails_next_sync = True
        with pytest.raises(OSError, match="Input/output error"):
            files.sync("a")
        files.sync("a")
        assert files.read("a", 0, 3) == b"new"

    assert contents(after_power_loss(0, write_and_fail))[:3] == b"old"
