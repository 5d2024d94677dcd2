"""What a server is told: one TOML file, every key of it also a flag that wins over the file.

    id = 1                                  # this member's number in [members]
    data = "/var/lib/coord"                 # its own directory; locked while it runs
    client = "127.0.0.1:2181"               # where it listens for clients
    peer = "127.0.0.1:2281"                 # where it listens for other members
    advertise_client = "db1.example:2181"   # what clients are told, if not `client`
    [members]                               # all voters, the same on every member
    1 = "127.0.0.1:2281"
    [timing]                                # seconds
    heartbeat = 0.05
    [limits]
    max_connections = 10_000

Bad input raises `ConfigError`, which names the key, its value and what was expected. With nothing at all the settings
are those of a one-member cluster on 127.0.0.1:2181.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import cattrs
import tomli
from cattrs.errors import ForbiddenExtraKeysError

from coord.raft.config import Config as RaftConfig
from coord.raft.types import MemberId
from coord.replica.config import MAX_FRAME_BYTES, ReplicaConfig


class ConfigError(Exception):
    """The configuration cannot be used; the text names the key, the value and what was expected."""


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations in seconds."""

    heartbeat: float = 0.05
    """A leader is heard at least this often."""

    election: float = 0.5
    """A leader not heard for one to two times this long is replaced; one whose connection broke, at once."""

    tick: float = 0.1
    """Keep-alives gather this long into one log entry."""

    min_session: float = 2.0
    max_session: float = 60.0
    """The session timeouts that clients may negotiate."""


@dataclass(frozen=True, slots=True)
class Limits:
    max_frame_bytes: int = MAX_FRAME_BYTES
    """A request; ZooKeeper calls it jute.maxbuffer."""

    max_connections: int = 10_000
    max_connections_per_address: int = 5_000
    """One runaway program must not lock out the others."""

    max_output_bytes: int = 8 * 1024 * 1024
    """What a client may leave unread before it is disconnected."""


@dataclass(frozen=True, slots=True)
class Settings:
    id: int = 1
    data: Path = Path("coord-data")
    client: Address = Address("127.0.0.1", 2181)
    peer: Address | None = None
    members: Mapping[int, Address] = field(default_factory=dict)
    advertise_client: Address | None = None
    super_digest: str = ""
    log_level: str = "info"
    timing: Timing = Timing()
    limits: Limits = Limits()

    @property
    def voters(self) -> tuple[MemberId, ...]:
        return tuple(MemberId(member) for member in sorted(self.members)) or (MemberId(self.id),)

    @property
    def client_address(self) -> Address:
        """What clients are told: never a wildcard, which would mean the client's own machine to them."""
        return self.advertise_client or self.client

    def replica_config(self, incarnation: int, directory_id: int) -> ReplicaConfig:
        """`incarnation`: how often this member was started on its directory, this time included."""
        return ReplicaConfig(
            raft=RaftConfig(
                member=MemberId(self.id),
                voters=self.voters,
                incarnation=incarnation,
                heartbeat_interval=self.timing.heartbeat,
                election_timeout=self.timing.election,
            ),
            client_address=str(self.client_address),
            peer_address=str(self.members.get(self.id, "")),
            directory_id=directory_id,
            tick=self.timing.tick,
            min_session_timeout=self.timing.min_session,
            max_session_timeout=self.timing.max_session,
            max_frame_bytes=self.limits.max_frame_bytes,
            super_digest=self.super_digest,
        )


