"""What members left behind, of which so many are gone that the others cannot decide anything any more.

Their directories are read and not changed. Of all there are, the most up-to-date one has the most of what was
acknowledged: by the rule that Raft elects leaders by, the last entry's term, then its index (paper §5.4.1). All of it
is kept, decided or not: what was decided cannot be told from what was not, and to keep too much does no harm.

Nothing that was acknowledged is missing if a majority of the last members is there. Else a majority may have decided
more without any of those that are left.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from coord.backup.errors import CannotFound
from coord.raft.types import Index, MemberId, Place, Run
from coord.storage.errors import CorruptLog, CorruptSnapshot, DamagedFile
from coord.storage.files import ReadableFiles
from coord.storage.identity import Identity, read_identity
from coord.storage.recovery import Recovered, recover
from coord.storage.snapshot_files import SNAPSHOT_NAME, SNAPSHOTS_NAME
from coord.storage.snapshot_format import Head, SnapshotReader, name_of
from coord.tree.machine import Machine


class Survivor:
    """A member's directory, whose server does not run: locked until `close`, and read."""

    def __init__(self, files: ReadableFiles) -> None:
        """Raises `StorageError` if it is in use, damaged or newer, and `CannotFound` if it is no member's."""
        self.directory = directory = files.directory
        self._files = files
        self.is_final = False
        self._files.lock()
        try:
            identity = read_identity(self._files)
            if identity is None:
                raise CannotFound(f"{directory} is no data directory of a member: it has no identity.json")
            self.identity: Identity = identity
            self.cluster = identity.cluster
            found = recover(self._files, identity.member)
            if not found.sequence:
                raise CannotFound(f"{directory} has lost its log: recover without it")
            self._snapshots = files.subdirectory(SNAPSHOTS_NAME)
            self._head, self._runs, self.end, self.chain = _joined(found, self._snapshots, directory)
        except BaseException:
            self._files.close()
            raise
        self.size = sum(len(run.data) for run in self._runs) + (self._head.size if self._head is not None else 0)

    @property
    def member(self) -> MemberId:
        return self.identity.member

    def pieces(self) -> Iterator[bytes]:
        if self._head is not None:
            yield from SnapshotReader(self._snapshots, name_of(self._head.place)).pieces()

    def runs(self) -> Iterator[Run]:
        yield from self._runs

    def close(self) -> None:
        self._files.close()


@dataclass(frozen=True, slots=True)
class Losses:
    """What the members that are gone may have had that those that are left have not."""

    members: tuple[MemberId, ...]
    """The last that are known."""
    missing: tuple[MemberId, ...]
    is_complete: bool
    """Nothing that was acknowledged is missing: a majority is there."""


def most_up_to_date(survivors: Sequence[Survivor]) -> Survivor:
    """Raises `CannotFound` if they are not of one cluster, each another member."""
    clusters = {one.cluster for one in survivors if one.cluster}
    if len(clusters) > 1:
        listed = ", ".join(f"{one.directory} of {one.cluster:016x}" for one in survivors)
        raise CannotFound(f"these are of different clusters: {listed}")
    members = [one.member for one in survivors]
    for one in survivors:
        if members.count(one.member) > 1:
            raise CannotFound(f"{one.directory} is not the only one of member {one.member}: name the one it used last")
    return max(survivors, key=lambda one: (one.end.term, one.end.index))


def losses(survivors: Sequence[Survivor], machine: Machine) -> Losses:
    """`machine`: as the most up-to-date one has it."""
    present = {one.member for one in survivors}
    configuration = machine.members.membership.configuration
    # A cluster writes down who its members are as soon as they have told it where their data is.
    members = configuration.members or tuple(sorted(machine.members.announced))
    majorities = configuration.majorities if configuration.members else (members,)
    is_complete = all(2 * sum(member in present for member in voters) > len(voters) for voters in majorities)
    return Losses(members, tuple([member for member in members if member not in present]), is_complete)


def _joined(found: Recovered, snapshots: ReadableFiles, directory: str) -> tuple[Head | None, list[Run], Place, bytes]:
    """The snapshot to begin with, what follows it, and where that ends: as `coord.storage.store` joins them."""
    names = sorted((name for name in snapshots.names() if SNAPSHOT_NAME.fullmatch(name)), reverse=True)
    damaged: list[str] = []
    start, history = found.history.start, found.history
    for name in names:
        head = _sound_head(snapshots, name)
        if head is None:
            damaged.append(name)
            continue
        if head.place.index < start.index:
            break
        chain = history.chain_at(head.place)
        if chain is None:  # it came from another member, or a crash was before the log was cut for it
            return head, [], head.place, head.chain
        if chain != head.chain:
            raise CorruptLog(directory, f"{SNAPSHOTS_NAME}/{name}", 0, head.place.index, "it is of another log")
        runs = [run for run in found.runs if run.first > head.place.index]
        return head, runs, _end(found), history.chain
    if start.index:
        raise CorruptSnapshot(directory, start.index, damaged, None)
    return None, found.runs, _end(found), history.chain


def _end(found: Recovered) -> Place:
    return Place(Index(found.history.next_index - 1), found.history.term)


def _sound_head(snapshots: ReadableFiles, name: str) -> Head | None:
    try:
        reader = SnapshotReader(snapshots, name)
        for _ in reader.pieces():
            pass
    except DamagedFile:
        return None
    return reader.head if name == name_of(reader.head.place) else None
