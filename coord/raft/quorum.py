"""Majorities: any two of them share a member, and everything rests on that (paper §5.2, §5.4.3)."""

from collections.abc import Iterable
from typing import TypeVar

Value = TypeVar("Value", bound=float)  # an Index, a Round or a point in time: anything that only grows


def agreed(values: Iterable[Value]) -> Value:
    """The highest value that a majority has reached, given how far each voter is.

    >>> agreed([7, 4, 9])
    7
    >>> agreed([7, 4, 9, 9])  # even sizes gain nothing: three of four are needed
    7
    """
    ranked = sorted(values)
    assert ranked, "a configuration has at least one voter"
    return ranked[(len(ranked) - 1) // 2]


def is_majority(votes: int, voters: int) -> bool:
    """Whether that many votes decide.

    >>> [is_majority(2, voters) for voters in (1, 2, 3, 4, 5)]
    [True, True, True, False, False]
    """
    return 2 * votes > voters
