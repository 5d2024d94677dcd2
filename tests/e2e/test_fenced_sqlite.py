"""examples/fenced_sqlite.py: a leader that was stopped corrupts an account without its token, and not with it."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "fenced_sqlite.py"


@pytest.mark.e2e
def test_one_payment_is_lost_without_the_token_and_none_with_it(coord_address: str) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLE, "--servers", coord_address], capture_output=True, text=True, timeout=60, check=True
    )

    without, with_token = done.stdout.split("with the token:")
    assert "the account holds 110, of 120" in without
    assert "was refused" not in without
    assert "first was refused" in with_token
    assert "the account holds 120, of 120" in with_token
