"""From what was saved to the data directory of one member of a new cluster."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from coord.backup.errors import CannotFound
from coord.backup.progress import Report
from coord.raft.configuration import Configuration, Seat
from coord.raft.types import MemberId, Place, Run
from coord.storage.files import Files
from coord.storage.founding import found_directory
from coord.storage.identity import Identity
from coord.storage.wal import SEGMENT_BYTES
from coord.tree.commands import UnreadableLog
from coord.tree.machine import Machine, Origin, Outcome
from coord.tree.rebirth import NoCluster, Reborn, begin_anew
from coord.tree.snapshots import DamagedState, Loader, freeze
from coord.tree.watches import Watches

PIECE_ZNODES = 1500
PIECE_BYTES = 256 * 1024  # as servers have them

LOADING = "loading"
WRITING = "writing"

_NOBODY = Origin(MemberId(0), 0)


class Ending(Protocol):
    """Where a log ends that is to be gone on from."""

    end: Place
    """What the last of it is."""
    chain: bytes
    """Of the log up to there."""
    is_final: bool
    """There was nothing after it, and never will be: whoever wrote it has stopped for good."""


class Saved(Ending, Protocol):
    """A state, and the log after it: of a backup, or of a member's directory. Each is read once, the state first."""

    cluster: int
    size: int
    """Of all in bytes, roughly."""

    def pieces(self) -> Iterator[bytes]: ...

    def runs(self) -> Iterator[Run]: ...


@dataclass(frozen=True, slots=True)
class NewMember:
    """What is to be."""

    member: MemberId
    members: Mapping[MemberId, str]
    """All of the new cluster, with the addresses where others of them reach them ("" for one that is alone)."""
    founded_ms: int
    """When the cluster was founded, by the clock of whoever made its first directory: the same for all of them."""
    directory: int
    """The id of the new directory, which nothing else has."""

    @property
    def configuration(self) -> Configuration:
        seats = [Seat(member, address) for member, address in sorted(self.members.items())]
        return Configuration(tuple(sorted(self.members)), seats=tuple(seats))


def load(saved: Saved, report: Report) -> Machine:
    """The state at the end of what was saved. Raises `DamagedFile`, and `CannotFound` if it makes no state."""
    machine = Machine(Watches(_nobody_watches))
    loader = Loader()
    done = 0
    try:
        for piece in saved.pieces():
            loader.add(piece)
            done += len(piece)
            report(LOADING, done, saved.size)
        if done:
            machine.adopt(loader.finish())
        for run in saved.runs():
            machine.apply(run, _NOBODY, _nobody_asked)
            done += len(run.data)
            report(LOADING, done, saved.size)
    except (DamagedState, UnreadableLog) as error:
        raise CannotFound(f"{error}; the release that saved it can load it") from error
    report(LOADING, saved.size, saved.size)
    return machine


def found(
    machine: Machine,
    saved: Ending,
    new: NewMember,
    files: Files,
    report: Report,
    segment_bytes: int = SEGMENT_BYTES,
) -> Reborn:
    """Write the new member's directory. Raises `StorageError`, and `CannotFound` if there is nothing to go on from."""
    try:
        reborn = begin_anew(machine, saved.end, saved.chain, new.configuration, new.founded_ms, is_final=saved.is_final)
    except NoCluster as error:
        raise CannotFound(f"{error}: there is nothing to go on from; start new members on empty directories") from None
    identity = Identity(new.member, reborn.cluster.id, boots=0, directory=new.directory)
    found_directory(files, identity, reborn.place, reborn.chain, _pieces(machine, report), segment_bytes)
    return reborn


def _pieces(machine: Machine, report: Report) -> Iterator[bytes]:
    frozen = freeze(machine)
    while (piece := frozen.next_piece(PIECE_ZNODES, PIECE_BYTES)) is not None:
        yield piece
        report(WRITING, *frozen.progress)


def _nobody_watches(connection: int, event: int, path: str, zxid: int, acl: object) -> None:
    """There are no clients."""


def _nobody_asked(zxid: int, outcome: Outcome) -> None:
    """What clients were told then they were told."""