def parse_address(text: str, key: str = "address") -> Address:
    """`HOST:PORT`, with brackets around an IPv6 host.

    >>> parse_address("127.0.0.1:2181"), str(parse_address("[::1]:2181"))
    (Address(host='127.0.0.1', port=2181), '[::1]:2181')
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"{key} = {text!r}: expected HOST:PORT with a port from 0 to 65535, like 127.0.0.1:2181")
    return Address(host.strip("[]"), int(port))


def parse_members(text: str) -> dict[str, str]:
    """The flag's form of [members].

    >>> parse_members("1=a:2281,2=b:2281")
    {'1': 'a:2281', '2': 'b:2281'}
    """
    members: dict[str, str] = {}
    for item in text.split(","):
        member, equals, address = item.strip().partition("=")
        if not equals:
            raise ConfigError(f"members = {text!r}: expected ID=HOST:PEERPORT,… and found {item!r}")
        if member in members:
            raise ConfigError(f"members = {text!r}: member {member} is listed twice")
        members[member] = address
    return members


def load_settings(path: Path | None, flags: Mapping[str, Any]) -> Settings:
    """Settings from a TOML file (if any) and flags (dotted names, None where not given), which win."""
    raw: dict[str, Any] = {}
    if path is not None:
        try:
            raw = tomli.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}; give a readable file to --config, or leave it out") from error
        except (tomli.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not TOML: {error}") from error
    for dotted, value in flags.items():
        if value is not None:
            *tables, key = dotted.split(".")
            table = raw
            for name in tables:
                table = table.setdefault(name, {})
            table[key] = value
    settings = _structure(Settings, raw, "")
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    members, timing = settings.members, settings.timing
    if members and settings.id not in members:
        listed = ", ".join(str(member) for member in sorted(members))
        raise ConfigError(f"id = {settings.id}: not among the members listed ({listed}); give its number in [members]")
    if len(members) > 1 and settings.peer is None:
        raise ConfigError("peer is missing: a cluster of several members needs HOST:PORT to listen for the others")
    if not 1 <= settings.id <= 0xFFFF_FFFF:
        raise ConfigError(f"id = {settings.id}: expected a number from 1 to 4294967295")
    if not 0 < timing.heartbeat * 4 <= timing.election:
        raise ConfigError(
            f"timing.election = {timing.election}: expected at least four heartbeats ({timing.heartbeat} s each), "
            "or a healthy leader would be replaced over one late message"
        )
    if not 0 < timing.min_session <= timing.max_session:
        raise ConfigError(
            f"timing.min_session = {timing.min_session}: expected more than 0 and at most max_session "
            f"({timing.max_session})"
        )
    if settings.super_digest and not settings.super_digest.startswith("super:"):
        raise ConfigError(
            f"super_digest = {settings.super_digest!r}: expected super:BASE64, the digest of super:PASSWORD"
        )
    if settings.log_level not in {"debug", "info", "warning", "error"}:
        raise ConfigError(f"log_level = {settings.log_level!r}: expected debug, info, warning or error")


_EXPECTED = {
    int: "a whole number",
    float: "a number of seconds",
    str: "text",
    Path: "a path",
    Address: "HOST:PORT",
}


def _structure(kind: type[Settings], raw: Mapping[str, Any], prefix: str) -> Settings:
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    converter.register_structure_hook(Address, lambda value, _: parse_address(_text(value)))
    converter.register_structure_hook(int, lambda value, _: _number(value, int))
    converter.register_structure_hook(float, lambda value, _: _number(value, float))
    converter.register_structure_hook(str, lambda value, _: _text(value))
    converter.register_structure_hook(Path, lambda value, _: Path(_text(value)))
    converter.register_structure_hook_func(
        lambda wanted: wanted == Mapping[int, Address],
        lambda value, _: {
            _number(key, int, text=True): parse_address(_text(item)) for key, item in _table(value).items()
        },
    )
    try:
        return converter.structure(raw, kind)
    except cattrs.ClassValidationError as group:
        raise ConfigError("\n".join(_explain(group, kind, raw, prefix))) from None


def _explain(group: cattrs.ClassValidationError, kind: Any, raw: Any, prefix: str) -> list[str]:
    """One sentence for every leaf of cattrs' error tree."""
    types = {item.name: item.type for item in fields(kind)} if is_dataclass(kind) else {}
    sentences = []
    for error in group.exceptions:
        if isinstance(error, ForbiddenExtraKeysError):
            known = ", ".join(types)
            sentences += [f"{prefix}{key}: no such key; known are {known}" for key in sorted(error.extra_fields)]
            continue
        notes: list[Any] = getattr(error, "__notes__", [])
        name = next((note.name for note in notes if isinstance(note, cattrs.AttributeValidationNote)), "?")
        value = raw.get(name) if isinstance(raw, Mapping) else raw
        if isinstance(error, cattrs.ClassValidationError):
            sentences += _explain(error, types.get(name), value, f"{prefix}{name}.")
        elif isinstance(error, ConfigError):
            sentences.append(str(error).replace("address", f"{prefix}{name}", 1))
        else:
            expected = _EXPECTED.get(types.get(name), str(error) or "another type")  # type: ignore[arg-type]
            sentences.append(f"{prefix}{name} = {value!r}: expected {expected}")
    return sentences


def _number(value: Any, kind: Any, *, text: bool = False) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float, str) if text else (int, float)):
        raise TypeError("a number")
    if kind is int and not text and not isinstance(value, int):
        raise TypeError("a whole number")
    return kind(value)


def _text(value: Any) -> str:
    if not isinstance(value, str | Path):
        raise TypeError("text")
    return str(value)


def _table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError('a table of ID = "HOST:PORT"')
    return value
