"""Steps: what the clients of a sequence do, as data that prints and reads back.

Paths stand below a root of the sequence's own, written `~`: `~/a` is `/d/7/a` when the sequence runs below `/d/7`.
What has no `~` in front is sent as it stands.
"""

from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from typing import Any, Final

from coord_protocol import records, requests
from coord_protocol.jute import Record

Operations = tuple[tuple[int, Record], ...]
"""Of a multi or multiRead: opcode and record of each."""

Body = Record | Operations | bytes


class Seen(Enum):
    """Up to where a client that comes back claims to have seen changes."""

    NOTHING = "nothing"
    ALL_IT_SAW = "all it saw"
    FUTURE = "more than there is"


@dataclass(frozen=True)
class Connect:
    """A new session, on a new connection. What the client had before is dropped."""

    client: int
    timeout_ms: int = 30_000
    has_read_only: bool = True


@dataclass(frozen=True)
class Drop:
    """The connection breaks; the session stays."""

    client: int


@dataclass(frozen=True)
class Resume:
    """Back to the session on a new connection; the former one, if it stands, is watched being closed."""

    client: int
    seen: Seen = Seen.ALL_IT_SAW
    has_right_password: bool = True


@dataclass(frozen=True)
class Ask:
    """A request. With `flows` the next step is done before the answer has come."""

    client: int
    opcode: int
    body: Body = b""
    xid: int | None = None
    """None: the next one."""
    flows: bool = False


@dataclass(frozen=True)
class Rewatch:
    """setWatches2: what a client watched when its connection broke."""

    client: int
    seen: Seen
    data: tuple[str, ...] = ()
    exist: tuple[str, ...] = ()
    child: tuple[str, ...] = ()
    persistent: tuple[str, ...] = ()
    recursive: tuple[str, ...] = ()


@dataclass(frozen=True)
class Break:
    """Bytes that are no frame of a client: a length that is none, or less than a header."""

    client: int
    data: bytes


Step = Connect | Drop | Resume | Ask | Rewatch | Break

_NAMES: Final = {
    **{kind.__name__: kind for kind in (Connect, Drop, Resume, Ask, Rewatch, Break, Seen)},
    **{
        name: value
        for module in (records, requests)
        for name, value in vars(module).items()
        if isinstance(value, type) and (issubclass(value, Record) or value in (requests.OpCode, records.ACL))
    },
}


def line_of(step: Step) -> str:
    """The step as a line, which `read` takes back.

    >>> line_of(Ask(0, 2, requests.DeleteRequest("~/a", -1)))
    "Ask(0, OpCode.DELETE, DeleteRequest(path='~/a', version=-1))"
    """
    arguments = []
    for field in fields(step):
        value = getattr(step, field.name)
        text = _opcode(value) if field.name == "opcode" else _literal(value)
        if field.default is MISSING and field.name != "seen":
            arguments.append(text)
        elif value != field.default:
            arguments.append(text if field.name == "body" else f"{field.name}={text}")
    return f"{type(step).__name__}({', '.join(arguments)})"


def read(lines: Iterable[str]) -> list[Step]:
    """The steps of lines as `line_of` writes them. For those that this tool has printed: it evaluates them."""
    return [eval(line, {"__builtins__": {}}, _NAMES) for line in lines if line.strip() and not line.startswith("#")]


def _opcode(number: int) -> str:
    return f"OpCode.{requests.OpCode(number).name}" if number in set(requests.OpCode) else str(number)


def _literal(value: Any) -> str:
    if isinstance(value, Seen):
        return str(value)
    if isinstance(value, tuple) and value and isinstance(value[0], tuple) and not isinstance(value[0], records.ACL):
        return f"({''.join(f'({_opcode(opcode)}, {record!r}), ' for opcode, record in value)})"
    return repr(value)
