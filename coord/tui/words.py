"""How numbers and times are said, and the styles of what is said: short, and told apart without colours as well."""

from typing import Final

from coord.tui.frame import Glyphs, Line, bar
from coord_protocol.extensions import LeaseInfo

TITLE: Final = "bold"
LABEL: Final = "dim"
HEADING: Final = "dim underline"
LEADS: Final = "bold cyan"
TROUBLE: Final = "bold yellow"


def remaining_bar(right: LeaseInfo, width: int, glyphs: Glyphs) -> Line:
    """Drains from cyan over yellow to magenta, which nobody takes for one another."""
    share = min(right.remaining_ms / right.ttl_ms, 1.0) if right.ttl_ms > 0 else 0.0
    style = "cyan" if share > 0.5 else "yellow" if share >= 0.2 else "bold magenta"
    return bar(share, width, glyphs, style)


def count(number: int) -> str:
    """
    >>> count(1234567)
    '1,234,567'
    """
    return f"{number:,}"


def duration(seconds: float) -> str:
    """
    >>> [duration(each) for each in (0.04, 7.25, 75, 3725, 90_000)]
    ['0.0 s', '7.2 s', '1m15s', '1h02m', '1d01h']
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02d}h"


def milliseconds(ms: float | None) -> str:
    """
    >>> [milliseconds(each) for each in (None, 0.042, 1.25, 31.4, 1234.0)]
    ['', '0.04 ms', '1.25 ms', '31 ms', '1.2 s']
    """
    if ms is None:
        return ""
    if ms < 10:
        return f"{ms:.2f} ms"
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def rate(per_second: float | None) -> str:
    """
    >>> [rate(each) for each in (None, 0.0, 3.26, 812.3, 23_456.0, 1_500_000.0)]
    ['', '0.0', '3.3', '812', '23.5k', '1.5M']
    """
    if per_second is None:
        return ""
    if per_second < 10:
        return f"{per_second:.1f}"
    if per_second < 1000:
        return f"{per_second:.0f}"
    return f"{per_second / 1000:.1f}k" if per_second < 1_000_000 else f"{per_second / 1_000_000:.1f}M"
