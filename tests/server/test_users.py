"""The file of SASL's users."""

from pathlib import Path

import pytest

from coord.server.settings import ConfigError
from coord.server.users import read_users


def test_passwords_by_name(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    path.write_text('{"björn": "pässwörd"}', encoding="utf-8")
    assert read_users(path) == {"björn": "pässwörd"}
    assert read_users(None) == {}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"bob": 5}', '{"": "hush"}', '["hush"]', "\udcff"])
def test_file_of_another_kind_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "users.json"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ConfigError, match=r"sasl_users = .*: expected") as refused:
        read_users(path)
    assert "hush" not in str(refused.value)


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_users(tmp_path / "nobody")
