"""The real terminal: frames out, keys in; and when we leave it, for whatever reason, it is as it was.

Keys come one by one and unechoed (cbreak), while Ctrl-C and Ctrl-Z still send their signals. Frames go to the alternate
screen, each in one write that has only the lines that are new.
"""

import os
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import trio
from rich.console import Console

from coord.tui.frame import ASCII, Frame, Glyphs
from coord.tui.keys import Keys

READ_BYTES: Final = 1024
ESCAPE_DELAY: Final = 0.05  # seconds: what comes later than this after an escape is no part of its sequence


class Terminal:
    def __init__(self, console: Console, keyboard: int) -> None:
        """`console` writes to it, and `keyboard` is the descriptor that keys are read from."""
        self._console = console
        self._keyboard = keyboard
        self._settings: list[Any] | None = None
        """Of the terminal as we found it, while we have it."""
        self._drawn: list[str] = []
        self._keys = Keys()

    @contextmanager
    def taken(self) -> Iterator[None]:
        self.take()
        try:
            yield
        finally:
            self.give_back()

    def take(self) -> None:
        """Also again, after somebody else may have changed it."""
        if self._settings is None:
            self._settings = termios.tcgetattr(self._keyboard)
        tty.setcbreak(self._keyboard)
        self._console.set_alt_screen(True)
        self._console.show_cursor(False)
        self.forget()

    def give_back(self) -> None:
        """Never raises: a terminal that is gone needs nothing any more."""
        settings, self._settings = self._settings, None
        if settings is not None:
            with suppress(OSError):
                self._console.show_cursor(True)
                self._console.set_alt_screen(False)
            with suppress(OSError, termios.error):
                termios.tcsetattr(self._keyboard, termios.TCSADRAIN, settings)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, now."""
        width, height = os.get_terminal_size(self._keyboard)
        return width, height

    def forget(self) -> None:
        """What is on the screen may be anything: the next frame is written whole."""
        self._drawn = []

    def draw(self, frame: Frame) -> None:
        lines = ansi_lines(frame, self._console)
        if len(lines) != len(self._drawn):
            self._drawn = [""] * len(lines)
        changed = [
            f"\x1b[{row};1H{line}"
            for row, (line, old) in enumerate(zip(lines, self._drawn, strict=True), 1)
            if line != old
        ]
        self._drawn = lines
        if changed:
            self._console.file.write("".join(changed))
            self._console.file.flush()

    async def pressed(self) -> list[str] | None:
        """Wait for keys, as `coord.tui.keys` names them. None: the terminal is gone, and no more will come."""
        patience = ESCAPE_DELAY if self._keys.is_waiting else float("inf")
        with trio.move_on_after(patience) as waiting:
            await trio.lowlevel.wait_readable(self._keyboard)
        if waiting.cancelled_caught:
            return self._keys.flush()
        try:
            data = os.read(self._keyboard, READ_BYTES)
        except OSError:
            return None
        return self._keys.feed(data) if data else None


def ansi_lines(frame: Frame, console: Console) -> list[str]:
    """The frame in the colours of the console."""
    with console.capture() as captured:
        console.print(frame, end="", crop=False)
    return captured.get().split("\n")[:-1]


def glyphs_for(encoding: str) -> Glyphs:
    """Blocks and stars where they can be written.

    >>> glyphs_for("utf-8").full, glyphs_for("ANSI_X3.4-1968").full
    ('█', '#')
    """
    glyphs = Glyphs()
    try:
        "".join((glyphs.full, glyphs.empty, glyphs.levels, glyphs.mark, glyphs.leads, glyphs.fails)).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return glyphs
