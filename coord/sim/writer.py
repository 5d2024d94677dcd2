"""The disk as the driver sees it: takes what must become durable, in order, and answers later."""

from typing import TYPE_CHECKING

from coord.raft import Persist
from coord.replica.inputs import Persisted
from coord.sim.disk import VirtualFiles
from coord.storage.errors import DiskFailed
from coord.storage.store import Store

if TYPE_CHECKING:
    from coord.sim.process import Process


class Killed(BaseException):
    """The process ends here, in the middle of whatever it does."""


class VirtualDisk:
    """Writes one batch at a time; what is submitted meanwhile is the next one."""

    def __init__(self, process: "Process", store: Store, files: VirtualFiles) -> None:
        self.store = store
        self._process = process
        self.files = files
        self._queue: list[Persist] = []
        self._under_way: list[Persist] = []

    def submit(self, persist: Persist | None) -> None:
        self._process.reach("submit")
        if persist is None:
            return
        self._queue.append(persist)
        if not self._under_way:
            self._begin()

    def adopt_cluster(self, cluster_id: int) -> None:
        """Nobody waits for it: it reaches the platter with the next write, or with a crash, or in part."""
        self.store.adopt_cluster(cluster_id)

    def close(self) -> None:
        """Wait for everything that was submitted, and mark the log as complete."""
        server = self._process.server
        observer = server.world.observer
        self.files.settle()
        observer.on_durable(server, self._under_way)
        if self._queue:
            observer.on_write(server, self._queue)
            self.store.write(self._queue)
        self.store.close()
        self.files.settle()
        observer.on_durable(server, self._queue)

    def _begin(self) -> None:
        self._under_way, self._queue = self._queue, []
        server = self._process.server
        world = server.world
        world.observer.on_write(server, self._under_way)
        try:
            self.store.write(self._under_way)
        except DiskFailed:
            self.files.settle()  # the disk has answered, if with an error: nothing of this is open any more
            raise
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
            try:
                self._begin()
            except Killed:
                process.die()
            except DiskFailed as error:
                process.fail(error)

    def _finish(self) -> None:
        self.files.settle()
        done, self._under_way = self._under_way, []
        world = self._process.server.world
        world.trace.note(world.timeline.now, "durable", self._process.member, done[-1].token)
        world.observer.on_durable(self._process.server, done)
        self._process.deliver(Persisted(done[-1].token))
