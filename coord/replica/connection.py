"""One client connection, as the brain sees it: what it asked, what it is owed, how long its session is believed alive.

Replies leave in the order of the requests. A write takes a slot in `pending` and waits for the log; what comes behind
it (a read must see the session's own writes) waits in a slot of its own. With nothing pending a read is answered at
once and never touches the queue.

A reply is a promise of life (ARCHITECTURE §6): ZooKeeper clients take any reply as proof that their session stands
and leave by themselves only two thirds of the timeout later. So nothing leaves for a session unless something that
its client sent within the last third (plus the grace that every deadline has) is known to be committed: see
`is_covered`.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from coord.replica.inputs import ConnectionId
from coord.tree.machine import Outcome

Identity = tuple[str, str]

BODY = 8  # where the record starts in the frame of a request: behind xid and opcode


class Phase(Enum):
    HANDSHAKE = "nothing understood yet"
    ATTACHING = "its session is on its way through the log; later bytes wait"
    OPEN = "served"
    CLOSING = "what it is owed is sent, then it is closed"


@dataclass(slots=True, eq=False)
class Connection:
    id: ConnectionId
    address: str
    opened_at: float

    phase: Phase = Phase.HANDSHAKE
    unread: bytes = b""
    """The beginning of a frame that has not arrived whole, or all bytes since the handshake while ATTACHING."""

    session: int = 0
    epoch: int = 0
    """The zxid of the session's create or latest attach: commands of an older connection carry an older epoch."""

    timeout_ms: int = 0
    patience: float = 0.0
    """For how long after a committed sign of life replies may leave: a third of the timeout plus the grace."""

    covered_at: float = 0.0
    """When the newest request arrived that is known to be committed as a keep-alive."""

    touched_at: float = 0.0
    """When the newest request arrived."""

    is_touched: bool = False
    """It is on the list for the next keep-alive."""

    is_ending: bool = False
    """It asked for what nobody knows: nothing more is read, and it is closed when all before that is answered."""

    pings: int = 0
    """Pings that no keep-alive carries yet."""

    identities: tuple[Identity, ...] = ()
    pending: deque["Slot"] = field(default_factory=deque)
    out: list[bytes] = field(default_factory=list)
    is_speaking: bool = False
    """It has output in this turn."""

    received: int = 0
    """Requests."""

    sent: int = 0
    """Replies and notifications."""

    knows_read_only: bool = False
    """Its handshake had the `readOnly` byte, so the answer must have it too."""

    has_extensions: bool = False

    nonce: str = ""
    """Of the SASL challenge that it has not answered yet."""

    @property
    def is_open(self) -> bool:
        return self.phase is Phase.OPEN

    def is_covered(self, now: float) -> bool:
        return now - self.covered_at <= self.patience or not self.session


Encode = Callable[[int, int, Outcome], bytes]
"""(xid, zxid, outcome) → the reply frame."""

Local = Callable[[Connection, int, bytes], bytes]
"""Answers a request from local state at once: (connection, xid, frame) → the reply frame."""


@dataclass(slots=True, eq=False)
class Slot:
    """The place of one request in its connection's order of replies."""

    connection: Connection | None
    """None for commands of the server itself (keep-alives, its announcement)."""

    xid: int
    received_at: float
    encode: Encode | None = None
    """How to answer a write; None if `finish` does it or if this is a read."""

    finish: Callable[["Slot", int, Outcome], None] | None = None
    """What else to do with a write's outcome (sessions, keep-alives)."""

    local: Local | None = None
    """How to answer it once everything before it is answered; None while it waits for the log or for a sync."""

    frame: bytes = b""
    """What `local` needs of the request."""
