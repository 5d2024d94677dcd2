"""A server with a process to itself: until a signal, and with the process arranged to its needs."""

import contextlib
import gc
import logging
import resource
import signal

import trio

from coord.server.server import serve
from coord.server.settings import Address, Settings

log = logging.getLogger("coord.server")


async def serve_until_signal(settings: Settings) -> None:
    """Run one member until SIGTERM or SIGINT. To be run in the main thread; raises as `serve`."""
    await serve(settings, _until_signal)


async def _until_signal(_: Address) -> None:
    _tune_collector()
    _raise_limit_of_files()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
        async for which in received:
            log.info("%s: stopping", signal.Signals(which).name)
            return


def _raise_limit_of_files() -> None:
    """As far as we may: the usual soft limit of 1,024 is far below what `limits.max_connections` allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems forbid what they call their own limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _tune_collector() -> None:
    """What lives now lives on, and is not looked at again; the young are looked at seldom: requests leave no cycles.

    Znodes and log records are not tracked at all (ARCHITECTURE §4).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
