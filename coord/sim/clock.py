"""Virtual time: one heap of things to do, and the clocks that machines read from it.

There is one true time, `Timeline.now`, that no simulated machine can see. Each machine has a `MachineClock`
which runs a little fast or slow against it, and a wall clock that somebody may set. Nothing ever sleeps: the
timeline jumps to the next thing to do, so that an idle cluster costs nothing but its heartbeats.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any


class Timeline:
    """What happens when. Things due at the same time happen in the order in which they were asked for."""

    __slots__ = ("_heap", "_sequence", "now")

    def __init__(self) -> None:
        self.now = 0.0
        """True time in seconds since the run began."""

        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = 0

    def at(self, time: float, action: Callable[..., None], *arguments: Any) -> None:
        """Call `action` at `time`, or next if that is past. There is no cancelling: an action checks if it
        still applies.
        """
        self._sequence += 1
        heappush(self._heap, (time if time > self.now else self.now, self._sequence, action, arguments))

    def after(self, delay: float, action: Callable[..., None], *arguments: Any) -> None:
        self.at(self.now + delay, action, *arguments)

    def run(self, until: float) -> None:
        """Do everything that is due up to and including `until`, and leave `now` there."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, action, arguments = heappop(heap)
            action(*arguments)
        self.now = until


class MachineClock:
    """The clocks of one machine: a monotonic one with a rate of its own, and a wall clock.

    It satisfies the driver's `Clock`. The monotonic reading never jumps, also not when the rate changes.
    """

    __slots__ = ("_origin", "_since", "_timeline", "_wall_offset_ms", "rate")

    def __init__(self, timeline: Timeline, rate: float = 1.0, origin: float = 0.0, wall_ms: int = 0) -> None:
        self._timeline = timeline
        self._since = timeline.now
        self._origin = origin
        self._wall_offset_ms = wall_ms
        self.rate = rate

    def now(self) -> float:
        return self._origin + (self._timeline.now - self._since) * self.rate

    def wall_ms(self) -> int:
        return self._wall_offset_ms + int(self._timeline.now * 1000)

    def true_time_of(self, reading: float) -> float:
        """When this clock will show (or showed) `reading`, if its rate stays what it is."""
        return self._since + (reading - self._origin) / self.rate

    def change_rate(self, rate: float) -> None:
        self._origin = self.now()
        self._since = self._timeline.now
        self.rate = rate

    def set_wall(self, by_ms: int) -> None:
        """Somebody sets the wall clock: it jumps, forward or back."""
        self._wall_offset_ms += by_ms
