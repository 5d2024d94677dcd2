"""`coord.embedded()`: a cluster of one inside this process, for applications and tests.

    async with coord.embedded() as server:              # on trio or asyncio
        async with connect(server.address) as client:
            ...

    with coord.embedded("state") as server:             # in plain code; kept in the directory "state"
        client = KazooClient(server.address)

It is the server that `coord serve` runs, in a thread with an event loop of its own. Leaving the scope stops it in good
order: no thread, socket or descriptor is left.

Should it end by itself (a full disk, say), the body of an `async with` is cancelled, and `ServerEnded` raised at its
end. The body of a plain `with` cannot be stopped: it finds out by `server.check()`, or at its end. If the body has
failed by then, its own error goes on, with a note.

What belongs to the whole process is left alone, unlike by `coord serve`: signals, the garbage collector, the limit of
open files. And the interpreter is shared: code that computes for long makes the server slow, too.
"""

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Final

import anyio
import trio

from coord.local.loop_thread import LoopThread
from coord.local.ports import LOOPBACK
from coord.server.server import serve
from coord.server.settings import Address, Limits, Settings, Timing, check
from coord.storage.memory import MemoryFiles

_TIMING: Final = Timing()
_LIMITS: Final = Limits()


class ServerEnded(Exception):
    """An embedded server ended by itself. The cause says why."""


class EmbeddedServer:
    """One that runs, or did."""

    def __init__(self, address: Address, data: Path | None, ended: "Future[None]") -> None:
        self.address: Final = str(address)
        """What clients connect to: `127.0.0.1:port`."""

        self.data: Final = data
        """Its directory; None if it keeps everything in memory."""

        self._ended = ended

    def check(self) -> None:
        """Raises `ServerEnded` if it has ended by itself."""
        if self._ended.done() and (failure := self._ended.exception()) is not None:
            raise ServerEnded(f"the server on {self.address} has ended: {failure}") from failure


def embedded(
    data: str | PathLike[str] | None = None,
    *,
    port: int = 0,
    min_session: float = _TIMING.min_session,
    max_session: float = _TIMING.max_session,
    tick: float = _TIMING.tick,
    max_frame_bytes: int = _LIMITS.max_frame_bytes,
    max_connections: int = _LIMITS.max_connections,
    max_output_bytes: int = _LIMITS.max_output_bytes,
    super_digest: str = "",
) -> "Embedding":
    """A server of one's own, to be entered with `with` or `async with`.

    `data`: a directory, in which it finds what it had; without one everything is kept in memory, and gone at the end.
    `port`: 0 for one that the kernel chooses. The rest is named and meant as the flags of `coord serve`; times in
    seconds. Raises `ConfigError`; entering it raises `CannotListen` or a `StorageError`.
    """
    settings = Settings(
        data=Path("memory" if data is None else data),
        client=Address(LOOPBACK, port),
        super_digest=super_digest,
        timing=Timing(min_session=min_session, max_session=max_session, tick=tick),
        limits=Limits(
            max_frame_bytes=max_frame_bytes,
            max_connections=max_connections,
            max_connections_per_address=max_connections,  # they all come from here
            max_output_bytes=max_output_bytes,
        ),
    )
    check(settings)
    return Embedding(settings, in_memory=data is None)


class Embedding(AbstractContextManager[EmbeddedServer], AbstractAsyncContextManager[EmbeddedServer]):
    """The scope of a server: `with` in plain code, `async with` on trio and asyncio. It can be entered once."""

    def __init__(self, settings: Settings, *, in_memory: bool) -> None:
        self._settings = settings
        self._in_memory = in_memory
        thread: LoopThread[EmbeddedServer] = LoopThread(self._serve, "coord")
        self._plain: Final = _while_it_runs(thread)
        self._async: Final = _while_it_runs_beside(thread)

    async def _serve(self, thread: LoopThread[EmbeddedServer]) -> None:
        data = None if self._in_memory else self._settings.data

        async def until(address: Address) -> None:
            await thread.offer(EmbeddedServer(address, data, thread.ended))

        await serve(self._settings, until, MemoryFiles() if self._in_memory else None)

    def __enter__(self) -> EmbeddedServer:
        return self._plain.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._plain.__exit__(kind, error, trace)

    async def __aenter__(self) -> EmbeddedServer:
        return await self._async.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._async.__aexit__(kind, error, trace)


@contextmanager
def _while_it_runs(thread: LoopThread[EmbeddedServer]) -> Iterator[EmbeddedServer]:
    with _telling(thread):
        thread.start()
        try:
            yield thread.started.result()
        finally:
            thread.stop()
            thread.join()


@asynccontextmanager
async def _while_it_runs_beside(thread: LoopThread[EmbeddedServer]) -> AsyncIterator[EmbeddedServer]:
    call_soon = _caller_of_this_loop()
    started, ended = anyio.Event(), anyio.Event()
    body = anyio.CancelScope()

    def end() -> None:
        ended.set()
        body.cancel()

    thread.started.add_done_callback(lambda _: call_soon(started.set))
    thread.ended.add_done_callback(lambda _: call_soon(end))
    with _telling(thread):
        thread.start()
        try:
            await started.wait()
            with body:
                yield thread.started.result()
        finally:
            thread.stop()
            with anyio.CancelScope(shield=True):
                await ended.wait()
            thread.join()


@contextmanager
def _telling(thread: LoopThread[EmbeddedServer]) -> Iterator[None]:
    """If the server has ended by itself, whoever leaves this knows."""
    try:
        yield
    except Exception as error:
        failure = thread.ended.exception()
        if failure is not None:
            error.add_note(f"the embedded server has ended: {failure}")
        raise
    thread.started.result().check()


def _caller_of_this_loop() -> Callable[[Callable[[], object]], object]:
    """What another thread calls to have something called in the event loop that runs here."""
    if trio.lowlevel.in_trio_run():
        return trio.lowlevel.current_trio_token().run_sync_soon
    return sys.modules["asyncio"].get_running_loop().call_soon_threadsafe  # type: ignore[no-any-return]
