"""What a znode may be called, as ZooKeeper's PathUtils has it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord_protocol.errors import BadArguments
from coord_protocol.paths import (
    is_valid_path,
    join,
    parent_of,
    sequence_of,
    split,
    validate_path,
    with_sequence,
)


@pytest.mark.parametrize("path", ["/", "/a", "/a/b", "/..a", "/a..", "/.a.", "/...", "/ ", "/ä/日本", "/~!\ufdd0"])
def test_allowed(path: str) -> None:
    assert is_valid_path(path)
    validate_path(path)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "empty"),
        ("a", "starts with"),
        ("a/b", "starts with"),
        ("/a/", "does not end"),
        ("//", "does not end"),
        ("//a", "empty component"),
        ("/a//b", "empty component"),
        ("/.", "relative"),
        ("/..", "relative"),
        ("/a/./b", "relative"),
        ("/a/../b", "relative"),
        ("/a/..", "relative"),
        ("/a\0", "U[+]0000 at 2"),
        ("/a\n", "U[+]000A"),
        ("/\x1f", "U[+]001F"),
        ("/\x7f", "U[+]007F"),
        ("/\x9f", "U[+]009F"),
        ("/\ud800", "U[+]D800"),
        ("/\uf8ff", "U[+]F8FF"),
        ("/\ufffd", "U[+]FFFD"),
        ("/\U0001f600", "U[+]1F600"),  # Java sees two surrogates
    ],
)
def test_refused_with_the_reason(path: str, reason: str) -> None:
    assert not is_valid_path(path)
    with pytest.raises(BadArguments, match=reason):
        validate_path(path)


@pytest.mark.parametrize("character", ["\x20", "\x7e", "\xa0", "\ud7ff", "\uf900", "\uffef"])
def test_neighbours_of_the_forbidden_characters_are_allowed(character: str) -> None:
    assert is_valid_path(f"/{character}")


def valid_by_the_letter(path: str) -> bool:
    """The rules as sentences, to check the expression against."""
    if path == "/":
        return True
    components = path.split("/")
    forbidden = [(0, 0x1F), (0x7F, 0x9F), (0xD800, 0xF8FF), (0xFFF0, 0x10FFFF)]
    return (
        components[0] == ""
        and len(components) > 1
        and not {"", ".", ".."} & set(components[1:])
        and not any(low <= ord(character) <= high for character in path for low, high in forbidden)
    )


@given(st.text("/.ab \n\x7f\ud800é\U0001f600", max_size=8) | st.text(max_size=8))
def test_the_expression_says_what_the_rules_say(path: str) -> None:
    assert is_valid_path(path) == valid_by_the_letter(path)
    if not is_valid_path(path):
        with pytest.raises(BadArguments):
            validate_path(path)


@pytest.mark.parametrize("path", ["/a", "/a/b", "/a/b/c"])
def test_a_path_is_put_together_as_it_was_taken_apart(path: str) -> None:
    parent, name = split(path)

    assert join(parent, name) == path
    assert parent_of(path) == parent


def test_sequence_numbers() -> None:
    assert with_sequence("/a/", 0) == "/a/0000000000"
    assert with_sequence("/n", 2**31 - 1) == "/n2147483647"
    assert with_sequence("/n", 2**32 - 5) == "/n-000000005"
    assert sequence_of("/locks/x-lock-0000000012") == 12
    assert sequence_of("/short7") is None
    assert sequence_of("/n-000000005") is None
