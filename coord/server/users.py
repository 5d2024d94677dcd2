"""The file of those who may authenticate by SASL: one JSON object of passwords by name, in UTF-8.

    {"alice": "her password", "bob": "his"}

DIGEST-MD5 needs the passwords themselves, so keep the file readable by the server alone. It is read at the start.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from coord.server.settings import ConfigError


def read_users(path: Path | None) -> Mapping[str, str]:
    """Nobody without a file. Raises `ConfigError`, which never shows a password."""
    if path is None:
        return {}
    try:
        users: dict[str, str] | None = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"sasl_users = {str(path)!r}: {error.strerror}; give a readable file") from error
    except ValueError:
        raise ConfigError(f'sasl_users = {str(path)!r}: expected JSON like {{"user": "password"}}') from None
    is_table = isinstance(users, dict) and all(name and isinstance(word, str) for name, word in users.items())
    if not users or not is_table:
        raise ConfigError(f'sasl_users = {str(path)!r}: expected passwords by name, like {{"user": "password"}}')
    return users
