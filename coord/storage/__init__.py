"""A member's durable memory. What is on disk: heads of `wal.py` and `snapshot_files.py`; what a disk may
do to us: head of `files.py`.
"""

from coord.storage.disk import Disk
from coord.storage.errors import (
    CorruptIdentity,
    CorruptLog,
    CorruptSnapshot,
    DirectoryInUse,
    DiskFailed,
    ForeignDirectory,
    NewerFormat,
    StorageError,
)
from coord.storage.files import Files, RealFiles
from coord.storage.memory import MemoryFiles
from coord.storage.store import Store

__all__ = [
    "CorruptIdentity",
    "CorruptLog",
    "CorruptSnapshot",
    "DirectoryInUse",
    "Disk",
    "DiskFailed",
    "Files",
    "ForeignDirectory",
    "MemoryFiles",
    "NewerFormat",
    "RealFiles",
    "StorageError",
    "Store",
]
