"""The tree of errors: one class per code, and each says whether the request may have had an effect."""

import pytest

from coord_protocol.errors import (
    ApiError,
    BadVersion,
    Code,
    ConnectionLost,
    CoordError,
    ExtensionUnavailable,
    LockLost,
    NoLease,
    NoNode,
    NotLeader,
    RequestTimeout,
    SessionExpired,
    error_for,
)
from coord_protocol.extensions import (
    EXTENSION_REQUESTS,
    ExtensionFailure,
    extension_error,
    extensions_document,
)
from coord_protocol.requests import OpCode


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
def test_every_code_has_its_error(code: Code) -> None:
    error = error_for(code, "/a")

    assert error.code == code
    assert isinstance(error, CoordError)


def test_an_answer_is_definite_and_names_the_path() -> None:
    error = error_for(Code.NO_NODE, "/a")

    assert isinstance(error, NoNode)
    assert error.definite
    assert error.path == "/a"
    assert str(error) == "/a: no such znode"
    assert str(BadVersion("/a", "has 3, not 2")) == "/a: the znode has another version: has 3, not 2"


def test_only_the_servers_own_time_out_leaves_an_answer_open() -> None:
    open_ones = [code for code in Code if code is not Code.OK and not error_for(code).definite]

    assert open_ones == [RequestTimeout.code]


def test_without_an_answer_nothing_is_definite_unless_nothing_was_sent() -> None:
    assert not ConnectionLost().definite
    assert not SessionExpired().definite
    assert ConnectionLost(definite=True).definite
    assert ExtensionUnavailable("status").definite
    assert LockLost("x").definite


def test_an_unknown_code_is_named() -> None:
    error = error_for(-4711, "/a")

    assert type(error) is ApiError
    assert "-4711" in str(error)


def test_an_extension_error_carries_its_record() -> None:
    body = ExtensionFailure(Code.NOT_LEADER, "ask another", "10.0.0.2:2181", 77).encode()

    error = extension_error(Code.NOT_LEADER, b"12345678" + body, 8)

    assert isinstance(error, NotLeader)
    assert (error.leader_hint, error.zxid) == ("10.0.0.2:2181", 77)
    assert "ask another" in str(error)
    assert isinstance(extension_error(Code.NO_LEASE, b"", 0), NoLease)


def test_extensions_are_listed_by_name() -> None:
    assert all(opcode >= 1000 for opcode in EXTENSION_REQUESTS)
    assert {opcode for opcode in OpCode if opcode >= 1000} == set(EXTENSION_REQUESTS)
    assert b'"leaseKeepAlive"' in extensions_document()
    assert b'"version": 1000' in extensions_document()
