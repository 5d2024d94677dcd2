"""Client connections: what arrives, in which order, and who is told of the end."""

from random import Random

from coord.raft.types import MemberId
from coord.sim.clock import Timeline
from coord.sim.streams import Streams, Wire

SERVER = MemberId(1)
CLIENT = 7


class Recorder:
    """Both a client's and a server's end; writes down what it is told."""

    def __init__(self) -> None:
        self.heard = b""
        self.news: list[str] = []
        self.wire: Wire | None = None

    def on_open(self, wire: Wire) -> None:
        self.news.append("open")

    def on_data(self, wire: Wire, data: bytes) -> None:
        self.heard += data
        self.news.append("data")

    def on_closed(self, wire: Wire) -> None:
        self.news.append("closed")

    def opened(self, wire: Wire) -> None:
        self.wire = wire
        self.news.append("open")

    def received(self, wire: Wire, data: bytes) -> None:
        self.on_data(wire, data)

    def closed(self, wire: Wire) -> None:
        self.news.append("closed")


class Connection:
    """A server that listens, and a client that has dialled it."""

    def __init__(self, cut_chance: float = 0.0, is_listening: bool = True) -> None:
        self.timeline = Timeline()
        self.streams = Streams(self.timeline, Random(0), delay=0.01, cut_chance=cut_chance)
        self.server = Recorder()
        self.client = Recorder()
        if is_listening:
            self.streams.listen(SERVER, self.server)
        self.wire = self.streams.dial(CLIENT, "10.0.0.1", self.client, SERVER)
        self.wait()

    def wait(self, seconds: float = 1.0) -> None:
        self.timeline.run(until=self.timeline.now + seconds)


def test_bytes_arrive_in_order_and_cut_anywhere() -> None:
    connection = Connection(cut_chance=0.7)
    text = bytes(range(200))

    for start in range(0, 200, 50):
        connection.streams.send_up(connection.wire, text[start : start + 50])
    connection.streams.send_down(connection.wire, text)
    connection.wait()

    assert connection.server.heard == connection.client.heard == text
    assert connection.server.news.count("data") > 4
    assert connection.client.news.count("data") > 1


def test_nobody_listens() -> None:
    assert Connection(is_listening=False).client.news == ["closed"]


def test_bytes_wait_behind_a_cut() -> None:
    """So a server gets to see requests of a client that gave up on it long ago."""
    connection = Connection()
    connection.streams.cut(CLIENT, SERVER)
    connection.streams.send_up(connection.wire, b"late ")
    connection.streams.close_client_end(connection.wire)
    connection.wait(60.0)
    assert connection.server.news == ["open"]

    connection.streams.heal(CLIENT, SERVER)
    connection.wait()

    assert connection.server.heard == b"late "
    assert connection.server.news == ["open", "data", "closed"]


def test_dial_behind_a_cut_is_never_answered() -> None:
    connection = Connection()
    connection.streams.cut(CLIENT, SERVER)
    second = Recorder()

    connection.streams.dial(CLIENT, "10.0.0.1", second, SERVER)
    connection.wait(60.0)

    assert second.news == []


def test_end_of_stream_comes_after_what_was_sent() -> None:
    connection = Connection(cut_chance=0.5)

    connection.streams.send_down(connection.wire, b"last words")
    connection.streams.close_server_end(connection.wire)
    connection.wait()

    assert connection.client.heard == b"last words"
    assert connection.client.news[-1] == "closed"


def test_break_may_be_told_to_one_end_only() -> None:
    connection = Connection()

    connection.streams.break_connections(CLIENT, tells_client=True, tells_server=False)
    connection.wait()
    assert connection.client.news == ["open", "closed"]
    assert connection.server.news == ["open"]

    connection.streams.heal_all()
    assert connection.server.news == ["open", "closed"]


def test_who_was_not_told_of_a_break_learns_it_by_speaking() -> None:
    connection = Connection()
    connection.streams.break_connections(CLIENT, tells_client=False, tells_server=False)
    connection.wait()
    assert connection.client.news == ["open"]

    connection.streams.send_up(connection.wire, b"hello?")
    connection.wait()

    assert connection.client.news == ["open", "closed"]
    assert connection.server.heard == b""


def test_death_of_a_server_breaks_its_connections() -> None:
    connection = Connection()
    connection.streams.send_down(connection.wire, b"never read")

    connection.streams.hang_up(SERVER)
    connection.wait()

    assert connection.client.heard == b""
    assert connection.client.news[-1] == "closed"
