"""What a person has chosen to see, and what each key changes about it. Pure: a state and a key give the next state."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from coord.tui.claims import Claim, Kind, name_of

PAGE: Final = 10  # lines that page up and page down move by


class Sort(StrEnum):
    """How the list is ordered; `s` goes round."""

    REMAINING = "remaining"
    """What ends first comes first."""

    HOLDER = "holder"
    PATH = "path"
    WAITING = "waiting"
    """The longest queue first."""

    def next(self) -> "Sort":
        sorts = list(Sort)
        return sorts[(sorts.index(self) + 1) % len(sorts)]


_ORDERS: Final[Mapping[Sort, Callable[[Claim], Any]]] = {
    Sort.REMAINING: lambda claim: (claim.right.remaining_ms, claim.id),
    Sort.HOLDER: lambda claim: (name_of(claim.right), claim.id),
    Sort.PATH: lambda claim: (not claim.path, claim.id),
    Sort.WAITING: lambda claim: (-len(claim.waiting), claim.kind is not Kind.LOCK, not claim.path, claim.id),
}


@dataclass(frozen=True, slots=True)
class Screen:
    sort: Sort = Sort.WAITING
    filter: str = ""
    """Only claims whose path, or whose holder's name, has it in it."""

    is_typing: bool = False
    """The keys go to the filter."""

    shows_idle: bool = False
    """Sessions that hold nothing are listed, too."""

    selected: str = ""
    """The `Claim.id` of the line that keys act on; the first line if it is not in the list (any more)."""

    looks_at: str = ""
    """The `Claim.id` of what is looked into; empty: the list is shown."""

    is_paused: bool = False
    shows_help: bool = False
    is_done: bool = False


def rows_of(claims: Sequence[Claim], screen: Screen) -> list[Claim]:
    """What the list shows, in its order."""
    wanted = screen.filter
    rows = [
        claim
        for claim in claims
        if (screen.shows_idle or claim.kind is not Kind.SESSION)
        and (not wanted or wanted in claim.path or any(wanted in each.right.name for each in claim.holders))
    ]
    rows.sort(key=_ORDERS[screen.sort])
    return rows


def position_of(rows: Sequence[Claim], screen: Screen) -> int:
    """Where the selected line is; 0 if it is gone."""
    return next((position for position, claim in enumerate(rows) if claim.id == screen.selected), 0)


def press(screen: Screen, key: str, rows: Sequence[Claim]) -> Screen:
    """`key`: a character, or a name from `keys`. `rows`: what `rows_of` gives for this screen."""
    if screen.is_typing:
        return _type(screen, key)
    match key:
        case "q":
            return replace(screen, is_done=True)
        case "esc" if screen.shows_help:
            return replace(screen, shows_help=False)
        case "esc" | "left" | "h" if screen.looks_at:
            return replace(screen, looks_at="")
        case "esc":
            return replace(screen, filter="")
        case "?":
            return replace(screen, shows_help=not screen.shows_help)
        case "p" | " ":
            return replace(screen, is_paused=not screen.is_paused)
    if screen.shows_help or screen.looks_at:
        return screen
    match key:
        case "s":
            return replace(screen, sort=screen.sort.next())
        case "a":
            return replace(screen, shows_idle=not screen.shows_idle)
        case "/":
            return replace(screen, is_typing=True)
        case "enter" | "right" | "l" if rows:
            chosen = rows[position_of(rows, screen)].id
            return replace(screen, selected=chosen, looks_at=chosen)
        case _:
            return _move(screen, key, rows)


_STEPS: Final = {
    "down": 1,
    "j": 1,
    "up": -1,
    "k": -1,
    "page-down": PAGE,
    "page-up": -PAGE,
    "home": -1 << 30,
    "g": -1 << 30,
    "end": 1 << 30,
    "G": 1 << 30,
}


def _move(screen: Screen, key: str, rows: Sequence[Claim]) -> Screen:
    step = _STEPS.get(key)
    if step is None or not rows:
        return screen
    position = min(max(position_of(rows, screen) + step, 0), len(rows) - 1)
    return replace(screen, selected=rows[position].id)


def _type(screen: Screen, key: str) -> Screen:
    match key:
        case "enter":
            return replace(screen, is_typing=False)
        case "esc":
            return replace(screen, is_typing=False, filter="")
        case "backspace":
            return replace(screen, filter=screen.filter[:-1])
        case "erase":
            return replace(screen, filter="")
        case _ if len(key) == 1:
            return replace(screen, filter=screen.filter + key)
        case _:
            return screen
