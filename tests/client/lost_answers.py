"""Running a story again and again, each time with another of its writes struck by a broken connection."""

from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from coord_protocol.jute import Record
from coord_protocol.requests import OpCode
from tests.client.backends import on_both_backends
from tests.client.keeper import Action, Keeper

WRITES: Final = {OpCode.CREATE, OpCode.CREATE2, OpCode.DELETE, OpCode.SET_DATA, OpCode.MULTI}
MOST_WRITES: Final = 60  # of one story


class AtWrite:
    """A script: the write at `position`, counted from 0, meets with `action`; all else is served."""

    def __init__(self, action: Action, position: int) -> None:
        self.action = action
        self.position = position
        self.writes = 0

    @property
    def is_over(self) -> bool:
        """Whether it has happened."""
        return self.writes > self.position

    def __call__(self, opcode: OpCode, _: Record | None) -> Action:
        if opcode not in WRITES:
            return Action.SERVE
        self.writes += 1
        return self.action if self.writes == self.position + 1 else Action.SERVE


def at_every_write(story: Callable[[Keeper], Awaitable[None]]) -> Callable[..., None]:
    """Make a test of a story: it is to end well whichever of its writes is lost, or the answer to it."""

    @pytest.mark.parametrize("action", [Action.CUT_BEFORE, Action.CUT_AFTER])
    @pytest.mark.parametrize("backend", ["trio", "asyncio"])
    def run(backend: str, action: Action) -> None:
        for position in range(MOST_WRITES):
            keeper = Keeper()
            keeper.on_request = fault = AtWrite(action, position)

            async def told(keeper: Keeper = keeper) -> None:
                await story(keeper)

            on_both_backends(told)(backend)
            if not fault.is_over:
                assert position > 0, "a story without a write"
                return
        raise AssertionError("the story never ends")

    run.__name__ = getattr(story, "__name__", "")
    run.__doc__ = story.__doc__
    return run
