"""Processes that were started are ended, whatever state they are in."""

import signal
import subprocess
import sys

import pytest
import trio

from coord.local.processes import STOP_PATIENCE, end, open_process

pytestmark = pytest.mark.e2e

SLEEPER = "import time; print('ready', end=''); time.sleep(60)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"


async def started(program: str) -> trio.Process:
    process = await open_process([sys.executable, "-c", program], subprocess.PIPE)
    assert process.stdout is not None
    async with process.stdout:
        assert await process.stdout.receive_some() == b"ready"
    return process


async def test_a_process_that_is_stopped_is_ended_at_once() -> None:
    """It cannot act on a SIGTERM before a SIGCONT."""
    process = await started(SLEEPER)
    process.send_signal(signal.SIGSTOP)

    with trio.fail_after(STOP_PATIENCE):
        await end([process])

    assert process.poll() == -signal.SIGTERM


async def test_a_process_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coord.local.processes.STOP_PATIENCE", 0.1)
    process = await started(DEAF)

    await end([process])

    assert process.poll() == -signal.SIGKILL


async def test_an_end_is_not_cut_short_by_a_cancellation() -> None:
    process = await started(SLEEPER)

    with trio.CancelScope() as scope:
        scope.cancel()
        await end([process])

    assert process.poll() is not None
