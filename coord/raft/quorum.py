"""Majorities: any two of them share a member, and everything rests on that (paper §5.2, §5.4.3)."""

from collections.abc import Collection, Container, Iterable
from typing import TypeVar

from .types import MemberId

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


def is_majority(voters: Collection[MemberId], votes: Container[MemberId]) -> bool:
    """Whether more than half of the voters are among `votes`, where others may be as well.

    >>> [is_majority(range(voters), {0, 1, 7}) for voters in (1, 2, 3, 4, 5)]
    [True, True, True, False, False]
    """
    return 2 * sum([voter in votes for voter in voters]) > len(voters)
