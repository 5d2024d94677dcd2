"""What a load consists of: requests, encoded beforehand, so that sending one is to put its number into a gap.

A workload lives below a znode of its own, `/coord-bench-…`: `k00000`, `k00001`, … are the keys that are set
and read, `s00000`, … the parents below which each session creates.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import chain, count, islice, repeat
from typing import NamedTuple, Protocol

from coord_protocol.frames import LENGTH
from coord_protocol.records import OPEN_ACL_UNSAFE
from coord_protocol.requests import (
    CreateMode,
    CreateRequest,
    GetDataRequest,
    OpCode,
    SetDataRequest,
    SyncRequest,
)

XID_BYTES = 4
ROTATION = 8192  # operations in stock, in random order
SPACING = 509  # of the sessions' starting points among them; a prime, so that they are spread over all


class Template(NamedTuple):
    """A frame around the gap where its xid goes."""

    before: bytes
    after: bytes


class Workload(Protocol):
    """What sessions ask."""

    name: str
    requests_per_operation: int
    """An operation is done when the last of its requests is answered."""

    is_writing: bool
    """Whether an operation changes the tree; only such prove that a cluster can still decide."""

    def requests(self, session: int) -> Iterator[Template]:
        """Those of one session, without an end."""
        ...


def template(opcode: OpCode, body: bytes) -> Template:
    after = LENGTH.pack(opcode) + body
    return Template(LENGTH.pack(XID_BYTES + len(after)), after)


def key_path(root: str, key: int) -> str:
    """
    >>> key_path("/coord-bench-1", 7)
    '/coord-bench-1/k00007'
    """
    return f"{root}/k{key:05d}"


def parent_path(root: str, session: int) -> str:
    return f"{root}/s{session:05d}"


def child_path(root: str, session: int, number: int) -> str:
    return f"{parent_path(root, session)}/n{number:010d}"


def create_request(path: str, data: bytes) -> bytes:
    return CreateRequest(path, data, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT).encode()


class Rotation:
    """Operations on a fixed set of keys, drawn at random once and repeated."""

    def __init__(self, name: str, operations: Sequence[Sequence[Template]], is_writing: bool) -> None:
        """Each operation is as many requests as the first."""
        self.name = name
        self.requests_per_operation = len(operations[0])
        self.is_writing = is_writing
        self._requests = [request for operation in operations for request in operation]

    def requests(self, session: int) -> Iterator[Template]:
        start = session * SPACING * self.requests_per_operation % len(self._requests)
        # Not `cycle`, which would keep a copy of the list for each session.
        return chain(islice(self._requests, start, None), chain.from_iterable(repeat(self._requests)))


class Creates:
    """Each operation creates another znode, below the session's parent."""

    name = "create"
    requests_per_operation = 1
    is_writing = True

    def __init__(self, root: str, data: bytes) -> None:
        self._root = root
        path = child_path(root, 0, 0)
        whole = template(OpCode.CREATE, create_request(path, data))
        self._before = whole.before
        self._opcode, self._after = whole.after.split(path.encode())

    def requests(self, session: int) -> Iterator[Template]:
        stem = self._opcode + f"{parent_path(self._root, session)}/n".encode()
        for number in count():
            yield Template(self._before, b"%b%010d%b" % (stem, number, self._after))


def is_mix(text: str) -> bool:
    """
    >>> [is_mix(text) for text in ("set", "90/10", "sync+get", "90/20", "x")]
    [True, True, True, False, False]
    """
    reads, slash, writes = text.partition("/")
    if slash:
        return reads.isdigit() and writes.isdigit() and int(reads) + int(writes) == 100
    return text in {"set", "get", "sync+get", "create"}


def build(mix: str, root: str, keys: int, data: bytes) -> Workload:
    """The workload that `mix` names: set, get, sync+get, create, or reads/writes in percent."""
    assert is_mix(mix), "checked where it came in"
    if mix == "create":
        return Creates(root, data)
    paths = [key_path(root, key) for key in range(keys)]
    sets = [template(OpCode.SET_DATA, SetDataRequest(path, data, -1).encode()) for path in paths]
    gets = [template(OpCode.GET_DATA, GetDataRequest(path, False).encode()) for path in paths]
    syncs = [template(OpCode.SYNC, SyncRequest(path).encode()) for path in paths]
    dice = random.Random(mix)  # the same requests in every run
    drawn = [dice.randrange(keys) for _ in range(ROTATION)]
    if mix == "sync+get":
        return Rotation(mix, [(syncs[key], gets[key]) for key in drawn], is_writing=False)
    reads = {"set": 0, "get": 100}.get(mix)
    if reads is None:
        reads = int(mix.partition("/")[0])
    operations = [[gets[key] if dice.random() * 100 < reads else sets[key]] for key in drawn]
    return Rotation(mix, operations, is_writing=reads == 0)
