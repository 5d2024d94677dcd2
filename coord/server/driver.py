"""The loop: the only place where the brain meets the world.

A server works in turns, and a turn takes all that is there: everything that became ready since the last one is handled,
then one frame goes to each peer, one write to the disk, and one chunk to each client. While the disk or the network
works, the next turn's batch grows; group commit and back-pressure come from that and need no code of their own.

The order of the last six lines is the contract (see `coord.raft`):

    send     before the disk, so that the leader's appends travel while it writes itself (thesis §10.2.1); what is a
             promise (a vote, an ack) is not in `messages` before the disk has answered with `Persisted`
    submit   in order; never waits for a slow disk
    apply    what committed, which is the long part of a busy turn, while peers and disk already work
    reply    events before the replies that reveal them, replies in the order of the requests
    send     notices of what is decided, which nobody here waits for any more
    work     a piece of a snapshot, if one is under way: a millisecond, for which only the next turn waits

`coord.sim` steps this very coroutine with a virtual hub, disk and clock. It awaits only `hub.gather`.
"""

from collections.abc import Sequence
from typing import NoReturn, Protocol

from coord.raft import Persist
from coord.raft.types import MemberId
from coord.replica.inputs import Input, PeerMessage, Replies
from coord.replica.replica import Replica
from coord.replica.snapshot_work import SnapshotWork


class Hub(Protocol):
    """All sockets of a server, real or virtual."""

    async def gather(self, until: float, take_clients: bool) -> Sequence[Input]:
        """All that is ready, bounded in bytes; waits for something to be, at the latest until the clock reads `until`.

        With `take_clients` false nothing is read from clients: their requests wait in their sockets (back-pressure).
        """
        ...

    def send(self, messages: Sequence[tuple[MemberId, Sequence[PeerMessage]]]) -> None:
        """One frame to each member named; dropped if the link is down."""
        ...

    def reply(self, replies: Replies) -> None:
        """Chunks to clients; what is in `closing` is closed once its bytes have left."""
        ...


class DiskQueue(Protocol):
    """Takes what must become durable, in order, and answers with `Persisted` through the hub."""

    def submit(self, persist: Persist | None) -> None: ...

    def work(self, items: Sequence[SnapshotWork]) -> None:
        """What concerns snapshots: in order, beside the log, answered through the hub."""
        ...


class Clock(Protocol):
    def now(self) -> float:
        """Monotonic seconds; meaningless outside this process."""
        ...

    def wall_ms(self) -> int:
        """Milliseconds since 1970, for people (ctime, mtime); nothing is decided by it."""
        ...


async def drive(replica: Replica, hub: Hub, disk: DiskQueue, clock: Clock) -> NoReturn:
    """The heart of a server: everything that changes state passes through here, in order."""
    while True:
        batch = await hub.gather(replica.next_deadline(), take_clients=not replica.is_congested)
        replica.advance_time(clock.now(), clock.wall_ms())
        for item in batch:
            replica.handle(item)
        ready = replica.take_ready()
        hub.send(ready.messages)
        disk.submit(ready.persist)
        hub.reply(replica.apply(ready))
        hub.send(ready.notices)
        disk.work(replica.take_snapshot_work())
