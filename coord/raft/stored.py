"""What recovery hands to a new life of a member."""

import msgspec

from .configuration import UNTOLD, Membership
from .types import BEGINNING, HardState, Place, Run, Term


class Stored(msgspec.Struct, frozen=True):
    """What recovery found on the disk; `Stored.nothing()` for a member that starts for the first time."""

    hard_state: HardState
    runs: list[Run]
    start: Place = BEGINNING
    """The place that the first of `runs` follows: what was before is cut off."""
    snapshot: Place = BEGINNING
    """Where the newest sound snapshot stands: not before `start`, and not after the last of `runs`, if there are any.
    BEGINNING if there is none."""
    membership: Membership = UNTOLD
    """The newest configuration that the snapshot holds."""

    @classmethod
    def nothing(cls) -> "Stored":
        """The state of a disk on which nothing was ever written."""
        return cls(HardState(Term(0), None), [])
