"""Znodes in the form that `--json` prints: the same keys in every command."""

import base64
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from coord_client import ACL, Stat


def iso_time(milliseconds: int) -> str:
    """UTC, to the millisecond.

    >>> iso_time(1_700_000_000_123)
    '2023-11-14T22:13:20.123Z'
    """
    seconds, rest = divmod(milliseconds, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def stat_document(stat: Stat) -> dict[str, Any]:
    """ZooKeeper's names for numbers, plus the times as text."""
    return stat._asdict() | {"created": iso_time(stat.ctime), "modified": iso_time(stat.mtime)}


def data_document(data: bytes) -> dict[str, str]:
    """As text if it is UTF-8, else in base64; `encoding` tells.

    >>> data_document(b"on"), data_document(b"\\xff")
    ({'data': 'on', 'encoding': 'utf-8'}, {'data': '/w==', 'encoding': 'base64'})
    """
    try:
        return {"data": data.decode(), "encoding": "utf-8"}
    except UnicodeDecodeError:
        return {"data": base64.b64encode(data).decode(), "encoding": "base64"}


_LETTERS = {"c": 4, "d": 8, "r": 1, "w": 2, "a": 16}


def format_acl(acl: ACL) -> str:
    """As ZooKeeper's shell has it.

    >>> format_acl(ACL(31, "world", "anyone")), format_acl(ACL(3, "ip", "10.0.0.0/8"))
    ('world:anyone:cdrwa', 'ip:10.0.0.0/8:rw')
    """
    return f"{acl.scheme}:{acl.id}:{''.join(letter for letter, bit in _LETTERS.items() if acl.perms & bit)}"


def parse_acl(text: str) -> ACL:
    """`scheme:id:permissions`; the id may hold colons itself. Raises ValueError.

    >>> parse_acl("digest:ann:kQ2+3ZGbLWBq:cdrwa")
    ACL(perms=31, scheme='digest', id='ann:kQ2+3ZGbLWBq')
    """
    scheme, colon, rest = text.partition(":")
    name, last_colon, letters = rest.rpartition(":")
    if not scheme or not colon or not last_colon or not letters or not set(letters) <= set(_LETTERS):
        raise ValueError(f"{text!r}: expected SCHEME:ID:PERMISSIONS with permissions of cdrwa, like world:anyone:r")
    return ACL(sum(_LETTERS[letter] for letter in set(letters)), scheme, name)


def acl_documents(acls: Iterable[ACL]) -> list[dict[str, str]]:
    """`permissions` as letters: create, delete, read, write, administer."""
    return [{"scheme": acl.scheme, "id": acl.id, "permissions": format_acl(acl).rpartition(":")[2]} for acl in acls]
