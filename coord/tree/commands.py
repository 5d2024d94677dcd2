"""The log's own encoding: how commands, blocks and runs look in bytes. Little-endian, nothing padded.

A *command* is what one client wants, as it asked for it; it is judged only when it is applied. These are not
the wire's records: disk and wire are free to change apart, each under its own version.

    run      version u8 · clock_ms i64 · wall_ms i64 · blocks; without blocks it is a tick: the clock moves
    block    member u32 · incarnation u64 · first_seq u64 · count u32 · length u32 of what follows · commands
    command  kind u8 · length u32 of the whole command · session i64 · epoch i64
             · number i32 · path_length i32 · body

`number` is the version that set_data, set_acl, delete and check expect, and the mode of a create; 0
elsewhere, unless the table says more. The body of those five begins with the path; path_length is -1 - its
length if their data is null, which is not the same as empty. They are the ones that come by the thousands,
and so need one unpacking each.

A body by its kind; `text` and `bytes` are a u32 length and that many bytes, text in UTF-8:

    CREATE            path · data; with EXTRAS in `number`: path · lease i64 · acl_length u32 · acl · data
    DELETE, CHECK     path
    SET_DATA          path · data
    SET_ACL           path · acl
    MULTI             commands CREATE, DELETE, SET_DATA, CHECK; their own session and epoch are not looked at
    CLOSE_SESSION     –
    ADD_AUTH          scheme text · id text
    NAME_SESSION      name text
    LEASE_GRANT       ttl_ms i64 · name text · meta bytes
    LEASE_KEEP_ALIVE  ids i64 …
    LEASE_REVOKE      id i64
    END_LEASE         id i64, of a lease or session; `number` is 1 if the server vouches for the client
    CHANGE_MEMBERS    a `Change` (`coord.tree.members`) in msgpack
  and those that no session stands behind (session and epoch are 0):
    CREATE_SESSION    timeout_ms i64 · address text · name text
    ATTACH_SESSION    session i64 · timeout_ms i64 · address text
    KEEP_ALIVE        (session i64 · epoch i64) …
    INIT_CLUSTER      id u64 · secret bytes
    ANNOUNCE          member u32 · directory u64 · client address text · peer address text · level u32
    GIVE_UP_CHANGE    index i64 of its CHANGE_MEMBERS · reason text
    RAISE_LEVEL       level u32 · members that know it u32 …

An acl is (perms i32 · scheme text · id text) …; no bytes at all stand for world:anyone:31, which nearly every
znode has, so an empty list is one byte, NO_ENTRIES.

Decoders pass over what follows the fields that they know: a later release may have more to say. From which release on
a kind may be in a log at all: `coord.tree.levels`.
"""

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Final

from coord.tree.acl import OPEN, Acl
from coord_protocol.errors import CoordError
from coord_protocol.records import ACL

VERSION: Final = 1


class Kind(IntEnum):
    """What a command does. The numbers are on disk: they are never given to another."""

    CREATE = 0
    DELETE = 1
    SET_DATA = 2
    SET_ACL = 3
    CHECK = 4
    MULTI = 5
    CLOSE_SESSION = 6
    ADD_AUTH = 7
    NAME_SESSION = 8
    LEASE_GRANT = 9
    LEASE_KEEP_ALIVE = 10
    LEASE_REVOKE = 11
    END_LEASE = 12
    CHANGE_MEMBERS = 13

    CREATE_SESSION = 32
    ATTACH_SESSION = 33
    KEEP_ALIVE = 34
    INIT_CLUSTER = 35
    ANNOUNCE = 36
    GIVE_UP_CHANGE = 37
    RAISE_LEVEL = 38


_KINDS_IN_MULTI: Final = frozenset({Kind.CREATE, Kind.DELETE, Kind.SET_DATA, Kind.CHECK})

FIRST_WITHOUT_SESSION: Final = 32
"""Commands of a lower kind are those of a session, which must be alive and at the epoch they carry."""

RUN_HEAD: Final = struct.Struct("<Bqq")
BLOCK_HEAD: Final = struct.Struct("<IQQII")
HEAD: Final = struct.Struct("<BIqqii")
LENGTH_OF_COMMAND: Final = struct.Struct("<I")
"""At offset 1 of a command."""

