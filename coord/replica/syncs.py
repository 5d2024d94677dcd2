"""Waiting until this server knows everything that was acknowledged before (ReadIndex, thesis §6.4).

All that asks in one turn shares one round. An answer names an index; what asked goes on when this server has applied
it. Raft drops requests when leaders change, so an unanswered round is asked again; nothing is lost but time.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from coord.raft import Raft
from coord.raft.types import Index

Waiter = Callable[[Index], None]
"""Called once, when everything up to the confirmed index is applied; it is given that index."""

# A round takes a round trip to the leader and one from there to a majority; in an election it takes until the next
# leader is in office. Asking again costs a message.
RETRY_AFTER = 0.25


@dataclass(slots=True)
class _Round:
    asked_at: float
    waiters: list[Waiter] = field(default_factory=list)


class Syncs:
    def __init__(self) -> None:
        self._fresh: list[Waiter] = []
        self._asked: dict[int, _Round] = {}
        self._confirmed: list[tuple[Index, list[Waiter]]] = []
        self._next_request = 1

    def add(self, waiter: Waiter) -> None:
        self._fresh.append(waiter)

    def ask(self, raft: Raft, now: float) -> None:
        """One request for everything new, and again for whatever has had no answer for too long."""
        if self._asked and self._oldest() + RETRY_AFTER <= now:
            for request in [number for number, one in self._asked.items() if one.asked_at + RETRY_AFTER <= now]:
                self._fresh += self._asked.pop(request).waiters
        if self._fresh:
            raft.read_index(self._next_request, now)
            self._asked[self._next_request] = _Round(now, self._fresh)
            self._next_request += 1
            self._fresh = []

    def confirm(self, request: int, index: Index) -> None:
        """Raft's answer; one to a request that was asked again meanwhile says nothing new and is dropped."""
        asked = self._asked.pop(request, None)
        if asked is not None:
            self._confirmed.append((index, asked.waiters))

    def release(self, applied: int) -> None:
        """Let everything go on whose index is applied."""
        if not self._confirmed:
            return
        due = [entry for entry in self._confirmed if entry[0] <= applied]
        self._confirmed = [entry for entry in self._confirmed if entry[0] > applied]
        for index, waiters in due:
            for waiter in waiters:
                waiter(index)

    def next_deadline(self) -> float:
        return self._oldest() + RETRY_AFTER if self._asked else float("inf")

    def _oldest(self) -> float:
        return next(iter(self._asked.values())).asked_at
