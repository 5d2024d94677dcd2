"""What comes into a replica and what goes out of it: the words between the driver and the brain.

Inputs carry facts, never objects that do I/O: a connection is a number that the hub gave it. Built once per ready
socket and turn, not per request.
"""

from typing import NewType

import msgspec

from coord.raft.configuration import Membership
from coord.raft.messages import Message
from coord.raft.ready import Happened
from coord.raft.types import MemberId, Place
from coord.replica.snapshot_work import SnapshotAnswer

ConnectionId = NewType("ConnectionId", int)


class Forward(msgspec.Struct, frozen=True, gc=False):
    """A block of commands on its way to the leader (thesis §6.2: a server that is not leader proxies requests)."""

    block: bytes


class FetchSnapshot(msgspec.Struct, frozen=True, gc=False):
    """Send me `length` bytes of your snapshot at `place`. I have what is before `offset` of the file `id`."""

    place: Place
    id: int
    """0: nothing yet, whichever it is."""
    offset: int
    length: int


class SnapshotChunk(msgspec.Struct, frozen=True, gc=False):
    """Bytes of the file `id` of a snapshot, which has `size` bytes. A size of 0: it is not here any more."""

    place: Place
    id: int
    size: int
    offset: int
    data: bytes


PeerMessage = Message | Forward | FetchSnapshot | SnapshotChunk


class Opened(msgspec.Struct, frozen=True, gc=False):
    """A client connected; nothing was read yet."""

    connection: ConnectionId
    address: str
    """The client's IP address as text: its identity under the `ip` scheme."""


class Received(msgspec.Struct, frozen=True, gc=False):
    """Bytes from a client, in order, cut anywhere."""

    connection: ConnectionId
    data: bytes


class Closed(msgspec.Struct, frozen=True, gc=False):
    """The connection is gone; its session lives on until it is closed or expires."""

    connection: ConnectionId


class FromPeer(msgspec.Struct, frozen=True, gc=False):
    """All messages of one frame from another member, in the order they were sent."""

    sender: MemberId
    messages: list[PeerMessage]


class PeerUp(msgspec.Struct, frozen=True, gc=False):
    """The link to a member stands (again): what was sent before may be lost."""

    member: MemberId


class PeerLost(msgspec.Struct, frozen=True, gc=False):
    """The link broke: a hint that the member may be dead, never a proof."""

    member: MemberId


class Persisted(msgspec.Struct, frozen=True, gc=False):
    """The disk holds everything handed to it up to and including this token."""

    token: int


class HandOver(msgspec.Struct, frozen=True, gc=False):
    """This server is about to stop: give leadership away, take no new clients."""


Input = Opened | Received | Closed | FromPeer | PeerUp | PeerLost | Persisted | HandOver | SnapshotAnswer


class ClusterKnown(msgspec.Struct, frozen=True, gc=False):
    """Something that happened: which cluster this is, by the log. Reported once in a replica's life."""

    cluster_id: int


class MembersKnown(msgspec.Struct, frozen=True, gc=False):
    """Something that happened: this is the newest configuration in the log, decided or not. Reported at the start, and
    whenever it is another one; also when it is an earlier one again, because what followed was never decided."""

    membership: Membership


class FrameTooLong(msgspec.Struct, frozen=True, gc=False):
    """Something that happened: a client was disconnected because of the length of a request."""

    address: str
    length: int
    limit: int


class LevelRaised(msgspec.Struct, frozen=True, gc=False):
    """Something that happened: all members know this level, and it is in force from now on (`coord.tree.levels`)."""

    level: int


class SnapshotTaken(msgspec.Struct, frozen=True, gc=False):
    """Something that happened: a snapshot of this server's state is durable."""

    index: int
    size: int


class SnapshotInstalled(msgspec.Struct, frozen=True, gc=False):
    """Something that happened: this server was so far behind that it took another's snapshot."""

    index: int
    before: int
    """How far it had come by itself."""


class SnapshotRefused(msgspec.Struct, frozen=True, gc=False):
    """Something that happened: a snapshot that came from another member cannot be taken."""

    sender: int
    reason: str


Event = (
    Happened
    | ClusterKnown
    | MembersKnown
    | LevelRaised
    | FrameTooLong
    | SnapshotTaken
    | SnapshotInstalled
    | SnapshotRefused
)
"""For whoever keeps the server's own log and its data directory; the loop does not depend on it."""


class Replies(msgspec.Struct, gc=False):
    """What a turn owes to clients: at most one chunk per connection, then the connections to close once it is sent."""

    chunks: list[tuple[ConnectionId, bytes]]
    closing: list[ConnectionId]
