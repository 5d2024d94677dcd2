"""Repeating what does no harm when it is done twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from coord_protocol.errors import ConnectionLost, RequestTimeout, SessionExpired

T = TypeVar("T")


async def until_answered(operation: Callable[[], Awaitable[T]]) -> T:
    """Do it again as long as only its answer is lost, for operations that may as well happen twice.

    Raises `ConnectionLost` or `SessionExpired` as the operation does; these are not `definite` if an earlier
    try may have had its effect.
    """
    is_definite = True
    while True:
        try:
            return await operation()
        except (ConnectionLost, RequestTimeout) as error:
            if error.definite:
                raise ConnectionLost(str(error), definite=is_definite) from None
            is_definite = False
        except SessionExpired as error:
            raise SessionExpired(str(error), definite=is_definite and error.definite) from None
