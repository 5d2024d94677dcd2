"""A frame: lines of styled pieces of text, which rich prints, colours as the terminal can, and saves as SVG.

Not rich's tables: these measure every cell several times, though whoever makes a line of ours knows how wide each is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment

Piece = tuple[str, str]
"""Text and its style, in rich's words; "" for none."""

Line = Sequence[Piece]


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What a terminal can show that is not a letter."""

    full: str = "█"
    empty: str = "░"
    levels: str = "▁▂▃▄▅▆▇█"
    """Of a sparkline, lowest first."""
    cut: str = "…"
    rule: str = "─"
    dot: str = "·"
    mark: str = "▶"
    leads: str = "★"
    fails: str = "✗"
    arrows: str = "↑↓"


ASCII: Final = Glyphs("#", "-", "_.:-=+*#", "~", "-", "|", ">", "*", "x", "j/k")


@dataclass(frozen=True, slots=True)
class Look:
    """How the terminal and its owner want it."""

    glyphs: Glyphs = Glyphs()
    zone: tzinfo = UTC
    """For times of day."""


class Frame:
    def __init__(self, lines: Iterable[Line], width: int, height: int | None = None) -> None:
        """Cut to `width` and `height`; with a height also filled up to both, as for a screen."""
        self.width = width
        self.lines = [cropped(line, width) for line in lines][:height]
        if height is not None:
            self.lines += [[]] * (height - len(self.lines))
            self.lines = [_padded(line, width) for line in self.lines]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines:
            for text, style in line:
                yield Segment(text, console.get_style(style) if style else None)
            yield Segment.line()

    @property
    def text(self) -> str:
        """Without styles, and without blanks at the ends of lines."""
        return "\n".join("".join(text for text, _ in line).rstrip() for line in self.lines)


def cropped(line: Line, width: int) -> Line:
    """The line's first `width` cells."""
    room = width
    pieces: list[Piece] = []
    for text, style in line:
        size = cell_len(text)
        if size >= room:
            pieces.append((set_cell_size(text, room), style))
            return pieces
        pieces.append((text, style))
        room -= size
    return pieces


def _padded(line: Line, width: int) -> Line:
    return [*line, (" " * (width - sum(cell_len(text) for text, _ in line)), "")]


def clean(text: str) -> str:
    """What somebody else has written, without what a terminal would obey.

    >>> clean("a\\x1b[2Jb\\n")
    'a?[2Jb?'
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "?" for character in text)


def shortened(text: str, width: int, cut: str, *, is_path: bool = False) -> str:
    """At most `width` cells. Of a path the end tells more than the middle.

    >>> shortened("/services/billing/leader", 16, "…", is_path=True), shortened("nightly report", 8, "…")
    ('/serv…ing/leader', 'nightly…')
    """
    text = clean(text)
    if cell_len(text) <= width:
        return text
    if width < 2:
        return set_cell_size(text, max(width, 0))
    if not is_path:
        return set_cell_size(text, width - 1).rstrip() + cut
    head = (width - 1) // 3
    tail = text[-(width - 1 - head) :]
    while cell_len(tail) > width - 1 - head:
        tail = tail[1:]
    return set_cell_size(text, head).rstrip() + cut + tail


def fitted(text: str, width: int, cut: str, *, to_right: bool = False, is_path: bool = False) -> str:
    """Exactly `width` cells."""
    text = shortened(text, width, cut, is_path=is_path)
    blanks = " " * (width - cell_len(text))
    return blanks + text if to_right else text + blanks


def joined(left: Line, right: Line, width: int) -> Line:
    """Both ends of one line; where there is no room for both the left one goes first."""
    room = width - sum(cell_len(text) for text, _ in right)
    left = cropped(left, max(room - 1, 0))
    return [*left, (" " * (room - sum(cell_len(text) for text, _ in left)), ""), *right]


def bar(share: float, width: int, glyphs: Glyphs, style: str) -> Line:
    """`share`: from 0 to 1. What is more than nothing has at least one cell.

    >>> "".join(text for text, _ in bar(0.31, 10, Glyphs(), ""))
    '███░░░░░░░'
    """
    full = min(max(round(share * width), 1 if share > 0 else 0), width)
    return [(glyphs.full * full, style), (glyphs.empty * (width - full), "dim")]


def sparkline(values: Sequence[float | None], width: int, glyphs: Glyphs) -> str:
    """The newest `width` values, the newest at the right; blank where there is none. The highest fills its cell.

    >>> sparkline([None, 0.0, 1.0, 2.0, 7.0], 6, Glyphs())
    '  ▁▂▃█'
    """
    newest = values[max(0, len(values) - width) :]
    highest = max((value for value in newest if value is not None), default=0.0)
    levels = glyphs.levels
    scale = (len(levels) - 1) / highest if highest > 0 else 0.0
    cells = [" " if value is None else levels[round(max(value, 0.0) * scale)] for value in newest]
    return "".join(cells).rjust(width)
