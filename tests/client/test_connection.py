"""One connection, byte by byte and second by second: no sockets, no clocks."""

import pytest

from coord_client.connection import (
    ANSWER_OFFSET,
    Connected,
    Connection,
    Expired,
    Fate,
    Hello,
    Notified,
    Phase,
    Request,
)
from coord_protocol.errors import Code
from coord_protocol.extensions import EXTENSIONS_VERSION
from coord_protocol.frames import PING_XID, REPLY_HEADER, REQUEST_HEADER, FrameSplitter, frame
from coord_protocol.records import EventType, WatcherEvent
from coord_protocol.requests import (
    ConnectRequest,
    ConnectResponse,
    DeleteRequest,
    OpCode,
    SyncRequest,
    SyncResponse,
)

PASSWORD = bytes(range(16))


def welcome(timeout_ms: int = 9000, version: int = 0) -> bytes:
    return frame(ConnectResponse(version, timeout_ms, 77, PASSWORD, read_only=False).encode())


def reply(xid: int, zxid: int = 1, err: int = 0, body: bytes = b"") -> bytes:
    return frame(REPLY_HEADER.pack(xid, zxid, err) + body)


def opened(now: float = 0.0) -> Connection:
    """A connection that was begun and answered at `now`, with a timeout of 9 s."""
    connection = Connection(Hello(timeout=9.0), now)
    connection.take_bytes()
    connection.receive(welcome(), now)
    return connection


def is_open(connection: Connection) -> bool:
    return connection.phase is Phase.OPEN


def delete(path: str) -> Request:
    return Request(OpCode.DELETE, DeleteRequest(path, -1).encode(), path)


def sent_by(connection: Connection) -> list[tuple[int, int]]:
    """Xid and opcode of the requests in the output."""
    return [REQUEST_HEADER.unpack_from(body) for body in FrameSplitter().feed(connection.take_bytes())]


def test_it_opens_with_what_it_knows_of_its_session() -> None:
    connection = Connection(Hello(timeout=9.0, session_id=77, password=PASSWORD, last_zxid=5), now=0.0)

    (body,) = FrameSplitter().feed(connection.take_bytes())

    assert ConnectRequest.decode(body) == ConnectRequest(EXTENSIONS_VERSION, 5, 9000, 77, PASSWORD, read_only=False)
    assert connection.take_bytes() == b""


@pytest.mark.parametrize(("version", "extensions"), [(0, 0), (12, 0), (1000, 1000), (1001, 1001)])
def test_the_handshake_opens_it_and_tells_of_extensions(version: int, extensions: int) -> None:
    """ZooKeeper answers 0; a version below ours belongs to somebody else."""
    connection = Connection(Hello(timeout=30.0), now=0.0)

    events = connection.receive(welcome(9000, version), now=0.5)

    assert events == [Connected(77, PASSWORD, 9.0, extensions)]
    assert is_open(connection)
    assert connection.timeout == 9.0


def test_a_timeout_of_zero_says_that_the_session_is_over() -> None:
    connection = Connection(Hello(timeout=9.0, session_id=76), now=0.0)

    assert connection.receive(welcome(0), now=0.1) == [Expired()]
    assert not is_open(connection)


def test_requests_wait_for_the_handshake_and_leave_together() -> None:
    """One send for all that was queued: what we pay is per turn, not per request."""
    connection = Connection(Hello(timeout=9.0), now=0.0)
    connection.take_bytes()
    connection.submit(delete("/a"))
    connection.submit(delete("/b"))
    assert connection.take_bytes() == b""

    connection.receive(welcome(), now=0.0)

    assert sent_by(connection) == [(1, OpCode.DELETE), (2, OpCode.DELETE)]


def test_answers_find_their_requests() -> None:
    connection = opened()
    first, second = delete("/a"), Request(OpCode.SYNC, SyncRequest("/").encode(), "/")
    connection.submit(first)
    connection.submit(second)
    connection.take_bytes()

    events = connection.receive(
        reply(1, zxid=8, err=Code.NO_NODE) + reply(2, zxid=9, body=SyncResponse("/").encode()), now=1.0
    )

    assert events == [first, second]
    assert (first.fate, first.err, first.zxid) == (Fate.ANSWERED, Code.NO_NODE, 8)
    assert SyncResponse.decode(second.frame, ANSWER_OFFSET) == SyncResponse("/")
    assert connection.last_zxid == 9


def test_an_answer_may_arrive_in_pieces() -> None:
    connection = opened()
    request = delete("/a")
    connection.submit(request)
    connection.take_bytes()
    data = reply(1)

    assert connection.receive(data[:9], now=1.0) == []
    assert connection.receive(data[9:], now=1.1) == [request]


def test_notifications_come_in_order_with_the_answers() -> None:
    """The event of a change stands before the answer that reveals it, and must be seen before it."""
    connection = opened()
    request = delete("/a")
    connection.submit(request)
    connection.take_bytes()
    event = WatcherEvent(EventType.DELETED, 3, "/a").encode()

    events = connection.receive(reply(-1, 7, body=event) + reply(1, 7), now=1.0)

    assert events == [Notified(EventType.DELETED, "/a", 7), request]


