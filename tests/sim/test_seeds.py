"""The gate's slice of the simulator: always the same seeds. New ones: `coord sim --seeds N`."""

from collections.abc import Sequence

import pytest

from coord.sim.run import Outcome, run_seed

SEEDS = range(200)

pytestmark = pytest.mark.timeout(400)  # a third of a second each on an idle core


@pytest.fixture(scope="module")
def outcomes() -> Sequence[Outcome]:
    return [run_seed(seed) for seed in SEEDS]


def test_no_rule_is_broken(outcomes: Sequence[Outcome]) -> None:
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    assert not failed, "\n".join(f"{one.failure}\nagain: coord sim --seed {one.seed}" for one in failed)


def test_every_rule_is_put_to_the_test(outcomes: Sequence[Outcome]) -> None:
    """What never happens is never wrong."""
    figures: dict[str, int] = {}
    reached: dict[str, int] = {}
    for outcome in outcomes:
        for totals, counts in ((figures, outcome.figures), (reached, outcome.reached)):
            for name, count in counts.items():
                totals[name] = totals.get(name, 0) + count

    assert figures["requests answered"] > 80_000
    assert figures["locks won"] > 1_000
    assert figures["leases ended"] > 3_000
    assert figures["linearizable operations"] > 6_000
    assert figures["digests compared"] > 5_000
    assert figures["keys undecided"] == 0
    assert reached["BecameLeader"] > 500
    assert reached["SnapshotTaken"] > 1_500
    assert reached["SnapshotInstalled"] > 50
    assert reached["snapshot damaged"] > 15
    assert reached["change done"] > 75
    assert reached["change given up"] > 10
    assert reached["voter added"] > 10
    assert reached["learner added"] > 5
    assert reached["member replaced"] > 5
    assert reached["all replaced"] > 3
    assert reached["member refused"] > 500
    assert reached["wiped member readmitted"] > 5
    assert reached.keys() >= {
        "member removed", "member returned wiped", "Outage", "MembersChanged",
        "QuorumLost", "Truncated", "TransferStarted", "Upgrade", "LevelRaised",
        "cluster made of what was left", "power lost while a directory was made",
        "watches set again", "session expired", "client left a silent server",
    }  # fmt: skip
