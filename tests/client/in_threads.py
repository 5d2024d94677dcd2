"""The synchronous client, dressed as the asynchronous one, so that the same tests can be run on it.

Each task of a test has a thread of its own, in which its calls are made while the task waits. So what a test says of
tasks is tried with threads: who waits, who is in which scope, who is woken. A task that is cancelled interrupts
its thread as Ctrl-C interrupts the main thread. What does not wait (`client.lock(path)`, `held.token`,
`held.release()`) is asked at once, in the test's own thread.
"""

import asyncio
import inspect
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import anyio

import coord_client.sync
from coord_client.sync import recipes
from coord_client.sync.facade import Facade
from coord_client.sync.portal import Caller, the_portal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from coord_client import Client

INTERRUPT_INTERVAL = 0.01  # a thread that is interrupted just before it begins to wait is interrupted again


class Threads:
    """The threads of one test."""

    def __init__(self) -> None:
        self._by_task: dict[asyncio.Task[Any], _Thread] = {}

    async def call(self, function: Callable[[], Any], *, can_be_cancelled: bool = True) -> Any:
        """Have it called in this task's thread."""
        task = asyncio.current_task()
        assert task is not None, "called from outside of a task"
        if task not in self._by_task:
            self._by_task[task] = _Thread()
        with anyio.CancelScope(shield=not can_be_cancelled):
            return await self._by_task[task].call(function)

    def close(self) -> None:
        """End them."""
        for thread in self._by_task.values():
            thread.close()

    def connect(self, hosts: str, **options: Any) -> "AbstractAsyncContextManager[Client]":
        """As `coord_client.connect`."""
        return self._connect(hosts, **options)

    @asynccontextmanager
    async def _connect(self, hosts: str, **options: Any) -> "AsyncIterator[Client]":
        client = View(self, await self.call(lambda: coord_client.sync.connect(hosts, **options)))
        async with client:
            yield cast("Client", client)

    @property
    def recipes(self) -> Any:
        """As `coord_client.recipes`."""
        return _RecipesView(self)


class _Thread:
    """Calls functions, one after the other."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._caller: Caller | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._caller = the_portal().caller()
        while (work := self._work.get()) is not None:
            function, future = work
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

    async def call(self, function: Callable[[], Any]) -> Any:
        future: Future[Any] = Future()
        self._work.put((function, future))
        waiter = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(waiter)
        except asyncio.CancelledError:
            if waiter.done():
                raise
            with anyio.CancelScope(shield=True):
                while not waiter.done():
                    assert self._caller is not None, "cancelled before its thread has begun"
                    the_portal().interrupt(self._caller)
                    await asyncio.wait([waiter], timeout=INTERRUPT_INTERVAL)
            waiter.exception()  # it was looked at, which asyncio wants of every error
            raise

    def close(self) -> None:
        self._work.put(None)
        self._thread.join()


class View:
    """A facade, as the object of the async API that is behind it would look to a test."""

    def __init__(self, threads: Threads, facade: Facade) -> None:
        self._threads = threads
        self._facade = facade

    def _shown(self, value: Any) -> Any:
        return _shown(self._threads, value)

    def __getattr__(self, name: str) -> Any:
        if inspect.iscoroutinefunction(getattr(type(self._facade._target), name, None)):

            async def wait(*arguments: Any, **options: Any) -> Any:
                function = getattr(self._facade, name)
                return self._shown(await self._threads.call(lambda: _call(function, arguments, options)))

            return wait
        found = getattr(self._facade, name)
        if inspect.ismethod(found):
            return lambda *arguments, **options: self._shown(_call(found, arguments, options))
        return self._shown(found)

    async def __aenter__(self) -> Any:
        return self._shown(await self._threads.call(self._facade.__enter__))

    async def __aexit__(self, *error: Any) -> Any:
        # A thread has no other way out of a scope.
        return await self._threads.call(lambda: self._facade.__exit__(*error), can_be_cancelled=False)

    def __enter__(self) -> Any:
        return self._shown(self._facade.__enter__())

    def __exit__(self, *error: Any) -> Any:
        return self._facade.__exit__(*error)

    def __aiter__(self) -> Any:
        return self._shown(iter(cast("Any", self._facade)))

    async def __anext__(self) -> Any:
        end = object()
        item = await self._threads.call(lambda: next(cast("Any", self._facade), end))
        if item is end:
            raise StopAsyncIteration
        return self._shown(item)

    def __len__(self) -> int:
        return len(cast("Any", self._facade))

    def __bool__(self) -> bool:
        return bool(self._facade)

    def __contains__(self, item: object) -> bool:
        return item in cast("Any", self._facade)

    def __getitem__(self, key: Any) -> Any:
        return self._shown(cast("Any", self._facade)[key])

    def __iter__(self) -> Any:
        return iter(cast("Any", self._facade))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, View) and self._facade == other._facade

    def __hash__(self) -> int:
        return hash(self._facade)

    def __repr__(self) -> str:
        return f"{self._facade!r} in threads"


class _RecipesView:
    def __init__(self, threads: Threads) -> None:
        self._threads = threads

    def __getattr__(self, name: str) -> Any:
        found = getattr(recipes, name)
        if isinstance(found, type) and issubclass(found, Facade):
            return lambda *arguments, **options: _shown(self._threads, _call(found, arguments, options))
        return found


def _shown(threads: Threads, value: Any) -> Any:
    if type(value) in {tuple, list}:
        return type(value)(_shown(threads, each) for each in value)
    return View(threads, value) if isinstance(value, Facade) else value


def _call(function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    return function(*map(_behind, arguments), **{name: _behind(given) for name, given in options.items()})


def _behind(given: Any) -> Any:
    return given._facade if isinstance(given, View) else given
