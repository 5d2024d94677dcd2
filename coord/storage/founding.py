"""A directory for a member of a cluster that goes on from a saved state: a snapshot, and a log that begins after it."""

from collections.abc import Iterable

from coord.raft.ready import Persist
from coord.raft.types import HardState, Place
from coord.replica.snapshot_work import EndSnapshot, WritePiece
from coord.storage.errors import DirectoryNotEmpty, DiskFailed
from coord.storage.files import LOCK_NAME, Files
from coord.storage.identity import Identity, write_identity
from coord.storage.recovery import Recovered
from coord.storage.snapshot_files import SNAPSHOTS_NAME, SnapshotFiles
from coord.storage.wal import SEGMENT_BYTES, Wal


def found_directory(
    files: Files,
    identity: Identity,
    place: Place,
    chain: bytes,
    pieces: Iterable[bytes],
    segment_bytes: int = SEGMENT_BYTES,
) -> None:
    """Write all of it, durably. `pieces`: of the state at `place`; `chain`: of the log up to there.

    Raises `DirectoryNotEmpty` if anything is there, and `DiskFailed`. The identity comes first and the log last: a
    server that finds what a crash left of it takes it for damaged, and never for a new member's.
    """
    try:
        files.lock()
        if set(files.names()) - {LOCK_NAME}:
            raise DirectoryNotEmpty(files.directory)
        write_identity(files, identity)
        snapshots = SnapshotFiles(files.subdirectory(SNAPSHOTS_NAME), identity.cluster)
        snapshots.begin(place, identity.cluster, chain)
        for piece in pieces:
            snapshots.carry_out(WritePiece(piece))
        snapshots.carry_out(EndSnapshot(place))
        snapshots.close()
        wal = Wal(files, identity.member, Recovered(), segment_bytes, snapshots.chain_at)
        wal.write([Persist(0, HardState(place.term, None), None, [], restart_at=place)])
    except OSError as error:
        raise DiskFailed(files.directory, "writing a new data directory", error) from error
    finally:
        files.close()
