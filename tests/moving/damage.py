"""Damaged files of ZooKeeper, and what may come of them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coord.backup.errors import CannotFound
from coord.backup.progress import unwatched
from coord.moving.files import Found, ServerFiles
from coord.storage.errors import DamagedFile


@contextmanager
def damaged(path: Path, offset: int, mask: int = 0xFF) -> Iterator[None]:
    """One byte of the file is not as it was, as long as the scope lasts."""
    with path.open("r+b", buffering=0) as file:
        byte = os.pread(file.fileno(), 1, offset)
        os.pwrite(file.fileno(), bytes([byte[0] ^ mask]), offset)
        try:
            yield
        finally:
            os.pwrite(file.fileno(), byte, offset)


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
