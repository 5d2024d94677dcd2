"""Which files of a ZooKeeper server count, and what they make together.

The newest snapshot that was finished is where it begins, as when ZooKeeper starts; then come the logs, from the last
one that begins no later. Within an epoch zxids have no gap, so a file that is missing in between is noticed; and a
snapshot from 3.6 on says how far the logs have to reach at least.
"""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from coord.backup.errors import CannotFound
from coord.backup.founding import LOADING
from coord.backup.progress import Report
from coord.moving.jute import NotWhatZooKeeperWrites
from coord.moving.log import Log
from coord.moving.old_tree import OldTree
from coord.moving.snapshot import Fuzz, NotFinished, read_snapshot, unpack
from coord.moving.transaction import Type
from coord.storage.errors import DamagedFile

VERSION_DIRECTORY: Final = "version-2"
"""What ZooKeeper makes in its dataDir and in its dataLogDir, and has all files in."""

EPOCH_BITS: Final = 32

_SNAPSHOT: Final = re.compile(r"snapshot\.([0-9a-f]{1,16})(?:\.(gz|snappy))?")
_LOG: Final = re.compile(r"log\.([0-9a-f]{1,16})")

REMEDY: Final = (
    "take the data of another server of the ensemble; or start this one, if it still starts, for it writes a new"
    " snapshot then"
)


@dataclass(slots=True)
class Found:
    """What the files make."""

    tree: OldTree
    zxid: int
    """Of the last transaction."""
    snapshot: Path
    done: int
    """How many bytes are read."""
    size: int
    """Of all that count."""
    fingerprint: "hashlib._Hash"
    """SHA-256 of what was read."""
    transactions: int = 0
    """How many came after the snapshot."""
    digest: bool | None = None
    """Whether the tree is what ZooKeeper noted that it was; None if it noted nothing that can be compared."""
    warnings: list[str] = field(default_factory=list)
    """For people, who may know more."""


