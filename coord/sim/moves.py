"""What operators do to the members of a cluster, and what befalls its disks and machines for good.

Like faults they are drawn up front (`coord.sim.faults`); an operator sees each through with real requests
(`coord.sim.operator`). A move that nobody in their senses would make as things are when its time comes is left out: one
that loses more disks than the configuration survives, or leaves too few that work.
"""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Add:
    """New servers with empty disks become members, in one change."""

    at: float
    count: int
    as_learners: bool
    late: float
    """They start so long after the change was asked for."""


@dataclass(frozen=True, slots=True)
class Mistype:
    """A member is added at an address where nobody is."""

    at: float


@dataclass(frozen=True, slots=True)
class SwapPart:
    """A learner becomes a voter; if there is none, a voter becomes a learner."""

    at: float


@dataclass(frozen=True, slots=True)
class Remove:
    at: float
    member: int
    stops: bool
    """Then it is stopped for good; else it runs on, and may be killed and started like all others."""


@dataclass(frozen=True, slots=True)
class Replace:
    """A new server in the place of another, in one change."""

    at: float
    member: int
    is_dead: bool
    """The old one never comes back; else it is stopped when it is a member no more."""


@dataclass(frozen=True, slots=True)
class ReplaceAll:
    """New servers in the place of all voters, in one change."""

    at: float


@dataclass(frozen=True, slots=True)
class Return:
    """One that was removed becomes a member again."""

    at: float
    is_wiped: bool
    """With an empty disk; else with the one that it had."""


@dataclass(frozen=True, slots=True)
class Wipe:
    """A member loses its disk and comes back with an empty one, as if nothing had happened. Nobody must hear it. After
    a while an operator removes it, and adds it again with another empty disk, as it should be."""

    at: float
    member: int
    lasts: float
    """How long it is down."""


@dataclass(frozen=True, slots=True)
class Outage:
    """As many voters as the configuration survives are down at once, and for long."""

    at: float
    lasts: float


Order: TypeAlias = Add | Mistype | SwapPart | Remove | Replace | ReplaceAll | Return | Wipe
"""What an operator has to see to."""

Move: TypeAlias = Order | Outage
