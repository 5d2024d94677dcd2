"""The client for plain threads: the same names as `coord_client`, without `await`.

    from coord_client.sync import connect

    with connect("127.0.0.1:2181", name="worker 7") as client:
        client.create("/jobs/1", b"sleep 10", make_parents=True)
        with client.lock("/locks/report", timeout=30) as held:
            client.transaction(held.fence()).set("/jobs/1", b"done").commit()
        with client.watch("/jobs", recursive=True) as events:
            for event in events:
                ...

Functions wait instead of being awaited, `async with` is `with`, `async for` is `for`; `facade` has the rule, `portal`
and `scope` how it is done. Any number of threads may use one client. It lives until `close()`, or the end of its
`with`, or the interpreter's exit, so a program, a notebook or a Django application may keep one:

    @functools.cache
    def coordination() -> Client:                # one per process, opened by whoever asks first
        return connect(settings.COORD_SERVERS, name=socket.gethostname())

    def nightly_report(request):
        with coordination().lock("/locks/report", timeout=0) as held:
            ...

Recipes: `from coord_client.sync.recipes import …`, or by the client's methods.

What threads do not get is cancellation. When a lock is lost under its `with`, the async client cancels the body;
a thread that computes, or waits for something else, goes on. It is told:

    by every call that waits   which raises `ScopeEnded` at once, in the thread that is in the scope; let it pass, the
                               `with` turns it into the reason: `LockLost`. Calls that were waiting are woken by it
    by leaving the `with`      which raises `LockLost`
    by asking                  `held.check()` raises `LockLost`; ask before each step that must not be done twice

Other threads that work for the holder only have the last, and `held.wait_lost()`, which waits for the loss. None of
these can stop what is on its way already; the token can: `held.fence()` in transactions, `held.token` for stores
outside. The same goes for elections and leases.

fork. A client belongs to the process that made it. In a child, whatever is asked of it raises `LocalProtocolError`,
and nothing is sent on its connection; `connect` anew there. So a server that forks its workers (gunicorn with
`preload_app`) opens its client in the worker, as the `coordination()` above does if nobody asks before the fork;
clear its cache in `os.register_at_fork(after_in_child=…)` if somebody may.

Ctrl-C interrupts a call that waits, and cancels it. In a callback that the client calls in its event loop's thread, no
call can be made: it raises `LocalProtocolError`. From a coroutine of another loop a call works, and blocks that loop.
"""

from __future__ import annotations

from typing import Any

import coord_client
from coord_client.sync.facade import ClientFacade, mirrored
from coord_client.sync.portal import ScopeEnded

__all__ = coord_client.__all__ + ["ScopeEnded"]  # noqa: RUF005  (linters understand only this form)


def connect(hosts: str, **options: Any) -> ClientFacade:
    """A client, connected; options as `coord_client.connect` has them.

    It is closed by `close()`, at the end of `with connect(…) as client`, or at the interpreter's exit.
    """
    return ClientFacade.opened(coord_client.connect(hosts, **options))


def __getattr__(name: str) -> Any:
    if name not in coord_client.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return mirrored(getattr(coord_client, name))
