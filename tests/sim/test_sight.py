"""What one session may see, told as short stories of replies and events."""

import pytest

from coord.sim.sight import Sight, Values
from coord.sim.verdict import Violation
from coord_protocol.records import EventType, Stat


def stat(mzxid: int, version: int = 0, pzxid: int = 1) -> Stat:
    return Stat(1, mzxid, 0, 0, version, 0, 0, 0, 0, 0, pzxid)


def test_zxid_never_falls() -> None:
    sight = Sight("c")
    sight.on_reply(5)
    sight.on_reply(5)
    sight.on_reply(0)  # auth and errors before the tree is asked carry none

    with pytest.raises(Violation, match="got zxid 4 after 5"):
        sight.on_reply(4)


def test_session_sees_its_own_writes() -> None:
    sight = Sight("c")
    sight.on_write("/a", stat(7))

    with pytest.raises(Violation, match="never sees a znode older"):
        sight.on_read("/a", stat(6), watch=False)


def test_event_comes_before_the_reply_that_reveals_it() -> None:
    sight = Sight("c")
    sight.on_read("/a", stat(5), watch=True)
    sight.on_read("/a", stat(5), watch=False)

    with pytest.raises(Violation, match="has not fired"):
        sight.on_read("/a", stat(8), watch=False)


def test_deletion_is_revealed_too() -> None:
    sight = Sight("c")
    sight.on_read("/a", stat(5), watch=True)

    with pytest.raises(Violation, match="has not fired"):
        sight.on_read("/a", None, watch=False)


def test_one_shot_watch_fires_once() -> None:
    sight = Sight("c")
    sight.on_read("/a", stat(5), watch=True)
    sight.on_event(EventType.DATA_CHANGED, "/a")
    sight.on_read("/a", stat(8), watch=False)

    with pytest.raises(Violation, match="unasked"):
        sight.on_event(EventType.DATA_CHANGED, "/a")


def test_watch_on_what_is_missing_tells_of_its_creation() -> None:
    sight = Sight("c")
    sight.on_read("/a", None, watch=True)
    sight.on_event(EventType.CREATED, "/a")
    sight.on_read("/a", stat(9), watch=False)


def test_child_watch_guards_the_children_only() -> None:
    sight = Sight("c")
    sight.on_children("/a", stat(1, pzxid=5), watch=True)
    sight.on_read("/a", stat(7, version=1), watch=False)

    with pytest.raises(Violation, match="pzxid 9"):
        sight.on_children("/a", stat(7, version=1, pzxid=9), watch=False)


def test_deletion_consumes_data_and_child_watch_with_one_event() -> None:
    """PROTOCOL-NOTES, watches: NodeDeleted comes once per connection even if it has both."""
    sight = Sight("c")
    sight.on_read("/a", stat(1), watch=True)
    sight.on_children("/a", stat(1), watch=True)

    sight.on_event(EventType.DELETED, "/a")

    assert sight.data_watches == sight.child_watches == {}


@pytest.mark.parametrize("events", [1, 3], ids=["one too few", "one too many"])
def test_persistent_watch_fires_once_per_change(events: int) -> None:
    sight = Sight("c")
    sight.on_persistent_watch("/a")
    sight.on_read("/a", stat(5, version=3), watch=False)
    for _ in range(events):
        sight.on_event(EventType.DATA_CHANGED, "/a")

    with pytest.raises(Violation, match="once per change"):
        sight.on_read("/a", stat(9, version=5), watch=False)


def test_persistent_watch_counts_anew_on_a_new_connection() -> None:
    sight = Sight("c")
    sight.on_persistent_watch("/a")
    sight.on_read("/a", stat(5, version=3), watch=False)

    sight.on_disconnect()

    sight.on_read("/a", stat(9, version=5), watch=False)
    sight.on_event(EventType.DATA_CHANGED, "/a")
    sight.on_read("/a", stat(10, version=6), watch=False)


def test_one_zxid_has_one_value() -> None:
    values = Values()
    values.on_read("c", "/a", stat(5), b"x")
    values.on_read("d", "/a", stat(6), b"y")

    with pytest.raises(Violation, match="one value per zxid"):
        values.on_read("d", "/a", stat(5), b"y")
