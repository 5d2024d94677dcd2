"""`coord elect`: one of those that stand for election runs the command, and only one."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coord import Cluster
from tests.cli.commands import PATIENCE, Shell, is_alive, numbers_in, until
from tests.cli.holders import Holder, holding, violations

pytestmark = pytest.mark.e2e

SHORT = ("--session-timeout", "2")


@pytest.fixture
def shell(coord_address: str) -> Shell:
    return Shell(f"{coord_address}/cli-{os.urandom(8).hex()}")


@contextmanager
def two_candidates(shell: Shell, directory: Path, other: Shell | None = None) -> Iterator[tuple[Holder, Holder]]:
    """The first leads."""
    with holding(shell, directory, "first", "elect", "/e", *SHORT, stderr=subprocess.DEVNULL) as first:
        first.wait_started()
        with holding(other or shell, directory, "second", "elect", "/e", *SHORT, stderr=subprocess.DEVNULL) as second:
            until(lambda: len((other or shell).coord("ls", "/e").lines) == 2)
            assert second.started == []
            yield first, second


def assert_succession(first: Holder, second: Holder, directory: Path) -> None:
    second.wait_started()
    assert first.last_beat < second.started[0]
    assert violations(directory) == []
    tokens = numbers_in(directory / "tokens")
    assert tokens == sorted(set(tokens))


@pytest.mark.parametrize("server", ["coord", "zookeeper"])
def test_another_takes_over_when_the_leader_is_killed(
    server: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    shell = Shell(f"{request.getfixturevalue(f'{server}_address')}/cli-{os.urandom(8).hex()}")
    with two_candidates(shell, tmp_path) as (first, second):
        first.process.kill()

        assert_succession(first, second, tmp_path)


def test_sigterm_stops_the_command_and_lets_the_next_lead_at_once(shell: Shell, tmp_path: Path) -> None:
    with two_candidates(shell, tmp_path) as (first, second):
        first.process.terminate()

        assert first.process.wait(PATIENCE) == 0
        assert not is_alive(first.worker)
        assert_succession(first, second, tmp_path)
        assert len(shell.ask("ls", "/e").lines) == 1


def test_who_waits_leaves_at_a_sigterm(shell: Shell, tmp_path: Path) -> None:
    with two_candidates(shell, tmp_path) as (_, second):
        second.process.terminate()

        assert second.process.wait(PATIENCE) == 0
        assert second.started == []
        assert len(shell.ask("ls", "/e").lines) == 1


def test_a_command_that_ends_is_started_again_where_it_was(shell: Shell, tmp_path: Path) -> None:
    script = f'echo "$COORD_LOCK_TOKEN" >> {tmp_path}/tokens; exit 3'
    with shell.start(
        "elect", "/e", "--restart-delay", "0.05", "--", "sh", "-c", script, stderr=subprocess.PIPE
    ) as process:
        until(lambda: len(numbers_in(tmp_path / "tokens")) >= 3)
        process.terminate()

        _, log = process.communicate(timeout=PATIENCE)

    assert process.returncode == 0
    assert len(set(numbers_in(tmp_path / "tokens"))) == 1, "it leads all the time"
    assert b"the command ended with 3; it starts again in 0.05 s" in log
    assert b"the command ended with 3; it starts again in 0.1 s" in log


def test_once_ends_as_the_command_does(shell: Shell) -> None:
    ended = shell.coord("elect", "/e", "--once", "--", "sh", "-c", "echo ran; exit 7")

    assert (ended.code, ended.text) == (7, "ran\n")
    assert shell.ask("ls", "/e").lines == []


def test_a_leader_that_is_cut_off_stops_and_stands_again(coord_cluster: Cluster, tmp_path: Path) -> None:
    leader = coord_cluster.leader()
    cut_off = next(member for member in coord_cluster.members if member != leader)
    witness = tmp_path / "witness"
    witness.mkdir()
    others = Shell(coord_cluster.address(leader))
    with two_candidates(Shell(coord_cluster.address(cut_off)), witness, others) as (first, second):
        coord_cluster.pause(cut_off)
        assert_succession(first, second, witness)
        coord_cluster.resume(cut_off)

        second.process.send_signal(signal.SIGTERM)
        first.wait_started(2)
        assert second.process.wait(PATIENCE) == 0
        assert violations(witness) == []
