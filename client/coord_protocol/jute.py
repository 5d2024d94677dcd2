"""The wire's encoding, "jute": records are declared once as classes, and their codecs are compiled from that.

    class SetDataRequest(Record):
        path: pathname
        data: buffer
        version: int32

    SetDataRequest("/a", b"x", -1).encode()      the body: no header, no length
    SetDataRequest.decode(frame, offset=8)       raises MarshallingError; what follows the record is ignored

On the wire everything is big-endian; fields follow each other without tags or padding. Strings and buffers
start with their length, vectors with their count; -1 stands for null. A null vector is read as an empty one,
a null `ustring` as "" (kazoo writes "" as null); a null `pathname` does not decode, because ZooKeeper answers
MarshallingError to it.

The source of a class's codec is written out, compiled and put into the class when it is first used: fields of
fixed size that follow each other become one `struct`, and the length of a string belongs to the run before
it. Decoders believe no length: each is compared with the bytes that are there before anything is allocated.
"""

from collections.abc import Callable
from struct import Struct
from struct import error as struct_error
from typing import (
    Annotated,
    Any,
    Final,
    NamedTuple,
    NoReturn,
    Self,
    dataclass_transform,
    get_args,
    get_origin,
)

from coord_protocol.errors import MarshallingError

MAX_ADDED_PIECES: Final = 3  # up to here `a + b` makes bytes faster than join


class Fixed(NamedTuple):
    """A field of fixed size; `code` is its letter in `struct`."""

    code: str


class Counted(NamedTuple):
    """Bytes after their length. `text`: as UTF-8; `nullable`: whether -1 is None, "" (text) or an error."""

    text: bool
    nullable: bool


class Packed(NamedTuple):
    """A value that is always one struct, like `Stat`: `make` takes the tuple that the struct gives."""

    struct: Struct
    make: Callable[[tuple[Any, ...]], Any]


class Custom(NamedTuple):
    """A field with a codec written by hand.

    `decode(frame, offset)` returns the value and the offset behind it.
    """

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes, int], tuple[Any, int]]


Wire = Fixed | Counted | Packed | Custom

boolean = Annotated[bool, Fixed("?")]
int32 = Annotated[int, Fixed("i")]
int64 = Annotated[int, Fixed("q")]
ustring = Annotated[str, Counted(text=True, nullable=True)]
pathname = Annotated[str, Counted(text=True, nullable=False)]
buffer = Annotated[bytes | None, Counted(text=False, nullable=True)]

_TEMPORARIES: Final = frozenset({"self", "cls", "frame", "size", "n", "o", "e", "item", "new", "join", "refuse"})


class _RecordType(type):
    """Makes the annotated fields of a record its slots. (A decorator would have to make the class anew.)"""

    wire_fields: dict[str, Any]

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> "_RecordType":
        declared = namespace.get("__annotations__", {})
        assert _TEMPORARIES.isdisjoint(declared), f"{name}: a field's name is taken by the generated code"
        namespace["__slots__"] = namespace["__match_args__"] = tuple(declared)
        namespace["wire_fields"] = declared
        return super().__new__(mcs, name, bases, namespace)


@dataclass_transform()
class Record(metaclass=_RecordType):
    """What all records can do. They compare and print like data classes.

    `__init__`, `encode`, `decode` and `decode_from` stand in for those of the class itself until these are
    compiled, on first use. Call `compile_codec` before you keep a bound method for a hot path.
    """

    def __init__(self, *values: Any, **named: Any) -> None:
        compile_codec(type(self))
        type(self).__init__(self, *values, **named)

    def encode(self) -> bytes:
        """The record's bytes. Raises `MarshallingError` for a number that does not fit its field."""
        compile_codec(type(self))
        return self.encode()

    @classmethod
    def decode(cls, frame: bytes, offset: int = 0) -> Self:
        """The record at `offset`. What follows it is ignored. Raises `MarshallingError`."""
        compile_codec(cls)
        return cls.decode(frame, offset)

    @classmethod
    def decode_from(cls, frame: bytes, offset: int) -> tuple[Self, int]:
        """The record at `offset`, and the offset behind it. Raises `MarshallingError`."""
        compile_codec(cls)
        return cls.decode_from(frame, offset)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in type(self).wire_fields)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in type(self).wire_fields)
        return f"{type(self).__name__}({values})"


