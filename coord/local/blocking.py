"""A cluster for code that does not await: tests, above all, whether they are plain, on trio or on asyncio.

    with open_cluster(directory) as cluster:
        cluster.kill(cluster.leader())

Each call is one of `LocalCluster` or of its `Network`, made in an event loop in a thread of its own, and returns when
it is done. In an async test that takes a moment from everything else in it: killing, pausing and cutting take
milliseconds, a start takes half a second, less than any session. Who minds calls it in a worker thread.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from coord.local.cluster import LOG_LINES_TOLD, LocalCluster, running
from coord.local.loop_thread import LoopThread


@contextmanager
def open_cluster(directory: Path, size: int = 3) -> Iterator["Cluster"]:
    """A cluster that serves, as long as the scope lasts. Data and logs are below `directory`. Raises `MemberEnded`."""

    async def run(thread: LoopThread[LocalCluster]) -> None:
        async with running(directory, size) as cluster:
            await thread.offer(cluster)

    thread = LoopThread(run, "coord cluster")
    thread.start()
    try:
        yield Cluster(thread)
    finally:
        thread.stop()
        thread.join()
    thread.ended.result()


class Cluster:
    """Members 1, 2, …, each a process. Made by `open_cluster`, or by pytest's fixture `coord_cluster`."""

    def __init__(self, thread: LoopThread[LocalCluster]) -> None:
        """Waits until they serve."""
        self._thread = thread
        cluster = self._cluster = thread.started.result()
        self.servers: Final = cluster.servers
        """What clients connect to: all members."""

        self.members: Final[Sequence[int]] = cluster.members

    def address(self, member: int) -> str:
        """Where the member listens for clients."""
        return self._cluster.address(member)

    def pid(self, member: int) -> int:
        """The process of a member that runs."""
        return self._cluster.processes[member].pid

    def leader(self) -> int:
        """The member that a majority follows. Waits for there to be one; raises `NoLeader`.

        Who was cut off or paused a moment ago is believed in by the others for up to two election timeouts.
        """
        return self._thread.run(self._cluster.leader)

    # What can be done to a member.

    def kill(self, member: int) -> None:
        """End it at once, as a crash would. What its disk has acknowledged stays."""
        self._thread.run(self._cluster.kill, member)

    def stop(self, member: int) -> None:
        """End it in good order, as an operator would: a leader hands over first."""
        self._thread.run(self._cluster.stop, member)

    def start(self, *members: int) -> None:
        """Start some that were ended, on the data they had, or all of those; returns when they serve.

        So there must be a majority among those that run then. Raises `MemberEnded`.
        """
        self._thread.run(self._cluster.start, *members)

    def pause(self, member: int) -> None:
        """Let it stand still as a virtual machine that is moved does: it keeps its connections, and knows nothing."""
        self._thread.run_sync(self._cluster.pause, member)

    def resume(self, member: int) -> None:
        """It goes on where it stood."""
        self._thread.run_sync(self._cluster.resume, member)

    # What can be done to the network between them; clients go on to reach all.

    def partition(self, *sides: Collection[int], one_way: bool = False) -> None:
        """From now on nobody reaches anybody on another side. Who is on no side goes on to reach all.

        Nothing is reset: what is sent is held, and arrives when it is healed. `one_way`: only what earlier sides send
        to later ones is.
        """
        self._thread.run_sync(lambda: self._cluster.network.partition(*sides, one_way=one_way))

    def isolate(self, member: int) -> None:
        """Cut one off from all others."""
        self._thread.run_sync(self._cluster.network.isolate, member)

    def heal(self) -> None:
        """Everybody reaches everybody."""
        self._thread.run_sync(self._cluster.network.heal)

    # What became of it.

    def check(self) -> None:
        """Raises `MemberEnded` if one has ended by itself."""
        self._thread.run_sync(self._cluster.check)

    def log(self, member: int) -> Path:
        """What the member logs."""
        return self._cluster.log(member)

    def last_words(self, member: int, lines: int = LOG_LINES_TOLD) -> str:
        """The end of its log."""
        return self._cluster.last_words(member, lines)
