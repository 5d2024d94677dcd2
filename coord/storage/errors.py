"""What stops a server for its disk's sake. None of these is for a client, none is retried.

    StorageError
    ├── DirectoryInUse      another process holds the lock
    ├── ForeignDirectory    the directory belongs to another member or cluster
    ├── DirectoryNotEmpty   something is where something new is to be
    ├── NewerFormat         written by a newer release
    ├── CorruptIdentity     the file that says whose directory it is is damaged or missing
    ├── CorruptLog          acknowledged data is damaged or missing: file, offset, index and remedy are named
    ├── CorruptSnapshot     the snapshots that the log stands on are damaged or missing
    ├── DamagedFile         a file that was read from its beginning to its end is not what was written
    └── DiskFailed          reading, writing or syncing failed; what the disk holds now is unknown

`CorruptLog` comes from opening a directory only; `DiskFailed` may come from any call. After it the store
refuses everything: a second fdatasync would report success for pages that the kernel has already dropped
(fsyncgate).
"""

from coord.raft.types import Index, MemberId

NO_EMPTY_ONE = (
    "Do not start it on an empty directory: the other members would refuse one that forgot what it acknowledged"
    " (a member cannot be replaced yet)"
)


class StorageError(Exception):
    """Root of the tree: the server cannot run on this directory."""


class DirectoryInUse(StorageError):
    def __init__(self, directory: str, pid: int | None) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(f"{directory} is in use by {holder}: stop it, or choose another directory with --data")
        self.pid = pid


class ForeignDirectory(StorageError):
    """A stranger's log under our name would vote with a history that is not ours."""


class DirectoryNotEmpty(StorageError):
    def __init__(self, directory: str) -> None:
        super().__init__(
            f"{directory} is not empty, and nothing in it is overwritten: name another directory, or, if this is what"
            " an interrupted attempt left, remove it"
        )


class NewerFormat(StorageError):
    def __init__(self, directory: str, found: int, known: int) -> None:
        super().__init__(f"{directory} has format {found}, this release knows up to {known}: use the newer release")


class CorruptIdentity(StorageError):
    """Without it we do not know our member id, or how often we were started, which must not repeat."""

    def __init__(self, directory: str, name: str, what: str) -> None:
        super().__init__(
            f"{directory}/{name} {what}: restore {directory} from a copy taken while the server was stopped."
            f" {NO_EMPTY_ONE}"
        )


class CorruptLog(StorageError):
    """Acknowledged bytes are damaged or gone. The member must not vote from what is left."""

    def __init__(self, directory: str, name: str, offset: int, index: Index, what: str) -> None:
        super().__init__(
            f"{directory}/{name}, offset {offset}, index {index}: {what}. The log before index {index} is"
            f" intact, but this member has acknowledged more and must not go on without it: restore {directory}"
            f" from a copy taken while the server was stopped. {NO_EMPTY_ONE}"
        )
        self.name = name
        self.offset = offset
        self.index = index


class CorruptSnapshot(StorageError):
    """The log does not reach back to where a sound snapshot ends."""

    def __init__(self, directory: str, index: Index, damaged: list[str], found: Index | None) -> None:
        what = f"; damaged: {', '.join(damaged)}" if damaged else ""
        has = "there is none" if found is None else f"the newest sound one is of index {found}"
        super().__init__(
            f"{directory}/snapshots: the log begins after index {index} and needs a snapshot from there on, but"
            f" {has}{what}. Restore {directory} from a copy taken while the server was stopped. {NO_EMPTY_ONE}"
        )


class DamagedFile(StorageError):
    """Everything before the offset is sound."""

    def __init__(self, directory: str, name: str, offset: int, what: str) -> None:
        super().__init__(f"{directory}/{name}, offset {offset}: {what}")
        self.name = name
        self.offset = offset


class DiskFailed(StorageError):
    """The process must end; a new one finds out by recovery what the disk really holds."""

    def __init__(self, directory: str, doing: str, cause: OSError) -> None:
        super().__init__(
            f"{doing} in {directory} failed: {cause.strerror or cause}. It is not tried again, for"
            f" nobody knows what the disk holds now: check the disk and its free space, then start again"
        )


def foreign_member(directory: str, owner: MemberId, member: MemberId) -> ForeignDirectory:
    return ForeignDirectory(
        f"{directory} belongs to member {owner}, not to member {member}:"
        f" start with --id {owner}, or give member {member} a directory of its own"
    )