def test_a_notification_does_not_move_the_last_zxid() -> None:
    """It would be sent on reconnect as seen, though only an answer proves that we saw all up to it."""
    connection = opened()

    connection.receive(reply(-1, 50, body=WatcherEvent(3, 3, "/a").encode()), now=1.0)

    assert connection.last_zxid == 0


@pytest.mark.parametrize(
    "data",
    [
        reply(5),  # nobody asked
        frame(b"short"),
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff",
        reply(-1, 1, body=b"\0\0\0\3"),
    ],
)
def test_nonsense_closes_it(data: bytes) -> None:
    connection = opened()

    connection.receive(data, now=1.0)

    assert not is_open(connection)
    assert "no server sends" in connection.closed_because


def test_an_answer_out_of_order_closes_it_but_those_before_count() -> None:
    connection = opened()
    first, second, third = delete("/a"), delete("/b"), delete("/c")
    for request in (first, second, third):
        connection.submit(request)
    connection.take_bytes()

    events = connection.receive(reply(1) + reply(3), now=1.0)

    assert events == [first]
    assert connection.take_unanswered() == [second, third]


def test_what_became_of_requests_is_told_by_whether_they_were_sent() -> None:
    """A write that was sent may have happened; one that was not certainly did not."""
    connection = opened()
    sent, unsent = delete("/a"), delete("/b")
    connection.submit(sent)
    connection.take_bytes()
    connection.submit(unsent)

    connection.close("the cable was cut")

    assert connection.take_unanswered() == [sent, unsent]
    assert (sent.fate, unsent.fate) == (Fate.LOST, Fate.UNSENT)
    assert connection.take_unanswered() == []


def test_xids_of_special_requests_and_the_wrap() -> None:
    """auth and setWatches have xids of their own; the others begin again at 1 after 2^31 - 1."""
    connection = opened()
    connection._xid = 2**31 - 2
    for opcode in (OpCode.AUTH, OpCode.SET_WATCHES2, OpCode.DELETE, OpCode.DELETE):
        connection.submit(Request(opcode, b""))

    assert [xid for xid, _ in sent_by(connection)] == [-4, -8, 2**31 - 1, 1]


def test_a_ping_is_due_after_a_third_of_the_timeout() -> None:
    connection = opened(now=100.0)
    assert connection.next_deadline() == 103.0

    connection.advance_time(102.9)
    assert connection.take_bytes() == b""
    connection.advance_time(103.0)

    assert sent_by(connection) == [(PING_XID, OpCode.PING)]


def test_a_ping_goes_out_even_when_answers_come() -> None:
    """An answer to a read proves that a server lives, not that the leader knows of us."""
    connection = opened(now=100.0)
    request = delete("/a")
    connection.submit(request)
    connection.take_bytes()
    connection.receive(reply(1), now=102.9)
    assert connection.confirmed_at == 100.0

    connection.advance_time(103.0)

    assert sent_by(connection) == [(PING_XID, OpCode.PING)]


def test_an_answered_ping_confirms_the_session_as_of_when_it_was_sent() -> None:
    """Not as of when the answer came: the server may have moved the deadline long before it arrived."""
    connection = opened(now=100.0)
    connection.advance_time(103.0)
    connection.take_bytes()

    connection.receive(reply(PING_XID), now=105.5)

    assert connection.confirmed_at == 103.0
    assert connection.next_deadline() == 106.0


def test_the_handshake_confirms_the_session_as_of_when_it_was_begun() -> None:
    connection = Connection(Hello(timeout=9.0), now=100.0)

    connection.receive(welcome(), now=102.0)

    assert connection.confirmed_at == 100.0


def test_a_second_ping_waits_for_the_answer_to_the_first() -> None:
    connection = opened(now=100.0)
    connection.advance_time(103.0)
    connection.take_bytes()

    connection.advance_time(106.0)

    assert connection.take_bytes() == b""
    assert not is_open(connection)  # silent since 100.0, for two thirds


def test_silence_for_two_thirds_of_the_timeout_closes_it() -> None:
    connection = opened(now=100.0)
    connection.advance_time(103.0)

    assert connection.next_deadline() == 106.0
    connection.advance_time(105.9)
    assert is_open(connection)
    connection.advance_time(106.0)

    assert not is_open(connection)
    assert "silent" in connection.closed_because


def test_an_unanswered_ping_closes_it_though_answers_come() -> None:
    """A server that cannot confirm the session is no server for us: another one may be able to."""
    connection = opened(now=100.0)
    connection.advance_time(103.0)
    connection.take_bytes()
    for _ in range(3):
        connection.submit(delete("/a"))
    connection.take_bytes()
    for xid, now in enumerate([104.0, 106.0, 108.0], start=1):
        connection.receive(reply(xid), now)

    connection.advance_time(108.9)
    assert is_open(connection)
    connection.advance_time(109.0)

    assert not is_open(connection)


def test_a_ping_answer_that_nobody_asked_for_is_ignored() -> None:
    connection = opened(now=100.0)

    connection.receive(reply(PING_XID), now=101.0)

    assert connection.confirmed_at == 100.0
    assert is_open(connection)


def test_a_closed_connection_takes_no_more_bytes() -> None:
    connection = opened()
    connection.close("first reason")
    connection.close("second reason")

    assert connection.receive(reply(PING_XID), now=1.0) == []
    assert connection.closed_because == "first reason"
