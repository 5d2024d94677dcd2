"""examples/threads_lock.py, as two processes at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coord_client.sync import connect

pytestmark = pytest.mark.e2e

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "threads_lock.py"
PATIENCE = 30


def test_threads_of_two_processes_take_turns(coord_address: str) -> None:
    """Every turn has a number of its own, and the tokens grow with them."""
    root = f"/threads-lock-{os.urandom(8).hex()}"
    with connect(coord_address) as client:
        client.create(root)
    command = [sys.executable, str(PROGRAM), "--servers", f"{coord_address}{root}", "--threads", "3", "--turns", "2"]
    processes = [
        subprocess.Popen([*command, "--name", name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for name in ("w1", "w2")
    ]

    lines = [line for process in processes for line in process.communicate(timeout=PATIENCE)[0].splitlines()]

    assert [process.returncode for process in processes] == [0, 0]
    turns = sorted([int(part.partition("=")[2]) for part in line.split()[1:]] for line in lines)
    assert [number for number, _ in turns] == list(range(1, 13))
    assert turns == sorted(turns, key=lambda turn: turn[1])
