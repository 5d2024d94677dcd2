"""The disk as the driver sees it: takes what must become durable, in order, and answers later.

It has two threads, as in production: one for the log, and one for snapshots, which are written beside it.
"""

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from coord.raft import Persist
from coord.replica.inputs import Persisted
from coord.replica.snapshot_work import (
    BeginSnapshot,
    CutLog,
    EndSnapshot,
    SnapshotAnswer,
    SnapshotWork,
    WritePiece,
    WriteReceived,
)
from coord.sim.disk import VirtualFiles
from coord.storage.errors import DiskFailed
from coord.storage.snapshot_files import SNAPSHOTS_NAME
from coord.storage.store import Store

if TYPE_CHECKING:
    from coord.sim.process import Process

SNAPSHOT_POINTS: dict[type, str] = {
    BeginSnapshot: "snapshot piece",
    WritePiece: "snapshot piece",
    WriteReceived: "snapshot piece",
    EndSnapshot: "snapshot naming",
}
"""Where a process can be killed in the middle of an item: its calls were made, and have not reached the platter."""

UNSYNCED = 0.05
"""What a write or a read takes that no sync is part of, as a share of what a sync takes."""


class Killed(BaseException):
    """The process ends here, in the middle of whatever it does."""


class VirtualDisk:
    """Writes one batch at a time; what is submitted meanwhile is the next one."""

    def __init__(self, process: "Process", store: Store, files: VirtualFiles) -> None:
        self.store = store
        self._process = process
        self.files = files
        self._queue: list[Persist | BeginSnapshot] = []
        """A snapshot that begins wants to know the log's chain as it is then, in the order of the log."""

        self._under_way: list[Persist] = []
        self._snapshots = SnapshotWriter(process, store, files.subdirectory(SNAPSHOTS_NAME))

    def submit(self, persist: Persist | None) -> None:
        self._process.reach("submit")
        if persist is None:
            return
        self._queue.append(persist)
        if not self._under_way:
            self._begin()

    def work(self, items: Sequence[SnapshotWork]) -> None:
        process = self._process
        for item in items:
            process.server.world.observer.on_snapshot_work(process.server, item)
            if isinstance(item, CutLog):
                self.store.cut_log(item.before)  # as in `adopt_cluster`
                process.reach("cut")
                continue
            self._snapshots.give(item)
            if isinstance(item, BeginSnapshot):
                self._queue.append(item)
                if len(self._queue) == 1:
                    self._tell_chains()

    def _tell_chains(self) -> None:
        """To the snapshots that begin here, before more is written."""
        while self._queue and isinstance(self._queue[0], BeginSnapshot):
            begin = self._queue.pop(0)
            assert isinstance(begin, BeginSnapshot)
            chain = self.store.chain_at(begin.place)
            assert chain is not None, "the runs of a state are written before it"
            self._snapshots.begin(chain)

    def adopt_cluster(self, cluster_id: int) -> None:
        """Nobody waits for it: it reaches the platter with the next write, or with a crash, or in part."""
        self.store.adopt_cluster(cluster_id)

    def close(self) -> None:
        """Wait for everything that was submitted, and mark the log as complete."""
        server = self._process.server
        observer = server.world.observer
        self.files.settle()
        observer.on_durable(server, self._under_way)
        rest = [item for item in self._queue if isinstance(item, Persist)]
        if rest:
            observer.on_write(server, rest)
            self.store.write(rest)
        self.store.close()
        self.files.settle()
        observer.on_durable(server, rest)

    def _begin(self) -> None:
        while self._queue and isinstance(self._queue[0], Persist):
            persist = self._queue.pop(0)
            assert isinstance(persist, Persist)
            self._under_way.append(persist)
        server = self._process.server
        world = server.world
        world.observer.on_write(server, self._under_way)
        try:
            self.store.write(self._under_way)
        except DiskFailed:
            self.files.settle()  # the disk has answered, if with an error: nothing of this is open any more
            raise
        self._tell_chains()
        self._process.reach("writing")
        if world.machinery.disk_is_inline and server.disk_delay == world.machinery.disk:
            self._finish()
        else:
            delay = server.disk_delay * (0.5 + world.chance.random())
            world.timeline.after(delay, self._finish_late)

    def _finish_late(self) -> None:
        process = self._process
        if process.is_over:
            return
        self._finish()
        if self._queue:
            process.attempt(self._begin)

    def _finish(self) -> None:
        self.files.settle()
        done, self._under_way = self._under_way, []
        world = self._process.server.world
        world.trace.note(world.timeline.now, "durable", self._process.member, done[-1].token)
        world.observer.on_durable(self._process.server, done)
        self._process.deliver(Persisted(done[-1].token))


class SnapshotWriter:
    """Carries out one item at a time."""

    def __init__(self, process: "Process", store: Store, files: VirtualFiles) -> None:
        self._process = process
        self._store = store
        self._files = files
        """The snapshots' own directory."""

        self._queue: deque[SnapshotWork] = deque()
        self._chains: deque[bytes] = deque()
        """Of the log, for the snapshots in the queue that begin."""

        self._is_busy = False

    def give(self, item: SnapshotWork) -> None:
        self._queue.append(item)
        self._go_on()

    def begin(self, chain: bytes) -> None:
        """The next snapshot that waits for it may begin."""
        self._chains.append(chain)
        self._go_on()

    def _go_on(self) -> None:
        if self._queue and not self._is_busy and (self._chains or not isinstance(self._queue[0], BeginSnapshot)):
            self._begin()

    def _begin(self) -> None:
        item = self._queue.popleft()
        chain = self._chains.popleft() if isinstance(item, BeginSnapshot) else None
        self._is_busy = True
        try:
            answer = self._store.carry_out(item, chain)
        except DiskFailed:
            self._files.settle()  # as for the log
            raise
        point = SNAPSHOT_POINTS.get(type(item))
        if point is not None:
            self._process.reach(point)
        server = self._process.server
        world = server.world
        seconds = server.disk_delay * (0.5 + world.chance.random())
        world.timeline.after(seconds if isinstance(item, EndSnapshot) else seconds * UNSYNCED, self._finish, answer)

    def _finish(self, answer: SnapshotAnswer | None) -> None:
        process = self._process
        if process.is_over:
            return
        self._files.settle()
        self._is_busy = False
        if answer is not None:
            world = process.server.world
            world.trace.note(world.timeline.now, "snapshot", process.member, len(self._queue))
            world.observer.on_snapshot_answer(process.server, answer)
            process.deliver(answer)
        process.attempt(self._go_on)
