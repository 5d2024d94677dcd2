"""The commands of this server's clients on their way into the log.

Commands are numbered 1, 2, 3 … for as long as this process lives (its incarnation). Those of one turn are sealed into
a *block*, which goes to whoever leads: into the leader's next run if that is us, in a `Forward` if not. Blocks stay
here until they are applied, and are sent again, all of them and in order, whenever they may have been lost: the leader
changed, the link to it broke, or it was silent for too long. The state machine remembers the last number applied of
every member, so a block that arrives twice is applied once, and one that arrives without those before it not at all.
Hence exactly one outcome per command, in the order of its number, whatever happens to leaders in between.
"""

from collections import deque
from dataclasses import dataclass

from coord.replica.connection import Slot
from coord.tree import commands


@dataclass(frozen=True, slots=True)
class Sealed:
    block: bytes
    first: int
    count: int

    @property
    def last(self) -> int:
        return self.first + self.count - 1


class Outbox:
    def __init__(self, member: int, incarnation: int) -> None:
        self.member = member
        self.incarnation = incarnation
        self.slots: deque[Slot] = deque()
        """One per command that is not applied yet, in order of its number."""
        self.outstanding_bytes = 0
        self._fresh: list[bytes] = []
        self._sealed: deque[Sealed] = deque()
        self._next = 1
        self.applied = 0
        """The number of the last command that was applied."""

    def add(self, command: bytes, slot: Slot) -> None:
        self._fresh.append(command)
        self.slots.append(slot)

    @property
    def is_fresh(self) -> bool:
        """Something was added since the last `seal`."""
        return bool(self._fresh)

    def seal(self) -> Sealed | None:
        """What was added since the last call as one block, or None; it is kept until it is applied."""
        fresh = self._fresh
        if not fresh:
            return None
        block = commands.block(self.member, self.incarnation, self._next, fresh)
        sealed = Sealed(block, self._next, len(fresh))
        self._sealed.append(sealed)
        self._next += len(fresh)
        self.outstanding_bytes += len(block)
        self._fresh = []
        return sealed

    def unapplied(self) -> list[Sealed]:
        """All blocks that may have to be sent again, oldest first."""
        return list(self._sealed)

    def take_applied(self) -> Slot:
        """The slot whose command was just applied: always the oldest."""
        self.applied += 1
        return self.slots.popleft()

    def skip(self, last_seq: int) -> None:
        """The commands up to this one were applied where we did not see it: nobody will learn their outcome."""
        while self.applied < last_seq:
            self.take_applied()
        self.trim()

    def trim(self) -> bool:
        """Forget blocks that are applied; True if there were any."""
        sealed = self._sealed
        before = len(sealed)
        while sealed and sealed[0].last <= self.applied:
            self.outstanding_bytes -= len(sealed.popleft().block)
        return len(sealed) < before
