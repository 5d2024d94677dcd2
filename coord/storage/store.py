"""A member's memory: its directory, opened, checked, recovered, and ready to be written to.

    lock            the log and the boot counter have one writer
    identity.json   format, member, cluster, boots
    0000000001.wal  the log, see `wal.py`
    snapshots/      what stands for the log's beginning, see `snapshot_files.py`

The order of a first start is such that a crash anywhere in it leaves a directory that starts: the log with
its first mark, then the identity. So a directory with an identity has a log, or has lost it; and a log
without an identity is either one on which nothing was ever acknowledged, or damaged.
"""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace

from coord.raft.ready import Persist
from coord.raft.stored import Stored
from coord.raft.types import BEGINNING, Index, MemberId, Place
from coord.replica.snapshot_work import BeginSnapshot, SnapshotAnswer, SnapshotWork
from coord.storage.errors import (
    CorruptIdentity,
    CorruptLog,
    CorruptSnapshot,
    DiskFailed,
    ForeignDirectory,
    foreign_member,
)
from coord.storage.files import Files
from coord.storage.identity import IDENTITY_NAME, Identity, read_identity, write_identity
from coord.storage.records import segment_name
from coord.storage.recovery import Recovered, Torn, recover
from coord.storage.snapshot_files import SNAPSHOTS_NAME, SnapshotFiles
from coord.storage.snapshot_format import name_of
from coord.storage.wal import SEGMENT_BYTES, Wal


