"""The list of what is held: locks with their queues, keys, leases. Only the lines that are on the screen are made."""

from collections.abc import Sequence
from typing import Final

from coord.tui.claims import Claim, name_of
from coord.tui.frame import Line, Look, clean
from coord.tui.layout import Column, heading, row, ruled, widths_of
from coord.tui.model import Model
from coord.tui.screen import Screen, Sort, position_of, rows_of
from coord.tui.words import HEADING, LABEL, TITLE, TROUBLE, count, duration, remaining_bar

HEADINGS: Final = 2  # lines above the first row


def listing(
    model: Model, screen: Screen, rows: Sequence[Claim], width: int, room: int | None, look: Look
) -> list[Line]:
    """As many of the rows, around the selected one, as there is room for; None: all."""
    glyphs = look.glyphs
    position = position_of(rows, screen)
    body = len(rows) if room is None else max(room - HEADINGS, 0)
    first = min(max(position - body // 2, 0), max(len(rows) - body, 0))
    columns: list[Column[Claim]] = [
        Column("", lambda claim, _: [(glyphs.mark if claim is selected else " ", "bold")], 1),
        Column("kind", lambda claim, _: claim.kind, 7, rank=3),
        Column("path", lambda claim, _: claim.path or glyphs.rule, 14, share=4, most=64, is_path=True),
        Column("holder", lambda claim, _: _holder(claim), 8, share=2, most=32),
        Column("left", lambda claim, cells: remaining_bar(claim.right, cells, glyphs), 6, share=1, most=16),
        Column("", lambda claim, _: _left(claim), 7, to_right=True),
        Column("waiting", lambda claim, cells: _waiting(claim, cells, look), 8, share=3, rank=1),
    ]
    selected = rows[position] if rows and room is not None else None  # without a height nobody can press keys
    placed = widths_of(columns, width)
    shown = rows[first : first + body]
    lines = [
        _list_heading(model, screen, len(rows), width, look),
        heading(placed, glyphs.cut, HEADING),
        *(row(placed, claim, glyphs.cut, "bold" if claim is selected else "") for claim in shown),
    ]
    if not rows and model.members:
        lines.append([("  nothing is held" if not screen.filter else "  nothing matches the filter", LABEL)])
    return lines[:room]


def _list_heading(model: Model, screen: Screen, matching: int, width: int, look: Look) -> Line:
    glyphs = look.glyphs
    what = "LAST HEARD OF" if model.are_claims_old else "HELD"
    style = TROUBLE if model.are_claims_old else TITLE
    listed = len(rows_of(model.claims, Screen(shows_idle=screen.shows_idle))) if screen.filter else matching
    number = count(matching) if matching == listed else f"{count(matching)} of {count(listed)}"
    order = "the longest queue first" if screen.sort is Sort.WAITING else f"by {screen.sort}"
    text = f" {number} {glyphs.dot} {order}"
    if screen.filter:
        text += f' {glyphs.dot} filter "{clean(screen.filter)}"'
    return ruled(what, style, text, width, look)


def _holder(claim: Claim) -> str:
    name = name_of(claim.right)
    return name if len(claim.holders) == 1 else f"{name} +{len(claim.holders) - 1}"


def _left(claim: Claim) -> str:
    """With a mark where it runs out, for whoever does not see the colour."""
    right = claim.right
    return ("!" if right.remaining_ms * 5 < right.ttl_ms else "") + duration(right.remaining_ms / 1000)


def _waiting(claim: Claim, cells: int, look: Look) -> str:
    if not claim.waiting:
        return ""
    text = f"{len(claim.waiting)}:"
    for contender in claim.waiting:
        if len(text) >= cells:
            break
        text += f" {clean(name_of(contender.right))}"
    return text if len(text) <= cells else text[: cells - 1] + look.glyphs.cut
