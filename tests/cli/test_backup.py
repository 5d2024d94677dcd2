"""`coord backup`, `restore` and `recover`: as operators and scripts call them. What comes of it: `tests/e2e`."""

from pathlib import Path

import pytest

from tests.backup.building import History
from tests.cli.commands import Shell

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def history() -> History:
    history = History()
    history.fill(30)
    return history


@pytest.fixture
def backup(history: History, tmp_path: Path) -> Path:
    history.save(tmp_path / "backup", 20, 25, history.last)
    return tmp_path / "backup"


def test_what_is_saved_is_told_and_can_be_verified(coord_address: str, tmp_path: Path) -> None:
    shell, directory = Shell(coord_address), str(tmp_path / "backup")

    first = shell.ask("backup", directory)
    second = shell.ask("backup", directory, "--json").document
    full = shell.ask("backup", directory, "--full")
    sound = shell.ask("backup", directory, "--verify", "--json").document

    assert first.text.startswith("saved all")
    assert "(there was none)" in first.text
    assert "checking: 100 %" in first.stderr
    assert second["saved"] == "new"
    assert len(second["files"]) == 2
    assert "(as asked)" in full.text
    assert sound["zxid"] > second["zxid"]
    assert len(sound["files"]) == 1


def test_a_log_that_has_outgrown_the_state_is_replaced_by_a_new_state(
    coord_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coord.backup.download.OUTGROWN_BYTES", 0)
    shell, directory = Shell(coord_address), str(tmp_path / "backup")
    shell.ask("backup", directory)
    shell.ask("create", "/large", "-", stdin=bytes(100_000))
    shell.ask("rm", "/large")

    assert shell.ask("backup", directory, "--json").document["saved"] == "new"
    assert "had become larger" in shell.ask("backup", directory).text
    assert len(list((tmp_path / "backup").iterdir())) == 3, "with the lock"


def test_a_damaged_backup_is_refused_with_file_and_offset(backup: Path, tmp_path: Path) -> None:
    shell = Shell("127.0.0.1:1")
    state = next(backup.glob("state-*"))
    content = bytearray(state.read_bytes())
    content[200] ^= 1
    state.write_bytes(content)

    for command in (("backup", str(backup), "--verify"), ("restore", str(backup), "--data", str(tmp_path / "new"))):
        ended = shell.ask(*command)
        assert ended.code == 1
        assert f"{state.name}, offset" in ended.stderr
    assert not (tmp_path / "new").exists()


def test_a_directory_that_is_no_backup_is_refused(coord_address: str, tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("mine")
    for command in (("backup", str(tmp_path)), ("restore", str(tmp_path), "--data", str(tmp_path / "new"))):
        ended = Shell(coord_address).ask(*command)
        assert ended.code == 1
        assert "no backup" in ended.stderr


def test_no_server_leaves_no_backup(tmp_path: Path) -> None:
    ended = Shell("127.0.0.1:1").ask("backup", str(tmp_path / "backup"), "--timeout", "0.2")

    assert ended.code == 3
    assert Shell("127.0.0.1:1").ask("backup", str(tmp_path / "backup"), "--verify").code == 1


def test_the_first_member_tells_how_to_make_the_others(backup: Path, tmp_path: Path) -> None:
    shell = Shell("127.0.0.1:1")
    members = "1=a:1,2=b:2"

    first = shell.ask("restore", str(backup), "--data", str(tmp_path / "1"), "--members", members)
    command = next(line for line in first.lines if line.startswith("coord restore"))
    second = shell.ask(*command.removesuffix(" …").split()[1:], str(tmp_path / "2"))

    cluster = first.text.split("cluster ")[1].split()[0]
    assert first.code == second.code == 0
    assert f"member 2 of the new cluster {cluster}" in second.text


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--founded", "2020-01-01T00:00:00+00:00"), "24 hours"),
        (("--founded", "2020-01-01"), "zone"),
        (("--founded", "yesterday"), "expected a time"),
        (("--members", "1=a:1", "--id", "2"), "not among"),
        (("--members", "a:1"), "expected ID"),
    ],
)
def test_what_makes_no_sense_is_refused(backup: Path, tmp_path: Path, options: tuple[str, ...], complaint: str) -> None:
    ended = Shell("127.0.0.1:1").ask("restore", str(backup), "--data", str(tmp_path / "new"), *options)

    assert ended.code == 2
    assert complaint in ended.stderr
    assert not (tmp_path / "new").exists()


def test_recover_says_what_may_be_lost_and_asks(history: History, tmp_path: Path) -> None:
    left = history.member(tmp_path / "left", 1, 30)
    shell = Shell("127.0.0.1:1")
    command = ("recover", str(left), "--data", str(tmp_path / "new"))

    assert "--yes" in shell.ask(*command).stderr, "nobody can be asked"
    with shell.on_terminal(*command) as terminal:
        terminal.until_shown("loading")
        terminal.until_shown("100%")
        terminal.until_shown("up to zxid 0x1e of term 1")
        terminal.until_shown("missing: 2, 3")
        terminal.until_shown("is lost")
        terminal.until_shown("Make a new cluster of it?")
        terminal.type("n\n")
        assert terminal.wait() == 1
    assert not (tmp_path / "new").exists()
    done = shell.ask(*command, "--yes", "--json")
    assert done.code == 0
    assert done.document["member"] == 1


def test_recover_has_no_need_where_a_majority_is_left(history: History, tmp_path: Path) -> None:
    left = [str(history.member(tmp_path / str(member), member, 25 + member)) for member in (1, 2)]

    done = Shell("127.0.0.1:1").ask("recover", *left, "--data", str(tmp_path / "new"), "--yes")

    assert f"{left[1]} has most" in done.stderr
    assert "nothing that was acknowledged is missing" in done.stderr


def test_progress_is_shown_on_a_terminal(coord_address: str, tmp_path: Path) -> None:
    shell, backup = Shell(coord_address), str(tmp_path / "backup")
    commands = {
        ("backup", backup): ("reading", "checking"),
        ("backup", backup, "--verify"): ("loading",),
        ("restore", backup, "--data", str(tmp_path / "new")): ("loading", "writing"),
    }
    for command, stages in commands.items():
        with shell.on_terminal(*command) as terminal:
            for what in stages:
                terminal.until_shown(what)
                terminal.until_shown("100%")
            assert terminal.wait() == 0
