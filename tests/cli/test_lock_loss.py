"""The command is dead before anybody else can hold its lock, whatever happens to servers, `coord lock` or its guard.

Each test lets a second one wait for the lock and compares two times of one clock: when the first command was last seen
running, and when the second was started.
"""

import logging
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coord import Cluster
from tests.cli.commands import PATIENCE, Shell, children_of, is_alive, until
from tests.cli.holders import Holder, holding, violations

pytestmark = pytest.mark.e2e

SHORT = ("--session-timeout", "2")  # the shortest that servers grant by default


@pytest.fixture
def shell(coord_address: str) -> Shell:
    return Shell(f"{coord_address}/cli-{os.urandom(8).hex()}")


@contextmanager
def holder_and_waiter(
    shell: Shell, directory: Path, *, is_deaf: bool = False, other: Shell | None = None
) -> Iterator[tuple[Holder, Holder]]:
    with (
        holding(shell, directory, "first", "lock", "/l", *SHORT, is_deaf=is_deaf, stderr=subprocess.PIPE) as first,
    ):
        first.wait_started()
        with holding(other or shell, directory, "second", "lock", "/l", *SHORT) as second:
            until(lambda: len((other or shell).coord("ls", "/l").lines) == 2)
            yield first, second


def assert_no_overlap(first: Holder, second: Holder, directory: Path) -> None:
    second.wait_started()
    gap = second.started[0] - first.last_beat
    logging.getLogger(__name__).info("the second was started %.3f s after the first was last seen", gap)
    assert gap > 0
    assert violations(directory) == []


@pytest.mark.parametrize("is_deaf", [False, True], ids=["heeds SIGTERM", "ignores SIGTERM"])
def test_a_frozen_coord_lock_cannot_renew_so_its_guard_stops_the_command(
    shell: Shell, tmp_path: Path, is_deaf: bool
) -> None:
    with holder_and_waiter(shell, tmp_path, is_deaf=is_deaf) as (first, second):
        first.process.send_signal(signal.SIGSTOP)

        assert_no_overlap(first, second, tmp_path)
        first.process.send_signal(signal.SIGCONT)
        _, errors = first.process.communicate(timeout=PATIENCE)
        assert first.process.returncode == 75
        assert b"session could not be confirmed in time" in errors


@pytest.mark.parametrize("is_deaf", [False, True], ids=["heeds SIGTERM", "ignores SIGTERM"])
def test_a_killed_coord_lock_takes_its_command_along(shell: Shell, tmp_path: Path, is_deaf: bool) -> None:
    """At once if it heeds SIGTERM; long before the session runs out in any case."""
    with holder_and_waiter(shell, tmp_path, is_deaf=is_deaf) as (first, second):
        first.process.kill()

        first.wait_stopped()
        assert second.started == []
        assert_no_overlap(first, second, tmp_path)


def test_the_command_is_killed_with_its_guard(shell: Shell, tmp_path: Path) -> None:
    with holder_and_waiter(shell, tmp_path, is_deaf=True) as (first, second):
        (guard,) = children_of(first.process.pid)
        os.kill(guard, signal.SIGKILL)

        assert_no_overlap(first, second, tmp_path)
        assert first.process.wait(PATIENCE) == 75


def test_the_command_itself_does_not_survive_both(shell: Shell, tmp_path: Path) -> None:
    """Its children do, if these were not asked to die with it: nobody is left to do it."""
    with shell.start("lock", "/l", "--", "sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 1000 & wait") as process:
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
        command = int((tmp_path / "pid").read_text())
        (child,) = children_of(command)
        (guard,) = children_of(process.pid)
        process.send_signal(signal.SIGSTOP)  # so that it cannot act on the guard's death

        os.kill(guard, signal.SIGKILL)
        process.kill()

        until(lambda: not is_alive(command))
        os.kill(child, signal.SIGKILL)


def test_a_frozen_guard_is_not_needed(shell: Shell, tmp_path: Path) -> None:
    """`coord lock` stops the command itself then. Here its right ends because its znode is deleted."""
    with holding(shell, tmp_path, "first", "lock", "/l", *SHORT, is_deaf=True) as first:
        first.wait_started()
        (guard,) = children_of(first.process.pid)
        (znode,) = shell.coord("ls", "/l").lines
        os.kill(guard, signal.SIGSTOP)

        shell.coord("rm", f"/l/{znode}")

        first.wait_stopped()
        assert first.process.wait(PATIENCE) == 75


@pytest.mark.parametrize("is_leader", [True, False], ids=["leader", "follower"])
def test_the_command_is_stopped_when_its_server_is_cut_off(
    coord_cluster: Cluster, tmp_path: Path, is_leader: bool
) -> None:
    """The holder knows but one server, which freezes; the others give the lock to the next when the session ends."""
    cluster = coord_cluster
    leader = cluster.leader()
    cut_off = leader if is_leader else next(member for member in cluster.members if member != leader)
    others = ",".join(cluster.address(member) for member in cluster.members if member != cut_off)
    witness = tmp_path / "witness"
    witness.mkdir()

    with holder_and_waiter(Shell(cluster.address(cut_off)), witness, is_deaf=True, other=Shell(others)) as (
        first,
        second,
    ):
        cluster.pause(cut_off)
        assert_no_overlap(first, second, witness)
        cluster.resume(cut_off)
        assert first.process.wait(PATIENCE) == 75


def test_an_election_of_the_servers_is_not_noticed(coord_cluster: Cluster, tmp_path: Path) -> None:
    cluster = coord_cluster
    with holding(Shell(cluster.servers), tmp_path, "first", "lock", "/l") as first:
        first.wait_started()

        cluster.kill(cluster.leader())
        cluster.leader()
        first.process.terminate()

        assert first.process.wait(PATIENCE) == 128 + signal.SIGTERM
