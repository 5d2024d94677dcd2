"""`coord top`: who holds what, who waits, and how the cluster does, as it changes."""

import io
import sys
from datetime import datetime
from pathlib import Path

import click
import trio
from rich.console import Console

from coord.cli.exit_codes import ExitCode, Failure
from coord.cli.status import Servers
from coord.tui.app import App, look_once
from coord.tui.frame import Frame, Look
from coord.tui.screen import Screen, Sort
from coord.tui.terminal import Terminal, glyphs_for
from coord.tui.view import Size, view
from coord_client.addresses import Address

SVG_TITLE = "coord top"


@click.command(name="top")
@click.option(
    "--servers", type=Servers(), envvar="COORD_SERVERS", default="127.0.0.1:2181", show_default=True,
    show_envvar=True, help="Those to ask first; other members are found through them.",
)  # fmt: skip
@click.option("--once", is_flag=True, help="Print one frame, with everything in it, and end.")
@click.option(
    "--svg", type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Save as an image what was on the screen when you quit, or with --once the one frame.",
)  # fmt: skip
@click.option(
    "--interval", type=click.FloatRange(min=0.1), default=1.0, show_default=True,
    help="Seconds from one look at the cluster to the next.",
)  # fmt: skip
@click.option("--filter", "wanted", default="", help="List only what has this in its path, or in its holder's name.")
@click.option(
    "--sort", type=click.Choice([str(sort) for sort in Sort]), default=str(Sort.WAITING), show_default=True,
    help="What comes first in the list.",
)  # fmt: skip
def top(*, servers: list[Address], once: bool, svg: Path | None, interval: float, wanted: str, sort: str) -> None:
    """Watch a cluster: who holds which lock and lease, who waits, members, rates, and what happened.

    Enter looks into a lock, / filters, s sorts, p pauses, ? explains, q quits. Goes on when servers die, as long as
    any is left, and finds them again. Without colours if NO_COLOR is set.
    """
    if svg is not None and not svg.absolute().parent.is_dir():
        raise click.BadParameter(
            f"{svg.parent} is no directory; make it, or save the image elsewhere", param_hint="--svg"
        )
    console = Console(highlight=False)
    screen = Screen(sort=Sort(sort), filter=wanted)
    look = Look(glyphs_for(console.encoding), datetime.now().astimezone().tzinfo or Look().zone)
    frame: Frame | None
    if once:
        frame = _frame_of_now(servers, interval, screen, look, console)
        if svg is None:
            console.print(frame, end="", crop=False)
    else:
        frame = _watch(servers, interval, screen, look, console)
    if svg is not None and frame is not None:
        _save(frame, svg)


def _frame_of_now(servers: list[Address], interval: float, screen: Screen, look: Look, console: Console) -> Frame:
    model, problems = trio.run(look_once, servers, interval)
    if not model.answering:
        tried = ",".join(map(str, servers))
        message = "\n".join([f"no server of {tried} answers; name others with --servers", *problems])
        raise Failure(message, ExitCode.UNREACHABLE)
    return view(model, screen, Size(console.width, None), look)


def _watch(servers: list[Address], interval: float, screen: Screen, look: Look, console: Console) -> Frame | None:
    if not (sys.stdin.isatty() and console.is_terminal) or console.is_dumb_terminal:
        raise click.UsageError("coord top needs a terminal for its screen and its keys; --once prints one frame")
    return trio.run(_run, servers, interval, screen, look, Terminal(console, sys.stdin.fileno()))


async def _run(servers: list[Address], interval: float, screen: Screen, look: Look, terminal: Terminal) -> Frame | None:
    app = App(servers, interval, screen, look, terminal)
    await app.run()
    return app.frame


def _save(frame: Frame, path: Path) -> None:
    console = Console(record=True, file=io.StringIO(), width=frame.width, force_terminal=True, color_system="truecolor")
    console.print(frame, end="", crop=False)
    try:
        console.save_svg(str(path), title=SVG_TITLE)
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}; give --svg a file that can be written") from error
