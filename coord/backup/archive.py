"""A backup's directory.

    backup.json                     what the backup consists of (`manifest.py`)
    state-INDEX-ID.snap             a snapshot's file, as a server writes it (`coord.storage.snapshot_format`)
    log-FIRST-LAST.log              what was applied after it (`log_files.py`), and perhaps more such files
    *.part                          on its way here
    lock                            held by whoever writes or reads it

All of it is for the owner and his group: it has everything that ACLs protect, and the cluster's secret.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import replace

from coord.backup.errors import NoBackup, OtherCluster
from coord.backup.log_files import LogFile, encode_head, encode_record
from coord.backup.manifest import MANIFEST_NAME, Manifest, Part, read_manifest, write_manifest
from coord.backup.progress import Report
from coord.raft.types import Place, Run
from coord.storage.errors import DamagedFile
from coord.storage.files import LOCK_NAME, ReadableFiles, RealFiles
from coord.storage.snapshot_format import SnapshotReader

STATE_PART = "state.part"
LOG_PART = "log.part"
OURS = re.compile(r"state-\d{20}-[0-9a-f]{16}\.snap|log-\d{20}-\d{20}\.log|state\.part|log\.part|backup\.tmp")
SYNC_BYTES = 4 * 1024 * 1024  # written between two syncs, so that the last one has little to wait for

CHECKING = "checking"


class SavedBackup:
    """A backup, to be read: its state once, then its log once. Whatever is not as it was written raises `DamagedFile`.

    What was read counts when all of it was.
    """

    def __init__(self, files: ReadableFiles, manifest: Manifest) -> None:
        """Raises `DamagedFile`."""
        self._files = files
        self.manifest = manifest
        self.cluster = manifest.cluster
        self.end = manifest.end
        self.chain = manifest.chain
        self.size = manifest.size
        self.is_final = False
        names = files.names()
        for part in manifest.parts:
            if part.name not in names:
                raise DamagedFile(files.directory, part.name, 0, "it is missing")
            found = files.size(part.name)
            if found != part.size:
                at = min(found, part.size)
                raise DamagedFile(files.directory, part.name, at, f"it has {found} bytes, and should have {part.size}")

    @classmethod
    def open(cls, files: ReadableFiles) -> "SavedBackup":
        """Raises `NoBackup`, `DamagedFile`, `NewerFormat`, `DirectoryInUse`."""
        files.lock()
        return cls(files, read_manifest(files))

    def pieces(self) -> Iterator[bytes]:
        """Of the state."""
        part = self.manifest.state
        reader = SnapshotReader(self._files, part.name)
        head = reader.head
        if (head.cluster, head.place, head.chain.hex()) != (self.cluster, part.place, part.chain):
            raise DamagedFile(self._files.directory, part.name, 0, f"it is not of index {part.index}")
        yield from reader.pieces()

    def runs(self) -> Iterator[Run]:
        """Of the log after the state."""
        place, chain = self.manifest.state.place, bytes.fromhex(self.manifest.state.chain)
        for part in self.manifest.log:
            file = LogFile(self._files, part.name, self.cluster, place, chain)
            yield from file.runs()
            place, chain = file.place, file.chain
            if (place, chain.hex()) != (part.place, part.chain):
                raise DamagedFile(self._files.directory, part.name, file.offset, f"it ends at index {place.index}")


class Draft:
    """A file that grows at its end."""

    def __init__(self, files: RealFiles, name: str) -> None:
        self._files = files
        self.name = name
        self._synced = 0
        self.size = 0
        files.create(name, 0)

    def write(self, data: bytes) -> None:
        end = self.size + len(data)
        self._files.grow(self.name, end)
        self._files.write(self.name, self.size, data)
        self.size = end
        if end - self._synced >= SYNC_BYTES:
            self._files.sync(self.name)
            self._synced = end


class LogDraft:
    """Runs that follow what a backup has, on their way into a file."""

    def __init__(self, files: RealFiles, cluster: int, place: Place, chain: bytes) -> None:
        self._draft = Draft(files, LOG_PART)
        self._draft.write(encode_head(cluster, place, chain))
        self.place = place
        self.chain = chain

    def write(self, run: Run) -> None:
        record, self.chain = encode_record(run, self.chain)
        self._draft.write(record)
        self.place = Place(run.last, run.term)


class Archive:
    """A backup's directory, to be written. Blocking; an OSError leaves it as good as it was, but for what is new."""

    def __init__(self, directory: str) -> None:
        """Raises `NoBackup` if something else is there, `DirectoryInUse`, `DamagedFile`, `NewerFormat`."""
        names = os.listdir(directory) if os.path.isdir(directory) else []
        others = [name for name in names if not OURS.fullmatch(name) and name not in (MANIFEST_NAME, LOCK_NAME)]
        if others and MANIFEST_NAME not in names:
            raise NoBackup(
                f"{directory} is not empty, and what is there is no backup ({others[0]}): name an empty directory, or"
                " one that does not exist"
            )
        self._files = RealFiles(directory)
        self.directory = directory
        self._files.lock()
        try:
            self.manifest = read_manifest(self._files) if MANIFEST_NAME in names else None
            """None: there is no backup yet."""
            self._remove_others()
        except BaseException:
            self._files.close()
            raise

    def close(self) -> None:
        self._files.close()

    # -- a whole one

    def begin_state(self) -> Draft:
        return Draft(self._files, STATE_PART)

    def take_state(self, draft: Draft, saved_ms: int, report: Report) -> Manifest:
        """From now on this is the backup, once it is checked and durable. Raises `DamagedFile`, `OtherCluster`."""
        files = self._files
        files.sync(draft.name)
        reader = SnapshotReader(files, draft.name)
        for _ in reader.pieces():
            report(CHECKING, reader.offset, draft.size)
        report(CHECKING, draft.size, draft.size)
        head = reader.head
        self.expect(head.cluster, head.place.index)
        name = f"state-{head.place.index:020d}-{head.id:016x}.snap"
        state = Part(name, draft.size, head.place.index, head.place.term, head.chain.hex())
        return self._take(draft.name, name, Manifest(head.cluster, state, (), saved_ms))

    # -- what is new

    def begin_log(self) -> LogDraft:
        assert self.manifest is not None, "there is nothing to go on from"
        return LogDraft(self._files, self.manifest.cluster, self.manifest.end, self.manifest.chain)

    def take_log(self, draft: LogDraft, saved_ms: int, report: Report) -> Manifest:
        """From now on it belongs to the backup, once it is checked and durable. Raises `DamagedFile`."""
        files, manifest = self._files, self.manifest
        assert manifest is not None
        files.sync(LOG_PART)
        size = files.size(LOG_PART)
        written = LogFile(files, LOG_PART, manifest.cluster, manifest.end, manifest.chain)
        for _ in written.runs():
            report(CHECKING, written.offset, size)
        if (written.place, written.chain) != (draft.place, draft.chain):
            raise DamagedFile(files.directory, LOG_PART, written.offset, "it is not what was written")
        name = f"log-{manifest.end.index + 1:020d}-{draft.place.index:020d}.log"
        part = Part(name, size, draft.place.index, draft.place.term, draft.chain.hex())
        return self._take(LOG_PART, name, replace(manifest, log=(*manifest.log, part), saved_ms=saved_ms))

    def expect(self, cluster: int, index: int) -> None:
        """Servers of that cluster have come so far. Raises `OtherCluster` if they are no later life of what is here."""
        manifest = self.manifest
        if manifest is None:
            return
        if cluster != manifest.cluster:
            raise OtherCluster(
                f"the backup in {self.directory} is of cluster {manifest.cluster:016x}, and the servers are cluster"
                f" {cluster:016x}: give it another directory"
            )
        if index < manifest.end.index:
            raise OtherCluster(
                f"the backup in {self.directory} goes up to zxid {manifest.end.index:#x}, and the servers only to"
                f" {index:#x}: they have lost what they had, so keep this one, and give it another directory"
            )

    def _take(self, draft: str, name: str, manifest: Manifest) -> Manifest:
        self._files.rename(draft, name)
        self._files.sync_directory()
        write_manifest(self._files, manifest)
        self.manifest = manifest
        self._remove_others()
        return manifest

    def _remove_others(self) -> None:
        """What the backup does not consist of: left from before, or from an attempt that was cut short."""
        kept = {part.name for part in self.manifest.parts} if self.manifest is not None else set()
        gone = [name for name in self._files.names() if OURS.fullmatch(name) and name not in kept]
        for name in gone:
            self._files.remove(name)
        if gone:
            self._files.sync_directory()
