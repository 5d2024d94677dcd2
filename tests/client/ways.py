"""The ways in which a test of behaviour is run: by who runs the client, and by whose server answers.

    @in_every_way
    async def test_a_lock_passes_on(world: World) -> None:
        async with world.connect(name="one") as client:
            async with world.recipes.Lock(client, "/lock"):
                ...

Each such test runs on trio, on asyncio and on plain threads (`coord_client.sync`, see `in_threads`), against coord and
against ZooKeeper (where it is installed; the gate installs it). All clients of a test have the same fresh path for
a root. What needs an extension is marked `@in_every_way(extensions=True)` and runs against coord alone; what needs the
body of a scope to be cancelled while it does something else than waiting for the client is marked
`@in_every_way(cancels_body=True)` and does not run on threads, which cannot do that.
"""

import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, overload

import anyio
import pytest

import coord_client
from coord_client import Client
from tests.client.in_threads import Threads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WAYS: Final = ("trio", "asyncio", "threads")
SERVERS: Final = ("coord", "zookeeper")
SESSION_TIMEOUT: Final = 8.0  # ZooKeeper gives no less than four seconds

Test = Callable[["World"], Awaitable[None]]


class World:
    """A server, a fresh root on it, and the client's API in the way that is under test."""

    def __init__(self, server: str, *, is_coord: bool, threads: Threads | None = None) -> None:
        self.server = server
        """host:port"""
        self.is_coord = is_coord
        self._threads = threads
        self.root = f"/tests-{os.urandom(8).hex()}"

    def connect(self, **options: Any) -> AbstractAsyncContextManager[Client]:
        """A client whose root is this world's; options as `coord_client.connect` takes them."""
        return self._connect(**options)

    @asynccontextmanager
    async def _connect(self, **options: Any) -> "AsyncIterator[Client]":
        async with self.connect_to(f"{self.server}{self.root}", **options) as client:
            await client.ensure_path("/")
            yield client

    def connect_to(self, hosts: str, **options: Any) -> AbstractAsyncContextManager[Client]:
        """A client of any server and root."""
        options = {"session_timeout": SESSION_TIMEOUT, **options}
        if self._threads is not None:
            return self._threads.connect(hosts, **options)
        return coord_client.connect(hosts, **options)

    @property
    def recipes(self) -> Any:
        """`coord_client.recipes`, in this way."""
        if self._threads is not None:
            return self._threads.recipes
        import coord_client.recipes

        return coord_client.recipes


@overload
def in_every_way(test: Test) -> Callable[..., None]: ...
@overload
def in_every_way(*, extensions: bool = ..., cancels_body: bool = ...) -> Callable[[Test], Callable[..., None]]: ...
def in_every_way(
    test: Test | None = None, *, extensions: bool = False, cancels_body: bool = False
) -> Callable[..., None] | Callable[[Test], Callable[..., None]]:
    """See the module's head."""

    def decorate(test: Test) -> Callable[..., None]:
        @pytest.mark.e2e
        @pytest.mark.parametrize("server_kind", ["coord"] if extensions else SERVERS)
        @pytest.mark.parametrize("way", [way for way in WAYS if way != "threads" or not cancels_body])
        def run(way: str, server_kind: str, request: pytest.FixtureRequest) -> None:
            server: str = request.getfixturevalue(f"{server_kind}_address")
            is_coord = server_kind == "coord"
            if way != "threads":
                anyio.run(test, World(server, is_coord=is_coord), backend=way)
                return
            threads = Threads()
            try:
                anyio.run(test, World(server, is_coord=is_coord, threads=threads), backend="asyncio")
            finally:
                threads.close()

        run.__name__ = getattr(test, "__name__", "")
        run.__doc__ = test.__doc__
        return run

    return decorate if test is None else decorate(test)