_EXTRAS: Final = struct.Struct("<qI")
_NUMBER: Final = struct.Struct("<q")
_TWO_NUMBERS: Final = struct.Struct("<qq")
_CLUSTER_ID: Final = struct.Struct("<Q")
_MEMBER: Final = struct.Struct("<IQ")
_LEVEL: Final = struct.Struct("<I")
_PERMS: Final = struct.Struct("<i")
_LENGTH: Final = struct.Struct("<I")

_HEAD_BYTES: Final = HEAD.size
_pack_head: Final = HEAD.pack

PERSISTENT: Final = 0
CONTAINER: Final = 4
EPHEMERAL: Final = 1  # bits of a create's mode, as ZooKeeper's flags have them
SEQUENTIAL: Final = 2
_LAST_MODE: Final = 6
_NO_SUCH_MODE: Final = 255
EXTRAS: Final = 256
"""Set in the number of a create that has a lease, or an ACL that is not world:anyone:31."""

NO_ENTRIES: Final = b"\0"


class UnreadableLog(CoordError):
    """The log holds what this version cannot read. The server must stop: start the version that wrote it."""


# Runs and blocks


def run_data(clock_ms: int, wall_ms: int, blocks: Sequence[bytes]) -> bytes:
    """The data of a run. It takes an index for each command in its blocks, and one if there are no blocks."""
    return RUN_HEAD.pack(VERSION, clock_ms, wall_ms) + b"".join(blocks)


def block(member: int, incarnation: int, first_seq: int, commands: Sequence[bytes]) -> bytes:
    """Commands first_seq, first_seq + 1, … of one member."""
    assert commands, "a block has at least one command"
    data = b"".join(commands)
    return BLOCK_HEAD.pack(member, incarnation, first_seq, len(commands), len(data)) + data


def block_head(data: bytes) -> tuple[int, int, int, int]:
    """Where a block comes from and what it holds: member, incarnation, first_seq, count of commands."""
    member, incarnation, first_seq, count, _ = BLOCK_HEAD.unpack_from(data)
    return member, incarnation, first_seq, count


# Commands of a session


def create(
    session: int,
    epoch: int,
    path: str,
    data: bytes | None,
    acl: Sequence[tuple[int, str, str]],
    mode: int,
    lease: int = 0,
) -> bytes:
    """`mode`: a create's flags; any unknown ones travel as 255 and are refused. `lease`: the owner, or 0."""
    number = mode if 0 <= mode <= _LAST_MODE else _NO_SUCH_MODE
    raw_acl = _encode_acl(acl)
    if not lease and not raw_acl:
        return _on_path(Kind.CREATE, session, epoch, number, path, data)
    extras = _EXTRAS.pack(lease, len(raw_acl)) + raw_acl
    return _on_path(Kind.CREATE, session, epoch, number | EXTRAS, path, data, extras)


def delete(session: int, epoch: int, path: str, version: int) -> bytes:
    """`version` -1 matches any."""
    return _on_path(Kind.DELETE, session, epoch, version, path, b"")


def check(session: int, epoch: int, path: str, version: int) -> bytes:
    """Only as part of a multi."""
    return _on_path(Kind.CHECK, session, epoch, version, path, b"")


def set_data(session: int, epoch: int, path: str, data: bytes | None, version: int) -> bytes:
    """`version` -1 matches any; `data` None is null."""
    return _on_path(Kind.SET_DATA, session, epoch, version, path, data)


def set_acl(session: int, epoch: int, path: str, acl: Sequence[tuple[int, str, str]], version: int) -> bytes:
    """`version` is compared with aversion; -1 matches any."""
    return _on_path(Kind.SET_ACL, session, epoch, version, path, _encode_acl(acl))


def multi(session: int, epoch: int, operations: Sequence[bytes]) -> bytes:
    """All of `operations` (create, delete, set_data, check) or none."""
    assert all(operation[0] in _KINDS_IN_MULTI for operation in operations), "not an operation of a multi"
    return _command(Kind.MULTI, session, epoch, *operations)


def close_session(session: int, epoch: int) -> bytes:
    return _command(Kind.CLOSE_SESSION, session, epoch)


def add_auth(session: int, epoch: int, scheme: str, name: str) -> bytes:
    """`name` is the identity, not the credential: a password never gets into the log."""
    return _command(Kind.ADD_AUTH, session, epoch, _text(scheme), _text(name))


def name_session(session: int, epoch: int, name: str) -> bytes:
    return _command(Kind.NAME_SESSION, session, epoch, _text(name))


