"""Golden frames: what the screen shows of one scene, at the sizes that people have.

The expected ones are the files in `frames/`. To accept a change, delete the file, run the test, which writes it and
fails, and read the difference before you commit it.
"""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from coord.tui.frame import ASCII, Frame, Look
from coord.tui.model import Model
from coord.tui.screen import Screen, Sort
from coord.tui.terminal import ansi_lines
from coord.tui.view import Size, view
from tests.tui.scene import model, right

FOLDER = Path(__file__).parent / "frames"
SMALL, USUAL, WIDE = Size(60, 20), Size(80, 24), Size(160, 50)


def check(frame: Frame, name: str) -> None:
    path = FOLDER / f"{name}.txt"
    if not path.exists():
        path.write_text(frame.text + "\n", encoding="utf-8")
        raise AssertionError(f"there was no {path}: it is written now, read it")
    # By lines, so that a difference is shown as one.
    assert frame.text.split("\n") == path.read_text(encoding="utf-8")[:-1].split("\n")


@pytest.mark.parametrize(("size", "name"), [(SMALL, "small"), (USUAL, "usual"), (WIDE, "wide")])
def test_list(size: Size, name: str) -> None:
    check(view(model(), Screen(), size, Look()), name)


@pytest.mark.parametrize(("size", "name"), [(SMALL, "lock-small"), (USUAL, "lock-usual"), (WIDE, "lock-wide")])
def test_one_lock(size: Size, name: str) -> None:
    check(view(model(looks_at="/pool/leader"), Screen(looks_at="/pool/leader"), size, Look()), name)


@pytest.mark.parametrize(
    ("screen", "name"),
    [
        (Screen(shows_help=True), "help"),
        (Screen(filter="pool", is_typing=True, sort=Sort.REMAINING), "filter"),
        (Screen(filter="nothing of the kind"), "no-match"),
        (Screen(is_paused=True, shows_idle=True, selected="#42"), "paused-with-idle"),
        (Screen(looks_at="/gone"), "lock-gone"),
        (Screen(looks_at="#48"), "lease"),
    ],
)
def test_what_keys_bring(screen: Screen, name: str) -> None:
    check(view(model(), screen, USUAL, Look()), name)


@pytest.mark.parametrize(
    ("lost", "name"),
    [
        ({3: "no answer"}, "follower-lost"),
        ({2: "no answer"}, "leader-lost"),
        ({1: "no leader", 2: "no answer", 3: "no leader"}, "all-lost"),
    ],
)
def test_lost_members(lost: dict[int, str], name: str) -> None:
    check(view(model(lost=lost), Screen(), USUAL, Look()), name)


def test_without_unicode() -> None:
    frame = view(model(), Screen(), USUAL, Look(ASCII))

    check(frame, "ascii")
    assert frame.text.isascii()


def test_before_the_first_answer() -> None:
    check(view(Model(0.0, 0), Screen(), SMALL, Look()), "nothing-yet")


def test_without_a_height_everything_is_shown() -> None:
    """As `--once` prints it, where nobody can scroll or press a key."""
    many = [right(number, f"w{number}", f"/services/{number:04}") for number in range(300)]

    lines = view(model(rights=many), Screen(sort=Sort.PATH), Size(80, None), Look()).text.split("\n")

    assert sum("/services/" in line for line in lines) == 300
    assert not any("quit" in line for line in lines)


def test_the_selected_line_is_always_on_the_screen() -> None:
    rights = [right(number, f"w{number}", f"/services/{number:04}") for number in range(1000)]
    seen = model(rights=rights)

    for number in (0, 3, 499, 998, 999):
        text = view(seen, Screen(sort=Sort.PATH, selected=f"/services/{number:04}"), USUAL, Look()).text
        (line,) = [line for line in text.split("\n") if line.startswith("▶")]
        assert f"/services/{number:04}" in line


@pytest.mark.parametrize(
    "size", [Size(width, height) for width in (1, 20, 40, 61, 132, 300) for height in (1, 5, 12, 80)]
)
@pytest.mark.parametrize(
    "draw",
    [
        lambda size, seen: view(seen, Screen(), size, Look()),
        lambda size, seen: view(seen, Screen(looks_at="/pool/leader"), size, Look()),
        lambda size, seen: view(seen, Screen(shows_help=True), size, Look()),
    ],
)
def test_a_frame_fills_its_size_exactly(size: Size, draw: Callable[[Size, Model], Frame]) -> None:
    """One cell more would scroll the screen; one less would leave something of the frame before."""
    frame = draw(size, model(looks_at="/pool/leader"))

    assert len(frame.lines) == size.height
    assert {sum(cell_len(text) for text, _ in line) for line in frame.lines} == {size.width}


def test_what_others_have_written_is_not_obeyed() -> None:
    """Names, paths and data come from anybody who may write; a terminal obeys what it is sent."""
    rights = [right(1, "\x1b[2Jmallory\r\n", "/\x1b]0;owned\x07"), right(2, "名前" * 30, "/路径/" + "长" * 40)]

    for size in (USUAL, WIDE):
        frame = view(model(rights=rights), Screen(), size, Look())
        assert all(text.isprintable() for line in frame.lines for text, _ in line)
        assert {sum(cell_len(text) for text, _ in line) for line in frame.lines} == {size.width}


def test_nothing_is_told_by_colour_alone() -> None:
    """The same frame without any style: who leads, who is lost, what runs out are all still there."""
    text = view(model(lost={3: "no answer"}), Screen(), WIDE, Look()).text

    assert "★  2       leader" in text
    assert "✗  3       no answer 7.0 s" in text
    assert "!1.4 s" in text


def test_colours_are_left_out_where_they_are_not_wanted() -> None:
    frame = view(model(), Screen(), USUAL, Look())
    coloured, plain = (
        Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=80, no_color=no_color)
        for no_color in (False, True)
    )

    assert any("\x1b[36m" in line for line in ansi_lines(frame, coloured)), "cyan"
    assert not any("\x1b[36m" in line for line in ansi_lines(frame, plain))
