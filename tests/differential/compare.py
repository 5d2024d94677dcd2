"""Two accounts of one sequence, side by side: where they part first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tests.differential.known import Context, Known, difference_of
from tests.differential.play import Account, Line
from tests.differential.steps import Step, line_of

_NOTHING: Final = Line(-1, "nothing more")


@dataclass(frozen=True)
class Difference:
    """At one client, at one step."""

    client: int
    step: int
    zookeeper: str
    coord: str

    def told(self, steps: Sequence[Step]) -> str:
        """For people. The step may be one past the last: when the sequence was over, and the sessions closed."""
        step = line_of(steps[self.step]) if self.step < len(steps) else "the end of the sequence"
        return (
            f"step {self.step}, client {self.client}: {step}\n  ZooKeeper: {self.zookeeper}\n  coord:     {self.coord}"
        )


@dataclass(frozen=True)
class Comparison:
    difference: Difference | None
    """The first that has no name."""
    known: frozenset[Known]
    """Those that were met."""


def compare(steps: Sequence[Step], zookeeper: Account, coord: Account) -> Comparison:
    context = Context.of(steps)
    met: set[Known] = set()
    unknown = []
    for client in sorted(zookeeper.keys() | coord.keys()):
        difference = _compare_client(client, zookeeper.get(client, []), coord.get(client, []), context, met)
        if difference is not None:
            unknown.append(difference)
    return Comparison(min(unknown, key=lambda one: one.step, default=None), frozenset(met))


def _compare_client(
    client: int, theirs: Sequence[Line], ours: Sequence[Line], context: Context, met: set[Known]
) -> Difference | None:
    left = right = 0
    while left < len(theirs) or right < len(ours):
        their = theirs[left] if left < len(theirs) else _NOTHING
        our = ours[right] if right < len(ours) else _NOTHING
        if their.text == our.text:
            left, right = left + 1, right + 1
            continue
        known = difference_of(their.text, our.text, max(their.step, our.step), context)
        if known is None:
            step = min(line.step for line in (their, our) if line is not _NOTHING)
            return Difference(client, step, their.text, our.text)
        met.add(known)
        left, right = left + known.takes_theirs, right + known.takes_ours
    return None
