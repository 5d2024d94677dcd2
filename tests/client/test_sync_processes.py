"""What becomes of the portal, and of clients that nobody closed, when a process ends, is interrupted, or forks."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from coord_client.sync import Client, connect
from tests.client import sync_programs

pytestmark = pytest.mark.e2e

PATIENCE = 20.0


@pytest.fixture
def server(coord_address: str) -> str:
    """`host:port/chroot`, with nothing below it."""
    root = f"/sync-{os.urandom(8).hex()}"
    with connect(coord_address) as client:
        client.create(root)
    return f"{coord_address}{root}"


@pytest.fixture
def client(server: str) -> Iterator[Client]:
    with connect(server) as client:
        yield client


@contextmanager
def running(program: Callable[[str], None], server: str) -> Iterator["subprocess.Popen[str]"]:
    """A Python whose warnings are errors, as they are here."""
    call = f"import sys, {sync_programs.__name__} as programs; programs.{program.__name__}(sys.argv[1])"
    command = [sys.executable, "-W", "error", "-c", call, server]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def end_of(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Status, output, errors."""
    output, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, output, errors


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end


@pytest.mark.parametrize(
    ("program", "status"), [(sync_programs.forgets_to_close, 0), (sync_programs.fails_while_holding, 3)]
)
def test_sessions_end_with_the_interpreter(
    program: Callable[[str], None], status: int, server: str, client: Client
) -> None:
    """Their locks are free at once, not when the session has run out."""
    with running(program, server) as process:
        assert end_of(process) == (status, "", "")

    assert client.exists("/mine") is None
    assert client.get_children("/lock") == []


def test_ctrl_c_takes_a_waiting_thread_out_of_the_queue(server: str, client: Client) -> None:
    with client.lock("/lock"), running(sync_programs.waits_for_a_lock_until_ctrl_c, server) as process:
        wait_until(lambda: len(client.get_children("/lock")) == 2)

        process.send_signal(signal.SIGINT)

        assert end_of(process) == (0, "interrupted; 1 in the queue\n", "")


def test_ctrl_c_ends_the_reading_of_events_and_not_the_client(server: str, client: Client) -> None:
    with running(sync_programs.reads_events_until_ctrl_c, server) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "CHILDREN_CHANGED of /\n"

        process.send_signal(signal.SIGINT)

        assert end_of(process) == (0, "interrupted; connected\n", "")


@pytest.mark.parametrize(
    "program",
    [
        sync_programs.forks_while_holding,
        sync_programs.hands_work_to_a_pool,
        sync_programs.serves_with_forked_workers,
    ],
)
def test_a_forked_process_has_a_client_of_its_own_and_leaves_its_parents_alone(
    program: Callable[[str], None], server: str
) -> None:
    with running(program, server) as process:
        assert end_of(process) == (0, "", "")
