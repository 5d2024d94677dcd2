"""What turns of a server took: read from the files of `turn_server`, and counted."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import NamedTuple, Self

FIELDS = 3  # of a turn, in a file


class Span(NamedTuple):
    """A time, in nanoseconds of the clock that all processes of this machine share (`time.perf_counter_ns`)."""

    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Turns:
    """Milliseconds, the shortest first."""

    wall: Sequence[float]
    cpu: Sequence[float]
    """Of the same turns, the time that the loop's thread had a processor: what they would take if nobody were in
    their way. What is more in `wall` is other processes, other threads of the server, and the disk."""

    @classmethod
    def read(cls, files: Iterable[Path], spans: Sequence[Span]) -> Self:
        """Of all servers together, those turns that began within one of `spans`."""
        wall, cpu = [], []
        for file in files:
            noted = array("q", file.read_bytes())
            turns = zip(noted[::FIELDS], noted[1::FIELDS], noted[2::FIELDS], strict=True)
            for began, took, worked in turns:
                if any(span.begin <= began < span.end for span in spans):
                    wall.append(took / 1e6)
                    cpu.append(worked / 1e6)
        return cls(sorted(wall), sorted(cpu))


def quantile(ranked: Sequence[float], share: float) -> float:
    """The least value that `share` of all are not above.

    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5), quantile([1.0, 2.0, 3.0, 4.0], 0.51), quantile([1.0, 2.0], 1.0)
    (2.0, 3.0, 2.0)
    """
    return ranked[max(ceil(share * len(ranked)), 1) - 1]
