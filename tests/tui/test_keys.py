"""Bytes of a terminal, cut anywhere, become keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord.tui.keys import NAMES, Keys


@pytest.mark.parametrize(
    ("data", "name"), sorted((data.encode(), name) for data, name in NAMES.items() if data != "\x1b")
)
def test_a_named_key_is_known_wherever_its_bytes_are_cut(data: bytes, name: str) -> None:
    for cut in range(1, len(data) + 1):
        keys = Keys()
        assert keys.feed(data[:cut]) + keys.feed(data[cut:]) == [name]
        assert not keys.is_waiting


def test_escape_alone_is_a_key_when_nothing_follows() -> None:
    keys = Keys()

    assert keys.feed(b"\x1b") == []
    assert keys.is_waiting
    assert keys.flush() == ["esc"]
    assert not keys.is_waiting


def test_characters_of_several_bytes_are_one_key() -> None:
    keys = Keys()

    assert keys.feed("ü".encode()[:1]) == []
    assert keys.feed("ü".encode()[1:]) == ["ü"]


def test_sequences_without_a_name_are_passed_over() -> None:
    assert Keys().feed(b"\x1b[1;5Cq\x1b[200~\x1b[15~s") == ["q", "s"]


@given(st.lists(st.binary(max_size=8)))
def test_any_bytes_give_keys_that_can_be_shown(pieces: list[bytes]) -> None:
    keys = Keys()
    for key in [key for piece in pieces for key in keys.feed(piece)] + keys.flush():
        assert key in NAMES.values() or (len(key) == 1 and key.isprintable())
