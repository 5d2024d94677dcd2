"""An async context manager that a thread is in: a task in the portal keeps it open until the thread leaves it.

In async code the body of a scope runs in the scope's own task, and is cancelled there. A thread cannot be: so
what is cancelled is what it waits for in the portal. From then on, whatever the thread would wait for raises
`ScopeEnded` at once, until it has left the scope; there `ScopeEnded` counts as the cancellation that it stands
for. The scope itself stays open meanwhile: a lock's znode is not given away under a body that still runs.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import anyio.lowlevel

from coord_client.sync.portal import Call, Caller, Portal, ScopeEnded


class Scope:
    """See the module's head. A client's is no thread's own: whoever opens it, all may use it, and any may close it."""

    def __init__(self, portal: Portal, manager: AbstractAsyncContextManager[Any], *, is_client: bool = False) -> None:
        self.is_client = is_client
        self.has_ended = False
        """The body would have been cancelled."""
        self.left = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._portal = portal
        self._cancel_scope: anyio.CancelScope | None = None
        self._manager = manager
        self._caller: Caller | None = None
        self._value: Any = None
        self._error: BaseException | None = None
        """With which the thread leaves."""
        self._leaving: Call | None = None
        self._outcome: bool | BaseException = False
        """Once the task is over: whether the error was swallowed, or the error that took its place."""

    # For threads.

    def enter(self) -> Any:
        """What the context manager gives."""
        caller = self._portal.caller()
        entering = Call(caller, self._start)
        try:
            value = self._portal.ask(entering)
            if not self.is_client:
                self._caller = caller
                caller.scopes.append(self)
            return value
        except BaseException:
            if entering.is_done and entering.error is None:  # Ctrl-C came between the entry and us
                self._portal.post(self.left.set)
            raise

    def leave(self, error: BaseException | None) -> bool:
        """Leave it, with the error of the body, if there is one. True if that is swallowed.

        Does nothing after a fork, or at the interpreter's exit: the scope is the parent's, or left already.
        """
        if not self._portal.is_usable:
            return False
        if self._caller is not None and self in self._caller.scopes:
            self._caller.scopes.remove(self)
        leaving = Call(self._portal.caller(), lambda call: self._leave(call, error), leaves=self)
        is_swallowed: bool = self._portal.ask(leaving)
        return is_swallowed

    # In the loop.

    def ended(self) -> ScopeEnded:
        """For what the thread waits for."""
        return ScopeEnded(f"{self._value!r}: this scope has ended, and the thread is still in it")

    def _start(self, entering: Call) -> None:
        ended = entering.caller.ended_scope()
        if ended is not None:
            raise ended.ended()
        self._portal.scopes.add(self)
        self.task = entering.task = asyncio.get_running_loop().create_task(self._run(entering))

    def _leave(self, leaving: Call, error: BaseException | None) -> None:
        if self.task is None or self.task.done():
            self._tell(leaving)
            return
        self._error = error
        self._leaving = leaving
        leaving.task, leaving.cancel_scope = self.task, self._cancel_scope
        has_outer_ended = leaving.caller.ended_scope() is not None and not self.is_client
        if has_outer_ended or leaving.is_cancelled:
            leaving.cancel()
        self.left.set()

    async def _run(self, entering: Call) -> None:
        with anyio.CancelScope() as self._cancel_scope:
            entering.cancel_scope = self._cancel_scope
            if entering.is_cancelled:
                self._cancel_scope.cancel()
            try:
                self._value = await self._manager.__aenter__()
            except BaseException as error:
                entering.fail(error)
                self._portal.scopes.discard(self)
                return
            entering.finish(self._value)
            await self._stay()
            self._outcome = await self._exit(await self._error_to_leave_with())
        self._portal.scopes.discard(self)
        if self._leaving is not None:
            self._tell(self._leaving)

    async def _stay(self) -> None:
        """Until the thread leaves; a client's scope, also until it ends by itself."""
        try:
            await self.left.wait()
        except asyncio.CancelledError as cancelled:
            self.has_ended = True
            if self.is_client:
                self._error = cancelled
                return
            if self._caller is not None:
                self._caller.scope_has_ended(self)
            with anyio.CancelScope(shield=True):
                await self.left.wait()

    async def _error_to_leave_with(self) -> BaseException | None:
        """The body's; if that is `ScopeEnded`, then the cancellation behind it."""
        if isinstance(self._error, ScopeEnded):
            try:
                await anyio.lowlevel.checkpoint_if_cancelled()
            except asyncio.CancelledError as cancelled:
                return cancelled
        return self._error

    async def _exit(self, error: BaseException | None) -> bool | BaseException:
        """Whether the error was swallowed, or another one."""
        trace = None if error is None else error.__traceback__
        try:
            return bool(await self._manager.__aexit__(None if error is None else type(error), error, trace))
        except BaseException as raised:
            return False if raised is error else raised

    def _tell(self, leaving: Call) -> None:
        if isinstance(self._outcome, BaseException):
            leaving.fail(self._outcome)
        else:
            leaving.finish(self._outcome)
