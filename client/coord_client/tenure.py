"""A stretch of work that ends before the right behind it does."""

from __future__ import annotations

import anyio


class Tenure:
    """A cancel scope whose deadline follows the session's; cancelled, too, when the right ends otherwise.

    Work runs inside `scope`. After it, `lost` tells why the right ended while the work ran; None if it did
    not.
    """

    def __init__(self, deadline: float) -> None:
        self.scope = anyio.CancelScope(deadline=deadline)
        self._deadline = deadline
        self._ended: str | None = None

    def extend(self, deadline: float) -> None:
        """The right holds until `deadline`."""
        self._deadline = deadline
        self.scope.deadline = deadline

    def end(self, reason: str) -> None:
        """The right is gone. The first reason is kept."""
        if self._ended is None:
            self._ended = reason
        self.scope.cancel()

    @property
    def lost(self) -> str | None:
        """Asked when the work is over: a deadline that passed counts even if the work never noticed."""
        if self._ended is None and anyio.current_time() >= self._deadline:
            return "the session could not be confirmed in time"
        return self._ended
