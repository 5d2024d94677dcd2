"""Time that only the simulator moves, and the clocks of machines that run apart."""

from random import Random

import pytest

from coord.sim.clock import MachineClock, Timeline


def test_timeline_does_things_in_order_of_time_and_then_of_asking() -> None:
    timeline = Timeline()
    done: list[tuple[str, float]] = []
    for name, time in (("late", 2.0), ("first", 1.0), ("second", 1.0)):
        timeline.at(time, lambda name=name: done.append((name, timeline.now)))

    timeline.run(until=1.5)
    assert done == [("first", 1.0), ("second", 1.0)]
    assert timeline.now == 1.5

    timeline.run(until=2.0)
    assert done[-1] == ("late", 2.0)


def test_what_is_asked_for_too_late_happens_next() -> None:
    timeline = Timeline()
    timeline.run(until=5.0)
    seen: list[float] = []

    timeline.at(1.0, lambda: seen.append(timeline.now))
    timeline.run(until=5.0)

    assert seen == [5.0]


def test_machine_clock_runs_at_its_rate_and_never_jumps() -> None:
    timeline = Timeline()
    clock = MachineClock(timeline, rate=1.1, origin=100.0)
    timeline.run(until=10.0)
    assert clock.now() == pytest.approx(111.0)

    clock.change_rate(0.5)
    assert clock.now() == pytest.approx(111.0)
    timeline.run(until=12.0)
    assert clock.now() == pytest.approx(112.0)
    assert clock.true_time_of(113.0) == pytest.approx(14.0)


def test_wall_clock_jumps_without_the_monotonic_one() -> None:
    clock = MachineClock(Timeline(), wall_ms=1000)
    before = clock.now()

    clock.set_wall(by_ms=-600)

    assert (clock.wall_ms(), clock.now()) == (400, before)


@pytest.mark.parametrize("seed", range(5))
def test_deadline_by_the_clock_is_reached_when_promised(seed: int) -> None:
    """A process sleeps until `true_time_of(deadline)`; if that were early it would turn in vain."""
    chance = Random(seed)
    timeline = Timeline()
    clock = MachineClock(timeline, chance.uniform(0.5, 2.0), chance.uniform(0, 1e6))

    for _ in range(50):
        deadline = clock.now() + chance.expovariate(1.0)
        timeline.run(until=clock.true_time_of(deadline))
        assert clock.now() == pytest.approx(deadline, abs=1e-9)
        clock.change_rate(chance.uniform(0.5, 2.0))
