"""Make a failing seed smaller: leave out faults as long as it still breaks the same rule.

Delta debugging (Zeller & Hildebrandt 2002) on the list of faults: try without those that came too late, without each
half, then without each quarter, and so on down to single faults, until none can be spared. What is left out changes
everything after it, so the failure that stays is not always the same story; but it breaks the same rule with less going
on, which is what somebody who reads the trace needs.
"""

from collections.abc import Callable, Sequence

from coord.sim.faults import Fault
from coord.sim.run import Outcome, run_seed

Keep = frozenset[int]
"""Positions in the list that the seed draws."""


def rule_of(outcome: Outcome) -> str | None:
    """What was broken: the first words of the failure."""
    return None if outcome.failure is None else outcome.failure.partition(":")[0]


def only(positions: Keep) -> Callable[[Sequence[Fault]], Sequence[Fault]]:
    return lambda faults: [fault for position, fault in enumerate(faults) if position in positions]


def shrink(outcome: Outcome, duration: float, tell: Callable[[str], None]) -> tuple[Keep, Outcome]:
    """Which faults are enough, and the run with only these. `tell` hears of progress."""
    rule = rule_of(outcome)
    assert rule is not None, "only a failing seed can be made smaller"
    kept: Keep = frozenset(at for at, fault in enumerate(outcome.faults) if fault.at <= outcome.simulated)
    best = run_seed(outcome.seed, duration, keep=only(kept))
    size = max(1, len(kept) // 2)
    while True:
        ordered = sorted(kept)
        for start in range(0, len(ordered), size):
            trial = kept - frozenset(ordered[start : start + size])
            if trial == kept:
                continue
            result = run_seed(outcome.seed, duration, keep=only(trial))
            if rule_of(result) == rule:
                kept, best = trial, result
                tell(f"{len(kept)} of {len(outcome.faults)} faults are enough")
        if size == 1 and len(kept) == len(ordered):
            return kept, best
        size = max(1, size // 2)
