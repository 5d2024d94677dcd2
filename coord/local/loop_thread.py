"""An event loop in a thread of its own, for servers and clusters that live beside code of another kind."""

from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import Generic, TypeVar

import trio

T = TypeVar("T")
R = TypeVar("R")


class LoopThread(Generic[T]):
    """Runs `main` on trio, given the thread itself; `main` awaits `offer` with what it has made for the others.

    Not anyio's blocking portal, which refuses to be called from a thread in which trio runs, as in a test on trio.
    """

    def __init__(self, main: Callable[["LoopThread[T]"], Awaitable[object]], name: str) -> None:
        self.started: Future[T] = Future()
        """What `main` offers; or the exception that was in the way."""

        self.ended: Future[None] = Future()
        """Done when nothing runs any more. It has an exception if `main` failed after it had offered something."""

        self._main = main
        self._loop: Future[trio.lowlevel.TrioToken] = Future()
        self._scope = trio.CancelScope()
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def offer(self, thing: T) -> None:
        """For `main`: what it made is ready. Cancelled when it should end."""
        self.started.set_result(thing)
        await trio.sleep_forever()

    def run(self, function: Callable[..., Awaitable[R]], *arguments: object) -> R:
        """Have this done in the loop, and wait for it, whatever runs in our own thread. Raises what it raises."""
        done: Future[R] = Future()

        async def work() -> None:
            try:
                done.set_result(await function(*arguments))
            except Exception as error:
                done.set_exception(error)
            except trio.Cancelled:
                done.set_exception(RuntimeError("it was closed before this was done"))
                raise

        self._loop.result().run_sync_soon(trio.lowlevel.spawn_system_task, work)
        return done.result()

    def run_sync(self, function: Callable[..., R], *arguments: object) -> R:
        """As `run`, for a function that does not wait."""

        async def call() -> R:
            return function(*arguments)

        return self.run(call)

    def stop(self) -> None:
        """Cancel whatever it is doing. `ended` will be done when it has tidied up."""
        with suppress(trio.RunFinishedError):
            self._loop.result().run_sync_soon(self._scope.cancel)

    def join(self) -> None:
        """Wait for the thread, which ends when `ended` is done."""
        self._thread.join()

    def _run(self) -> None:
        failure: BaseException | None = None
        try:
            trio.run(self._start)
        except BaseException as error:  # whatever it is, the thread that waits must hear of it
            failure = _single(error)
        if not self.started.done():
            self.started.set_exception(failure or RuntimeError("it was stopped before it had started"))
            failure = None
        if failure is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(failure)

    async def _start(self) -> None:
        self._loop.set_result(trio.lowlevel.current_trio_token())
        with self._scope:
            await self._main(self)


def _single(error: BaseException) -> BaseException:
    """The exception itself, out of the groups that nurseries have put around it; also if several tasks tell of it, as
    a server's loop and whoever watches its disk may do at once."""
    leaves = _leaves(error)
    return leaves[0] if len({(type(leaf), str(leaf)) for leaf in leaves}) == 1 else error


def _leaves(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
