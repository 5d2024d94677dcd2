"""What happened, as members tell it: each tells of what it saw itself, and all of it is put together here.

Two of them tell of the same if they use the same words at about the same time; the one that knows the cause is
believed. What a member told stays known after it has died.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from coord.tui.claims import Claim, Kind, name_of
from coord.tui.model import OWN_NAME, Event

SAME_WITHIN_MS: Final = 5000  # between the clocks, and the senses, of two members
KEPT: Final = 100
ELECTION: Final = "election"
"""A term has one leader, whenever somebody hears of it: a member that was away tells of it late."""

LOCK: Final = "lock"
"""What happened to a lock; a busy one must not push out the elections."""

HAND_OVERS_AT_ONCE: Final = 20  # of locks, between two samples: more is a flood that nobody reads


class Events:
    def __init__(self) -> None:
        self._told: dict[tuple[str, str], list[Event]] = {}
        """By what and text."""

    def add(self, event: Event) -> None:
        """Tell it, if it is not one that is known."""
        known = self._told.setdefault((event.what, event.text), [])
        for position, other in enumerate(known):
            if event.what == ELECTION or abs(other.at_ms - event.at_ms) <= SAME_WITHIN_MS:
                known[position] = Event(min(other.at_ms, event.at_ms), *event[1:3], other.why or event.why)
                return
        known.append(event)

    def add_documents(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """`documents`: those of a member's status. All that it still remembers comes again each time."""
        for each in documents:
            if each["what"] == "session-expired" and f' "{OWN_NAME}" ' in each["text"]:
                continue
            self.add(Event(each["at_ms"], each["what"], each["text"], each["why"]))

    def newest(self) -> list[Event]:
        """At most `KEPT` of locks and as many others, oldest first. What is older is forgotten."""
        events = sorted(chain.from_iterable(self._told.values()))
        if len(events) > KEPT:
            of_locks = [event for event in events if event.what == LOCK][-KEPT:]
            events = sorted(of_locks + [event for event in events if event.what != LOCK][-KEPT:])
            self._told = {}
            for event in events:
                self._told.setdefault((event.what, event.text), []).append(event)
        return events


def hand_overs(before: Iterable[Claim], now: Sequence[Claim], wall_ms: int) -> list[Event]:
    """Locks that somebody else holds than at the sample before; who had it in between was too quick for us."""
    former = {claim.path: claim.right for claim in before if claim.kind is Kind.LOCK}
    moved = [
        (claim.path, former[claim.path], claim.right)
        for claim in now
        if claim.path in former and former[claim.path].lease_id != claim.right.lease_id
    ]
    if not moved:
        return []
    alive = {contender.right.lease_id for claim in now for contender in (*claim.holders, *claim.waiting)}
    return [
        Event(
            wall_ms,
            LOCK,
            f"{path} went from {name_of(old)} to {name_of(new)}",
            "it was released" if old.lease_id in alive else f"its {old.kind} ended",
        )
        for path, old, new in moved[:HAND_OVERS_AT_ONCE]
    ]