def compile_codec(record: type[Record]) -> None:
    """Write, compile and install the codec of `record`, unless that has been done."""
    if "encode" in record.__dict__:
        return
    declared = record.wire_fields
    scope: dict[str, Any] = {
        "cls": record,
        "struct_error": struct_error,
        "refuse": _refuse,
        "join": b"".join,
        "new": object.__new__,
    }
    parameters = ", ".join(["self", *declared])
    assignments = [f"self.{name} = {name}" for name in declared]
    _define(scope, f"def __init__({parameters}):", [*assignments, "return None"])
    body = ["size = len(frame)", *_Decoder(scope).source(declared), "self = new(cls)", *assignments]
    _define(scope, "def decode(cls, frame, o=0):", _guarded([*body, "return self"], "cls, frame, o"))
    _define(scope, "def decode_from(cls, frame, o):", _guarded([*body, "return self, o"], "cls, frame, o"))
    steps, pieces = _Encoder(scope).source(declared)
    _define(scope, "def encode(self):", _guarded([*steps, f"return {_joined(pieces)}"], "cls"))
    for function in ("decode", "decode_from"):
        setattr(record, function, classmethod(scope[function]))
    for function in ("__init__", "encode"):
        setattr(record, function, scope[function])


def _define(scope: dict[str, Any], head: str, body: list[str]) -> None:
    source = "\n".join([head, *(f" {line}" for line in body)])
    exec(compile(source, f"<codec of {scope['cls'].__name__}>", "exec"), scope)


def _guarded(body: list[str], culprit: str) -> list[str]:
    """`body` with the exceptions of `struct` turned into ours."""
    return ["try:", *(f" {line}" for line in body), f"except struct_error: refuse({culprit})"]


def _refuse(record: type[Record], frame: bytes | None = None, offset: int = 0) -> NoReturn:
    if frame is None:
        raise MarshallingError(detail=f"{record.__name__}: a number does not fit its field")
    size = len(frame)
    raise MarshallingError(detail=f"{record.__name__}: wrong or cut off at byte {min(offset, size)} of {size}")


def _element_of(hint: Any) -> Any:
    """The element type of a vector; None if `hint` is no vector."""
    return get_args(hint)[0] if get_origin(hint) is list else None


def _wire_of(hint: Any) -> Wire:
    if get_origin(hint) is Annotated:
        wire: Wire = hint.__metadata__[0]
        return wire
    assert isinstance(hint, type), f"not a type of the wire: {hint}"
    assert issubclass(hint, Record), f"not a type of the wire: {hint}"
    compile_codec(hint)  # now, since the stand-ins would otherwise be kept for good
    return Custom(hint.encode, hint.decode_from)


class _Decoder:
    """Writes the statements that read fields from `frame` at `o` into variables of their names."""

    def __init__(self, scope: dict[str, Any]) -> None:
        self.scope = scope
        self.lines: list[str] = []
        self.run: list[tuple[str, str]] = []
        """The fixed fields met since the last statement: struct letter and variable."""

    def source(self, declared: dict[str, Any]) -> list[str]:
        for name, hint in declared.items():
            self.field(name, hint)
        self.read_run()
        return self.lines

    def field(self, name: str, hint: Any) -> None:
        element = _element_of(hint)
        if element is not None:
            self.vector(name, element)
            return
        wire = _wire_of(hint)
        match wire:
            case Fixed():
                self.run.append((wire.code, name))
            case Counted():
                self.counted(name, wire)
            case Packed():
                self.read_run()
                unpack, make = self.constant(wire.struct.unpack_from), self.constant(wire.make)
                self.lines += [f"{name} = {make}({unpack}(frame, o))", f"o += {wire.struct.size}"]
            case Custom():
                self.read_run()
                self.lines.append(f"{name}, o = {self.constant(wire.decode)}(frame, o)")

    def counted(self, name: str, wire: Counted) -> None:
        self.run.append(("i", "n"))
        self.read_run()
        value = 'frame[o:e].decode("utf-8", "replace")' if wire.text else "frame[o:e]"
        self.lines += [
            "if n >= 0:",
            " e = o + n",
            " if e > size: refuse(cls, frame, o)",
            f" {name} = {value}",
            " o = e",
        ]
        if wire.nullable:
            null = '""' if wire.text else "None"
            self.lines += [f"elif n == -1: {name} = {null}"]
        self.lines += ["else: refuse(cls, frame, o)"]

    def vector(self, name: str, element: Any) -> None:
        self.run.append(("i", "n"))
        self.read_run()
        # The smallest element takes a byte, so a count above the bytes left is a lie, found before any
        # allocation.
        self.lines += ["if n > size - o: refuse(cls, frame, o)", f"{name} = []"]
        inner = _Decoder(self.scope)
        inner.field("item", element)
        inner.read_run()
        self.lines += ["for _ in range(n):", *(f" {line}" for line in inner.lines), f" {name}.append(item)"]

    def read_run(self) -> None:
        if not self.run:
            return
        struct = Struct(">" + "".join(code for code, _ in self.run))
        variables = "".join(f"{variable}, " for _, variable in self.run)
        self.lines += [f"{variables}= {self.constant(struct.unpack_from)}(frame, o)", f"o += {struct.size}"]
        self.run = []

    def constant(self, value: Any) -> str:
        return _constant(self.scope, value)


