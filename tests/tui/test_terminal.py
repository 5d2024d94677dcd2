"""The terminal that is taken is given back, whatever happens; and only what is new is written to it."""

import os
import pty
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import trio
from rich.console import Console

from coord.tui.frame import Frame
from coord.tui.terminal import Terminal

END = b"\x04 that was all"


@dataclass
class Window:
    """Both ends of a pseudo-terminal: the program's, and that of whoever looks at it and types."""

    terminal: Terminal
    program: int
    person: int

    def settings(self) -> list[Any]:
        return termios.tcgetattr(self.program)

    def written(self) -> str:
        """All that the program has written since the last call, however many reads that takes."""
        os.write(self.program, END)
        data = b""
        while not data.endswith(END):
            data += os.read(self.person, 65536)
        return data.removesuffix(END).decode()


@pytest.fixture
def window() -> Iterator[Window]:
    person, program = pty.openpty()
    with os.fdopen(os.dup(program), "w", encoding="utf-8") as output:
        console = Console(file=output, force_terminal=True, color_system="standard", width=20, legacy_windows=False)
        yield Window(Terminal(console, program), program, person)
    os.close(person)
    os.close(program)


def lines(*texts: str) -> Frame:
    return Frame([[(text, "")] for text in texts], 20, len(texts))


def test_a_crash_gives_the_terminal_back(window: Window) -> None:
    before = window.settings()

    with pytest.raises(ZeroDivisionError), window.terminal.taken():
        raise ZeroDivisionError

    assert window.settings() == before
    written = window.written()
    assert written.index("\x1b[?1049h") < written.index("\x1b[?1049l"), "back from the alternate screen"
    assert written.index("\x1b[?25l") < written.index("\x1b[?25h"), "with a cursor"


def test_taking_it_twice_remembers_how_it_was_at_first(window: Window) -> None:
    """As after SIGCONT, when nobody knows what the shell has done to it meanwhile."""
    before = window.settings()
    window.terminal.take()
    window.terminal.take()

    window.terminal.give_back()

    assert window.settings() == before


def test_only_lines_that_changed_are_written(window: Window) -> None:
    window.terminal.draw(lines("first", "second", "third"))
    window.written()

    window.terminal.draw(lines("first", "changed", "third"))

    assert window.written() == f"\x1b[2;1H{'changed':<20}"


def test_after_it_was_forgotten_everything_is_written(window: Window) -> None:
    window.terminal.draw(lines("first", "second"))
    window.written()

    window.terminal.forget()
    window.terminal.draw(lines("first", "second"))

    assert "first" in window.written()


async def test_an_escape_that_nothing_follows_is_a_key(window: Window) -> None:
    with window.terminal.taken():
        os.write(window.person, b"\x1b")
        with trio.fail_after(5):
            assert await window.terminal.pressed() == []
            assert await window.terminal.pressed() == ["esc"]
        os.write(window.person, b"\x1b[Aq")
        assert await window.terminal.pressed() == ["up", "q"]


async def test_a_terminal_that_goes_away_ends_the_keys() -> None:
    person, program = pty.openpty()
    terminal = Terminal(Console(), program)
    os.close(person)

    with trio.fail_after(5):
        assert await terminal.pressed() is None

    os.close(program)
