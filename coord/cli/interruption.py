"""Ctrl-C for commands that have something to tidy up."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def cancelled_by_signals() -> AsyncIterator[trio.CancelScope]:
    """Its body is cancelled by Ctrl-C, SIGTERM and SIGHUP. Another Ctrl-C does not disturb the tidying up."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                await anext(signals)
                nursery.cancel_scope.cancel()

            nursery.start_soon(wait)
            yield nursery.cancel_scope
            nursery.cancel_scope.cancel()
