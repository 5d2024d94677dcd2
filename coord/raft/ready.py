"""What a turn of Raft asks its driver to do, and what it lets the driver know.

The duties of the driver and their order are in the package's docstring.
"""

from typing import TypeAlias

import msgspec

from .configuration import Configuration
from .messages import Outgoing
from .types import HardState, Index, MemberId, Place, Run, Term


class Persist(msgspec.Struct, frozen=True):
    """One write to the disk: set the hard state, cut the log off, append; in this order, all or a prefix."""

    token: int
    """1, 2, 3, …: hand `persisted(token)` back when this and everything before it is durable."""
    hard_state: HardState | None
    """None: as before."""
    truncate_from: Index | None
    """Drop every run that starts here or later, before `runs` are appended. None: nothing to drop."""
    runs: list[Run]
    restart_at: Place | None = None
    """Instead of a truncation: drop every run; the log goes on after this place, at which a snapshot is durable."""


class ReadReady(msgspec.Struct, frozen=True, gc=False):
    """A read is linearizable from a state that has applied everything up to `index`."""

    request: int
    index: Index


class BecameLeader(msgspec.Struct, frozen=True, gc=False):
    """This member won the election of `term`, and has its no-op in the log."""

    term: Term


class BecameFollower(msgspec.Struct, frozen=True, gc=False):
    """This member follows `leader` in `term`; with None it waits for one to appear."""

    term: Term
    leader: MemberId | None


class ElectionStarted(msgspec.Struct, frozen=True, gc=False):
    """This member asks for votes for `term`; `pre`: it only asks whether that would help."""

    term: Term
    pre: bool
    silence: float | None
    """For how many seconds the leader that we followed had said nothing; None if we followed none."""


class Voted(msgspec.Struct, frozen=True, gc=False):
    """This member gave its vote of `term` to another; the answer leaves when the vote is durable."""

    term: Term
    candidate: MemberId


class QuorumLost(msgspec.Struct, frozen=True, gc=False):
    """This leader heard from no majority for an election timeout and steps down (thesis §6.2)."""

    term: Term


class Truncated(msgspec.Struct, frozen=True, gc=False):
    """Runs first … last were in conflict with the leader's and are gone; none of them was committed."""

    first: Index
    last: Index


class TransferStarted(msgspec.Struct, frozen=True, gc=False):
    """This leader proposes nothing more, and hands over to `target` as soon as it has caught up."""

    term: Term
    target: MemberId


class TransferAborted(msgspec.Struct, frozen=True, gc=False):
    """The target did not take over within an election timeout; this leader goes on."""

    term: Term
    target: MemberId


class MembersChanged(msgspec.Struct, frozen=True, gc=False):
    """This leader made the configuration that is entry `index`; it is not committed yet."""

    term: Term
    index: Index
    configuration: Configuration


Happened: TypeAlias = (
    BecameLeader
    | BecameFollower
    | ElectionStarted
    | Voted
    | QuorumLost
    | Truncated
    | TransferStarted
    | TransferAborted
    | MembersChanged
)
"""For logs and metrics only: nothing needs to be done about them."""


class Ready(msgspec.Struct, frozen=True):
    """Everything that is to be done after a turn; each part once."""

    messages: list[Outgoing]
    """May leave at once, before `persist` is durable: promises wait inside until they are true."""
    notices: list[Outgoing]
    """Appends that carry nothing but a newer commit index: as `messages`, but best sent last of all, after
    those were answered who wait for what is decided here."""
    persist: Persist | None
    committed: list[Run]
    """To be applied now, in order, each run exactly once in the life of this `Raft`."""
    reads: list[ReadReady]
    happened: list[Happened]
