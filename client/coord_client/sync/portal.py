"""The one event loop behind all threads: they hand it calls, and wait.

    thread   Portal.call(function) ──► the queue of calls ──► the loop runs it, as a task if it has to wait
             waits on a lock       ◄── result or error    ◄──

The portal is a daemon thread with an asyncio loop (the standard library's, so that nobody needs trio), started
at the first use and stopped at the interpreter's exit, after all clients were closed. Callers that come while
the loop is busy share one wake-up of it. anyio's portal does the same at nearly twice the cost per call; it
makes a cancel scope, a `concurrent.futures.Future` and a wake-up for each.

An exception in a waiting thread (Ctrl-C, or what any signal handler raises) cancels the call in the loop, waits
until it has cleaned up, and goes on; a second one does not wait.

fork. A child has the memory of its parent, but not the thread with the loop; the sockets are shared. So the
child leaves the parent's portal alone, to the last file descriptor: whatever is asked of it raises
`LocalProtocolError`, and the next `connect` in the child starts another one.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import anyio

from coord_protocol.errors import LocalProtocolError

if TYPE_CHECKING:
    from coord_client.sync.scope import Scope

STOP_TIMEOUT: Final = 3.0  # to close all clients at the interpreter's exit: more than one takes, `CLOSE_TIMEOUT`
_FORKED: Final = (
    "this client was made in process {}, before a fork, and its session belongs to that process; "
    "connect() anew in this one"
)
_STOPPED: Final = "the interpreter is exiting, and all clients are closed"
_INSIDE: Final = (
    "coord_client.sync was called from its own event loop's thread, by a callback, which would wait for itself; "
    "hand the work to another thread"
)


class ScopeEnded(BaseException):
    """A `with` that this thread is in has ended, such as a lock that was lost.

    Let it pass: the `with` replaces it by the reason, such as `LockLost`, or swallows it if there is none. No
    `Exception`, like other cancellations, so that a loop which catches and goes on does not spin on it.
    """


class Caller:
    """A thread, as the portal knows it."""

    __slots__ = ("call", "scopes")

    def __init__(self) -> None:
        self.call: Call | None = None
        """What it waits for."""
        self.scopes: list[Scope] = []
        """Those that it is in, the innermost last."""

    def scope_has_ended(self, scope: Scope) -> None:
        """Wake the thread, unless it is just leaving that scope, or closing the client, which may have ended it."""
        call = self.call
        if call is None or call.leaves is scope or (call.leaves is not None and call.leaves.is_client):
            return
        call.cancel()

    def ended_scope(self) -> Scope | None:
        """One that has ended while the thread is still in it."""
        for scope in self.scopes:
            if scope.has_ended:
                return scope
        return None

    def told(self, error: BaseException) -> BaseException:
        """What the thread hears of an error: of a cancellation, the scope that caused it."""
        if isinstance(error, asyncio.CancelledError):
            scope = self.ended_scope()
            if scope is not None:
                return scope.ended()
        return error


class Call:
    """Something that a thread asks of the loop. All but `wait` happens in the loop."""

    __slots__ = (
        "_done",
        "_start",
        "caller",
        "cancel_scope",
        "error",
        "is_begun",
        "is_cancelled",
        "is_done",
        "leaves",
        "result",
        "task",
    )

    def __init__(self, caller: Caller, start: Callable[[Call], object], *, leaves: Scope | None = None) -> None:
        """`start` is called in the loop. It finishes the call, or leaves that to a task."""
        self.caller = caller
        self.leaves = leaves
        """The scope that it is the way out of: that is gone whatever happens."""
        self._start = start
        self.task: asyncio.Task[None] | None = None
        """Kept here, as asyncio itself does not."""
        self.cancel_scope: anyio.CancelScope | None = None
        """Around what a task does for us. Unlike `Task.cancel` it respects shields: there is clean-up under them."""
        self.is_begun = False
        self.is_cancelled = False
        self.is_done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self._done = threading.Lock()
        self._done.acquire()

    def begin(self) -> None:
        """Start it, once."""
        if not self.is_begun:
            self.is_begun = True
            try:
                self._start(self)
            except BaseException as error:
                self.fail(error)

    def finish(self, result: object) -> None:
        """Wake the thread with a result."""
        self.result = result
        self.is_done = True
        self._done.release()

    def fail(self, error: BaseException) -> None:
        """Wake the thread with an error; a cancellation is told as that of the scope which caused it."""
        self.error = self.caller.told(error)
        self.is_done = True
        self._done.release()

    def cancel(self) -> None:
        """The thread goes on waiting, until what was begun has cleaned up."""
        self.is_cancelled = True
        if self.cancel_scope is not None:
            self.cancel_scope.cancel()
        elif not self.is_begun and self.leaves is None:
            self.is_begun = True
            self.fail(asyncio.CancelledError())

    def interrupt(self) -> None:
        """Cancel it, wherever Ctrl-C has met the thread: maybe before the call was handed over."""
        if self.leaves is not None:
            self.begin()
        self.cancel()

    def wait(self) -> None:
        """Until it is done. Only for the thread that asked."""
        self._done.acquire()

    async def run(self, awaitable: Awaitable[Any]) -> None:
        """Await it, and tell the thread."""
        with anyio.CancelScope() as self.cancel_scope:
            if self.is_cancelled:
                self.cancel_scope.cancel()
            try:
                self.finish(await awaitable)
            except BaseException as error:
                self.fail(error)


class Portal:
    """See the module's head."""

    def __init__(self) -> None:
        self.scopes: set[Scope] = set()
        """All that are open."""
        self._refusal: str | None = None
        """Why no call is taken any more."""
        self._is_stopped = False
        self._calls: deque[Call] = deque()
        self._is_awake = False
        self._callers = threading.local()
        self._wake = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="coord_client.sync", daemon=True)
        self._thread.start()
        self._started.wait()

    # For threads.

    def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call it in the loop, and wait for what it gives; also for what that gives, if it can be awaited."""
        caller = self.caller()

        def start(call: Call) -> None:
            result = function(*args, **options)
            if not hasattr(result, "__await__"):
                call.finish(result)
            elif (ended := caller.ended_scope()) is not None:
                if hasattr(result, "close"):
                    result.close()  # a coroutine would warn that nobody awaited it
                call.fail(ended.ended())
            else:
                call.task = self._loop.create_task(call.run(result))

        return self.ask(Call(caller, start))

    def ask(self, call: Call) -> Any:
        """Hand over a call of this thread's, and wait for it."""
        self.check()
        caller = call.caller
        previous, caller.call = caller.call, call  # there is one if we are in a signal handler
        try:
            self._submit_and_wait(call)
            if call.error is not None:
                if self._is_stopped:
                    self.check()
                raise call.error
            return call.result
        finally:
            caller.call = previous
            del call  # its error's traceback refers to this frame

    def check(self) -> None:
        """Raises `LocalProtocolError` if this thread can ask nothing of the portal.

        At the interpreter's exit, daemon threads may still be at work: they end quietly, by `SystemExit`.
        """
        if self._is_stopped and threading.current_thread() is not threading.main_thread():
            raise SystemExit(_STOPPED)
        if self._refusal is not None:
            raise LocalProtocolError(self._refusal)
        if threading.get_ident() == self._thread.ident:
            raise LocalProtocolError(_INSIDE)

    def caller(self) -> Caller:
        """The current thread."""
        try:
            caller: Caller = self._callers.caller
        except AttributeError:
            caller = self._callers.caller = Caller()
        return caller

    def interrupt(self, caller: Caller) -> None:
        """Cancel what another thread waits for, if it does."""
        call = caller.call
        if call is not None:
            self.post(call.cancel)

    def post(self, function: Callable[[], object]) -> None:
        """Have it called in the loop some time; do not wait."""
        self._loop.call_soon_threadsafe(function)

    @property
    def is_usable(self) -> bool:
        """False in a child after a fork, and at the interpreter's exit."""
        return self._refusal is None

    def _submit_and_wait(self, call: Call) -> None:
        try:
            self._calls.append(call)
            # The loop clears the flag before it looks into the queue: whoever finds it set is seen.
            if not self._is_awake:
                self._is_awake = True
                self.post(self._wake.set)
            call.wait()
        except BaseException:
            # Ctrl-C can strike anywhere here, also after the wait: what counts is only whether the call is done.
            if not call.is_done:
                self.post(call.interrupt)
                call.wait()
            raise

    # In the loop.

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._started.set()
            runner.run(self._serve())

    async def _serve(self) -> None:
        """Begin the calls, until stopped. A task does it, not a callback: anyio looks for one to know its loop."""
        while not self._is_stopped:
            self._wake.clear()
            self._is_awake = False
            while self._calls:
                self._calls.popleft().begin()
            await self._wake.wait()
        clients = [scope for scope in self.scopes if scope.is_client]
        for scope in clients:
            scope.left.set()
        tasks = [scope.task for scope in clients if scope.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_TIMEOUT)
        for scope in self.scopes:
            scope.left.set()

    # The ends.

    def stop(self) -> None:
        """At the interpreter's exit: close all clients, so that nobody waits for their sessions to run out."""
        if self._refusal is None:
            self._refusal = _STOPPED
            self._is_stopped = True
            self.post(self._wake.set)
            self._thread.join(2 * STOP_TIMEOUT)

    def abandon(self, process: int) -> None:
        """In a child, after a fork of `process`."""
        self._refusal = _FORKED.format(process)


_portal: Portal | None = None
_process = os.getpid()
_starting = threading.RLock()  # a signal handler may call, too
_abandoned: list[Portal] = []  # kept, so that no collection closes what belongs to the parent


def the_portal() -> Portal:
    """This process's, started if it is not there yet."""
    global _portal  # noqa: PLW0603  (one per process is the point)
    with _starting:
        if _portal is None:
            _portal = Portal()
            atexit.register(_portal.stop)
            if (finalizers := sys.modules.get("multiprocessing.util")) is not None:
                finalizers.Finalize(None, _portal.stop, exitpriority=0)  # its processes end without atexit
        return _portal


def _after_fork_in_child() -> None:
    global _portal, _process, _starting  # noqa: PLW0603  (as above)
    if _portal is not None:
        _portal.abandon(_process)
        _abandoned.append(_portal)
    _portal = None
    _process = os.getpid()
    _starting = threading.RLock()  # the old one may be held by a thread that is not here


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
