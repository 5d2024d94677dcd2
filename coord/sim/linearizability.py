"""Is there one order of the operations that explains every answer? (Herlihy & Wing 1990)

The search is that of Wing & Gong (1993) with Lowe's memory of dead ends (2017), as in Knossos and Porcupine:
walk along the history's calls and returns; any operation whose call lies before the first return still open
may be the next one in the order; try it on the model, cut it out, start again; back up when a return is
reached whose operation could not be placed. Two paths that placed the same set of operations and left the
model in the same state have the same future, so the second is not followed.

Linearizability is local: a history is linearizable if that of each key is, and many short histories are
cheap.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol

State = Hashable

MAX_STEPS = 400_000
"""Where we give up on a history: some seconds. Checking is NP-complete; a swarm of lost replies could take
for ever.
"""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of one client, as the client saw it, in true time."""

    client: int
    invoked: float
    returned: float
    """`inf` if the answer was lost: it may have happened at any time after the call, or never."""

    call: tuple[Hashable, ...]
    result: tuple[Hashable, ...] | None
    """None if the answer was lost."""


class Model(Protocol):
    """A sequential object."""

    initial: State

    def apply(self, state: State, operation: Operation) -> State | None:
        """The state after `operation`, or None if it could not have answered so in `state`."""
        ...


class Undecided(Exception):
    """The search was given up: the history is neither proven right nor wrong."""


class _Event:
    """A call or a return in the doubly linked history; a call knows its return (None when the answer was
    lost).
    """

    __slots__ = ("after", "before", "bit", "operation", "partner")

    def __init__(self, operation: Operation, bit: int, partner: "_Event | None", is_call: bool) -> None:
        self.operation = operation
        self.bit = bit if is_call else 0
        self.partner = partner
        self.before: _Event | None = None
        self.after: _Event | None = None


def is_linearizable(history: Sequence[Operation], model: Model, max_steps: int = MAX_STEPS) -> bool:
    """Whether the whole history, of one key, has an order that respects real time and the model.

    Raises `Undecided` after `max_steps`.
    """
    head, open_returns = _linked(history)
    state = model.initial
    placed = 0
    dead_ends: set[tuple[int, State]] = set()
    path: list[tuple[_Event, State]] = []
    event = head.after
    steps = 0
    while open_returns:
        steps += 1
        if steps > max_steps:
            raise Undecided
        if event is not None and event.bit:
            following = model.apply(state, event.operation)
            if following is not None and (placed | event.bit, following) not in dead_ends:
                dead_ends.add((placed | event.bit, following))
                path.append((event, state))
                state = following
                placed |= event.bit
                open_returns -= _cut_out(event)
                event = head.after
            else:
                event = event.after
            continue
        # A return whose operation could not be placed before it, or the end of the list: back up.
        if not path:
            return False
        last, state = path.pop()
        placed &= ~last.bit
        open_returns += _put_back(last)
        event = last.after
    return True


def _linked(history: Sequence[Operation]) -> tuple[_Event, int]:
    """The history as a list of events behind a head, and how many returns it has. Calls come first among
    equals.
    """
    moments: list[tuple[float, int, int, _Event]] = []
    returns = 0
    for number, operation in enumerate(history):
        assert operation.invoked <= operation.returned, "an answer comes after the question"
        response = None
        if operation.returned < inf:
            response = _Event(operation, 0, None, is_call=False)
            moments.append((operation.returned, 1, number, response))
            returns += 1
        moments.append((operation.invoked, 0, number, _Event(operation, 1 << number, response, is_call=True)))
    moments.sort(key=lambda moment: moment[:3])
    head = previous = _Event(_NOTHING, 0, None, is_call=False)
    for *_, event in moments:
        previous.after = event
        event.before = previous
        previous = event
    return head, returns


_NOTHING = Operation(0, 0.0, 0.0, (), ())


def _cut_out(call: _Event) -> int:
    """Take a call and its return out of the list; they remember their place. Counts the returns."""
    _unlink(call)
    if call.partner is None:
        return 0
    _unlink(call.partner)
    return 1


def _put_back(call: _Event) -> int:
    """Undo `_cut_out`; only in the opposite order of the cuts, as in dancing links."""
    if call.partner is not None:
        _relink(call.partner)
    _relink(call)
    return 0 if call.partner is None else 1


def _unlink(event: _Event) -> None:
    assert event.before is not None, "the head is never taken out"
    event.before.after = event.after
    if event.after is not None:
        event.after.before = event.before


def _relink(event: _Event) -> None:
    assert event.before is not None, "the head was never taken out"
    event.before.after = event
    if event.after is not None:
        event.after.before = event
