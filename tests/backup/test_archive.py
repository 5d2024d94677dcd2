"""A backup's directory: what is saved is what is read, and nothing else passes for it."""

import shutil
from pathlib import Path

import pytest

from coord.backup.archive import Archive
from coord.backup.errors import NoBackup, OtherCluster
from coord.backup.progress import unwatched
from coord.storage import DirectoryInUse, StorageError
from coord.storage.errors import DamagedFile, NewerFormat
from tests.backup.building import CLUSTER, FOUNDED_MS, History, loaded, opened


@pytest.fixture(scope="module")
def history() -> History:
    history = History()
    history.fill(40)
    history.client.grant(name="kept")
    history.client.create("/e", mode=1)
    history.fill(5)
    return history


@pytest.fixture(scope="module")
def saved(history: History, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state, and two files of log. To be copied before it is changed."""
    directory = tmp_path_factory.mktemp("saved") / "backup"
    history.save(directory, 20, 35, history.last)
    return directory


@pytest.fixture
def backup(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "backup"))


def read(directory: Path) -> None:
    """All of it."""
    saved = opened(directory)
    for _ in saved.pieces():
        pass
    for _ in saved.runs():
        pass


def parts(directory: Path) -> list[Path]:
    return sorted(file for file in directory.iterdir() if file.name != "lock")


def test_what_was_saved_is_the_state_at_its_end(history: History, backup: Path) -> None:
    assert loaded(backup).digest() == history.machine(history.last).digest()
    assert [file.name.partition("-")[0] for file in parts(backup)] == ["backup.json", "log", "log", "state"]


def test_a_byte_that_changed_is_found_and_named_wherever_it_is(backup: Path) -> None:
    """Each file, at every 7th byte and at both ends; all that is before the place named is sound."""
    for file in parts(backup):
        content = file.read_bytes()
        for position in sorted({*range(0, len(content), 7), len(content) - 1}):
            file.write_bytes(content[:position] + bytes([content[position] ^ 0x10]) + content[position + 1 :])
            with pytest.raises(DamagedFile) as caught:
                read(backup)
            assert caught.value.name == file.name, position
            assert caught.value.offset <= position
            assert f"{file.name}, offset {caught.value.offset}" in str(caught.value)
        file.write_bytes(content)
    read(backup)


@pytest.mark.parametrize("lost", [1, 60, 1000])
def test_a_file_that_is_cut_off_or_goes_on_or_is_gone_is_named(backup: Path, lost: int) -> None:
    for file in parts(backup):
        content = file.read_bytes()
        for changed in (content[:-lost], content + b"\0" * lost):
            file.write_bytes(changed)
            with pytest.raises(DamagedFile, match=file.name):
                read(backup)
        file.unlink()
        with pytest.raises(NoBackup if file.name == "backup.json" else DamagedFile, match=file.name):
            read(backup)
        file.write_bytes(content)


def test_a_sound_file_of_another_backup_is_refused(history: History, backup: Path, tmp_path: Path) -> None:
    """Each file is right in itself, and the whole is not."""
    other = History()
    other.client.create("/another")
    other.fill(60)
    other.save(tmp_path / "other", 20, 35, history.last)
    for mine, theirs in zip(parts(backup)[1:], parts(tmp_path / "other")[1:], strict=True):
        content = mine.read_bytes()
        mine.write_bytes(theirs.read_bytes())
        with pytest.raises(DamagedFile, match=mine.name):
            read(backup)
        mine.write_bytes(content)


def test_what_a_newer_release_wrote_is_not_taken_for_damaged(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("manifest", "log_files"):
        with monkeypatch.context() as newer:
            newer.setattr(f"coord.backup.{module}.FORMAT", 2)
            newer.setattr("coord.backup.manifest.Manifest.__init__.__defaults__", (2 if module == "manifest" else 1,))
            history.save(tmp_path / module, 20, 30)
        with pytest.raises(NewerFormat, match="use the newer release"):
            read(tmp_path / module)


def test_what_was_saved_stands_when_the_next_attempt_dies(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "backup"
    history.save(directory, 10, 20)
    before = loaded(directory).digest()

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    def add(archive: Archive) -> None:
        history.add(archive, 30)

    def replace(archive: Archive) -> None:
        draft = archive.begin_state()
        draft.write(history.snapshot_file(30))
        archive.take_state(draft, FOUNDED_MS, unwatched)

    for attempt in (add, replace):
        archive = Archive(str(directory))
        with monkeypatch.context() as last_moment:
            last_moment.setattr("coord.backup.archive.write_manifest", dies)
            with pytest.raises(KeyboardInterrupt):
                attempt(archive)
        archive.close()
        assert loaded(directory).digest() == before

    archive = Archive(str(directory))
    history.add(archive, 30)
    archive.close()
    assert loaded(directory).digest() == history.machine(30).digest()
    assert len(parts(directory)) == 4, "what the others left is removed"


def test_a_whole_backup_takes_the_place_of_all_before(history: History, backup: Path) -> None:
    archive = Archive(str(backup))
    draft = archive.begin_state()
    draft.write(history.snapshot_file(history.last))
    archive.take_state(draft, FOUNDED_MS, unwatched)
    archive.close()

    assert loaded(backup).digest() == history.machine(history.last).digest()
    assert len(parts(backup)) == 2


@pytest.mark.parametrize(("cluster", "index"), [(CLUSTER + 1, 45), (CLUSTER, 30)])
def test_what_is_no_later_state_of_the_same_cluster_is_not_taken(
    history: History, backup: Path, cluster: int, index: int
) -> None:
    """The second has lost what was saved: its only copy must not be lost as well."""
    archive = Archive(str(backup))
    draft = archive.begin_state()
    draft.write(history.snapshot_file(index, cluster))
    with pytest.raises(OtherCluster, match="give it another directory"):
        archive.take_state(draft, FOUNDED_MS, unwatched)
    archive.close()

    assert loaded(backup).digest() == history.machine(history.last).digest()


@pytest.mark.parametrize("name", ["letters.txt", "00000000000000004711.snap", "identity.json"])
def test_a_directory_that_holds_something_else_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")

    with pytest.raises(NoBackup, match=name):
        Archive(str(tmp_path))

    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_one_at_a_time(backup: Path) -> None:
    archive = Archive(str(backup))
    for another in (lambda: Archive(str(backup)), lambda: opened(backup)):
        with pytest.raises(DirectoryInUse):
            another()
    archive.close()
    read(backup)


def test_a_damaged_state_is_not_taken(history: History, tmp_path: Path) -> None:
    archive = Archive(str(tmp_path / "backup"))
    draft = archive.begin_state()
    draft.write(history.snapshot_file(30)[:-1])
    with pytest.raises(StorageError, match="damaged or missing"):
        archive.take_state(draft, FOUNDED_MS, unwatched)
    archive.close()

    with pytest.raises(NoBackup):
        opened(tmp_path / "backup")
