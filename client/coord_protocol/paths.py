"""Paths of znodes: what is allowed, and how to take them apart (ZooKeeper's `PathUtils`).

A path starts with `/`, does not end with one, has no empty, `.` or `..` component, and none of the characters
U+0000–001F, U+007F–009F, U+D800–F8FF, U+FFF0–FFFF. Java checks UTF-16 units, so whatever lies above U+FFFF is
refused as well: to Java it is a pair of surrogates.
"""

import re
from typing import Final

from coord_protocol.errors import BadArguments

_FORBIDDEN: Final = "\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\U0010ffff"
# Not possessive, though nothing in it can match in two ways: `(?:…++)++` takes "/a/" for a match in Python 3.11.2.
_VALID: Final = re.compile(rf"/|(?:/(?!\.\.?(?:/|\Z))[^/{_FORBIDDEN}]+)+").fullmatch

# A sequence number is a signed 32-bit count of creates, printed in ten digits as Java's "%010d" does.
SEQUENCE_DIGITS: Final = 10


def is_valid_path(path: str) -> bool:
    """Whether `path` may name a znode.

    >>> is_valid_path("/a/b"), is_valid_path("/a/"), is_valid_path("/a/../b")
    (True, False, False)
    """
    return _VALID(path) is not None


def validate_path(path: str) -> None:
    """Raise `BadArguments` that names what is wrong with `path`, if anything is.

    >>> validate_path("/a//b")
    Traceback (most recent call last):
    coord_protocol.errors.BadArguments: /a//b: bad arguments: an empty component
    """
    if _VALID(path) is None:
        raise BadArguments(path, _what_is_wrong(path))


def _what_is_wrong(path: str) -> str:
    if not path:
        return "a path cannot be empty"
    if path[0] != "/":
        return "a path starts with '/'"
    if match := re.search(f"[{_FORBIDDEN}]", path):
        return f"character U+{ord(match[0]):04X} at {match.start()} is not allowed"
    if path[-1] == "/":
        return "a path does not end with '/'"
    components = path[1:].split("/")
    if "" in components:
        return "an empty component"
    relative = next(component for component in components if component in {".", ".."})
    return f"relative component {relative!r}"


def parent_of(path: str) -> str:
    """The parent's path; the root is its own.

    >>> parent_of("/a/b"), parent_of("/a"), parent_of("/")
    ('/a', '/', '/')
    """
    return path[: path.rfind("/")] or "/"


def split(path: str) -> tuple[str, str]:
    """Parent and name.

    >>> split("/a/b"), split("/a"), split("/")
    (('/a', 'b'), ('/', 'a'), ('/', ''))
    """
    cut = path.rfind("/")
    return path[:cut] or "/", path[cut + 1 :]


def join(parent: str, name: str) -> str:
    """The path of the child `name`.

    >>> join("/", "a"), join("/a", "b")
    ('/a', '/a/b')
    """
    return parent + name if parent == "/" else f"{parent}/{name}"


def with_sequence(path: str, counter: int) -> str:
    """The name of a sequential znode; `counter` wraps like Java's int.

    >>> with_sequence("/q/n-", 7), with_sequence("/q/n-", 2**31)
    ('/q/n-0000000007', '/q/n--2147483648')
    """
    signed = (counter + 0x8000_0000) % 0x1_0000_0000 - 0x8000_0000
    return f"{path}{signed:0{SEQUENCE_DIGITS}d}"


def sequence_of(path: str) -> int | None:
    """The number at the end of a sequential znode's name; None if there is none.

    Counters past 2^31 wrap to negative ones, which cannot be told from a name that ends in a dash: they come
    out positive here, as their digits say.

    >>> sequence_of("/q/n-0000000007"), sequence_of("/q/n")
    (7, None)
    """
    digits = path[-SEQUENCE_DIGITS:]
    return int(digits) if len(digits) == SEQUENCE_DIGITS and digits.isascii() and digits.isdecimal() else None
