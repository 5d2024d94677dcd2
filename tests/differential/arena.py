"""A ZooKeeper and a coord that stay up, and sequences that are done at both, each below a root of its own."""

import secrets
from collections.abc import Sequence
from itertools import count

from tests.differential.compare import Comparison, compare
from tests.differential.draw import draw
from tests.differential.play import play
from tests.differential.shrink import shrink
from tests.differential.steps import Step, line_of


class Arena:
    def __init__(self, zookeeper: str, coord: str) -> None:
        """Their addresses."""
        self._zookeeper = zookeeper
        self._coord = coord
        self._numbers = count(1)
        self._name = secrets.token_hex(3)

    def contest(self, steps: Sequence[Step]) -> Comparison:
        root = f"/d{self._name}-{next(self._numbers)}"
        return compare(steps, play(self._zookeeper, root, steps), play(self._coord, root, steps))

    def report(self, seed: int, length: int, is_extended: bool = False) -> tuple[str, Comparison]:
        """Nothing to tell if all differences of this seed are known; else what is left when it is made smaller."""
        steps = draw(seed, length, is_extended)
        comparison = self.contest(steps)
        if comparison.difference is None:
            return "", comparison
        small = shrink(steps, self._differs)
        difference = self.contest(small).difference
        if difference is None:
            return f"seed {seed} differs now and then: {comparison.difference.told(steps)}\n", comparison
        told = difference.told(small)
        lines = "\n".join(map(line_of, small))
        return f"seed {seed}: {len(small)} of {len(steps)} steps are enough\n{told}\n\n{lines}\n", comparison

    def _differs(self, steps: Sequence[Step]) -> int | None:
        difference = self.contest(steps).difference
        return None if difference is None else difference.step
