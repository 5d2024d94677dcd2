"""An embedded server is there at once: what a test or an application pays for it."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_the_first_write_is_acknowledged_soon(backend: str) -> None:
    """On an idle machine in 0.1 s, with the imports, and then in 3 ms; `coord bench-embedded` measures that."""
    command = [sys.executable, "-m", "coord.local.first_write", backend]

    printed = subprocess.run(command, capture_output=True, text=True, check=True)

    first, second = map(float, printed.stdout.split())
    assert first < 5.0
    assert second < 1.0
