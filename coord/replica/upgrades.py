"""What a leader does to bring a new level in force (`coord.tree.levels`): it waits until all members know it.

It has heard them all: members announce themselves to every new leader. Which level a member's release knows cannot
fall without its being started again, and it announces itself then, too.
"""

from coord.raft import MemberId, Raft
from coord.tree import commands
from coord.tree.machine import Machine


class Upgrades:
    """For as long as one office is open."""

    def __init__(self, raft: Raft, machine: Machine) -> None:
        self._raft = raft
        self._machine = machine
        self._asked: tuple[int, tuple[MemberId, ...]] | None = None
        """The level that we asked for last, and who was a member then."""

    def look(self) -> bytes | None:
        """Each turn: the command that raises the level, once it is time for it."""
        levels = self._machine.levels
        if levels.in_force >= levels.known:
            return None
        members = self._raft.configuration.members
        asked = levels.highest_for(members), members
        if asked[0] <= levels.in_force:
            self._asked = None
        elif asked != self._asked:
            self._asked = asked
            return commands.raise_level(*asked)
        return None
