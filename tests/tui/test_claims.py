"""Locks and their queues are told from names, as kazoo, Curator and ZooKeeper's own recipes choose them."""

from collections.abc import Sequence

import pytest

from coord.tui.claims import Claim, Contender, Kind, claims_of, name_of
from coord_protocol.extensions import LeaseInfo
from tests.tui.scene import curator, kazoo, right


def the_claim(*rights: LeaseInfo) -> Claim:
    (claim,) = claims_of(rights)
    return claim


def names(contenders: Sequence[Contender]) -> list[str]:
    return [each.right.name for each in contenders]


@pytest.mark.parametrize(
    "name",
    [
        "{0:032x}__lock__{0:010d}",  # coord, kazoo: Lock, Election
        "_c_6a1f1e62-0a5c-4c3b-8a53-{0:012x}-lock-{0:010d}",  # Curator: InterProcessMutex, LeaderSelector
        "_c_6a1f1e62-0a5c-4c3b-8a53-{0:012x}-latch-{0:010d}",  # Curator: LeaderLatch
        "lock-{0:010d}",  # ZooKeeper's documentation
        "x-7205797438-{0:010d}",  # its WriteLock
        "n_{0:010d}",
    ],
)
def test_numbered_siblings_are_a_queue(name: str) -> None:
    """By the number alone: the rest of a name is chance, and sessions are not in the order of the queue."""
    rights = [right(1, "third", "/a/" + name.format(30)), right(2, "first", "/a/" + name.format(4))]

    claim = the_claim(*rights, right(3, "second", "/a/" + name.format(5)))

    assert (claim.path, claim.kind) == ("/a", Kind.LOCK)
    assert names(claim.holders) == ["first"]
    assert names(claim.waiting) == ["second", "third"]


@pytest.mark.parametrize(("reads", "writes"), [("__rlock__", "__lock__"), ("-__READ__", "-__WRIT__")])
def test_readers_in_front_of_a_writer_hold_together(reads: str, writes: str) -> None:
    rights = [
        right(number, f"{pattern[-4:]} {number}", f"/c/{number:032x}{pattern}{number:010d}")
        for number, pattern in enumerate([reads, reads, writes, reads], 1)
    ]

    claim = the_claim(*rights)

    assert len(claim.holders) == 2
    assert [each.number for each in claim.waiting] == [3, 4], "a reader behind a writer waits for it"


def test_a_writer_in_front_holds_alone() -> None:
    claim = the_claim(right(1, "r", kazoo("/c", 2, "__rlock__")), right(2, "w", kazoo("/c", 1)))

    assert (names(claim.holders), names(claim.waiting)) == (["w"], ["r"])


def test_the_leases_of_a_semaphore_are_all_held() -> None:
    """Curator numbers them, but how many there may be is known to its clients only."""
    rights = [right(number, f"c{number}", curator("/sem/leases", number, "-lease-")) for number in (1, 2)]

    assert [(claim.kind, len(claim.waiting)) for claim in claims_of(rights)] == [(Kind.KEY, 0)] * 2


def test_a_longer_number_is_a_name() -> None:
    assert the_claim(right(1, "w", "/runs/20261125071500")).kind is Kind.KEY


def test_a_session_in_two_queues_is_in_both() -> None:
    both = right(1, "w", kazoo("/a", 1), kazoo("/b", 2), "/w")

    assert sorted((claim.path, claim.kind) for claim in claims_of([both])) == [
        ("/a", Kind.LOCK),
        ("/b", Kind.LOCK),
        ("/w", Kind.KEY),
    ]


def test_rights_without_keys_are_claims_of_their_own() -> None:
    lease, session = claims_of([right(7, "l", kind="lease"), right(8, "s")])

    assert (lease.kind, lease.id) == (Kind.LEASE, "#7")
    assert (session.kind, session.id) == (Kind.SESSION, "#8")


def test_a_holder_without_a_name_is_called_by_its_address() -> None:
    assert name_of(right(0x25, "")) == "10.0.1.37 0x25"
    assert name_of(right(0x25, "", kind="lease")) == "0x25"