class _Encoder:
    """Writes the statements, and the expressions for the pieces, that make the bytes of `self`."""

    def __init__(self, scope: dict[str, Any]) -> None:
        self.scope = scope
        self.steps: list[str] = []
        self.pieces: list[str] = []
        self.run: list[tuple[str, str]] = []

    def source(self, declared: dict[str, Any]) -> tuple[list[str], list[str]]:
        for name, hint in declared.items():
            self.field(name, f"self.{name}", hint)
        self.write_run()
        return self.steps, self.pieces

    def field(self, name: str, value: str, hint: Any) -> None:
        element = _element_of(hint)
        if element is not None:
            self.vector(name, value, element)
            return
        wire = _wire_of(hint)
        match wire:
            case Fixed():
                self.run.append((wire.code, value))
            case Counted():
                self.counted(name, value, wire)
            case Packed():
                self.write_run()
                self.pieces.append(f"{_constant(self.scope, wire.struct.pack)}(*{value})")
            case Custom():
                self.write_run()
                self.pieces.append(f"{_constant(self.scope, wire.encode)}({value})")

    def counted(self, name: str, value: str, wire: Counted) -> None:
        # A lone surrogate is no character, but a caller may hold one: the server, not we, refuses it by its
        # rules.
        source = f'{value}.encode("utf-8", "surrogatepass")' if wire.text else value
        self.steps.append(f"{name} = {source}")
        if wire.text:
            self.run.append(("i", f"len({name})"))
            self.write_run()
            self.pieces.append(name)
        else:
            self.run.append(("i", f"(-1 if {name} is None else len({name}))"))
            self.write_run()
            self.pieces.append(f'({name} or b"")')

    def vector(self, name: str, value: str, element: Any) -> None:
        self.run.append(("i", f"len({value})"))
        self.write_run()
        inner = _Encoder(self.scope)
        inner.field("item", "item", element)
        inner.write_run()
        self.steps += [f"{name} = []", f"for item in {value}:"]
        self.steps += [f" {line}" for line in inner.steps]
        self.steps += [f" {name}.append({_joined(inner.pieces)})"]
        self.pieces.append(f"join({name})")

    def write_run(self) -> None:
        if not self.run:
            return
        struct = Struct(">" + "".join(code for code, _ in self.run))
        values = ", ".join(value for _, value in self.run)
        self.pieces.append(f"{_constant(self.scope, struct.pack)}({values})")
        self.run = []


def _joined(pieces: list[str]) -> str:
    """An expression for all pieces in one: for a few, adding is cheaper than joining."""
    if not pieces:
        return 'b""'
    return " + ".join(pieces) if len(pieces) <= MAX_ADDED_PIECES else f"join(({', '.join(pieces)}))"


def _constant(scope: dict[str, Any], value: Any) -> str:
    name = f"_{len(scope)}"
    scope[name] = value
    return name