class Store:
    """Made by `open`. Blocking, for one thread at a time."""

    def __init__(self, files: Files, identity: Identity, wal: Wal, found: Recovered, snapshots: SnapshotFiles) -> None:
        """For `open`."""
        self._files = files
        self._identity = identity
        self._wal = wal
        self._is_sound = True
        self._is_marked = True
        self._failure: DiskFailed | None = None
        self.snapshots = snapshots
        """Its work has a thread of its own."""
        newest = snapshots.newest
        place = BEGINNING if newest is None else newest.place
        self.stored = Stored(found.hard_state, found.runs, found.history.start, place)
        """What the log held when it was opened. To be dropped by whoever has taken it over."""
        self.torn: Torn | None = found.torn
        """What a crash had left unfinished, and was cut off: worth a line in the server's log."""

    @classmethod
    def open(
        cls,
        files: Files,
        member: MemberId,
        segment_bytes: int = SEGMENT_BYTES,
        draw_id: Callable[[], int] = lambda: secrets.randbits(63),
    ) -> "Store":
        """Take possession of the directory. Raises a `StorageError` that says what to do; then nothing is held.

        `draw_id` gives a new directory its id.
        """
        try:
            files.lock()
            return cls._open_locked(files, member, segment_bytes, draw_id)
        except OSError as error:
            files.close()
            raise DiskFailed(files.directory, "opening the store", error) from error
        except BaseException:
            files.close()
            raise

    @classmethod
    def _open_locked(cls, files: Files, member: MemberId, segment_bytes: int, draw_id: Callable[[], int]) -> "Store":
        identity = read_identity(files)
        if identity is not None and identity.member != member:
            raise foreign_member(files.directory, identity.member, member)
        cluster = 0 if identity is None else identity.cluster
        snapshots = SnapshotFiles(files.subdirectory(SNAPSHOTS_NAME), cluster, draw_id)
        found = recover(files, member)
        if identity is None:
            if not found.is_empty:
                raise CorruptIdentity(files.directory, IDENTITY_NAME, "is missing, though there is a log")
            if snapshots.kept or snapshots.damaged:
                raise CorruptIdentity(files.directory, IDENTITY_NAME, "is missing, though there are snapshots")
            identity = Identity(member, cluster=0, boots=0, directory=draw_id())
        elif found.sequence == 0:
            raise CorruptLog(files.directory, segment_name(1), 0, found.history.next_index, "the log is gone")
        wal = Wal(files, member, found, segment_bytes, snapshots.chain_at)
        wal.start()
        _join(wal, snapshots, found, files.directory)
        identity = replace(identity, boots=identity.boots + 1)
        write_identity(files, identity)
        return cls(files, identity, wal, found, snapshots)

    @property
    def directory(self) -> str:
        """How messages to people call it."""
        return self._files.directory

    @property
    def incarnation(self) -> int:
        """One more with each start on this directory, and counted from elsewhere on another: a member that was removed
        and comes back with an empty one must not pass for an earlier life of itself. Below 2³¹."""
        return self._identity.directory % (1 << 30) + self._identity.boots

    @property
    def directory_id(self) -> int:
        """Of this very directory: a new one in its place would have another."""
        return self._identity.directory

    @property
    def cluster_id(self) -> int:
        """0: not known yet."""
        return self._identity.cluster

    def write(self, persists: list[Persist]) -> None:
        """Make all of it durable, at the cost of one write and one sync. Raises `DiskFailed`, and then for
        ever.
        """
        self._enter()
        try:
            self._wal.write(persists)
        except OSError as error:
            raise self._fail("writing the log", error) from error
        self._is_marked = False
        self._is_sound = True

    def read_state(self) -> Iterator[bytes]:
        """The pieces of the snapshot that `stored` names; none if there is none."""
        return self.snapshots.read_state()

    def chain_at(self, place: Place) -> bytes | None:
        """Of the log, at a place up to which everything was written; None if it has no such boundary."""
        return self._wal.chain_at(place)

    def cut_log(self, before: Index) -> None:
        """Remove what holds nothing after `before`, the place of the oldest snapshot that is kept. Raises
        `DiskFailed`."""
        kept = self.snapshots.kept
        assert kept, "without a snapshot nothing is cut"
        assert before <= kept[-1].place.index, "what is cut is held by every snapshot that is kept"
        self._enter()
        try:
            self._wal.cut(before)
        except OSError as error:
            raise self._fail("cutting the log", error) from error
        self._is_sound = True

    def carry_out(self, item: SnapshotWork, chain: bytes | None = None) -> SnapshotAnswer | None:
        """Work on snapshots, but for `CutLog`; `chain` is that of the log at the place of a BeginSnapshot. Raises
        `DiskFailed`."""
        try:
            if isinstance(item, BeginSnapshot):
                assert chain is not None
                self.snapshots.begin(item.place, item.cluster_id, chain)
                return None
            return self.snapshots.carry_out(item)
        except OSError as error:
            raise DiskFailed(f"{self._files.directory}/{SNAPSHOTS_NAME}", "writing a snapshot", error) from error

    def adopt_cluster(self, cluster_id: int) -> None:
        """Remember, durably, which cluster this member belongs to. Raises `ForeignDirectory` if it is
        another one.
        """
        assert cluster_id != 0, "0 stands for not known"
        if self._identity.cluster == cluster_id:
            return
        if self._identity.cluster:
            raise ForeignDirectory(
                f"{self._files.directory} belongs to cluster {self._identity.cluster:x}, but the other"
                f" members are cluster {cluster_id:x}: check --members, or give it an empty directory"
            )
        self._enter()
        identity = replace(self._identity, cluster=cluster_id)
        try:
            write_identity(self._files, identity)
        except OSError as error:
            raise self._fail("writing the identity", error) from error
        self._identity = identity
        self.snapshots.cluster = cluster_id
        self._is_sound = True

    def close(self) -> None:
        """Mark the log as complete and give the directory free. After a failure it is only given free."""
        try:
            if self._is_sound and not self._is_marked:
                self._enter()
                self._wal.mark()
        except OSError as error:
            raise self._fail("marking the log", error) from error
        finally:
            self.snapshots.close()
            self._files.close()

    def _enter(self) -> None:
        """Before every change of the disk; whoever does not come to its end leaves the store unusable."""
        if self._failure is not None:
            raise self._failure
        assert self._is_sound, "the store was left in the middle of a change"
        self._is_sound = False

    def _fail(self, doing: str, error: OSError) -> DiskFailed:
        self._failure = DiskFailed(self._files.directory, doing, error)
        return self._failure


def _join(wal: Wal, snapshots: SnapshotFiles, found: Recovered, directory: str) -> None:
    """See that snapshot and log make one history. Raises `CorruptSnapshot` or `CorruptLog` if they cannot.

    A snapshot that the log does not know of came from another member, and a crash was before the log's restart; or it
    is of decided entries that were on the disks of others first. Both times the log goes on after it.
    """
    newest, start = snapshots.newest, found.history.start
    if newest is None or newest.place.index < start.index:
        if start.index or newest is not None:
            found_at = None if newest is None else newest.place.index
            raise CorruptSnapshot(directory, start.index, snapshots.damaged, found_at)
        return
    chain = wal.chain_at(newest.place)
    if chain is None:
        wal.write([Persist(0, None, None, [], restart_at=newest.place)])
        found.runs.clear()
    elif chain != newest.chain:
        name = f"{SNAPSHOTS_NAME}/{name_of(newest.place)}"
        raise CorruptLog(directory, name, 0, newest.place.index, "its hash chain is not that of the log")
