"""`coord lock` as a command: who runs when, what it is told, and how it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coord.local.ports import free_ports
from tests.cli.commands import PATIENCE, Shell, is_alive, numbers_in, until
from tests.cli.holders import holding

pytestmark = pytest.mark.e2e


@pytest.fixture(params=["coord", "zookeeper"])
def shell(request: pytest.FixtureRequest) -> Shell:
    server = request.getfixturevalue(f"{request.param}_address")
    root = f"/cli-{os.urandom(8).hex()}"
    assert Shell(server).ask("create", root).code == 0
    return Shell(f"{server}{root}")


@pytest.fixture
def coord_shell(coord_address: str) -> Shell:
    """For what does not depend on the server."""
    return Shell(f"{coord_address}/cli-{os.urandom(8).hex()}")


def test_commands_run_one_at_a_time_and_their_tokens_grow(shell: Shell, tmp_path: Path) -> None:
    script = f'cd {tmp_path}; set -C; : > witness || exit 9; echo "$COORD_LOCK_TOKEN" >> tokens; sleep 0.05; rm witness'
    processes = [shell.start("lock", "/l", "--", "sh", "-c", script) for _ in range(5)]

    assert [process.wait(PATIENCE) for process in processes] == [0] * 5

    tokens = numbers_in(tmp_path / "tokens")
    assert len(set(tokens)) == 5
    assert tokens == sorted(tokens)


def test_those_who_share_it_run_together_and_a_writer_alone(shell: Shell, tmp_path: Path) -> None:
    """And fairly: who comes to share after the writer waits for it."""
    waiting = f"touch {tmp_path}/$0; while ! test -e {tmp_path}/go; do sleep 0.01; done"
    both = [shell.start("lock", "/l", "--shared", "--", "sh", "-c", waiting, name) for name in ("one", "two")]
    until(lambda: (tmp_path / "one").exists() and (tmp_path / "two").exists())
    order = f"echo $0 >> {tmp_path}/order"
    writer = shell.start("lock", "/l", "--", "sh", "-c", order, "writer")
    until(lambda: len(shell.ask("ls", "/l").lines) == 3)
    late = shell.start("lock", "/l", "--shared", "--", "sh", "-c", order, "late")
    until(lambda: len(shell.ask("ls", "/l").lines) == 4)
    assert not (tmp_path / "order").exists()

    (tmp_path / "go").touch()

    assert [process.wait(PATIENCE) for process in (*both, writer, late)] == [0] * 4
    assert (tmp_path / "order").read_text().split() == ["writer", "late"]


def test_the_command_is_told_what_it_holds(shell: Shell) -> None:
    ended = shell.coord("lock", "/l", "--", "env")

    told = dict(line.split("=", 1) for line in ended.lines if line.startswith("COORD_"))
    assert told["COORD_LOCK_PATH"] == "/l"
    assert told["COORD_LOCK_ZNODE"].startswith("/l/")
    assert int(told["COORD_LOCK_TOKEN"]) > 0
    assert told["COORD_SERVERS"] == shell.servers
    assert shell.ask("ls", "/l").lines == [], "the lock is free again"


def test_its_exit_code_is_the_commands(coord_shell: Shell, tmp_path: Path) -> None:
    not_executable = tmp_path / "file"
    not_executable.touch()
    for command, code in (
        (("true",), 0),
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "kill -TERM $$"), 128 + signal.SIGTERM),
        (("no-such-command",), 127),
        ((str(not_executable),), 126),
    ):
        assert coord_shell.coord("lock", "/l", "--", *command).code == code


def test_stdin_and_stdout_are_the_commands(coord_shell: Shell) -> None:
    assert coord_shell.coord("lock", "/l", "--", "cat", stdin=b"\x00through\xff").stdout == b"\x00through\xff"


def test_who_does_not_win_in_time_says_so_by_the_exit_code(shell: Shell, tmp_path: Path) -> None:
    with holding(shell, tmp_path, "first", "lock", "/l", "--name", "first") as first:
        first.wait_started()

        loser = shell.coord("lock", "/l", "--timeout", "0.2", "--", "echo", "ran")
        impatient = shell.coord("lock", "/l", "--timeout", "0", "-E", "66", "--", "echo", "ran")

        assert (loser.code, loser.stdout) == (1, b"")
        assert "not won in 0.2 s" in loser.stderr
        assert (impatient.code, impatient.stdout) == (66, b"")
        (contender,) = shell.ask("ls", "/l").lines
        assert shell.ask("get", f"/l/{contender}").text == "first"


def test_no_server_is_exit_code_3() -> None:
    shell = Shell(f"127.0.0.1:{free_ports(1)[0]}")

    assert shell.coord("lock", "/l", "--session-timeout", "0.5", "--", "true").code == 3


def test_signals_are_passed_on(coord_shell: Shell, tmp_path: Path) -> None:
    script = f"trap 'exit 5' TERM; touch {tmp_path}/ready; while :; do sleep 0.01; done"
    with coord_shell.start("lock", "/l", "--", "sh", "-c", script) as process:
        until((tmp_path / "ready").exists)

        process.terminate()

        assert process.wait(PATIENCE) == 5


def test_who_is_told_to_end_while_it_waits_leaves_the_queue(coord_shell: Shell, tmp_path: Path) -> None:
    with holding(coord_shell, tmp_path, "first", "lock", "/l") as first:
        first.wait_started()
        with coord_shell.start("lock", "/l", "--", "true") as second:
            until(lambda: len(coord_shell.ask("ls", "/l").lines) == 2)

            second.terminate()

            assert second.wait(PATIENCE) == 128 + signal.SIGTERM
        assert len(coord_shell.ask("ls", "/l").lines) == 1


def test_what_the_command_leaves_behind_in_its_group_is_stopped(coord_shell: Shell) -> None:
    """It would run on without the lock."""
    ended = coord_shell.coord("lock", "/l", "--", "sh", "-c", "sleep 1000 > /dev/null & echo $!; exit 3")

    assert ended.code == 3
    assert not is_alive(int(ended.text))


def test_a_command_that_is_deaf_is_killed_with_all_its_children(coord_shell: Shell, tmp_path: Path) -> None:
    """When somebody takes its znode away, another may hold the lock at once."""
    with holding(coord_shell, tmp_path, "deaf", "lock", "/l", is_deaf=True, stderr=subprocess.PIPE) as holder:
        holder.wait_started()
        (znode,) = coord_shell.ask("ls", "/l").lines

        coord_shell.ask("rm", f"/l/{znode}")

        _, errors = holder.process.communicate(timeout=PATIENCE)
        assert holder.process.returncode == 75
        assert b"somebody touched its znode" in errors
        assert not is_alive(holder.worker)


def test_a_stop_that_no_healthy_session_has_time_for_is_refused(coord_shell: Shell) -> None:
    refused = coord_shell.coord("lock", "/l", "--kill-after", "8", "--", "true")

    assert refused.code == 2
    assert "too long" in refused.stderr


def test_the_command_reads_the_terminal(coord_shell: Shell) -> None:
    script = "echo ready; read line; echo got $line"
    with coord_shell.on_terminal("lock", "/l", "--", "sh", "-c", script) as terminal:
        terminal.until_shown("ready")
        terminal.type("this\n")

        terminal.until_shown("got this")
        assert terminal.wait() == 0


def test_ctrl_c_is_for_the_command(coord_shell: Shell) -> None:
    script = "trap 'echo tidied; exit 4' INT; echo ready; while :; do sleep 0.1; done"
    with coord_shell.on_terminal("lock", "/l", "--", "sh", "-c", script) as terminal:
        terminal.until_shown("ready")
        terminal.type("\x03")

        terminal.until_shown("tidied")
        assert terminal.wait() == 4


def test_ctrl_z_does_not_suspend_who_holds_a_lock(coord_shell: Shell) -> None:
    script = "echo ready; read line; echo got $line"
    with coord_shell.on_terminal("lock", "/l", "--", "sh", "-c", script) as terminal:
        terminal.until_shown("ready")
        terminal.type("\x1a")

        terminal.until_shown("not suspended")
        terminal.type("on\n")
        terminal.until_shown("got on")
        assert terminal.wait() == 0


def test_a_pager_behind_a_pipe_keeps_the_terminal(coord_shell: Shell, tmp_path: Path) -> None:
    """It would be suspended when it reads the keyboard, if the command had taken that."""
    pager = f"read started; read key < /dev/tty; echo got \\$key; touch {tmp_path}/read; cat"
    locked = f"echo started; while ! test -e {tmp_path}/read; do sleep 0.01; done; echo over"
    pipeline = f'"{sys.executable}" -m coord lock /l -- sh -c "{locked}" | sh -c "{pager}"'
    with coord_shell.on_terminal("lock", "/other", "--", "sh", "-c", pipeline) as terminal:
        terminal.type("this\n")

        terminal.until_shown("got this")
        terminal.until_shown("over")
        assert terminal.wait() == 0
