"""Why a backup cannot be made or used. What is wrong with a file is said by `coord.storage.errors.DamagedFile`.

BackupError
├── NoBackup       there is none, or something else is where it should be
├── OtherCluster   it is of another cluster than the one that is to be saved
├── Interrupted    it did not get to its end, and what was there before is as it was
└── CannotFound    no cluster can be made of what there is
"""


class BackupError(Exception):
    """Root of the tree; the text says what to do."""


class NoBackup(BackupError):
    pass


class OtherCluster(BackupError):
    pass


class Interrupted(BackupError):
    pass


class CannotFound(BackupError):
    pass
