"""Which files a backup consists of: `backup.json`, a line of JSON that is replaced as a whole.

The files that it names are the backup, and any others are not: they are of an attempt that did not come to its end. So
what was saved before stands until all that is new is durable, and a file that is missing is missed.
"""

import json
from dataclasses import asdict, dataclass
from hashlib import sha256

from coord.backup.errors import NoBackup
from coord.raft.types import Index, Place, Term
from coord.storage.errors import DamagedFile, NewerFormat
from coord.storage.files import Files, ReadableFiles

FORMAT = 1
MANIFEST_NAME = "backup.json"
DRAFT_NAME = "backup.tmp"


@dataclass(frozen=True, slots=True)
class Part:
    """A file: of a state, or of the log after the part before."""

    name: str
    size: int
    index: int
    """Of the last entry that is in it …"""
    term: int
    """… its term …"""
    chain: str
    """… and the hash of the whole log up to it, in hexadecimal digits."""

    @property
    def place(self) -> Place:
        return Place(Index(self.index), Term(self.term))


@dataclass(frozen=True, slots=True)
class Manifest:
    cluster: int
    state: Part
    log: tuple[Part, ...]
    """What was added since, in order."""
    saved_ms: int
    """When the last of it was saved, by the clock of the machine that did it; for people."""
    format: int = FORMAT

    @property
    def parts(self) -> tuple[Part, ...]:
        return (self.state, *self.log)

    @property
    def end(self) -> Place:
        return self.parts[-1].place

    @property
    def chain(self) -> bytes:
        return bytes.fromhex(self.parts[-1].chain)

    @property
    def size(self) -> int:
        """Of all files in bytes."""
        return sum(part.size for part in self.parts)


def read_manifest(files: ReadableFiles) -> Manifest:
    """Raises `NoBackup`, `DamagedFile`, `NewerFormat`."""
    if MANIFEST_NAME not in files.names():
        raise NoBackup(f"there is no backup in {files.directory}: it has no {MANIFEST_NAME}")
    text = files.read(MANIFEST_NAME, 0, files.size(MANIFEST_NAME))
    try:
        values = json.loads(text)
        check = values.pop("check")
        found = values["format"]
        if isinstance(found, int) and found > FORMAT:  # before anything that may have changed
            raise NewerFormat(files.directory, found, FORMAT)
        values["state"] = Part(**values["state"])
        values["log"] = tuple([Part(**part) for part in values["log"]])
        manifest = Manifest(**values)
        is_sound = text == _encode(manifest) and check == _check(manifest)
    except (ValueError, TypeError, KeyError, AttributeError):
        is_sound = False
    if not is_sound:
        raise DamagedFile(files.directory, MANIFEST_NAME, 0, "it is not what `coord backup` wrote")
    return manifest


def write_manifest(files: Files, manifest: Manifest) -> None:
    """Durable on return."""
    text = _encode(manifest)
    files.create(DRAFT_NAME, len(text))
    files.write(DRAFT_NAME, 0, text)
    files.sync(DRAFT_NAME)
    files.rename(DRAFT_NAME, MANIFEST_NAME)
    files.sync_directory()


def _encode(manifest: Manifest) -> bytes:
    return json.dumps(asdict(manifest) | {"check": _check(manifest)}).encode() + b"\n"


def _check(manifest: Manifest) -> str:
    return sha256(json.dumps(asdict(manifest), sort_keys=True).encode()).hexdigest()
