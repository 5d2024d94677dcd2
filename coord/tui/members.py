"""The members of the cluster, a line for each."""

from coord.tui.frame import Line, Look, fitted, sparkline
from coord.tui.layout import Column, heading, row, widths_of
from coord.tui.model import Member, Model
from coord.tui.words import HEADING, LABEL, LEADS, TROUBLE, duration, milliseconds, rate


def members(model: Model, width: int, height: int | None, look: Look) -> list[Line]:
    glyphs = look.glyphs
    columns: list[Column[Member]] = [
        Column("", lambda each, _: _mark(each, model, look), 1),
        Column("member", lambda each, _: "?" if each.number is None else str(each.number), 6),
        Column("role", lambda each, cells: [(fitted(_state(each), cells, glyphs.cut), _style(each))], 16),
        Column("address", lambda each, _: each.address, 15, share=1, most=24, rank=4),
        Column("term", lambda each, _: _told(each, each.term), 4, rank=1, to_right=True),
        Column("commit", lambda each, _: _told(each, each.commit_index), 7, rank=3, to_right=True),
        Column("applied", lambda each, _: _told(each, each.applied_index), 7, rank=5, to_right=True),
        Column("lag", lambda each, _: _told(each, each.lag), 4, to_right=True),
        Column("rtt", lambda each, _: _told_ms(each, each.round_trip_ms), 7, rank=7, to_right=True),
        Column("write p50", lambda each, _: _told_ms(each, each.p50_ms), 9, rank=9, to_right=True),
        Column("write p99", lambda each, _: _told_ms(each, each.p99_ms), 9, rank=2, to_right=True),
        Column("disk p50", lambda each, _: _told_ms(each, each.disk_p50_ms), 8, rank=11, to_right=True),
        Column("disk p99", lambda each, _: _told_ms(each, each.disk_p99_ms), 8, rank=8, to_right=True),
        Column("conns", lambda each, _: _told(each, each.connections), 5, rank=6, to_right=True),
        Column("watches", lambda each, _: _told(each, each.watches), 7, rank=10, to_right=True),
        Column("requests/s", lambda each, cells: _requests(each, cells, look), 10, share=2, most=40, rank=12),
    ]
    placed = widths_of(columns, width)
    most = len(model.members) if height is None else max(height // 4, 3)
    lines = [heading(placed, glyphs.cut, HEADING)]
    lines += [row(placed, member, glyphs.cut, "dim" if member.excuse else "") for member in model.members[:most]]
    if len(model.members) > most:
        lines[-1] = [(f"  … and {len(model.members) - most + 1} more members", LABEL)]
    return lines


def _mark(member: Member, model: Model, look: Look) -> Line:
    if member.excuse:
        return [(look.glyphs.fails, TROUBLE)]
    return [(look.glyphs.leads, LEADS)] if member.number == model.leader else [(" ", "")]


def _state(member: Member) -> str:
    if not member.excuse:
        return member.role
    return f"{member.excuse} {duration(member.silent)}" if member.silent else member.excuse


def _style(member: Member) -> str:
    return TROUBLE if member.excuse or member.role == "candidate" else LEADS if member.role == "leader" else ""


def _told(member: Member, number: int) -> str:
    return "" if member.excuse else str(number)


def _told_ms(member: Member, ms: float | None) -> str:
    return "" if member.excuse else milliseconds(ms)


def _requests(member: Member, cells: int, look: Look) -> Line:
    if member.excuse or not member.requests:
        return [(" " * cells, "")]
    number = rate(member.requests[-1])
    return [(f"{number:<6} "[:7], ""), (sparkline(member.requests, cells - 7, look.glyphs), "cyan")]
