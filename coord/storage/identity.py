"""Whose directory this is: `identity.json`, a line of JSON that people may read and nobody should edit.

Replaced as a whole: written aside, synced, renamed, and the directory synced. So after any crash it is the
old one or the new one.
"""

import json
from dataclasses import asdict, dataclass
from hashlib import sha256

from coord.raft.types import MemberId
from coord.storage.errors import CorruptIdentity, NewerFormat
from coord.storage.files import Files, ReadableFiles
from coord.storage.records import FORMAT

IDENTITY_NAME = "identity.json"
DRAFT_NAME = "identity.tmp"
MAX_IDENTITY_BYTES = 4096  # ours has 150; more is something else


@dataclass(frozen=True, slots=True)
class Identity:
    """What a data directory is, apart from its log."""

    member: MemberId
    cluster: int
    """0 until the member has learned it."""
    boots: int
    """How often a server was started on this directory: its incarnation, which never repeats."""
    directory: int
    """Drawn when the directory was made. The cluster knows its members' directories by it: one that comes back with
    another has lost what it acknowledged."""
    format: int = FORMAT


def read_identity(files: ReadableFiles) -> Identity | None:
    """None for a directory that has none yet."""
    if IDENTITY_NAME not in files.names():
        return None
    text = files.read(IDENTITY_NAME, 0, MAX_IDENTITY_BYTES)
    try:
        values = json.loads(text)
        check = values.pop("check")
        if values["format"] > FORMAT:  # before anything that may have changed
            raise NewerFormat(files.directory, values["format"], FORMAT)
        identity = Identity(**values)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise CorruptIdentity(files.directory, IDENTITY_NAME, "is not what a server writes") from None
    if check != _check(identity):
        raise CorruptIdentity(files.directory, IDENTITY_NAME, "does not agree with its checksum")
    return identity


def write_identity(files: Files, identity: Identity) -> None:
    """Durable on return."""
    text = json.dumps(asdict(identity) | {"check": _check(identity)}).encode() + b"\n"
    files.create(DRAFT_NAME, len(text))
    files.write(DRAFT_NAME, 0, text)
    files.sync(DRAFT_NAME)
    files.rename(DRAFT_NAME, IDENTITY_NAME)
    files.sync_directory()


def _check(identity: Identity) -> str:
    return sha256(json.dumps(asdict(identity), sort_keys=True).encode()).hexdigest()[:16]
