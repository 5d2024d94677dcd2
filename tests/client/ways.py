"""The ways in which a test of behaviour is run: by who runs the client, and by whose server answers.

    @in_every_way
    async def test_a_lock_passes_on(world: World) -> None:
        async with world.connect(name="one") as client:
            async with world.recipes.Lock(client, "/lock"):
                ...

Each such test runs on trio and on asyncio, against coord and against ZooKeeper (where it is installed; the gate
installs it). All clients of a test have the same fresh path for a root. What needs an extension is marked
`@in_every_way(extensions=True)` and runs against coord alone.
"""

import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, overload

import anyio
import pytest

from coord_client import Client, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WAYS: Final = ("trio", "asyncio")
SERVERS: Final = ("coord", "zookeeper")
SESSION_TIMEOUT: Final = 8.0  # ZooKeeper gives no less than four seconds

Test = Callable[["World"], Awaitable[None]]


class World:
    """A server, a fresh root on it, and the client's API in the way that is under test."""

    def __init__(self, server: str, *, is_coord: bool) -> None:
        self.server = server
        """host:port"""
        self.is_coord = is_coord
        self.root = f"/tests-{os.urandom(8).hex()}"

    def connect(self, **options: Any) -> AbstractAsyncContextManager[Client]:
        """A client whose root is this world's; options as `coord_client.connect` takes them."""
        return self._connect(**{"session_timeout": SESSION_TIMEOUT, **options})

    @asynccontextmanager
    async def _connect(self, **options: Any) -> "AsyncIterator[Client]":
        async with connect(f"{self.server}{self.root}", **options) as client:
            await client.ensure_path("/")
            yield client

    @property
    def recipes(self) -> ModuleType:
        """`coord_client.recipes`, in this way."""
        import coord_client.recipes

        return coord_client.recipes


@overload
def in_every_way(test: Test) -> Callable[..., None]: ...
@overload
def in_every_way(*, extensions: bool) -> Callable[[Test], Callable[..., None]]: ...
def in_every_way(
    test: Test | None = None, *, extensions: bool = False
) -> Callable[..., None] | Callable[[Test], Callable[..., None]]:
    """See the module's head."""

    def decorate(test: Test) -> Callable[..., None]:
        @pytest.mark.e2e
        @pytest.mark.parametrize("server_kind", ["coord"] if extensions else SERVERS)
        @pytest.mark.parametrize("way", WAYS)
        def run(way: str, server_kind: str, request: pytest.FixtureRequest) -> None:
            server: str = request.getfixturevalue(f"{server_kind}_address")
            anyio.run(test, World(server, is_coord=server_kind == "coord"), backend=way)

        run.__name__ = getattr(test, "__name__", "")
        run.__doc__ = test.__doc__
        return run

    return decorate if test is None else decorate(test)
