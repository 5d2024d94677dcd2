"""Columns that make room for each other: what matters less is left out where the terminal is narrow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.cells import cell_len

from coord.tui.frame import Line, Look, fitted, shortened
from coord.tui.words import LABEL

T = TypeVar("T")

GAP = "  "


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    heading: str

    cell: Callable[[T, int], Line | str]
    """What stands there for one row, given the column's width: text to be fitted, or pieces of exactly that width."""

    least: int
    """Cells that it needs."""

    share: int = 0
    """Its part of the room that is left over, by weight. 0: it never grows."""

    most: int = 1 << 16
    rank: int = 0
    """Where there is too little room the highest goes first; 0 never goes."""

    to_right: bool = False
    is_path: bool = False
    """Its texts are cut in the middle, others at the end."""


def widths_of(columns: Sequence[Column[T]], width: int) -> list[tuple[Column[T], int]]:
    """The columns that find room, in order, each with its width."""
    kept = list(columns)
    while len(kept) > 1 and _needed(kept) > width:
        least_wanted = max(kept, key=lambda column: column.rank)
        if not least_wanted.rank:
            break
        kept.remove(least_wanted)
    widths = {id(column): column.least for column in kept}
    room = width - _needed(kept)
    growing = [column for column in kept if column.share]
    while room > 0 and growing:
        total = sum(column.share for column in growing)
        gained = 0
        for column in growing:
            more = min(max(room * column.share // total, 1), column.most - widths[id(column)], room - gained)
            widths[id(column)] += more
            gained += more
        room -= gained
        growing = [column for column in growing if widths[id(column)] < column.most]
    return [(column, widths[id(column)]) for column in kept]


def _needed(columns: Sequence[Column[T]]) -> int:
    return sum(column.least for column in columns) + len(GAP) * (len(columns) - 1)


def heading(columns: Sequence[tuple[Column[T], int]], cut: str, style: str) -> Line:
    cells = [fitted(column.heading, width, cut, to_right=column.to_right) for column, width in columns]
    return [(GAP.join(cells), style)]


def row(columns: Sequence[tuple[Column[T], int]], item: T, cut: str, style: str = "") -> Line:
    line: list[tuple[str, str]] = []
    for column, width in columns:
        if line:
            line.append((GAP, style))
        cell = column.cell(item, width)
        if isinstance(cell, str):
            line.append((fitted(cell, width, cut, to_right=column.to_right, is_path=column.is_path), style))
        else:
            line += cell
    return line


def ruled(title: str, style: str, text: str, width: int, look: Look) -> Line:
    """A title, what it says, and a rule up to the end of the line."""
    text = shortened(text, width - cell_len(title) - 2, look.glyphs.cut)
    return [(title, style), (text, ""), (" ", ""), (look.glyphs.rule * width, LABEL)]
