"""A stretch of work that ends before the right behind it does."""

from __future__ import annotations

from typing import Final

import anyio

from coord_client.signals import new_event

GIVEN_UP: Final = "it was given up"


class Tenure:
    """A cancel scope whose deadline follows the right's; cancelled, too, when the right ends otherwise.

    Work runs inside `scope`. After it, `lost` tells why the right ended while the work ran; None if it did
    not. `margin`, in seconds, ends the work that much before the right: it is the time that stopping takes.
    `rests_on`: what has to be confirmed again and again.
    """

    def __init__(self, deadline: float, *, margin: float = 0.0, rests_on: str = "session") -> None:
        self.deadline = deadline
        """Until then the right holds for certain, unless it is taken away or given up."""
        self.scope = anyio.CancelScope(deadline=deadline - margin)
        self._margin = margin
        self._unconfirmed = f"the {rests_on} could not be confirmed in time"
        self._lost: str | None = None
        self._is_given_up = False
        self._over = new_event()

    def extend(self, deadline: float) -> None:
        """The right holds until `deadline`. Too late for work that had to stop already."""
        if self.lost is None:
            self.deadline = deadline
            self.scope.deadline = deadline - self._margin
        else:
            self.end(self._unconfirmed)

    def end(self, reason: str) -> None:
        """The right is gone. The first reason is kept."""
        if self._lost is None:
            self._lost = reason
        self._stop()

    def give_up(self) -> None:
        """The work is to end, or has ended, as its owner wants it."""
        self._lost = self.lost
        self._is_given_up = True
        self._stop()

    def _stop(self) -> None:
        self.scope.cancel()
        self._over.set()

    @property
    def lost(self) -> str | None:
        """Asked when the work is over: a deadline that passed counts even if the work never noticed."""
        if self._lost is None and anyio.current_time() >= self.scope.deadline:
            return self._unconfirmed
        return self._lost

    @property
    def ended(self) -> str | None:
        """Why the work has to stop, or had to; None while it may go on."""
        return GIVEN_UP if self._is_given_up and self._lost is None else self.lost

    async def wait_ended(self) -> str:
        """Why the work has to stop, once it has to."""
        while True:
            reason = self.ended
            if reason is not None:
                return reason
            with anyio.CancelScope(deadline=self.scope.deadline):
                await self._over.wait()