class ServerFiles:
    """The files of a server that does not run."""

    def __init__(self, data: Path, logs: Path | None) -> None:
        """Its dataDir, and its dataLogDir if it has one. Raises `CannotFound`."""
        self.directory = _directory(data)
        self.log_directory = self.directory if logs is None else _directory(logs)
        names = _names(self.directory)
        self._snapshots = sorted(
            [(int(match[1], 16), match[0]) for name in names if (match := _SNAPSHOT.fullmatch(name))], reverse=True
        )
        self._logs = sorted(
            [(int(match[1], 16), match[0]) for name in _names(self.log_directory) if (match := _LOG.fullmatch(name))]
        )
        if not self._snapshots:
            raise CannotFound(f"{self.directory} has no snapshot: is this the dataDir of a ZooKeeper server?")
        if not self._logs and logs is None:
            raise CannotFound(
                f"{self.directory} has no log: name the server's dataLogDir with --log-dir. If there is none, and the"
                f" snapshot is all, say so with --log-dir {self.directory}"
            )

    def read(self, report: Report) -> Found:
        """Raises `DamagedFile`, and `CannotFound` if something is missing."""
        found, fuzz, unfinished = self._read_snapshot(report)
        digest = self._read_logs(found, report)
        if fuzz is not None and found.zxid == fuzz.zxid and digest is None:
            digest = fuzz.digest
        reached = max(unfinished, fuzz.zxid if fuzz is not None else 0)
        if found.zxid < reached:
            raise CannotFound(
                f"{self.log_directory}: the logs end with zxid {found.zxid:#x}, and a snapshot has something of"
                f" {reached:#x}: logs are missing (does the server have a dataLogDir? Name it with --log-dir)"
            )
        if digest is not None:
            found.digest = found.tree.digest() == digest
            if not found.digest:
                found.warnings.append(
                    "the tree is not what ZooKeeper noted as its digest; its own servers would load the same, and log"
                    " it: compare the digests in their logs"
                )
        return found

    def _read_snapshot(self, report: Report) -> tuple[Found, Fuzz | None, int]:
        """The last: the zxid of the newest that was not finished, 0 if there is none."""
        unfinished: list[int] = []
        warnings: list[str] = []
        for zxid, name in self._snapshots:
            try:
                found, fuzz = self._read_one(zxid, name, report)
            except NotFinished:
                warnings.append(f"{self.directory / name} was not finished and is passed over, as ZooKeeper does")
                unfinished.append(zxid)
                continue
            except NotWhatZooKeeperWrites as error:
                raise DamagedFile(str(self.directory), name, error.offset, f"{error.what}: {REMEDY}") from None
            found.warnings += warnings
            return found, fuzz, max(unfinished, default=0)
        raise CannotFound(f"{self.directory}: no snapshot was ever finished; {REMEDY}")

    def _read_one(self, zxid: int, name: str, report: Report) -> tuple[Found, Fuzz | None]:
        path = self.directory / name
        if name.endswith(".snappy"):
            raise CannotFound(
                f"{path} is compressed with snappy, which coord cannot read: start the server with"
                " -Dzookeeper.snapshot.compression.method=gz, and stop it when it has written a new one"
            )
        content = unpack(path.read_bytes(), name.endswith(".gz"))
        size = len(content) + sum((self.log_directory / log).stat().st_size for log in self._needed(zxid))
        tree = OldTree()
        fuzz = read_snapshot(content, tree, lambda done: report(LOADING, done, size))
        return Found(tree, zxid, path, len(content), size, hashlib.sha256(content)), fuzz

    def _read_logs(self, found: Found, report: Report) -> int | None:
        """What follows the snapshot. Returns the digest that the last of it has, if that can be compared."""
        needed = self._needed(found.zxid)
        if not needed:
            found.warnings.append(f"{self.log_directory} has no log: it is as the snapshot has it, and no later")
        digest = None
        for name in needed:
            log = Log((self.log_directory / name).read_bytes())
            found.fingerprint.update(log.content)
            try:
                for offset, transaction in log.transactions():
                    if transaction.zxid <= found.zxid:
                        continue
                    if not _follows(transaction.zxid, found.zxid):
                        what = f"zxid {transaction.zxid:#x} after {found.zxid:#x}: what is between them is missing"
                        raise NotWhatZooKeeperWrites(offset, what)
                    noted = transaction.apply_to(found.tree)
                    if transaction.type != Type.ERROR:  # which has no digest, and changes nothing
                        digest = noted
                    found.zxid = transaction.zxid
                    found.transactions += 1
            except NotWhatZooKeeperWrites as error:
                what = f"{error.what}: {REMEDY}"
                raise DamagedFile(str(self.log_directory), name, error.offset, what) from None
            if log.torn_at is not None:
                found.warnings.append(
                    f"{self.log_directory / name}: the last transaction, at offset {log.torn_at}, was not finished and"
                    " is left out, as ZooKeeper does; nobody was told that it had happened"
                )
            found.done += len(log.content)
            report(LOADING, found.done, found.size)
        report(LOADING, found.size, found.size)
        return digest

    def _needed(self, snapshot: int) -> list[str]:
        """The logs that may have something that came after the snapshot of this zxid was begun."""
        start = max([zxid for zxid, _ in self._logs if zxid <= snapshot], default=0)
        return [name for zxid, name in self._logs if zxid >= start]


def _follows(zxid: int, last: int) -> bool:
    """Whether nothing can be missing between them: an epoch counts from 1, and may follow any other.

    >>> _follows(0x1_0000_0008, 0x1_0000_0007), _follows(0x5_0000_0001, 0x1_0000_0007), _follows(9, 7)
    (True, True, False)
    """
    return zxid == last + 1 or (zxid >> EPOCH_BITS > last >> EPOCH_BITS and zxid & ((1 << EPOCH_BITS) - 1) == 1)


def _directory(given: Path) -> Path:
    return given / VERSION_DIRECTORY if (given / VERSION_DIRECTORY).is_dir() else given


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
