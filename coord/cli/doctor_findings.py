"""What `coord doctor` finds: a verdict, what was seen, and what to do about it."""

from dataclasses import dataclass
from enum import IntEnum


class Verdict(IntEnum):
    """The greater, the worse."""

    OK = 0
    UNKNOWN = 1
    """It could not be found out."""

    WARN = 2
    """It works, and may cease to."""

    BAD = 3
    """It does not work, or loses data."""


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    verdict: Verdict
    says: str
    remedy: str = ""


def ok(check: str, says: str) -> Finding:
    return Finding(check, Verdict.OK, says)


def unknown(check: str, says: str, remedy: str = "") -> Finding:
    return Finding(check, Verdict.UNKNOWN, says, remedy)


def warn(check: str, says: str, remedy: str) -> Finding:
    return Finding(check, Verdict.WARN, says, remedy)


def bad(check: str, says: str, remedy: str) -> Finding:
    return Finding(check, Verdict.BAD, says, remedy)
