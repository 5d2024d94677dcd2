"""One server as the machine sees it: a process that is started, stopped, frozen or killed in the middle of a
turn.

It runs what production runs: `Store.open` on its disk, a `Replica`, and the coroutine `drive`. Only the three
things that wait are virtual. `Hub.gather` suspends the coroutine with the local time it wants to be woken at;
the process resumes it when something has arrived or that time has come, but not while it is frozen or still
busy with its last turn.
"""

from collections.abc import Callable, Coroutine, Generator, Sequence
from math import inf
from types import coroutine
from typing import TYPE_CHECKING, NoReturn

from coord.raft.types import MemberId
from coord.replica.config import ReplicaConfig
from coord.replica.inputs import (
    Closed,
    ClusterKnown,
    ConnectionId,
    Event,
    FromPeer,
    HandOver,
    Input,
    MembersKnown,
    Opened,
    PeerLost,
    PeerMessage,
    PeerUp,
    Received,
    Replies,
)
from coord.replica.replica import AddedAgain, Replica
from coord.server.driver import drive
from coord.server.standpoint import standpoint_of
from coord.sim.disk import VirtualFiles
from coord.sim.streams import Wire
from coord.sim.writer import Killed, VirtualDisk
from coord.storage.errors import DiskFailed
from coord.storage.store import Store
from coord.transport.codec import decode_frame, encode_frame
from coord.transport.handshake import Standpoint
from coord_protocol.frames import LENGTH

if TYPE_CHECKING:
    from coord.sim.server import Server


@coroutine
def _suspend(until: float, take_clients: bool) -> Generator[tuple[float, bool], None, None]:
    yield until, take_clients


SUPERVISED_PAUSE = 0.1
"""Seconds after which a server that has asked for it is started again."""


