"""Who is told, and who is not, when several descriptors are ready at once."""

import os
import socket
from collections.abc import Iterator

import pytest

from coord.server.poll import Poll


class Reader:
    """A source that notes when it is told, and may then remove another one."""

    def __init__(self, poll: Poll[list[str]], name: str, what: socket.socket) -> None:
        self.name = name
        self.socket = what
        self.victim: Reader | None = None
        self._poll = poll
        poll.add(what, self)

    def on_readable(self, batch: list[str]) -> int:
        batch.append(self.name)
        if self.victim is not None:
            self._poll.remove(self.victim.socket)
            self.victim = None
        return 1

    def on_writable(self) -> None:
        raise AssertionError("it did not ask for this")


@pytest.fixture
def poll() -> Iterator[Poll[list[str]]]:
    poll: Poll[list[str]] = Poll()
    yield poll
    poll.close()


def test_who_was_removed_by_another_in_the_same_round_is_not_told(poll: Poll[list[str]]) -> None:
    (one, at_one), (two, at_two) = socket.socketpair(), socket.socketpair()
    with one, at_one, two, at_two:
        first, second = Reader(poll, "first", one), Reader(poll, "second", two)
        first.victim, second.victim = second, first
        at_one.send(b"x")
        at_two.send(b"x")
        told: list[str] = []

        assert poll.dispatch(told, 1.0, 100) == 1
        assert poll.dispatch(told, 0.0, 100) == 1

        assert told in (["first", "first"], ["second", "second"])


def test_an_end_without_anything_to_read_is_told_as_readable(poll: Poll[list[str]]) -> None:
    """A pipe whose writer is gone is in no other state than that; a source that reads finds out."""

    class End:
        told = 0

        def fileno(self) -> int:
            return reader

        def on_readable(self, batch: list[str]) -> int:
            self.told += 1
            return 0

        def on_writable(self) -> None:
            raise AssertionError("it did not ask for this")

    reader, writer = os.pipe()
    end = End()
    poll.add(end, end)
    os.close(writer)

    poll.dispatch([], 1.0, 100)

    assert end.told == 1
    os.close(reader)
