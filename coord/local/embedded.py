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
    suppress,
)
from os import PathLike
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Final

import anyio
import trio

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
        if self._ended.done():
            raise ServerEnded(f"the server on {self.address} has ended") from self._ended.exception()


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
        self._thread = _ServerThread(settings, in_memory=in_memory)
        self._plain: Final = _while_it_runs(self._thread)
        self._async: Final = _while_it_runs_beside(self._thread)

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
def _while_it_runs(thread: "_ServerThread") -> Iterator[EmbeddedServer]:
    thread.start()
    try:
        server = thread.started.result()
        with _telling(server):
            yield server
    finally:
        thread.stop()
        thread.join()


@asynccontextmanager
async def _while_it_runs_beside(thread: "_ServerThread") -> AsyncIterator[EmbeddedServer]:
    call_soon = _caller_of_this_loop()
    started, ended = anyio.Event(), anyio.Event()
    body = anyio.CancelScope()

    def end() -> None:
        ended.set()
        body.cancel()

    thread.started.add_done_callback(lambda _: call_soon(started.set))
    thread.ended.add_done_callback(lambda _: call_soon(end))
    thread.start()
    try:
        await started.wait()
        server = thread.started.result()
        with _telling(server), body:
            yield server
    finally:
        thread.stop()
        with anyio.CancelScope(shield=True):
            await ended.wait()
        thread.join()


@contextmanager
def _telling(server: EmbeddedServer) -> Iterator[None]:
    """If the server ends by itself, whoever leaves this knows."""
    try:
        yield
    except Exception as error:
        try:
            server.check()
        except ServerEnded as end:
            error.add_note(f"{end}: {end.__cause__}")
        raise
    server.check()


class _ServerThread:
    """A server in a thread of its own. `started` and `ended` are done in this thread, so that both can be awaited."""

    def __init__(self, settings: Settings, *, in_memory: bool) -> None:
        self.started: Future[EmbeddedServer] = Future()
        """Clients can connect; or the exception that was in the way."""
        self.ended: Future[None] = Future()
        """The thread has nothing more to do. Has an exception if the server ended by itself after it had started."""
        self._settings = settings
        self._files = MemoryFiles() if in_memory else None
        self._loop: Future[trio.lowlevel.TrioToken] = Future()
        self._told = trio.Event()
        self._thread = Thread(target=self._run, name="coord", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Tell it to end, whatever it is doing. `ended` will be done."""
        with suppress(trio.RunFinishedError):
            self._loop.result().run_sync_soon(self._told.set)

    def join(self) -> None:
        """Wait for the thread, which ends at once when `ended` is done."""
        self._thread.join()

    def _run(self) -> None:
        failure: BaseException | None = None
        try:
            trio.run(self._serve)
        except BaseException as error:  # whatever it is, the thread that waits must hear of it
            failure = _single(error)
        if failure is not None and not self.started.done():
            self.started.set_exception(failure)
            failure = None
        if failure is not None:
            self.ended.set_exception(failure)
        else:
            self.ended.set_result(None)

    async def _serve(self) -> None:
        self._loop.set_result(trio.lowlevel.current_trio_token())
        await serve(self._settings, self._until_told, self._files)

    async def _until_told(self, address: Address) -> None:
        data = self._settings.data if self._files is None else None
        self.started.set_result(EmbeddedServer(address, data, self.ended))
        await self._told.wait()


def _caller_of_this_loop() -> Callable[[Callable[[], object]], object]:
    """What another thread calls to have something called in the event loop that runs here."""
    if trio.lowlevel.in_trio_run():
        return trio.lowlevel.current_trio_token().run_sync_soon
    return sys.modules["asyncio"].get_running_loop().call_soon_threadsafe  # type: ignore[no-any-return]


def _single(error: BaseException) -> BaseException:
    """The exception itself, out of the groups that nurseries have put around it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
