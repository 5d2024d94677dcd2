"""Configurations in snapshots, in logs that were cut, and on the wire: paper §6 and §7."""

import pytest
from msgspec.structs import replace

from coord.raft import (
    UNTOLD,
    HardState,
    MalformedMessage,
    MemberId,
    Membership,
    Run,
    Seat,
    Stored,
    Term,
    decode_message,
    encode_message,
)
from coord.raft.configuration import encode_configuration
from coord.raft.types import Index

from .members import brings, entry, founder, of
from .texts import append, follower, place, save

ONE, TWO, THREE, FOUR, FIVE, SIX, SEVEN = (MemberId(number) for number in range(1, 8))

# Snapshots and logs.


def test_installed_snapshot_brings_its_configuration() -> None:
    """Etcd-io/raft a424e5b: all of it, outgoing voters and learners too."""
    raft = follower("1/1")
    raft.step(ONE, brings("1/1", entry("1/2", of(1, 2))), 0.1)
    joint = of(2, 4, 5, outgoing=(1, 2, 3), learners=(7,))

    assert raft.install(place("1/9"), Membership(Index(8), joint))

    assert raft.log.memberships == [Membership(Index(8), joint)]
    assert raft.configuration == joint


def test_installed_snapshot_without_one_brings_what_the_cluster_was_founded_with() -> None:
    """As long as nothing was changed there is no configuration in any log."""
    raft = follower("1/1")
    raft.step(ONE, brings("1/1", entry("1/2", of(1, 2))), 0.1)

    assert raft.install(place("2/9"), UNTOLD)

    assert raft.configuration == of(1, 2, 3)


def test_what_is_forgotten_leaves_the_configuration_that_holds_there() -> None:
    """A truncation may still need it."""
    raft = follower("1/1")
    raft.step(ONE, brings("1/1", entry("1/2", of(1, 2)), entry("1/3", of(1, 2, learners=(4,))), commit=2), 0.1)
    save(raft)
    raft.snapshot_saved(place("1/2"))

    raft.compact(Index(2))
    assert raft.configuration == of(1, 2, learners=(4,))
    raft.step(TWO if raft.member != TWO else THREE, append("1/2", "2/3", term=2), 0.2)

    assert raft.configuration == of(1, 2)


def test_restart_with_a_snapshot_that_is_newer_than_runs_in_the_log() -> None:
    """The log is cut in its own time: older configurations in it do not come back."""
    newest = Membership(Index(3), of(1, 2, learners=(4,)))
    log = [
        entry("1/1", of(1, 2, 3, 5, outgoing=(1, 2, 3))),
        entry("1/2", of(1, 2, 3, 5)),
        entry("1/3", newest.configuration),
    ]
    disk = Stored(HardState(Term(1), None), log, place("0/0"), place("1/3"), newest)

    raft = founder(disk)

    assert raft.log.memberships == [newest]
    assert raft.configuration == newest.configuration


# On the wire.


def test_configuration_survives_the_wire() -> None:
    """It is told from other runs by a count of 0, which no other run has."""
    message = brings(
        "1/1", entry("1/2", of(1, 2, outgoing=(1, 2, 3), learners=(3, 4))), Run(Index(3), 2, Term(1), b"x")
    )

    assert decode_message(encode_message(message)) == message
    head = encode_message(brings("1/1"))
    assert encode_message(message)[len(head) : len(head) + 4] == bytes(4)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        encode_configuration(of()),
        encode_configuration(of(2, 1)),
        encode_configuration(of(1, 1)),
        encode_configuration(of(0, 1)),
        encode_configuration(of(1, learners=(1,))),
        encode_configuration(of(1, outgoing=(2, 1))),
        encode_configuration(replace(of(1), seats=(Seat(TWO, "h:1"),))),
        encode_configuration(replace(of(1), seats=(Seat(ONE, "h:1"), Seat(ONE, "h:2")))),
    ],
)
def test_malformed_configuration_is_refused(data: bytes) -> None:
    """Raft takes it for granted that it can work with what it is sent."""
    body = encode_message(brings("1/1", Run(Index(2), 1, Term(1), data, True)))

    with pytest.raises(MalformedMessage):
        decode_message(body)
