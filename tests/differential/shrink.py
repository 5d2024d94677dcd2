"""Make a failing sequence smaller: leave out steps as long as ZooKeeper and coord still differ.

Delta debugging, as in `coord.sim.shrink`: without each half, then without each quarter, down to single steps, until
none can be spared. What is left out changes what follows, so the difference that stays may be another one; it is one
all the same.
"""

from collections.abc import Callable, Sequence

from tests.differential.steps import Step

Differs = Callable[[Sequence[Step]], int | None]
"""At which step these differ; None if they do not."""


def shrink(steps: Sequence[Step], differs: Differs) -> list[Step]:
    """Steps that still differ, none of which can be spared. Those given, if they do not differ each time."""
    at = differs(steps)
    if at is None:
        return list(steps)
    kept = list(steps[: at + 1])
    if differs(kept) is None:  # it shows only in what comes behind
        kept = list(steps)
    size = max(1, len(kept) // 2)
    while True:
        before = len(kept)
        start = 0
        while start < len(kept):
            trial = kept[:start] + kept[start + size :]
            if differs(trial) is not None:
                kept = trial
            else:
                start += size
        if size == 1 and len(kept) == before:
            return kept
        size = max(1, size // 2)
