"""All directories, real, in memory and simulated, do what `Files` says, as far as one can see without a crash."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coord.storage import DirectoryInUse, Files, MemoryFiles, RealFiles
from tests.storage.simulated import SimulatedFiles


@pytest.fixture(params=["real", "memory", "simulated"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Files]:
    make: dict[str, Callable[[], Files]] = {
        "real": lambda: RealFiles(str(tmp_path / "made" / "here")),
        "memory": MemoryFiles,
        "simulated": SimulatedFiles,
    }
    files = make[request.param]()
    files.lock()
    yield files
    files.close()


def names(files: Files) -> list[str]:
    return [name for name in files.names() if name != "lock"]


def test_created_file_is_zeros(files: Files) -> None:
    files.create("a", 10_000)

    assert files.size("a") == 10_000
    assert files.read("a", 0, 20_000) == bytes(10_000)


def test_written_bytes_are_read_and_others_untouched(files: Files) -> None:
    files.create("a", 10)
    files.write("a", 0, b"0123456789")
    files.write("a", 3, b"xyz")
    files.sync("a")

    assert files.read("a", 0, 10) == b"012xyz6789"
    assert files.read("a", 5, 3) == b"z67"
    assert files.size("a") == 10


def test_reading_is_shorter_only_at_the_end(files: Files) -> None:
    files.create("a", 10)

    assert len(files.read("a", 8, 5)) == 2
    assert files.read("a", 10, 5) == b""


def test_what_is_written_behind_a_gap_leaves_zeros_in_it(files: Files) -> None:
    files.create("a", 10)
    files.write("a", 6, b"xy")

    assert files.read("a", 0, 10) == b"\0\0\0\0\0\0xy\0\0"


def test_creating_again_replaces(files: Files) -> None:
    files.create("a", 10)
    files.write("a", 0, b"old")
    files.create("a", 4)

    assert files.read("a", 0, 10) == bytes(4)


def test_file_grows_by_zeros_and_keeps_what_it_had(files: Files) -> None:
    files.create("a", 3)
    files.write("a", 0, b"abc")
    files.grow("a", 8)
    files.write("a", 6, b"xy")
    files.sync("a")

    assert files.size("a") == 8
    assert files.read("a", 0, 20) == b"abc\0\0\0xy"


def test_file_grows_from_nothing_while_another_one_is_written(files: Files) -> None:
    for name in ("a", "b"):
        files.create(name, 0)
    for size in (1, 2, 3):
        for name in ("a", "b"):
            files.grow(name, size)
            files.write(name, size - 1, name.encode())

    assert [files.read(name, 0, 10) for name in ("a", "b")] == [b"aaa", b"bbb"]


def test_subdirectory_has_files_of_its_own(files: Files) -> None:
    below = files.subdirectory("below")
    for directory, data in ((files, b"above"), (below, b"below")):
        directory.create("a", 5)
        directory.write("a", 0, data)
        directory.sync("a")
    below.create("old", 1)
    below.rename("old", "new")
    below.sync_directory()

    again = files.subdirectory("below")
    assert again.names() == ["a", "new"]
    assert (files.read("a", 0, 9), again.read("a", 0, 9)) == (b"above", b"below")
    assert again.directory == f"{files.directory}/below"
    assert not {"new", "old", "below/a", "below/new"} & set(files.names())
    again.remove("a")
    assert below.names() == ["new"]
    assert "a" in files.names()


def test_files_written_in_turns_are_kept_apart(files: Files) -> None:
    for name in ("a", "b"):
        files.create(name, 1)
    for name in ("a", "b", "a"):
        files.write(name, 0, name.encode())
        files.sync(name)

    assert [files.read(name, 0, 1) for name in ("a", "b")] == [b"a", b"b"]


def test_rename_replaces_and_follows_the_file(files: Files) -> None:
    for name, data in (("old", b"1"), ("new", b"2")):
        files.create(name, 1)
        files.write(name, 0, data)
    files.rename("old", "new")
    files.sync_directory()

    assert names(files) == ["new"]
    assert files.read("new", 0, 1) == b"1"


def test_removed_file_is_gone(files: Files) -> None:
    files.create("b", 1)
    files.create("a", 1)
    files.remove("b")
    files.sync_directory()

    assert names(files) == ["a"]
    with pytest.raises((OSError, KeyError)):
        files.read("b", 0, 1)


def test_memory_has_one_user_at_a_time_and_keeps_what_the_last_one_left() -> None:
    files = MemoryFiles()
    files.lock()
    files.create("a", 1)

    with pytest.raises(DirectoryInUse):
        files.lock()

    files.close()
    files.lock()
    assert names(files) == ["a"]


def test_lock_names_the_process_that_holds_it(tmp_path: Path) -> None:
    first, second = RealFiles(str(tmp_path)), RealFiles(str(tmp_path))
    first.lock()

    with pytest.raises(DirectoryInUse) as caught:
        second.lock()

    assert caught.value.pid == os.getpid()
    first.close()
    second.lock()
    second.close()
