"""The whole screen: a pure function of the model, of what a person has chosen, and of the size.

From top to bottom: the cluster, its members, the list of what is held (or one thing looked into), what happened, keys.
Nothing is told by colour alone. Styles are such that people who confuse red and green lose nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from rich.cells import cell_len

from coord.tui.details import details
from coord.tui.events import LOCK
from coord.tui.frame import Frame, Line, Look, clean, joined, shortened, sparkline
from coord.tui.layout import ruled
from coord.tui.listing import HEADINGS, listing
from coord.tui.members import members
from coord.tui.model import Event, Model, Series
from coord.tui.screen import Screen, rows_of
from coord.tui.words import LABEL, LEADS, TITLE, TROUBLE, count, duration, milliseconds, rate

FEWEST_ROWS: Final = 3  # of the list, before the events get any line
MOST_EVENTS: Final = 12
EVENTS_WITHOUT_HEIGHT: Final = 10


class Size(NamedTuple):
    width: int
    height: int | None
    """None: as high as it takes to show everything."""


def view(model: Model, screen: Screen, size: Size, look: Look) -> Frame:
    width, height = size
    if screen.shows_help:
        return Frame([*_header(model, screen, width, look), *_help(look)], width, height)
    top = [*_header(model, screen, width, look), *members(model, width, height, look)]
    footer = [_footer(screen, look)] if height is not None else []
    rows = rows_of(model.claims, screen)
    looked_into = _looked_into(model, screen, width, look)
    wanted = len(looked_into) if screen.looks_at else len(rows) + HEADINGS
    room = None if height is None else height - len(top) - len(footer)
    for_events = _room_for_events(room, wanted, len(model.events))
    if room is not None:
        room = max(room - for_events - (1 if for_events else 0), 0)
    middle = looked_into[:room] if screen.looks_at else listing(model, screen, rows, width, room, look)
    if room is not None:
        middle += [[]] * (room - len(middle))
    return Frame([*top, *middle, *_events(model, for_events, width, look), *footer], width, height)


def _looked_into(model: Model, screen: Screen, width: int, look: Look) -> list[Line]:
    if not screen.looks_at:
        return []
    claim = next((claim for claim in model.claims if claim.id == screen.looks_at), None)
    return details(model, claim, screen.looks_at, width, look)


def _room_for_events(room: int | None, wanted: int, events: int) -> int:
    """Lines, without their heading: a quarter, and what the middle, which wants so many, leaves over."""
    if room is None:
        return min(events, EVENTS_WITHOUT_HEIGHT)
    if room < FEWEST_ROWS + HEADINGS + 3:
        return 0
    return min(max((room - 3) // 4, room - 2 - wanted, 2), MOST_EVENTS, events)


# The cluster.


def _header(model: Model, screen: Screen, width: int, look: Look) -> list[Line]:
    clock = _time_of_day(model.wall_ms, look) if model.wall_ms else ""
    right: Line = [(" PAUSED ", "reverse"), (f" {clock}", "")] if screen.is_paused else [(clock, "")]
    cluster = f" {model.cluster_id}" if model.cluster_id and width >= 100 else ""
    title: Line = [(" coord top ", TITLE), (cluster, ""), ("  ", ""), *_leadership(model, look)]
    counts: list[tuple[str, str]] = []
    for label, number in (
        ("sessions", model.sessions),
        ("leases", model.leases),
        ("keys", model.keys),
        ("znodes", model.znodes),
        ("watches", model.watches),
    ):
        counts += [(" " if not counts else "  ", ""), (f"{label} ", LABEL), (count(number), "")]
    version: Line = [(f"version {model.version}", LABEL)] if model.version and width >= 80 else []
    left_half = width // 2
    pace = _pace("requests/s", rate(model.requests[-1] if model.requests else None), model.requests, left_half, look)
    newest = next((value for value in reversed(model.latency_ms) if value is not None), None)
    writes = _pace("write", milliseconds(newest), model.latency_ms, width - left_half, look)
    return [joined(title, right, width), joined(counts, version, width), [*pace, *writes]]


def _leadership(model: Model, look: Look) -> Line:
    glyphs = look.glyphs
    if not model.members:
        return [("asking for the cluster", LABEL)]
    if not model.answering:
        return [(f"{glyphs.fails} no server answers for {duration(model.silent)}; trying on", TROUBLE)]
    here = f"  {model.answering} of {len(model.members)} answer"
    here_style = TROUBLE if model.answering < len(model.members) else ""
    if model.leader is None:
        return [(f"{glyphs.fails} nobody leads", TROUBLE), (here, here_style)]
    return [(f"{glyphs.leads} member {model.leader} leads", LEADS), (f" term {model.term}", ""), (here, here_style)]


def _pace(label: str, value: str, series: Series, width: int, look: Look) -> Line:
    """A number with its sparkline: exactly `width` cells."""
    text = f" {label} "
    line = sparkline(series, max(width - len(text) - 10, 0), look.glyphs)
    return [(text, LABEL), (f"{value:<8}", ""), (line, "cyan"), (" " * (width - len(text) - 8 - len(line)), "")]


# What happened.


def _events(model: Model, room: int, width: int, look: Look) -> list[Line]:
    if not room:
        return []
    shown = _newest(model.events, room)
    return [ruled("EVENTS", TITLE, "", width, look), *(_event(event, width, look) for event in shown)]


def _newest(events: Sequence[Event], room: int) -> Sequence[Event]:
    """Of locks no more than half of the room, if there is enough else: busy ones go from hand to hand all the time."""
    of_locks = [event for event in events if event.what == LOCK]
    others = [event for event in events if event.what != LOCK]
    room_for_others = min(len(others), max(room - len(of_locks), (room + 1) // 2))
    return sorted([*others[len(others) - room_for_others :], *of_locks[len(of_locks) - (room - room_for_others) :]])


def _event(event: Event, width: int, look: Look) -> Line:
    style = TROUBLE if event.what in ("quorum-lost", "member-lost") or event.what.endswith("-expired") else ""
    time = f" {_time_of_day(event.at_ms, look)}  "
    text = shortened(event.text, width - len(time), look.glyphs.cut)
    why = shortened(f": {event.why}", width - len(time) - cell_len(text), look.glyphs.cut) if event.why else ""
    return [(time, LABEL), (text, style), (why, "")]


def _time_of_day(wall_ms: int, look: Look) -> str:
    return datetime.fromtimestamp(wall_ms / 1000, look.zone).strftime("%H:%M:%S")


# Keys.

_KEYS: Final = (("q", "quit"), ("enter", "look into"), ("/", "filter"), ("s", "sort"), ("p", "pause"), ("?", "help"))


def _footer(screen: Screen, look: Look) -> Line:
    if screen.is_typing:
        return [(f" filter: {clean(screen.filter)}", "bold"), ("_", "blink"), ("  enter keeps it, esc drops it", LABEL)]
    keys = (("esc", "back"), ("p", "pause"), ("q", "quit")) if screen.looks_at else _KEYS
    line: list[tuple[str, str]] = []
    for key, what in keys:
        line += [(" ", ""), (key, "bold"), (f" {what} ", LABEL)]
    return line


def _help(look: Look) -> list[Line]:
    keys = (
        (f"{look.glyphs.arrows} j k", "move; also page up, page down, home, end"),
        ("enter", "look into what is selected; esc comes back"),
        ("/", "list only paths or holders with this in them"),
        ("s", "sort: ends first, holder, path, longest queue"),
        ("a", "list sessions that hold nothing, too"),
        ("p", "pause: what is shown stays as it is"),
        ("q", "quit"),
    )
    terms = (
        ("left", "of the ttl, if the holder is not heard again"),
        ("!", "less than a fifth is left"),
        ("lag", "entries committed, but not applied there yet"),
        ("rtt", "from the leader to the member and back"),
        ("requests", "include the few that this screen makes"),
    )
    lines: list[Line] = [[]]
    lines += [[(f"  {key:<10}", "bold"), (text, "")] for key, text in keys]
    lines.append([])
    lines += [[(f"  {term:<10}", LABEL), (text, "")] for term, text in terms]
    return [*lines, [], [("  ? or esc goes back", LABEL)]]
