"""What can go wrong on purpose: one class per kind, and how each is done to a cluster and undone.

A run's faults are a list, drawn up front from its seed (`schedule`), so that a failing run can be made
smaller by leaving some out. Who is hit is often not known before it happens: `LEADER` stands for whoever
leads then.
"""

from dataclasses import dataclass
from typing import TypeAlias

from coord.sim.moves import Move

LEADER = 0
"""In place of a member: whoever leads when the fault strikes; the first that runs if nobody does."""

TURN_POINTS = (
    "wake", "send", "send half", "submit", "writing", "writing", "writing", "reply", "reply half",
    "snapshot piece", "snapshot naming", "snapshot naming", "cut",
)  # fmt: skip
"""Where in its work a process can be killed; most often where its disk has most to lose."""


@dataclass(frozen=True, slots=True)
class Kill:
    """A process dies and comes back; with `loses_power` its disk loses what was not synced."""

    at: float
    member: int
    lasts: float
    loses_power: bool
    point: str | None
    """Where in its next turn; None: at once, between two turns."""

    doom: int | None
    """Its next start is cut off after so many calls to the disk; None: it is not."""


@dataclass(frozen=True, slots=True)
class KillAll:
    """The power fails everywhere."""

    at: float
    lasts: float


@dataclass(frozen=True, slots=True)
class Retire:
    """A leader hands over."""

    at: float
    member: int
    lasts: float
    stops: bool
    """Then it stops gracefully for a while, as a server does that is told to."""

    is_deaf: bool
    """It does not hear that another has taken over: the one moment at which a leader is out of office and has every
    reason not to know it, for there was no silence."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """SIGSTOP: no turn runs, messages pile up, timers are late."""

    at: float
    member: int
    lasts: float


@dataclass(frozen=True, slots=True)
class Isolate:
    """A member reaches nobody (`deaf` and `mute`), hears nobody (`deaf`), or is not heard (`mute`)."""

    at: float
    member: int
    lasts: float
    deaf: bool
    mute: bool
    holds: bool
    """Frames wait behind the cut; else connections break."""


@dataclass(frozen=True, slots=True)
class Split:
    """Two sides that do not reach each other; a member in both is a bridge."""

    at: float
    lasts: float
    side: tuple[int, ...]
    bridge: int | None
    holds: bool


@dataclass(frozen=True, slots=True)
class BreakLink:
    at: float
    one: int
    other: int


@dataclass(frozen=True, slots=True)
class FalseAlarm:
    """A member is told that the link to another broke; it did not."""

    at: float
    member: int
    about: int


@dataclass(frozen=True, slots=True)
class SlowDisk:
    at: float
    member: int
    lasts: float
    seconds: float


@dataclass(frozen=True, slots=True)
class FailSync:
    """The next sync reports EIO: the process must end, and comes back."""

    at: float
    member: int
    lasts: float


@dataclass(frozen=True, slots=True)
class FillDisk:
    """No new file finds room."""

    at: float
    member: int
    lasts: float


@dataclass(frozen=True, slots=True)
class DamageSnapshot:
    """A process dies, and bytes of its newest snapshot rot while it is down; only where an older one does as well."""

    at: float
    member: int
    lasts: float


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A member that runs the release before is started again with this one. Not gracefully: `Retire` does that."""

    at: float
    member: int
    lasts: float


@dataclass(frozen=True, slots=True)
class ChangeRate:
    """A machine's clock runs at another rate from now on."""

    at: float
    member: int
    rate: float


@dataclass(frozen=True, slots=True)
class SetWall:
    at: float
    member: int
    by_ms: int


@dataclass(frozen=True, slots=True)
class CutClient:
    """A client and a server (all servers: `LEADER` has no meaning here, 0 is all) do not reach each other."""

    at: float
    client: int
    member: int
    lasts: float


@dataclass(frozen=True, slots=True)
class BreakClient:
    """A client's connection breaks, and one end may not be told."""

    at: float
    client: int
    tells_client: bool
    tells_server: bool


Fault: TypeAlias = (
    Kill | KillAll | Retire | Freeze | Isolate | Split | BreakLink | FalseAlarm | SlowDisk | FailSync |
    FillDisk | DamageSnapshot | Upgrade | ChangeRate | SetWall | CutClient | BreakClient | Move
)  # fmt: skip