def lease_grant(session: int, epoch: int, ttl_ms: int, name: str, meta: bytes | None) -> bytes:
    return _command(Kind.LEASE_GRANT, session, epoch, _NUMBER.pack(ttl_ms), _text(name), _bytes(meta or b""))


def lease_keep_alive(session: int, epoch: int, ids: Sequence[int]) -> bytes:
    return _command(Kind.LEASE_KEEP_ALIVE, session, epoch, struct.pack(f"<{len(ids)}q", *ids))


def lease_revoke(session: int, epoch: int, lease: int) -> bytes:
    return _command(Kind.LEASE_REVOKE, session, epoch, _NUMBER.pack(lease))


def end_lease(session: int, epoch: int, lease: int, *, is_vouched_for: bool) -> bytes:
    """What an operator wants ended. `is_vouched_for`: also if the session has not proved to be `super`."""
    return _command(Kind.END_LEASE, session, epoch, _NUMBER.pack(lease), number=int(is_vouched_for))


def change_members(session: int, epoch: int, change: bytes) -> bytes:
    """`change`: as `encode_change` makes it. Who may ask for it is judged where the client is."""
    return _command(Kind.CHANGE_MEMBERS, session, epoch, change)


# Commands without a session


def create_session(timeout_ms: int, address: str, name: str = "") -> bytes:
    """`address` becomes the session's identity under the scheme `ip`."""
    return _command(Kind.CREATE_SESSION, 0, 0, _NUMBER.pack(timeout_ms), _text(address), _text(name))


def attach_session(session: int, timeout_ms: int, address: str) -> bytes:
    """Gives the session a new connection: from here on commands of the earlier one are refused."""
    return _command(Kind.ATTACH_SESSION, 0, 0, _TWO_NUMBERS.pack(session, timeout_ms), _text(address))


def keep_alive(touches: Sequence[tuple[int, int]]) -> bytes:
    """`touches`: (session, epoch) of those that gave a sign of life; the dead and moved are passed over."""
    return _command(Kind.KEEP_ALIVE, 0, 0, *[_TWO_NUMBERS.pack(session, epoch) for session, epoch in touches])


def init_cluster(cluster_id: int, secret: bytes) -> bytes:
    """The first one counts; any later one changes nothing."""
    return _command(Kind.INIT_CLUSTER, 0, 0, _CLUSTER_ID.pack(cluster_id), _bytes(secret))


def announce(member: int, client_address: str, peer_address: str = "", directory: int = 0, level: int = 1) -> bytes:
    """Where clients, and the other members, reach a member: `host:port` each. `directory`: the id of its data; `level`:
    the highest that its release knows."""
    addresses = _text(client_address) + _text(peer_address)
    return _command(Kind.ANNOUNCE, 0, 0, _MEMBER.pack(member, directory), addresses, _LEVEL.pack(level))


def give_up_change(index: int, reason: str) -> bytes:
    """The leader cannot bring the change about that the command at `index` asked for."""
    return _command(Kind.GIVE_UP_CHANGE, 0, 0, _NUMBER.pack(index), _text(reason))


def raise_level(level: int, members: Sequence[int]) -> bytes:
    """`members` know this level. It counts if there are no others when it is applied."""
    return _command(Kind.RAISE_LEVEL, 0, 0, struct.pack(f"<{1 + len(members)}I", level, *members))


def _command(kind: Kind, session: int, epoch: int, *parts: bytes, number: int = 0) -> bytes:
    length = HEAD.size + sum(map(len, parts))
    return b"".join((HEAD.pack(kind, length, session, epoch, number, 0), *parts))


def _on_path(
    kind: Kind, session: int, epoch: int, number: int, path: str, data: bytes | None, extras: bytes = b""
) -> bytes:
    raw_path = path.encode()
    length = path_length = len(raw_path)
    length += _HEAD_BYTES + len(extras)
    if data is None:
        path_length = -1 - path_length
        data = b""
    else:
        length += len(data)
    return _pack_head(kind, length, session, epoch, number, path_length) + raw_path + extras + data


def _text(text: str) -> bytes:
    return _bytes(text.encode())


