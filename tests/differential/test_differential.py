"""A slice of the campaign for the gate, and the tester's own parts."""

from collections.abc import Iterator, Sequence

import pytest

import coord
from coord_protocol.requests import DeleteRequest, OpCode
from tests.differential.arena import Arena
from tests.differential.compare import compare
from tests.differential.draw import draw
from tests.differential.known import AVOIDED, KNOWN, MASKED
from tests.differential.play import Line
from tests.differential.shrink import shrink
from tests.differential.steps import Ask, Connect, Drop, Step, line_of, read

SEEDS = range(30)
STEPS = 100


@pytest.fixture(scope="module")
def arena(zookeeper_address: str) -> Iterator[Arena]:
    with coord.embedded(max_session=40) as server:
        yield Arena(zookeeper_address, server.address)


@pytest.mark.e2e
@pytest.mark.parametrize("seed", SEEDS)
def test_zookeeper_and_coord_say_the_same(arena: Arena, seed: int) -> None:
    report, _ = arena.report(seed, STEPS)

    assert report == "", report


def test_a_seed_draws_the_same_steps_again() -> None:
    assert draw(7, 50) == draw(7, 50)
    assert draw(7, 50) != draw(8, 50)


def test_steps_read_back_what_was_printed() -> None:
    """A failure is a few lines, and those lines are enough to see it again."""
    steps = [step for seed in range(20) for step in draw(seed, 100)]

    assert read(map(line_of, steps)) == steps


def test_shrinking_keeps_only_what_it_takes() -> None:
    steps: list[Step] = [Drop(client) for client in range(40)]

    def differs(trial: Sequence[Step]) -> int | None:
        return len(trial) - 1 if {Drop(3), Drop(17)} <= set(trial) else None

    assert shrink(steps, differs) == [Drop(3), Drop(17)]


def test_an_answer_that_is_missing_is_a_difference() -> None:
    steps: list[Step] = [Connect(0), Ask(0, OpCode.DELETE, DeleteRequest("~/a", -1))]

    comparison = compare(steps, {0: [Line(0, "new"), Line(1, "ok")]}, {0: [Line(0, "new")]})

    assert comparison.difference is not None
    assert comparison.difference.told(steps) == (
        "step 1, client 0: Ask(0, OpCode.DELETE, DeleteRequest(path='~/a', version=-1))\n"
        "  ZooKeeper: ok\n"
        "  coord:     nothing more"
    )


def test_each_known_difference_has_its_reason() -> None:
    names = [known.name for known in KNOWN]

    assert len(set(names)) == len(names)
    assert all([*(known.reason for known in KNOWN), *MASKED.values(), *AVOIDED.values()])
