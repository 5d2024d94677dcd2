"""The comparison of Python clients: its stopwatch, and one short measurement of each kind on real servers."""

import time
from collections.abc import Iterator

import pytest

from coord.cli.bench_callers import Stopwatch, paths_of
from coord.cli.bench_client import COLUMNS, HAND_OFF, OPERATIONS, ROWS, import_ms, measure
from coord.cli.bench_compare import Results, markdown
from coord.cli.bench_ensembles import Ensemble
from coord.cli.bench_kinds import Coord
from coord.cli.bench_load import LoadError


def test_stopwatch_counts_what_ends_after_the_warm_up_and_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0
    monkeypatch.setattr(time, "perf_counter_ns", lambda: now)
    stopwatch = Stopwatch(seconds=2.0)
    for now, is_going_on in ((500_000_000, True), (1_000_000_000, True), (2_999_999_999, True), (3_000_000_000, False)):
        assert stopwatch.count(began_ns=now - 1_000_000) is is_going_on

    assert stopwatch.work().per_second == 1.0
    assert stopwatch.work().p50_ms == pytest.approx(1.0, rel=0.01)


def test_callers_start_at_different_znodes_and_go_round() -> None:
    first, second = paths_of(0), paths_of(1)

    assert next(first) != next(second)
    assert {next(first) for _ in range(1000)} == {next(second) for _ in range(1000)}


def test_table_compares_ours_on_trio_with_kazoo() -> None:
    results = Results()
    for row in ROWS:
        for figure in row.figures:
            for name, value in (("trio", 3.0), ("kazoo", 1.0)):
                results.add(figure.key, name, value)

    lines = list(markdown(results, list(COLUMNS), ROWS))

    assert lines[2].startswith("| reads/s, 64 callers | ≥ 2 | **3.00** | 3.00 | 1.00 | – |")
    assert lines[-2].startswith("| lock hand-off, 10 contenders")
    assert "3.00 (missed)" in lines[-2]


def test_an_import_takes_longer_than_none() -> None:
    assert 1 < import_ms("coord_client") < 5000


@pytest.fixture(scope="module")
def ensemble() -> Iterator[Ensemble]:
    with Ensemble(Coord()) as servers:
        servers.start()
        yield servers


@pytest.mark.e2e
@pytest.mark.parametrize("who", COLUMNS)
@pytest.mark.parametrize("what", [*OPERATIONS, HAND_OFF])
def test_each_client_does_each_kind_of_work(ensemble: Ensemble, who: str, what: str) -> None:
    made = measure(who, what, ensemble, 0.3)

    assert made.per_second > 10
    assert 0 < made.p50_ms <= made.p99_ms


@pytest.mark.e2e
def test_a_client_that_fails_is_told_with_its_last_words(ensemble: Ensemble) -> None:
    with pytest.raises(LoadError, match=r"nobody failed: get on coord: [\s\S]*nobody"):
        measure("nobody", "get", ensemble, 0.3)