def _bytes(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data


def _encode_acl(acl: Sequence[tuple[int, str, str]]) -> bytes:
    if len(acl) == 1 and acl[0] == OPEN[0]:
        return b""
    return b"".join([_PERMS.pack(perms) + _text(scheme) + _text(name) for perms, scheme, name in acl]) or NO_ENTRIES


# Decoders: they take the run's data, where the body begins, and where it ends unless its content tells.


def decode_path(data: bytes, body: int, path_length: int) -> str:
    """The path of a command whose data does not matter."""
    return data[body : body + path_length].decode()


def decode_set_data(data: bytes, body: int, end: int, path_length: int) -> tuple[str, bytes | None]:
    """Path and data."""
    if path_length < 0:
        return data[body:end].decode(), None
    middle = body + path_length
    return data[body:middle].decode(), data[middle:end]


def decode_create(
    data: bytes, body: int, end: int, number: int, path_length: int
) -> tuple[str, bytes | None, Acl, int, int]:
    """Path, data, ACL as it was asked for, mode, lease."""
    is_null = path_length < 0
    if is_null:
        path_length = -1 - path_length
    middle = body + path_length
    path = data[body:middle].decode()
    acl = OPEN
    lease = 0
    if number >= EXTRAS:
        number -= EXTRAS
        lease, acl_length = _EXTRAS.unpack_from(data, middle)
        middle += _EXTRAS.size
        if acl_length:
            acl = decode_acl(data[middle : middle + acl_length])
            middle += acl_length
    return path, None if is_null else data[middle:end], acl, number, lease


def decode_set_acl(data: bytes, body: int, end: int, path_length: int) -> tuple[str, Acl]:
    """Path, ACL as it was asked for."""
    middle = body + path_length
    return data[body:middle].decode(), decode_acl(data[middle:end]) if middle < end else OPEN


def decode_number(data: bytes, offset: int) -> tuple[int, int]:
    """A number, and where it ends."""
    return _NUMBER.unpack_from(data, offset)[0], offset + _NUMBER.size


def decode_numbers(data: bytes, offset: int, end: int) -> tuple[int, ...]:
    return struct.unpack_from(f"<{(end - offset) // _NUMBER.size}q", data, offset)


def decode_pairs(data: bytes, offset: int, end: int) -> Iterator[tuple[int, int]]:
    """(session, epoch) of a keep_alive."""
    return _TWO_NUMBERS.iter_unpack(data[offset:end])


def decode_text(data: bytes, offset: int) -> tuple[str, int]:
    """A text, and where it ends."""
    raw, end = decode_bytes(data, offset)
    return raw.decode(), end


def decode_bytes(data: bytes, offset: int) -> tuple[bytes, int]:
    """Bytes, and where they end."""
    start = offset + _LENGTH.size
    end = start + _LENGTH.unpack_from(data, offset)[0]
    assert end <= len(data), "a length inside a command points past the run"
    return data[start:end], end


def decode_cluster(data: bytes, offset: int) -> tuple[int, bytes]:
    """Cluster id and secret."""
    return _CLUSTER_ID.unpack_from(data, offset)[0], decode_bytes(data, offset + _CLUSTER_ID.size)[0]


def decode_announcement(data: bytes, offset: int, end: int) -> tuple[int, int, str, str, int]:
    """Member, the id of its data directory, its client address, its peer address, the level that it knows."""
    member, directory = _MEMBER.unpack_from(data, offset)
    client_address, offset = decode_text(data, offset + _MEMBER.size)
    peer_address, offset = decode_text(data, offset)
    has_level = offset + _LEVEL.size <= end  # releases of level 1 did not tell
    return member, directory, client_address, peer_address, _LEVEL.unpack_from(data, offset)[0] if has_level else 1


def decode_raise(data: bytes, offset: int, end: int) -> tuple[int, tuple[int, ...]]:
    """The level, and the members that know it."""
    level, *members = struct.unpack_from(f"<{(end - offset) // _LEVEL.size}I", data, offset)
    return level, tuple(members)


@lru_cache(maxsize=1024)  # a tree has few distinct ACLs, each of them in thousands of creates
def decode_acl(raw: bytes) -> Acl:
    entries = []
    offset = 0
    end = 0 if raw == NO_ENTRIES else len(raw)
    while offset < end:
        perms = _PERMS.unpack_from(raw, offset)[0]
        scheme, offset = decode_text(raw, offset + _PERMS.size)
        name, offset = decode_text(raw, offset)
        entries.append(ACL(perms, scheme, name))
    return tuple(entries)
