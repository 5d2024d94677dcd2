"""What a server is told: one TOML file, every key of it also a flag that wins over the file.

    id = 1                                  # this member's number in [members]
    data = "/var/lib/coord"                 # its own directory; locked while it runs
    client = "127.0.0.1:2181"               # where it listens for clients
    peer = "127.0.0.1:2281"                 # where it listens for other members, if not where [members] tells
    sasl_users = "/etc/coord/users.json"    # who may authenticate by SASL: passwords by name
    advertise_client = "db1.example:2181"   # what clients are told, if not `client`
    join = "db2.example:2281"               # peer address of any member of a cluster to join; then no [members]
    [members]                               # who found a cluster together, the same on each of them
    1 = "127.0.0.1:2281"
    [timing]                                # seconds
    heartbeat = 0.05
    lease_reads = true                      # linearizable reads cost no round; relies on clocks: see `Timing`
    [limits]
    max_connections = 10_000
    [snapshots]
    log_bytes = 67_108_864                  # of the log between two of them

Bad input raises `ConfigError`, which names the key, its value and what was expected. With nothing at all the settings
are those of a one-member cluster on 127.0.0.1:2181. The types are in `settings.py`, which needs no cattrs.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import cattrs
import tomli
from cattrs.errors import ForbiddenExtraKeysError

from coord.server.settings import Address, ConfigError, Settings, check, parse_address


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
    check(settings)
    return settings


_EXPECTED = {
    int: "a whole number",
    float: "a number of seconds",
    str: "text",
    bool: "true or false",
    Path: "a path",
    Address: "HOST:PORT",
}


def _structure(kind: type[Settings], raw: Mapping[str, Any], prefix: str) -> Settings:
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    converter.register_structure_hook(Address, lambda value, _: parse_address(_text(value)))
    converter.register_structure_hook(int, lambda value, _: _number(value, int))
    converter.register_structure_hook(float, lambda value, _: _number(value, float))
    converter.register_structure_hook(bool, lambda value, _: _switch(value))
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


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str | Path):
        raise TypeError("text")
    return str(value)


def _table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError('a table of ID = "HOST:PORT"')
    return value
