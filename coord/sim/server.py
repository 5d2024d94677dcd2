"""A machine with a disk and a clock, and what may befall the process on it: start, stop, kill, power failure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from coord.raft import Persist
from coord.raft.types import MemberId
from coord.replica.config import ReplicaConfig
from coord.replica.inputs import PeerMessage, Replies
from coord.replica.replica import Replica
from coord.replica.snapshot_work import SnapshotAnswer, SnapshotWork
from coord.sim.clock import MachineClock, Timeline
from coord.sim.disk import Platter, PowerLost, VirtualFiles
from coord.sim.links import Links
from coord.sim.process import Process
from coord.sim.streams import Streams
from coord.sim.trace import Trace
from coord.storage.errors import DiskFailed
from coord.storage.store import Store
from coord.tree.levels import LEVEL


@dataclass(frozen=True, slots=True)
class Machinery:
    """How quick the hardware is. Times in seconds."""

    turn: float = 0.0002
    """A turn keeps the process busy for up to twice this."""

    disk: float = 0.001
    """A write and its sync, on average."""

    disk_is_inline: bool = False
    """The disk answers before `submit` returns, as production does on a fast one."""

    segment_bytes: int = 65536


class Observer(Protocol):
    """Whoever watches over the rules. Every method may raise `Violation`."""

    def on_disk(self, server: "Server") -> None: ...
    def on_start(self, server: "Server", stored_safely: Store) -> None: ...
    def on_stop(self, server: "Server") -> None: ...
    def on_turn(self, server: "Server") -> None: ...
    def on_messages(self, server: "Server", messages: Sequence[tuple[MemberId, Sequence[PeerMessage]]]) -> None: ...
    def on_replies(self, server: "Server", replies: Replies) -> None: ...
    def on_write(self, server: "Server", persists: Sequence[Persist]) -> None: ...
    def on_durable(self, server: "Server", persists: Sequence[Persist]) -> None: ...
    def on_snapshot_work(self, server: "Server", item: SnapshotWork) -> None: ...
    def on_snapshot_answer(self, server: "Server", answer: SnapshotAnswer) -> None: ...
    def on_replica(self, server: "Server", replica: Replica) -> None: ...
    def on_link(self, server: "Server", other: MemberId) -> None: ...


@dataclass(slots=True)
class Hardware:
    """What all servers of a run share."""

    timeline: Timeline
    chance: Random
    trace: Trace
    links: Links
    streams: Streams
    observer: Observer
    machinery: Machinery


class Server:
    """A machine with a disk, and the process on it, if one is running."""

    def __init__(
        self,
        member: MemberId,
        world: Hardware,
        clock: MachineClock,
        configure: Callable[["Server", Store], ReplicaConfig],
        founders: tuple[MemberId, ...],
        level: int = LEVEL,
    ) -> None:
        """`configure`: what a process is told; given its machine and its disk."""
        self.member = member
        self.world = world
        self.clock = clock
        self.founders = founders
        """What it is told to found a cluster with; nobody, if it is to join one."""
        self.platter = Platter(world.chance)
        self.is_lost = False
        """Its disk was lost while it was a member, and nobody has seen to that yet."""
        self.is_off = False
        """Switched off for good, or until it is added again."""
        self.files: VirtualFiles | None = None
        self.process: Process | None = None
        self.level = level
        """The highest that the release on this machine knows."""

        self.boots = 0
        self.disk_delay = world.machinery.disk
        self.disk_is_full = False
        self.doom: int | None = None
        """The machine loses power in the middle of the next start, after so many calls to its disk."""

        self._configure = configure
        world.observer.on_disk(self)

    def longest_lease(self) -> float:
        """Seconds, of all sessions and leases that it knows of."""
        if self.process is None:
            return 0.0
        return max((lease.ttl_ms for lease in self.process.replica.machine.leases.table.values()), default=0) / 1000

    def start(self) -> None:
        """Boot, if it is down: recovery, then the first turn."""
        if self.process is not None or self.is_off:
            return
        world = self.world
        self.files = files = VirtualFiles(self.platter, f"/server-{self.member}")
        files.trouble.is_full = self.disk_is_full
        files.trouble.calls_until_power_loss, self.doom = self.doom, None
        try:
            store = Store.open(files, self.member, world.machinery.segment_bytes, lambda: world.chance.getrandbits(63))
        except PowerLost:
            files.die()
            self.platter.lose_power()
            world.trace.tell(world.timeline.now, f"server {self.member} lost power while it started")
            world.timeline.after(world.chance.uniform(0.1, 1.0), self.start)
            return
        except DiskFailed:
            files.die()
            world.trace.tell(world.timeline.now, f"server {self.member} found its disk full or broken")
            world.timeline.after(world.chance.uniform(0.5, 1.0), self.start)
            return
        files.separate()
        files.trouble.calls_until_power_loss = None
        self.boots += 1
        if store.torn is not None:
            world.trace.mark("torn write cut off")
        world.trace.tell(world.timeline.now, f"server {self.member} starts, incarnation {store.incarnation}")
        world.observer.on_start(self, store)
        self.process = Process(self, store, files, self._configure(self, store))

    def kill(self, loses_power: bool) -> None:
        """The process is gone at once; with `loses_power` so is what the disk had not made safe."""
        process, self.process = self.process, None
        if process is not None:
            process.end()
            assert self.files is not None
            self.files.die()
        if loses_power:
            self.platter.lose_power()
        self.world.trace.tell(
            self.world.timeline.now, f"server {self.member} {'loses power' if loses_power else 'is killed'}"
        )

    def upgrade(self) -> None:
        """The release on it is the newest from now on; whoever runs is killed, and must be started again."""
        self.level = LEVEL
        if self.process is not None:
            self.kill(loses_power=False)

    def change_disk(self, founders: tuple[MemberId, ...], *, is_lost: bool) -> None:
        """The machine is off, and has an empty disk from now on."""
        if self.process is not None:
            self.kill(loses_power=True)
        self.platter = Platter(self.world.chance)
        self.founders = founders
        self.is_lost = is_lost
        self.world.observer.on_disk(self)

    def switch_off(self) -> None:
        self.is_off = True
        if self.process is not None:
            self.kill(loses_power=False)

    def heal(self) -> None:
        """Up, awake and sound."""
        self.doom = None
        self.mend_disk()
        process = self.process
        if process is None:
            self.start()
        else:
            process.kill_at = None
            if process.is_frozen:
                process.thaw()

    def fill_disk(self) -> None:
        self.disk_is_full = True
        if self.process is not None:
            self.process.disk.files.trouble.is_full = True

    def mend_disk(self) -> None:
        self.disk_is_full = False
        self.disk_delay = self.world.machinery.disk
        if self.process is not None:
            self.process.disk.files.trouble.is_full = False
            self.process.disk.files.trouble.fails_next_sync = False

    def change_rate(self, rate: float) -> None:
        self.clock.change_rate(rate)
        if self.process is not None:
            self.process.reschedule()

    def stop(self) -> None:
        """A graceful end, after leadership was handed over: the log is marked as complete."""
        process, self.process = self.process, None
        if process is not None:
            process.end()
            try:
                process.disk.close()
            except DiskFailed as error:
                self.world.trace.tell(self.world.timeline.now, f"server {self.member} ends: {error}")
                process.disk.files.die()
            self.world.trace.tell(self.world.timeline.now, f"server {self.member} stops")
