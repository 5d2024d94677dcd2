"""Quantiles of the histogram are those of the values, to within what it says."""

from hypothesis import given, settings
from hypothesis import strategies as st

from coord.cli.bench_histogram import FINE_BELOW, FINE_SHIFT, Histogram

HOUR_NS = 3_600_000_000_000
values = st.one_of(
    st.integers(0, 10_000_000), st.integers(0, HOUR_NS), st.sampled_from([0, FINE_BELOW - 1, FINE_BELOW])
)


def filled(samples: list[int]) -> Histogram:
    histogram = Histogram()
    for sample in samples:
        histogram.add(sample, 1)
    return histogram


@settings(max_examples=50)
@given(st.lists(values, min_size=1, max_size=60), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_quantile_is_right_to_a_microsecond_or_a_hundredth(samples: list[int], share: float) -> None:
    exact = next(value for rank, value in enumerate(sorted(samples), start=1) if rank >= share * len(samples))

    found = filled(samples).quantile(share)

    assert exact <= found <= exact + max(1 << FINE_SHIFT, exact * 0.008)


@settings(max_examples=50)
@given(st.lists(values, max_size=60))
def test_nothing_is_dropped(samples: list[int]) -> None:
    histogram = filled(samples)

    assert histogram.count == len(samples)
    highest = max(samples, default=0)
    assert highest <= histogram.highest <= highest + max(1 << FINE_SHIFT, highest * 0.008)
    mean = sum(samples) / max(len(samples), 1)
    assert mean <= histogram.mean + 1 <= mean + max(1 << FINE_SHIFT, mean * 0.008) + 1


def test_adding_many_at_once_is_adding_each() -> None:
    histogram = Histogram()
    histogram.add(5_000_000, 99)
    histogram.add(900_000_000, 1)

    assert histogram.count == 100
    assert abs(histogram.quantile(0.99) - 5_000_000) < 2048
    assert histogram.quantile(0.999) > 890_000_000


def test_empty_histogram_has_no_values() -> None:
    assert Histogram().quantile(0.5) == 0
    assert Histogram().highest == 0
    assert Histogram().mean == 0
