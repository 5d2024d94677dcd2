"""The register of watches: who is woken by which event, and what a new server is told."""

import pytest

from coord_client.watches import MAX_REARM_BYTES, Change, Kind, Watches, WatchEvent, WatchStream
from coord_protocol.errors import SessionExpired, WatchOverflow
from coord_protocol.records import EventType
from coord_protocol.requests import AddWatchMode, SetWatches2
from tests.client.backends import on_both_backends


async def drained(stream: WatchStream) -> list[tuple[EventType, str]]:
    """What the stream holds, to its end."""
    stream.close()
    return [(event.type, event.path) async for event in stream]


def noting(kind: Kind, fired: list[tuple[Kind, WatchEvent]]) -> Change:
    """A change that writes down when it fires."""
    change = Change()
    change.on_fire = lambda event: fired.append((kind, event))
    return change


@on_both_backends
async def test_events_fire_the_one_shot_watches_they_concern() -> None:
    """Deletion fires all three kinds, creation those of exists, and each just once."""
    fired_by = {
        EventType.CREATED: {Kind.DATA, Kind.EXIST},
        EventType.DELETED: {Kind.DATA, Kind.EXIST, Kind.CHILD},
        EventType.DATA_CHANGED: {Kind.DATA, Kind.EXIST},
        EventType.CHILDREN_CHANGED: {Kind.CHILD},
    }
    for event_type, kinds in fired_by.items():
        watches = Watches("")
        fired: list[tuple[Kind, WatchEvent]] = []
        for kind in Kind:
            watches.arm(kind, "/a", noting(kind, fired))

        watches.notify(event_type, "/elsewhere", 7)
        watches.notify(event_type, "/a", 8)
        watches.notify(event_type, "/a", 9)

        assert {kind for kind, _ in fired} == kinds
        assert {event for _, event in fired} == {WatchEvent(event_type, "/a", 8)}


@on_both_backends
async def test_a_change_wakes_whoever_waits_for_it() -> None:
    watches = Watches("")
    change = Change()
    watches.arm(Kind.DATA, "/a", change)

    watches.notify(EventType.DATA_CHANGED, "/a", 8)

    assert await change.wait() == WatchEvent(EventType.DATA_CHANGED, "/a", 8)


@on_both_backends
async def test_a_change_that_fired_before_anybody_asked_to_be_called_calls_at_once() -> None:
    """An event may come in one piece with the read's answer, before the reader's task runs."""
    watches = Watches("")
    change = Change()
    watches.arm(Kind.DATA, "/a", change)
    watches.notify(EventType.DELETED, "/a", 8)
    fired: list[WatchEvent] = []

    change.on_fire = fired.append

    assert fired == [WatchEvent(EventType.DELETED, "/a", 8)]
    assert change.has_fired


@on_both_backends
async def test_a_cancelled_change_is_forgotten_and_its_neighbours_are_not() -> None:
    watches = Watches("")
    changes = [Change(), Change(), Change()]
    for change in changes[:2]:
        watches.arm(Kind.CHILD, "/a", change)
    changes[0].cancel()
    assert watches.has_one_shot("/a")
    changes[1].cancel()
    assert not watches.has_one_shot("/a")

    changes[2].cancel()
    watches.arm(Kind.CHILD, "/a", changes[2])  # the answer came after the caller had left

    assert watches.rearm(0) == []


@on_both_backends
async def test_a_stream_gets_its_path_and_a_recursive_one_its_subtree() -> None:
    watches = Watches("")
    plain = WatchStream("/a", AddWatchMode.PERSISTENT, 10)
    recursive = WatchStream("/a", AddWatchMode.PERSISTENT_RECURSIVE, 10)
    everything = WatchStream("/", AddWatchMode.PERSISTENT_RECURSIVE, 10)
    for path, stream in (("/a", plain), ("/a", recursive), ("/", everything)):
        watches.add_stream(path, stream)

    watches.notify(EventType.CREATED, "/a/b", 1)
    watches.notify(EventType.CHILDREN_CHANGED, "/a", 1)
    watches.notify(EventType.DATA_CHANGED, "/ab", 2)

    assert await drained(plain) == [(EventType.CHILDREN_CHANGED, "/a")]
    assert await drained(recursive) == [(EventType.CREATED, "/a/b")]
    assert await drained(everything) == [(EventType.CREATED, "/a/b"), (EventType.DATA_CHANGED, "/ab")]


@on_both_backends
async def test_paths_are_shown_without_the_chroot() -> None:
    """/zookeeper lies outside of every chroot, and keeps its name."""
    watches = Watches("/app")

    assert watches.shown("/app") == "/"
    assert watches.shown("/app/a") == "/a"
    assert watches.shown("/application") == "/application"
    assert watches.shown("/zookeeper/config") == "/zookeeper/config"


@on_both_backends
async def test_a_new_server_is_told_of_all_watches() -> None:
    watches = Watches("")
    for kind in Kind:
        watches.arm(kind, f"/{kind.name}", Change())
    watches.add_stream("/p", WatchStream("/p", AddWatchMode.PERSISTENT, 1))
    watches.add_stream("/r", WatchStream("/r", AddWatchMode.PERSISTENT_RECURSIVE, 1))

    assert watches.rearm(9) == [SetWatches2(9, ["/DATA"], ["/EXIST"], ["/CHILD"], ["/p"], ["/r"])]
    assert Watches("").rearm(9) == []


@on_both_backends
async def test_many_watches_are_told_in_packets_of_bounded_size() -> None:
    """A packet above the server's limit would end the connection, and the next one, and the next."""
    watches = Watches("")
    paths = [f"/{'é' * 500}{number:05d}" for number in range(700)]
    for path in paths:
        watches.arm(Kind.DATA, path, Change())
        watches.arm(Kind.CHILD, path, Change())

    packets = watches.rearm(1)

    assert max(len(packet.encode()) for packet in packets) < MAX_REARM_BYTES * 1.05
    assert [path for packet in packets for path in packet.data] == paths
    assert [path for packet in packets for path in packet.child] == paths


@on_both_backends
async def test_a_reader_that_is_too_slow_gets_what_was_held_and_then_the_error() -> None:
    stream = WatchStream("/a", AddWatchMode.PERSISTENT, size=2)
    for zxid in (1, 2, 3, 4):
        stream.put(WatchEvent(EventType.DATA_CHANGED, "/a", zxid))

    held = [(await anext(stream)).zxid, (await anext(stream)).zxid]

    assert held == [1, 2]
    with pytest.raises(WatchOverflow, match="more than 2 events"):
        await anext(stream)


@on_both_backends
async def test_only_the_last_stream_of_a_watch_ends_it() -> None:
    watches = Watches("")
    first, second, other = (WatchStream("/a", AddWatchMode.PERSISTENT, 1) for _ in range(3))
    other.mode = AddWatchMode.PERSISTENT_RECURSIVE
    for stream in (first, second, other):
        watches.add_stream("/a", stream)

    assert not watches.remove_stream("/a", first)
    assert watches.remove_stream("/a", second)
    assert watches.rearm(0)[0].persistent_recursive == ["/a"]


@on_both_backends
async def test_the_end_of_the_session_ends_every_watch() -> None:
    watches = Watches("")
    change, stream = Change(), WatchStream("/a", AddWatchMode.PERSISTENT, 5)
    watches.arm(Kind.DATA, "/a", change)
    watches.add_stream("/a", stream)

    watches.fail(SessionExpired())

    with pytest.raises(SessionExpired):
        await change.wait()
    with pytest.raises(SessionExpired):
        await anext(stream)
    assert watches.rearm(0) == []
