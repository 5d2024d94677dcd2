"""The benchmark of snapshots on tiny trees: it measures what it says, and its table tells what was missed."""

import signal
from array import array
from pathlib import Path

import pytest

from coord.cli.bench_ensembles import Ensemble
from coord.cli.bench_scenario import Scenario, run_scenario
from tests.bench.snapshot_joins import measure_join
from tests.bench.snapshot_logs import bound, files_of, measure_log
from tests.bench.snapshot_phases import LOADS, NORMAL, SNAPSHOTS, measure_phases
from tests.bench.snapshot_restarts import restart
from tests.bench.snapshot_servers import NEVER, TurnCoord, data_of, path_of, plant, take_snapshot, turns_file
from tests.bench.snapshots import Line, table
from tests.bench.turns import Span, Turns

ZNODES = 1500  # below two parents


def test_turns_are_of_all_servers_and_of_the_spans_alone(tmp_path: Path) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    files[0].write_bytes(array("q", [10, 5_000_000, 1_000_000, 20, 3_000_000, 2_000_000]).tobytes())
    files[1].write_bytes(array("q", [11, 4_000_000, 3_000_000]).tobytes())

    turns = Turns.read(files, [Span(0, 11), Span(11, 20)])

    assert turns == Turns([4.0, 5.0], [1.0, 3.0])


@pytest.mark.e2e
def test_server_notes_its_turns() -> None:
    with Ensemble(TurnCoord(NEVER), 1) as ensemble:
        ensemble.start()
        measured = run_scenario(ensemble.addresses, Scenario("set", 4, 1), warmup=0.0, duration=0.2)
        ensemble.signal(0, signal.SIGTERM)
        ensemble.wait(0)
        turns = Turns.read([turns_file(ensemble.layout, 0)], [Span(0, 1 << 62)])

    assert len(turns.wall) >= measured.latencies.count / 4
    assert 0 < turns.wall[0] <= turns.wall[-1] < 1000
    assert sum(turns.cpu) <= sum(turns.wall)


@pytest.mark.e2e
def test_phases_are_measured_with_and_without_snapshots() -> None:
    phases = measure_phases(ZNODES, members=1, rounds=1, seconds=0.3)

    assert set(phases.turns) == {(load, what) for load in LOADS for what in (NORMAL, SNAPSHOTS)}
    assert all(turns.wall for turns in phases.turns.values())
    assert all(phases.rates.ratio(load, SNAPSHOTS, NORMAL) for load in LOADS)
    assert phases.snapshot_seconds


@pytest.mark.e2e
def test_server_serves_what_it_had_from_its_snapshot() -> None:
    with Ensemble(TurnCoord(NEVER), 1) as ensemble:
        ensemble.start()
        plant(ensemble.addresses[0], ZNODES)
        take_snapshot(ensemble.addresses[0])

        assert restart(ensemble, path_of(ZNODES - 1)) < 30

        assert len(list(data_of(ensemble.layout, 0).glob("snapshots/*.snap"))) == 1


@pytest.mark.e2e
def test_sizes_of_log_and_snapshots_are_seen() -> None:
    sizes = measure_log(64 * 1024, ZNODES, seconds=1.0)

    assert sizes.log
    assert sizes.snapshots
    assert sizes.taken
    assert sizes.log <= bound(sizes, 64 * 1024)
    assert sizes.writes > ZNODES


@pytest.mark.e2e
def test_a_new_member_gets_its_vote_under_load() -> None:
    join = measure_join(ZNODES, seconds=0.5)

    assert 0 < join.seconds < 60
    assert join.normal > 0
    assert join.meanwhile > 0


def test_directory_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert files_of(tmp_path / "none") == {}


def test_table_tells_what_is_missed() -> None:
    lines = [Line("turns", "12 ms", "≤ 10 ms", is_met=False), Line("ratio", "0.9", "≥ 0.8"), Line("memory", "80 MB")]

    assert list(table(iter(lines)))[2:] == [
        "| turns | 12 ms | ≤ 10 ms (missed) |",
        "| ratio | 0.9 | ≥ 0.8 |",
        "| memory | 80 MB |  |",
    ]
