"""What happened in a run: as a digest to compare runs by, and as lines that a person can read."""

from collections.abc import Callable
from hashlib import blake2b
from struct import Struct

_HEAD = Struct("<dqq")


class Trace:
    """A running digest over everything that happened, in order; with `write`, a line of text for each of it
    too.

    Two runs of a seed are the same run if and only if their digests are equal, whatever the hash seed of the
    process.
    """

    __slots__ = ("_hash", "count", "marks", "write")

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self._hash = blake2b(digest_size=8)
        self.count = 0
        self.marks: dict[str, int] = {}
        """How often each rare situation was reached: a run that reaches none has tested little."""
        self.write = write
        """Set when somebody wants to read along; whoever has more to tell than numbers formats it only then.
        """

    def note(self, now: float, what: str, first: int = 0, second: int = 0, data: bytes = b"") -> None:
        self.count += 1
        self._hash.update(what.encode() + _HEAD.pack(now, first, second) + data)
        if self.write is not None:
            self.write(f"{now:11.6f}  {what:<12} {first} {second} {len(data)} B")

    def tell(self, now: float, line: str) -> None:
        """A line for people, which is part of the digest as well: for what is rare and worth reading."""
        self.count += 1
        self._hash.update(line.encode())
        if self.write is not None:
            self.write(f"{now:11.6f}  {line}")

    def mark(self, situation: str) -> None:
        """Something that is worth counting happened."""
        self.marks[situation] = self.marks.get(situation, 0) + 1

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()
