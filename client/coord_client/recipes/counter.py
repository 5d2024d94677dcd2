"""A number that many add to.

    visits = Counter(client, "/visits")
    added = await visits.add(1)
    print(added.previous, added.value)

    load = Counter(client, "/load", default=0.0)    # floats, because the default is one

The number is the znode's data, as text, like that of kazoo's `Counter`, so that both can add to it; a znode
without data has the default. Curator's counters are binary (4 or 8 bytes) and are refused.

Lost answers: each `add` counts once, because it leaves a receipt (`coord_client.receipts`) in its transaction.
Only if the session ends, or no server is reached, before the outcome is known, the error (`SessionExpired`,
`ConnectionLost`) says with `definite` False that it may have counted. A session's end changes nothing else:
the number is nobody's. Fairness: an `add` reads and then writes if the number is still the same, else it
pauses and tries again. One of those who collide always wins, but nobody is sure to be the next; adds through
one `Counter` object take turns in the order of their calls.
"""

import random
from typing import Final, Generic, NamedTuple, TypeVar, overload

import anyio

from coord_client.client import Client
from coord_client.retry import until_answered
from coord_client.transaction import Set
from coord_protocol.errors import BadVersion, LocalProtocolError, MarshallingError, NoNode

Number = TypeVar("Number", int, float)

FIRST_PAUSE: Final = 0.002  # at most, after a collision: about the time that a write takes
LONGEST_PAUSE: Final = 0.1  # the pause doubles up to this; then a hundred writers collide about every fifth time


class Added(NamedTuple, Generic[Number]):
    """What an `add` did: there was nobody between the two."""

    value: Number
    previous: Number


class Counter(Generic[Number]):
    """See the module's head. `default` is where it starts, and its type that of the number."""

    @overload
    def __init__(self: "Counter[int]", client: Client, path: str, *, default: int = ...) -> None: ...
    @overload
    def __init__(self: "Counter[float]", client: Client, path: str, *, default: float) -> None: ...

    def __init__(self, client: Client, path: str, *, default: int | float = 0) -> None:
        self._kind: type[Number] = type(default)  # type: ignore[assignment]  # the overloads say it
        self.path = path
        self.default: Number = self._kind(default)
        self._client = client
        self._turn = anyio.Lock()

    async def value(self) -> Number:
        """The number now; the default if nobody has counted yet. Raises `MarshallingError` if it is none."""
        try:
            return (await self._read())[0]
        except NoNode:
            return self.default

    async def add(self, amount: Number) -> Added[Number]:
        """Add `amount`, which may be negative. Makes the znode and its parents if they are missing."""
        amount = self._number(amount)
        pause = FIRST_PAUSE
        async with self._turn:
            while True:
                try:
                    previous, version = await self._read()
                    value = previous + amount
                    await self._client.receipts.commit(Set(self.path, repr(value).encode(), version))
                except NoNode:
                    await until_answered(lambda: self._client.ensure_path(self.path))
                except BadVersion:
                    await anyio.sleep(random.uniform(0, pause))
                    pause = min(2 * pause, LONGEST_PAUSE)
                else:
                    return Added(value, previous)

    async def _read(self) -> tuple[Number, int]:
        data, stat = await self._client.get(self.path)
        if not data:
            return self.default, stat.version
        try:
            return self._kind(data.decode("ascii")), stat.version
        except ValueError:
            raise MarshallingError(self.path, f"{data!r} is not {self._kind.__name__}") from None

    def _number(self, number: int | float) -> Number:
        if self._kind is int and not isinstance(number, int):
            raise LocalProtocolError(
                f"{self.path}: counts in whole numbers; for {number!r}, give it a float as default"
            )
        return self._kind(number)
