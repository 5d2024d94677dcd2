"""What is read of directories that were left: the most that was there, and nothing of them is changed."""

from pathlib import Path

import pytest

from coord.backup.errors import CannotFound
from coord.backup.founding import load
from coord.backup.progress import unwatched
from coord.backup.survivors import Survivor, losses, most_up_to_date
from coord.raft.types import MemberId
from coord.storage import CorruptLog, CorruptSnapshot, DirectoryInUse, RealFiles, Store
from coord.storage.files import StoppedFiles
from tests.backup.building import History


@pytest.fixture(scope="module")
def history() -> History:
    history = History()
    history.fill(40)
    return history


def contents(directory: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in directory.rglob("*") if file.is_file()}


@pytest.mark.parametrize("snapshots", [(), (10,), (10, 20), (30,), (44,)])
def test_all_that_a_member_had_is_read_and_nothing_is_changed(
    history: History, tmp_path: Path, snapshots: tuple[int, ...]
) -> None:
    """Decided or not."""
    directory = history.member(tmp_path / "1", 1, 44, snapshots)
    before = contents(directory)

    survivor = Survivor(StoppedFiles(str(directory)))
    machine = load(survivor, unwatched)
    survivor.close()

    assert machine.digest() == history.machine(44).digest()
    assert (survivor.end, survivor.chain) == (history.place(44), history.chain(44))
    assert contents(directory) == before


def test_the_most_up_to_date_one_is_used(history: History, tmp_path: Path) -> None:
    """By its last entry's term, and only then by its length."""
    long = Survivor(StoppedFiles(str(history.member(tmp_path / "1", 1, 30))))
    longer = Survivor(StoppedFiles(str(history.member(tmp_path / "2", 2, 31))))
    assert most_up_to_date([long, longer]) is longer

    other = History()
    other.append(b"", term=2)
    later = Survivor(StoppedFiles(str(other.member(tmp_path / "3", 3, other.last))))
    assert most_up_to_date([long, longer, later]) is later


@pytest.mark.parametrize(
    ("left", "missing", "is_complete"), [([1], (2, 3), False), ([1, 3], (2,), True), ([2, 4], (1, 3), False)]
)
def test_it_is_told_who_is_missing_and_whether_that_matters(
    history: History, tmp_path: Path, left: list[int], missing: tuple[int, ...], is_complete: bool
) -> None:
    survivors = [Survivor(StoppedFiles(str(history.member(tmp_path / str(member), member, 30)))) for member in left]

    lost = losses(survivors, load(most_up_to_date(survivors), unwatched))

    assert (lost.members, lost.missing, lost.is_complete) == ((1, 2, 3), missing, is_complete)


def test_the_older_snapshot_and_the_log_do_when_the_newest_is_damaged(history: History, tmp_path: Path) -> None:
    directory = history.member(tmp_path / "1", 1, 44, (10, 20))
    newest = max((directory / "snapshots").glob("*.snap"))
    newest.write_bytes(newest.read_bytes()[:-1])

    assert load(Survivor(StoppedFiles(str(directory))), unwatched).digest() == history.machine(44).digest()


def test_what_cannot_be_used_is_named(history: History, tmp_path: Path) -> None:
    directory = history.member(tmp_path / "1", 1, 44, (10,))
    store = Store.open(RealFiles(str(directory)), MemberId(1))
    with pytest.raises(DirectoryInUse):
        Survivor(StoppedFiles(str(directory)))
    store.close()
    with pytest.raises(CannotFound, match="no data directory"):
        Survivor(StoppedFiles(str(tmp_path)))
    same = [
        Survivor(StoppedFiles(str(directory))),
        Survivor(StoppedFiles(str(history.member(tmp_path / "copy", 1, 30)))),
    ]
    with pytest.raises(CannotFound, match="not the only one of member 1"):
        most_up_to_date(same)
    for survivor in same:
        survivor.close()

    log = min(directory.glob("*.wal"))
    content = bytearray(log.read_bytes())
    content[700] ^= 1
    log.write_bytes(content)
    with pytest.raises(CorruptLog, match=rf"{log.name}, offset"):
        Survivor(StoppedFiles(str(directory)))


def test_a_log_without_its_beginning_needs_a_sound_snapshot(history: History, tmp_path: Path) -> None:
    directory = history.member(tmp_path / "1", 1, 44, (20, 30))
    assert not (directory / "0000000001.wal").exists()
    for snapshot in (directory / "snapshots").glob("*.snap"):
        snapshot.write_bytes(b"")

    with pytest.raises(CorruptSnapshot, match=r"damaged: 0+30\.snap, 0+20\.snap"):
        Survivor(StoppedFiles(str(directory)))
