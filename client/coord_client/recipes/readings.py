"""Reads of many znodes at once, at most so many under way; of one znode, one after the other.

A read that is wanted while one of the same path is under way begins after that: only a read that begins after
an event certainly shows what the event was about. Reads that wait to begin are one per path.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable

from anyio.abc import TaskGroup

from coord_client.signals import new_event


class Outcome:
    """Of a read, for some who wait for it."""

    def __init__(self) -> None:
        self._known = new_event()
        self._failure: Exception | None = None

    async def wait(self) -> None:
        """Until the read is done. Raises what it failed with."""
        await self._known.wait()
        if self._failure is not None:
            raise self._failure

    def tell(self, failure: Exception | None) -> None:
        """Wake who waits."""
        self._failure = failure
        self._known.set()


class Reading:
    """A read that is wanted, or under way."""

    __slots__ = ("_outcome", "is_deep")

    def __init__(self) -> None:
        self.is_deep = False
        """Also of all that is below the path."""
        self._outcome: Outcome | None = None

    def outcome(self) -> Outcome:
        """To wait for."""
        if self._outcome is None:
            self._outcome = Outcome()
        return self._outcome

    def finish(self, failure: Exception | None = None) -> None:
        """Tell who waits for it now."""
        if self._outcome is not None:
            self._outcome.tell(failure)
            self._outcome = None


class Readings:
    """See the module's head. `read` reads one path; it raises nothing and does not return before it is done."""

    def __init__(
        self,
        tasks: TaskGroup,
        read: Callable[[str, Reading], Awaitable[None]],
        on_all_deep_done: Callable[[], None],
        limit: int,
    ) -> None:
        self._tasks = tasks
        self._read = read
        self._on_all_deep_done = on_all_deep_done
        self._limit = limit
        self._workers = 0
        self._waiting: OrderedDict[str, Reading] = OrderedDict()
        self._under_way: dict[str, Reading] = {}
        self._again: dict[str, Reading] = {}
        """What to begin once the read of the same path that is under way is done."""
        self._deep = 0

    def want(self, path: str, *, is_deep: bool = False) -> Reading:
        """A read of `path` that has not begun yet."""
        wanted = self._again if path in self._under_way else self._waiting
        reading = wanted.get(path)
        if reading is None:
            reading = wanted[path] = Reading()
        if is_deep and not reading.is_deep:
            reading.is_deep = True
            self._deep += 1
        if self._waiting and self._workers < self._limit:
            self._workers += 1
            self._tasks.start_soon(self._work)
        return reading

    async def _work(self) -> None:
        while self._waiting:
            path, reading = self._waiting.popitem(last=False)
            self._under_way[path] = reading
            await self._read(path, reading)
            del self._under_way[path]
            if path in self._again:
                self._waiting[path] = self._again.pop(path)
            reading.finish()
            if reading.is_deep:
                self._deep -= 1
                if not self._deep:
                    self._on_all_deep_done()
        self._workers -= 1

    def fail(self, failure: Exception) -> None:
        """No read will be done soon: whoever waits for one is told so. What is wanted stays wanted."""
        for readings in (self._waiting, self._under_way, self._again):
            for reading in readings.values():
                reading.finish(failure)
