"""A run as a whole: that it does something, notices when something is wrong, and can be made smaller."""

import json
import re
from itertools import count
from random import Random

import pytest
from click.testing import CliRunner

from coord.cli.sim import sim
from coord.sim.faults import LEADER, BreakLink, Fault, FillDisk, Freeze, Isolate, Kill, KillAll, Upgrade
from coord.sim.migration import MAKERS as MOVES
from coord.sim.moves import Add, Mistype, Move, Outage, Remove, Replace, ReplaceAll, Return, SwapPart, Wipe
from coord.sim.run import Outcome, run_seed
from coord.sim.shrink import rule_of, shrink
from coord.sim.swarm import MAKERS, draw
from coord.tree.levels import FIRST, LEVEL
from tests.sim.bugs import BUGS

SEED_OF_THREE = 0
"""A cluster of three on an even network."""

EVERYTHING_FAILS: list[Fault] = [
    Kill(1.0, 0, 0.5, True, None, None),
    Kill(2.0, 0, 0.5, True, "submit", 5),
    Isolate(3.0, 0, 1.0, True, True, False),
    Freeze(4.5, 0, 1.5),
    FillDisk(5.0, 1, 1.0),
    KillAll(6.5, 0.5),
]


def test_swarm_draws_calm_and_stormy_seeds_of_all_kinds() -> None:
    profiles, faults = zip(*(draw(seed, 8.0, Random(seed)) for seed in range(300)), strict=True)

    calm = sum(not drawn for drawn in faults)
    assert 0.1 < calm / 300 < 0.2
    assert {profile.members for profile in profiles} == {1, 3, 5}
    assert {type(fault) for drawn in faults for fault in drawn} >= {
        type(fault) for fault in [*EVERYTHING_FAILS, BreakLink(0.0, 1, 2)]
    }
    assert len({type(fault) for drawn in faults for fault in drawn}) == len(MAKERS) + len([Upgrade]) + len(MOVES)


def test_cluster_survives_everything_at_once() -> None:
    assert run_seed(1, keep=lambda drawn: EVERYTHING_FAILS).failure is None


def test_level_rises_when_the_last_member_is_upgraded() -> None:
    """And not before, however long it takes."""
    seed = next(seed for seed in count() if draw(seed, 3.0, Random(seed))[0].early)

    upgraded = run_seed(seed, 3.0, keep=lambda drawn: [fault for fault in drawn if isinstance(fault, Upgrade)])
    left = run_seed(seed, 3.0, keep=lambda drawn: [])

    assert (upgraded.failure, left.failure) == (None, None)
    assert left.reached["LevelRaised"] == left.profile.members * (LEVEL - 1 - FIRST), "as high as the early ones know"
    assert upgraded.reached["LevelRaised"] > left.reached["LevelRaised"]


MOVES_AND_WHAT_COMES_OF_THEM: list[tuple[list[Move], str]] = [
    ([Add(3.0, 2, False, 0.0)], "voter added"),
    ([Add(3.0, 1, True, 0.3), SwapPart(5.0)], "learner added"),
    ([Mistype(3.0)], "change given up"),
    ([Add(3.0, 1, False, 0.0), Remove(5.0, LEADER, True)], "member removed"),
    ([Replace(3.0, LEADER, True)], "member replaced"),
    ([ReplaceAll(3.0)], "all replaced"),
    ([Remove(3.0, 2, False), Return(5.0, True)], "member returned wiped"),
    ([Remove(3.0, 2, False), Return(5.0, False)], "added again"),
    ([Wipe(3.0, LEADER, 0.5)], "wiped member readmitted"),
    ([Wipe(3.0, 2, 0.5), Outage(4.0, 4.0)], "wiped member readmitted"),
]


@pytest.mark.parametrize(("moves", "mark"), MOVES_AND_WHAT_COMES_OF_THEM)
def test_operator_sees_moves_through(moves: list[Move], mark: str) -> None:
    outcome = run_seed(SEED_OF_THREE, keep=lambda drawn: moves)

    assert outcome.profile.members == 3
    assert outcome.failure is None
    assert mark in outcome.reached


def test_power_fails_in_the_middle_of_writes() -> None:
    """What is torn is cut off at the next start, and was never acknowledged."""
    failures = [Kill(0.5 + 0.4 * number, LEADER, 0.3, True, "writing", None) for number in range(15)]
    outcomes = [run_seed(seed, keep=lambda drawn: failures) for seed in range(4)]

    assert [outcome.failure for outcome in outcomes] == [None] * 4
    assert sum(outcome.reached.get("torn write cut off", 0) for outcome in outcomes) > 1


def test_failing_seed_is_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all that happens only what lets a member fall behind, and then deposes the leader, matters to this bug."""
    BUGS["vote_for_a_log_that_is_behind"](monkeypatch)
    outcome = next(filter(_has_failed, map(run_seed, range(100))))
    assert len(outcome.faults) > 1

    kept, smaller = shrink(outcome, outcome.profile.duration, tell=lambda line: None)

    assert rule_of(smaller) == rule_of(outcome)
    assert len(kept) == len(smaller.faults) < len(outcome.faults)
    again = run_seed(outcome.seed, keep=lambda faults: [faults[position] for position in sorted(kept)])
    assert again == smaller


def _has_failed(outcome: Outcome) -> bool:
    return outcome.failure is not None


# -- the command


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(sim, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.output


def test_command_plays_one_seed() -> None:
    code, output = invoke("--seed", "3", "--time", "2")

    assert code == 0
    assert output.startswith("seed 3: all well.")
    assert f"trace {run_seed(3, 2.0).digest}" in output


def test_command_prints_what_happens() -> None:
    code, output = invoke("--seed", "3", "--time", "1", "--verbose")

    assert code == 0
    assert "server 1 starts, incarnation" in output
    assert "all faults heal" in output


def test_command_plays_many_seeds_as_json() -> None:
    code, output = invoke("--seed", "5", "--seeds", "3", "--time", "1", "--json")

    assert code == 0
    lines = [json.loads(line) for line in output.splitlines()]
    assert [line["seed"] for line in lines] == [5, 6, 7]
    assert all(line["failure"] is None for line in lines)
    assert lines[0]["again"] == "coord sim --seed 5 --time 1"


def test_command_sums_many_seeds_up() -> None:
    code, output = invoke("--seeds", "2", "--time", "1")

    assert code == 0
    assert re.search(r"^seeds \d+ to \d+: all well; \d+ s simulated in .* × real time$", output, re.M)
    assert "requests answered" in output
    assert "BecameLeader" in output


def test_command_fails_with_the_line_that_plays_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS["ephemerals_outlive_their_session"](monkeypatch)

    code, output = invoke("--seed", "0", "--seeds", "2", "--time", "3")

    assert code == 1
    assert "FAILED" in output
    assert "  again: coord sim --seed " in output
    enough = re.search(r"  enough: coord sim (.*)", output)
    assert enough is not None
    assert invoke(*enough[1].split())[0] == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--seeds", "0"), "0 is not in the range x>=1"),
        (("--seed", "1", "--faults", "1,x"), "'1,x' is not a list of positions"),
        (("--seeds", "2", "--verbose"), "--verbose is for one seed"),
        (("--seeds", "2", "--faults", "1"), "--faults is for one seed"),
    ],
)
def test_command_says_what_is_wrong_with_its_arguments(arguments: tuple[str, ...], complaint: str) -> None:
    code, output = invoke(*arguments)

    assert code == 2
    assert complaint in output
