"""What a simulated client and the scripts that it plays are made of: requests, waits, its session, its habits."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import TYPE_CHECKING, TypeAlias

from coord.raft.types import MemberId
from coord.sim.clock import Timeline
from coord.sim.exclusivity import LeaseBook
from coord.sim.sight import Sight
from coord.sim.streams import Streams
from coord.sim.trace import Trace
from coord_protocol.requests import OpCode

if TYPE_CHECKING:
    from coord.sim.client import Client


@dataclass(slots=True, eq=False)
class Call:
    """A request on its way, later with its fate. `error` is None as long as there is no answer, and if it was
    lost.
    """

    opcode: OpCode
    xid: int
    sent_at: float
    """By the client's own clock."""

    on_answer: "Callable[[Call], None] | None" = None
    """Called the moment the answer is read, before anything that came after it; scripts go on only later."""

    is_done: bool = False
    was_sent: bool = True
    error: int | None = None
    zxid: int = 0
    body: bytes = b""

    @property
    def is_ok(self) -> bool:
        return self.error == 0

    @property
    def is_lost(self) -> bool:
        return self.is_done and self.error is None


@dataclass(frozen=True, slots=True)
class News:
    """Wait for an event, an answer, or a change of the connection or session, at most `seconds`."""

    seconds: float


Wait: TypeAlias = "Call | float | News"
Script: TypeAlias = Generator[Wait, None, None]


class Contact(Enum):
    NONE = "waiting to try the next server"
    DIALING = "a connection is on its way"
    GREETING = "the handshake is on its way"
    OPEN = "served"


@dataclass(frozen=True, slots=True)
class Habits:
    """What a client is made with."""

    number: int
    address: str
    """Where it connects from."""
    timeout: float
    drift: float
    """How far clocks may run apart, as a part of any time: the session is given up that much earlier."""

    home: MemberId | None = None
    """The only server that it talks to, if it is that loyal, for as long as that is a member."""


@dataclass(slots=True)
class Session:
    """What the client knows of its session."""

    id: int
    password: bytes
    timeout: float
    sight: Sight
    believed_until: float
    """By the client's own clock."""

    is_closing: bool = False
    """It has asked for its end, so that its end surprises nobody."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all clients of a run have in common."""

    timeline: Timeline
    chance: Random
    streams: Streams
    trace: Trace
    book: LeaseBook
    members: Callable[[], Sequence[MemberId]]
    """Whose servers clients are told to try."""
    on_neglect: "Callable[[Client, str], None]"
    """A client tells that it was let down, though it did what it should."""
