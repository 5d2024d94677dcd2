"""A seed is a run, bit for bit: in this process, in another, and whatever the order of its sets."""

import os
import subprocess
import sys

import pytest

from coord.sim.run import run_seed

SEEDS = (2, 4, 11)
SECONDS = 4.0


@pytest.mark.parametrize("seed", SEEDS)
def test_same_seed_is_the_same_run(seed: int) -> None:
    first, second = run_seed(seed, SECONDS), run_seed(seed, SECONDS)

    assert first == second
    assert first.figures["events"] > 100


def test_other_seeds_are_other_runs() -> None:
    assert len({run_seed(seed, SECONDS).digest for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_hash_seed_of_the_process_does_not_matter(hash_seed: str) -> None:
    program = f"from coord.sim.run import run_seed\nprint(*[run_seed(seed, {SECONDS}).digest for seed in {SEEDS}])"

    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )

    assert result.stdout.split() == [run_seed(seed, SECONDS).digest for seed in SEEDS]
