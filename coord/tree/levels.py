"""Levels: how members of two releases run together, and from which entry of the log on something new is done.

All members do alike what the log says, or they are no copies of each other any more. So what a release can do beyond
the one before it waits until every member runs that release, and then begins with an entry of the log:

    announced   each member tells every new leader the highest level that its release knows (ANNOUNCE)
    raised      once all members know a higher one than is in force, the leader has it raised (RAISE_LEVEL)
    in force    from that entry on, for ever, on every member; all later snapshots say so

What is new is kept out of the log until then: by the server that makes the command (`Machine.refusal`), for a leader of
the release before would take it in unread, and again by apply. So that release can read every log and snapshot as long
as one member runs it. Once the level has risen, it refuses them (`NewerLevel`).

What carries a version, and when to raise it:

    level       `LEVELS`, here. When a release does something else at apply, knows another command, or writes snapshots
                in another form: a line in the table. The earlier way stays in the code for as long as its level may be
                in force somewhere, which is one release.
    snapshots   The number in their head: the level in force, which says what form they have. They go from member to
                member, so all must be able to read them.
    runs        `commands.VERSION`: the form of runs, blocks and heads of commands. With a new level, below which
                leaders go on writing the old form.
    files       `coord.storage.records.FORMAT`: how a directory is laid out. Nobody else reads it: a release takes over
                the older form and goes on in its own, and the older release then refuses the directory.
    peers       `coord.transport.handshake.SPOKEN`: what members say to each other. Each link speaks the newest version
                that both of its ends know.

A field at the end of a command's body needs none of them if it may be passed over: decoders ignore what follows what
they know. That is how the announcement got its level; one without it comes from a release of level 1.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from coord.raft.types import MemberId
from coord.tree.commands import Kind, UnreadableLog
from coord.version import __version__


@dataclass(frozen=True, slots=True)
class Level:
    """What begins with it."""

    text: str
    """For people."""

    kinds: frozenset[int]
    """Commands that are refused below it."""

    schemes: frozenset[str] = frozenset()
    """Of ACL entries that are invalid below it."""


LEVELS: Final[Mapping[int, Level]] = {
    1: Level("the tree, sessions and leases; members as they were when the cluster started", frozenset()),
    2: Level("members come and go while the cluster runs", frozenset({Kind.CHANGE_MEMBERS, Kind.GIVE_UP_CHANGE})),
    3: Level("ACLs for users of SASL", frozenset(), frozenset({"sasl"})),
}

FIRST: Final = 1
"""In force in a log that says nothing of levels, and known to members that announce none."""

LEVEL: Final = max(LEVELS)
"""The highest that this release knows."""


class NewerLevel(UnreadableLog):
    """The cluster does what this release cannot do. The server must stop."""

    def __init__(self, where: str, level: int, known: int) -> None:
        super().__init__(
            f"{where} is of level {level}, and this release, coord {__version__}, knows levels up to {known}:"
            " start the release that the other members run"
        )


class Levels:
    """What a machine may do: which level is in force, and who knows which."""

    __slots__ = ("announced", "in_force", "known", "off", "off_schemes")

    def __init__(self, known: int = LEVEL) -> None:
        """`known`: the highest level of this release."""
        self.known = known
        self.in_force = FIRST
        """Replicated."""

        self.off: frozenset[int] = frozenset()
        """Commands that are refused as long as no higher level is in force."""

        self.off_schemes: frozenset[str] = frozenset()
        """Of ACL entries, likewise."""

        self.announced: dict[MemberId, int] = {}
        """The highest level that a member knows, as far as it was heard to say so. Local: no release of level 1 keeps
        it in its snapshots. A leader has heard everybody, for all announce themselves to it."""

        self.put_in_force(FIRST, "a new log")

    def put_in_force(self, level: int, where: str) -> None:
        """`where`, for people, it was found. Raises `NewerLevel`."""
        if level > self.known:
            raise NewerLevel(where, level, self.known)
        self.in_force = level
        self.off = frozenset().union(*[new.kinds for number, new in LEVELS.items() if number > level])
        self.off_schemes = frozenset().union(*[new.schemes for number, new in LEVELS.items() if number > level])

    def knows(self, kind: int) -> bool:
        """Whether this release has ever heard of such commands."""
        return kind not in self.off or _level_of(kind) <= self.known

    def highest_for(self, members: Iterable[MemberId]) -> int:
        """The highest level that all of them know."""
        return min([self.announced.get(member, FIRST) for member in members], default=FIRST)

    def behind(self, members: Iterable[MemberId]) -> list[MemberId]:
        """Those that keep what this release knows from being in force; nobody once it is."""
        if self.in_force >= self.known:
            return []
        return [member for member in members if self.announced.get(member, FIRST) < self.known]

    def shortcoming(self, member: MemberId) -> str:
        """Why it cannot have a part in this cluster; empty if it can, or has said nothing yet."""
        known = self.announced.get(member, self.in_force)
        if known >= self.in_force:
            return ""
        return (
            f"member {member} runs a release that knows levels up to {known}, and the cluster is at level"
            f" {self.in_force}: start the release there that the other members run, and add it again"
        )

    def refusal(self, kind: int, members: Iterable[MemberId]) -> str:
        """Why a command of a kind that is in `off` is refused, and what to do about it."""
        needed = _level_of(kind)
        behind = [member for member in members if self.announced.get(member, FIRST) < needed]
        if not behind:
            return f"the cluster is just about to learn it (level {needed}): ask again in a second"
        one = len(behind) == 1
        listed = ", ".join(map(str, behind))
        return (
            f"{'member' if one else 'members'} {listed} {'runs' if one else 'run'} a release that does not know it"
            f" (level {needed}): upgrade {'it' if one else 'them'} first"
        )


def _level_of(kind: int) -> int:
    return next((number for number, level in LEVELS.items() if kind in level.kinds), FIRST)
