"""Tables for people, as all commands print them."""

from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

WIDTH: Final = 120  # columns; on a narrower terminal lines wrap, which is better than to cut what may be copied


def plain_table(*headings: str, numbers: int = 0) -> Table:
    """The first `numbers` columns are aligned to the right."""
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for position, heading in enumerate(headings):
        shown.add_column(heading, justify="right" if position < numbers else "left")
    return shown


def print_table(table: Table) -> None:
    """On stdout. Nothing in it is taken for markup: it shows what others wrote."""
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, WIDTH)
    console.print(table)
