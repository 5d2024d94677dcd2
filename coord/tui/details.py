"""One lock, key or lease looked into: who holds it, since when, under which token; and its queue, in order."""

from typing import Final

from coord.tui.claims import Claim, Contender, Kind, name_of
from coord.tui.frame import Line, Look, clean
from coord.tui.layout import Column, heading, row, widths_of
from coord.tui.model import Model
from coord.tui.words import HEADING, LABEL, TITLE, TROUBLE, duration, remaining_bar
from coord_protocol.paths import split

MOST_DATA: Final = 60  # characters


def details(model: Model, claim: Claim | None, id_: str, width: int, look: Look) -> list[Line]:
    """`id_`: what was chosen; its claim is None once nobody holds it any more."""
    if claim is None:
        what = f"lease {id_[1:]}" if id_.startswith("#") else id_
        return [[(clean(what), TITLE)], [], [("  nobody holds it now", TROUBLE)]]
    contenders = [*claim.holders, *claim.waiting]
    holding = len(claim.holders)
    order = {id(contender): place for place, contender in enumerate(contenders)}
    glyphs = look.glyphs

    def place(contender: Contender, _: int) -> str:
        position = order[id(contender)]
        return "holds" if position < holding else f"{position - holding + 1}."

    columns: list[Column[Contender]] = [
        Column("", place, 5),
        Column("who", lambda each, _: name_of(each.right), 12, share=2, most=32),
        Column("left", lambda each, cells: remaining_bar(each.right, cells, glyphs), 6, share=1, most=16, rank=1),
        Column("", lambda each, _: duration(each.right.remaining_ms / 1000), 7, to_right=True),
        Column("ttl", lambda each, _: duration(each.right.ttl_ms / 1000), 7, rank=6, to_right=True),
        Column("queued", lambda each, _: _since(model, each), 7, rank=3, to_right=True),
        Column("token", lambda each, _: _token(model, each), 9, rank=2, to_right=True),
        Column("from", lambda each, _: each.right.address, 13, rank=4),
        Column("by", lambda each, _: f"{each.right.kind} {each.right.lease_id:#x}", 14, rank=5),
        Column("znode", lambda each, _: split(each.znode)[1] if each.znode else "", 14, share=3, rank=7, is_path=True),
    ]
    placed = widths_of(columns, width)
    lines: list[Line] = [_title(claim, width, look), heading(placed, glyphs.cut, HEADING)]
    lines += [row(placed, each, glyphs.cut, "bold" if order[id(each)] < holding else "") for each in contenders]
    return lines + _about(model, claim, width, look)


def _title(claim: Claim, width: int, look: Look) -> Line:
    dot = look.glyphs.dot
    queue = f" {dot} {len(claim.waiting)} waiting" if claim.kind is Kind.LOCK else ""
    shared = f" {dot} shared" if len(claim.holders) > 1 else ""
    what = clean(claim.path or name_of(claim.right))
    return [(f"{claim.kind} {what}", TITLE), (queue + shared, ""), (" ", ""), (look.glyphs.rule * width, LABEL)]


def _about(model: Model, claim: Claim, width: int, look: Look) -> list[Line]:
    """What else the holder has, and what it wrote."""
    right = claim.right
    lines: list[Line] = [[]]
    others = [key for key in right.keys if key != claim.holders[0].znode]
    if others:
        label = f"  {clean(name_of(right))} also has "
        lines.append([(label, LABEL), (", ".join(clean(each) for each in others[:8]), "")])
    detail = model.details.get(claim.holders[0].znode)
    if detail is not None and detail.data:
        lines.append([("  its data is ", LABEL), (_shown(detail.data), "")])
    if right.meta:
        lines.append([("  the lease says ", LABEL), (_shown(right.meta), "")])
    return lines if len(lines) > 1 else []


def _shown(data: bytes) -> str:
    return clean(data[: 4 * MOST_DATA].decode(errors="replace"))[:MOST_DATA]


def _since(model: Model, contender: Contender) -> str:
    """For how long its znode has been there: to wait, and then to hold."""
    detail = model.details.get(contender.znode)
    return "" if detail is None else duration(max(model.wall_ms - detail.created_ms, 0) / 1000)


def _token(model: Model, contender: Contender) -> str:
    detail = model.details.get(contender.znode)
    return "" if detail is None else str(detail.token)
