"""Damaged files of ZooKeeper, and what may come of them."""

from pathlib import Path

from coord.backup.errors import CannotFound
from coord.backup.progress import unwatched
from coord.moving.files import Found, ServerFiles
from coord.storage.errors import DamagedFile


def damaged(content: bytes, offset: int, mask: int = 0xFF) -> bytes:
    return content[:offset] + bytes([content[offset] ^ mask]) + content[offset + 1 :]


def is_refused(directory: Path, name: str, sound: Found) -> bool:
    """Whether the damage of this file is found; what is read in spite of it has to be the same as before."""
    try:
        found = ServerFiles(directory, None).read(unwatched)
    except DamagedFile as error:
        refused = error
    except CannotFound as error:  # the end of a snapshot: as if it had not been finished, and no other will do
        return "finished" in str(error) or "missing" in str(error)
    else:
        assert (found.zxid, found.tree) == (sound.zxid, sound.tree), name
        return False
    size = (directory / "version-2" / name).stat().st_size
    return refused.name == name and 0 <= refused.offset <= size
