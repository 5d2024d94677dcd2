"""Where bugs are listed: a bug is a function that puts it into the real classes, for the time of a test."""

from collections.abc import Callable

import pytest

Bug = Callable[[pytest.MonkeyPatch], None]

BUGS: dict[str, Bug] = {}

HIDING: list[str] = []
"""Those that take dozens of seeds to be found: too slow for every run of the tests."""


def bug(put_in: Bug) -> Bug:
    BUGS[put_in.__name__] = put_in
    return put_in


def hiding_bug(put_in: Bug) -> Bug:
    HIDING.append(put_in.__name__)
    return bug(put_in)
