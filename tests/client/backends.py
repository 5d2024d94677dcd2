"""Running a test on trio and on asyncio, in virtual time: a sleep of an hour takes no time at all."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import trio.testing


class JumpingLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose clock jumps to the next timer when there is nothing else to do."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_JumpingSelector(self))
        # asyncio runs timers up to this much early. A task that sleeps for the rest, again and again, would
        # keep the loop from jumping; so it is next to nothing, and each jump goes a little too far.
        self._clock_resolution = 1e-12

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Nothing happens for so long."""
        self._now += seconds + 1e-9


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events and timeout:
            self._loop.jump(timeout)
        assert events or timeout is not None, "every task waits for something that nobody will do"
        return events


def block(seconds: float) -> None:
    """Time passes while the event loop does not run: a long computation, or a process that is stopped."""
    if trio.lowlevel.in_trio_run():
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, trio.testing.MockClock)
        clock.jump(seconds)
    else:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpingLoop)
        loop.jump(seconds)


def on_both_backends(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make two tests of an async one: under trio's `MockClock`, and under a `JumpingLoop`."""

    @pytest.mark.parametrize("backend", ["trio", "asyncio"])
    def run(backend: str) -> None:
        options: dict[str, Any] = (
            {"clock": trio.testing.MockClock(autojump_threshold=0)}
            if backend == "trio"
            else {"loop_factory": JumpingLoop}
        )
        anyio.run(test, backend=backend, backend_options=options)

    run.__name__ = getattr(test, "__name__", "")
    run.__doc__ = test.__doc__
    return run