class Process:
    """A running server: the driver, its replica, and the virtual hub and disk that it waits on."""

    def __init__(self, server: "Server", store: Store, files: VirtualFiles, config: ReplicaConfig) -> None:
        world = server.world
        self.server = server
        self.member = server.member
        self.store = store
        self.is_frozen = False
        self.is_over = False
        self.slept = 0.0
        """For how long it was frozen, less what a leader may be late by without noticing."""

        self.kill_at: str | None = None
        """The point of the next turn at which the process dies; see `reach`."""

        self.kill_loses_power = False
        self._timeline = world.timeline
        self._wires: dict[ConnectionId, Wire] = {}
        self._inbox: list[Input] = []
        self._client_inbox: list[Input] = []
        """What was read from clients: left where it is while the replica is congested."""

        self._until = 0.0
        self._frozen_at = 0.0
        self._takes_clients = True
        self._is_turn_due = False
        """A turn is scheduled for as soon as the process is free."""

        self._alarm = inf
        """When it will be looked whether the deadline is reached; never later than that."""

        self._busy_until = world.timeline.now
        chance = world.chance
        self.replica = Replica(
            config,
            store.stored,
            store.incarnation,
            server.clock.now(),
            chance.random,
            chance.randbytes,
            self._on_event,
            state=store.read_state(),
        )
        world.observer.on_replica(server, self.replica)
        self.disk = VirtualDisk(self, store, files)
        self._driver: Coroutine[tuple[float, bool], None, NoReturn] = drive(self.replica, self, self.disk, server.clock)
        self._run()
        world.links.plug(self.member, self)
        world.streams.listen(self.member, self)

    def end(self) -> None:
        """Nothing of the process is left but what it has sent and written."""
        self.is_over = True
        self._driver.close()
        world = self.server.world
        world.observer.on_stop(self.server)
        world.links.unplug(self.member)
        world.streams.hang_up(self.member)

    # -- the scheduler

    def freeze(self) -> None:
        self.is_frozen = True
        self._frozen_at = self._timeline.now

    def thaw(self) -> None:
        """Does nothing if it was thawed before, or is gone."""
        if not self.is_frozen or self.is_over:
            return
        self.is_frozen = False
        self.slept += max(0.0, self._timeline.now - self._frozen_at - self.replica.config.max_clock_step)
        self.reschedule()

    def deliver(self, item: Input) -> None:
        self._inbox.append(item)
        self._see_to_work()

    def deliver_from_client(self, item: Input) -> None:
        self._client_inbox.append(item)
        if self._takes_clients:
            self._see_to_work()

    def reschedule(self) -> None:
        """See that a turn comes when it must: after a turn, a freeze, or a change of the clock's rate."""
        if self._inbox or (self._client_inbox and self._takes_clients):
            self._see_to_work()
        else:
            self._see_to_deadline()

    def _see_to_work(self) -> None:
        if not self._is_turn_due and not self.is_frozen:
            self._is_turn_due = True
            self._timeline.at(self._busy_until, self._on_work)

    def _on_work(self) -> None:
        self._is_turn_due = False
        if not self.is_frozen and not self.is_over:
            self._run()

    def _see_to_deadline(self) -> None:
        at = max(self.server.clock.true_time_of(self._until), self._busy_until)
        # An alarm that is set for earlier will find that it is not time yet, and set the next.
        if at < self._alarm:
            self._alarm = at
            self._timeline.at(at, self._on_alarm, at)

    def _on_alarm(self, alarm: float) -> None:
        if alarm != self._alarm or self.is_over:
            return
        self._alarm = inf
        if self._is_turn_due or self.is_frozen:
            return
        if self.server.clock.true_time_of(self._until) <= self._timeline.now:
            self._run()
        else:
            self._see_to_deadline()

    def _run(self) -> None:
        self.attempt(self._turn)

    def _turn(self) -> None:
        world = self.server.world
        self._until, self._takes_clients = self._driver.send(None)
        self._busy_until = self._timeline.now + world.machinery.turn * 2 * world.chance.random()
        world.observer.on_turn(self.server)
        self.reschedule()

    def attempt(self, something: Callable[[], None]) -> None:
        """Do it, unless the process dies of it: because it was doomed to, or because its disk has failed.

        Then it ends itself; whether the power goes as well is another matter.
        """
        try:
            something()
        except Killed:
            self.server.kill(self.kill_loses_power)
        except DiskFailed as error:
            world = self.server.world
            world.trace.tell(self._timeline.now, f"server {self.member} ends: {error}")
            self.server.kill(loses_power=world.chance.random() < 0.5)
        except AddedAgain:
            self.server.world.trace.mark("added again")
            self.server.kill(loses_power=False)
            self._timeline.after(SUPERVISED_PAUSE, self.server.start)

    def reach(self, point: str) -> None:
        """A point of the turn is reached; the process dies here if it was doomed to."""
        if self.kill_at == point:
            raise Killed

    def _on_event(self, event: Event) -> None:
        if isinstance(event, ClusterKnown):
            self.disk.adopt_cluster(event.cluster_id)
        elif isinstance(event, MembersKnown):
            self.server.world.links.members_changed(self.member)
        else:
            self.server.world.trace.mark(type(event).__name__)

    # -- Hub

    async def gather(self, until: float, take_clients: bool) -> Sequence[Input]:
        await _suspend(until, take_clients)
        self.reach("wake")
        batch, self._inbox = self._inbox, []
        if take_clients:
            batch += self._client_inbox
            self._client_inbox = []
        return batch

    def send(self, messages: Sequence[tuple[MemberId, Sequence[PeerMessage]]]) -> None:
        self.reach("send")
        world = self.server.world
        world.observer.on_messages(self.server, messages)
        for position, (receiver, content) in enumerate(messages):
            if position:
                self.reach("send half")
            world.links.send(self.member, receiver, encode_frame(content))

    def reply(self, replies: Replies) -> None:
        self.reach("reply")
        world = self.server.world
        world.observer.on_replies(self.server, replies)
        for position, (connection, data) in enumerate(replies.chunks):
            if position:
                self.reach("reply half")
            wire = self._wires.get(connection)
            if wire is not None and data:
                world.streams.send_down(wire, data)
        for connection in replies.closing:
            wire = self._wires.pop(connection, None)
            if wire is not None:
                world.streams.close_server_end(wire)

    # -- Port: what comes from other members

    @property
    def standpoint(self) -> Standpoint:
        return standpoint_of(self.replica, self.store)

    def linked(self, member: MemberId) -> None:
        self.server.world.observer.on_link(self.server, member)

    def frame(self, sender: MemberId, frame: bytes) -> None:
        self.deliver(FromPeer(sender, decode_frame(frame[LENGTH.size :])))

    def peer_up(self, member: MemberId) -> None:
        self.deliver(PeerUp(member))

    def peer_lost(self, member: MemberId) -> None:
        self.deliver(PeerLost(member))

    # -- Listener: what comes from clients

    def opened(self, wire: Wire) -> None:
        self._wires[wire.id] = wire
        self.deliver(Opened(wire.id, wire.address))

    def received(self, wire: Wire, data: bytes) -> None:
        world = self.server.world
        world.trace.note(world.timeline.now, "to server", self.member, wire.id, data)
        self.deliver_from_client(Received(wire.id, data))

    def closed(self, wire: Wire) -> None:
        self._wires.pop(wire.id, None)
        self.deliver_from_client(Closed(wire.id))

    def hand_over(self) -> None:
        self.deliver(HandOver())
