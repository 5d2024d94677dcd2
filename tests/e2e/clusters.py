"""What tests of whole clusters wait for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

from coord.local.cluster import LocalCluster

PATIENCE = 20.0  # seconds; only a test that fails waits so long


@contextmanager
def paused(cluster: LocalCluster, member: int) -> Iterator[None]:
    """As in a virtual machine that is moved, or a process that swaps: it stands still, and knows nothing of it."""
    cluster.pause(member)
    try:
        yield
    finally:
        cluster.resume(member)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it is so. Fails after `PATIENCE`."""
    with trio.fail_after(PATIENCE):
        while not condition():
            await trio.sleep(0.02)
