"""Address lists, and the pace at which servers are tried."""

import pytest

from coord_client.addresses import FIRST_PAUSE, LONGEST_PAUSE, SETTLED_AFTER, Address, Itinerary, parse_hosts
from coord_protocol.errors import LocalProtocolError


@pytest.mark.parametrize(
    ("hosts", "addresses", "chroot"),
    [
        ("zk", [("zk", 2181)], ""),
        ("zk1:1,zk2:2", [("zk1", 1), ("zk2", 2)], ""),
        ("zk1:1, zk2 ,/a/b", [("zk1", 1), ("zk2", 2181)], "/a/b"),
        ("zk/", [("zk", 2181)], ""),
        ("[::1]:2182,[fe80::1%eth0]/x", [("::1", 2182), ("fe80::1%eth0", 2181)], "/x"),
    ],
)
def test_lists_are_read_as_kazoo_reads_them(hosts: str, addresses: list[tuple[str, int]], chroot: str) -> None:
    assert parse_hosts(hosts) == ([Address(*address) for address in addresses], chroot)


@pytest.mark.parametrize(
    "hosts", ["", ",", "/a", "zk:port", "zk:70000", ":2181", "::1", "[::1", "[::1]2181", "zk/a//b", "zk/a/.."]
)
def test_what_is_no_list_is_refused_by_name(hosts: str) -> None:
    with pytest.raises(LocalProtocolError) as refused:
        parse_hosts(hosts)

    assert repr(hosts) in str(refused.value)
    assert refused.value.definite


def test_an_address_prints_as_it_is_written() -> None:
    assert [str(address) for address in parse_hosts("zk:1,[::1]:2")[0]] == ["zk:1", "[::1]:2"]


def itinerary(jitter: float = 1.0) -> Itinerary:
    """Three servers, shuffled to come last first."""
    return Itinerary(
        [Address(host, 1) for host in "abc"],
        shuffle=lambda addresses: addresses.reverse(),
        jitter=lambda: jitter,
    )


def test_every_server_is_tried_before_the_first_pause() -> None:
    """Somebody else is probably up; a pause would only be time lost."""
    journey = itinerary()
    stops = [journey.next_stop() for _ in range(4)]

    assert [address.host for _, address in stops] == ["c", "b", "a", "c"]
    assert [pause for pause, _ in stops] == [0, 0, 0, FIRST_PAUSE]


def test_pauses_grow_to_a_limit_and_never_past_it() -> None:
    journey = itinerary()
    pauses = [journey.next_stop()[0] for _ in range(3000)]

    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE


def test_half_of_a_pause_is_chance() -> None:
    """A thousand clients that lost one server must not come back in one instant."""
    shortest, longest = itinerary(jitter=0.0), itinerary(jitter=1.0)
    for _ in range(3):
        shortest.next_stop()
        longest.next_stop()

    assert shortest.next_stop()[0] == FIRST_PAUSE / 2
    assert longest.next_stop()[0] == FIRST_PAUSE


def test_only_a_connection_that_lasted_ends_the_pauses() -> None:
    """A server that accepts and then drops us at once must not be dialled in a tight loop."""
    journey = itinerary()
    for _ in range(6):
        journey.next_stop()

    journey.arrived(SETTLED_AFTER / 2)
    assert journey.next_stop()[0] > 0

    journey.arrived(SETTLED_AFTER)
    assert journey.next_stop()[0] == 0
