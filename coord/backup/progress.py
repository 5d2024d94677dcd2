"""How far something long has come, for whoever watches."""

from collections.abc import Callable
from typing import TypeAlias

Report: TypeAlias = Callable[[str, int, int], None]
"""(what is done, how much of it, of how much): bytes, or znodes. Called often; a new `what` begins a new bar."""


def unwatched(what: str, done: int, total: int) -> None:
    """Nobody does."""
