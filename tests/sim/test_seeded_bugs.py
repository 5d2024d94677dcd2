"""A simulator that is silent proves nothing unless it is known to speak: each bug put in must be found."""

import pytest

from coord.sim.run import run_seed
from tests.sim.bugs import BUGS, HIDING

SECONDS = 5.0
"""Of faults, per seed: many short runs find more than few long ones."""

SEEDS = 60
SEEDS_FOR_HIDING = 600
"""A bug that is not found in so many hides too well: the judge is blind, or the weather too mild."""


@pytest.mark.parametrize("name", [name for name in BUGS if name not in HIDING])
def test_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find(name, SEEDS, monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", HIDING)
def test_bug_that_hides_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find(name, SEEDS_FOR_HIDING, monkeypatch)


def find(name: str, seeds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[name](monkeypatch)
    found = next((seed for seed in range(seeds) if run_seed(seed, SECONDS).failure is not None), None)
    assert found is not None, f"{name} hides from {seeds} seeds"
