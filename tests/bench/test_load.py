"""The generator against a real socket: it counts what is answered, and notices what a server must not do."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from coord.cli.bench_load import LoadError, Measured
from coord.cli.bench_scenario import Scenario, run_scenario
from coord_protocol.errors import Code
from coord_protocol.requests import OpCode
from tests.bench.tiny_server import Reply, TinyServer, tiny_server

SECONDS = 0.15


@pytest.fixture
def server() -> Iterator[TinyServer]:
    with tiny_server() as server:
        yield server


def load(server: TinyServer, mix: str, sessions: int = 3, outstanding: int = 1) -> Measured:
    scenario = Scenario(mix, sessions, outstanding, size=10, keys=20)
    return run_scenario([server.address], scenario, warmup=0.02, duration=SECONDS)


@pytest.mark.parametrize("mix", ["set", "get", "sync+get", "50/50", "create"])
@pytest.mark.parametrize("outstanding", [1, 16])
def test_load_runs_and_leaves_nothing_behind(server: TinyServer, mix: str, outstanding: int) -> None:
    measured = load(server, mix, outstanding=outstanding)

    assert measured.latencies.count > 20
    assert not measured.errors
    assert measured.out_of_order == measured.went_back == measured.unanswered == measured.lost == 0
    assert SECONDS <= measured.seconds < SECONDS + 1
    assert 0 < measured.latencies.quantile(0.5) <= measured.latencies.highest < 2e9
    assert server.znodes == {}


def test_operation_of_two_requests_counts_once(server: TinyServer) -> None:
    measured = load(server, "sync+get", outstanding=8)

    assert 0 < measured.latencies.count <= server.requests / 2


def test_large_window_survives_partial_reads_and_writes(server: TinyServer) -> None:
    """Values of 200 KB: a window of requests does not fit into a socket's buffer, nor do its replies."""
    scenario = Scenario("50/50", sessions=2, outstanding=16, size=200_000, keys=5)

    measured = run_scenario([server.address], scenario, warmup=0.0, duration=0.3)

    assert measured.latencies.count > 0
    assert measured.out_of_order == measured.unanswered == 0
    assert not measured.errors


def test_error_replies_are_counted_by_code_and_not_as_operations(server: TinyServer) -> None:
    def spoil(opcode: OpCode, reply: Reply) -> Reply:
        xid, zxid, _ = reply
        return (xid, zxid, Code.NO_AUTH) if xid % 2 else reply

    server.spoil = spoil
    measured = load(server, "set", outstanding=4)

    assert set(measured.errors) == {Code.NO_AUTH}
    assert abs(measured.errors[Code.NO_AUTH] - measured.latencies.count) < 100


def test_zxid_that_goes_back_is_noticed(server: TinyServer) -> None:
    """The single system image that sessions are promised."""

    def spoil(opcode: OpCode, reply: Reply) -> Reply:
        xid, zxid, code = reply
        return xid, zxid - 1000 if xid % 10 == 9 else zxid, code

    server.zxid = 5000
    server.spoil = spoil
    for outstanding in (1, 4):
        measured = load(server, "set", outstanding=outstanding)
        assert measured.went_back > 0


def test_replies_out_of_order_are_noticed(server: TinyServer) -> None:
    def spoil(opcode: OpCode, reply: Reply) -> Reply:
        xid, zxid, code = reply
        return xid ^ 1, zxid, code

    server.spoil = spoil
    for outstanding in (1, 4):
        measured = load(server, "set", outstanding=outstanding)
        assert measured.out_of_order > 0


def test_request_without_an_answer_is_reported(server: TinyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coord.cli.bench_load.DRAIN_NS", 50_000_000)
    server.spoil = lambda opcode, reply: reply if reply[0] < 5 else None

    measured = load(server, "set", sessions=3, outstanding=1)

    assert measured.unanswered == 3
    assert measured.longest_gap_ns > SECONDS * 1e9 * 0.9


def test_lost_connection_is_told_with_its_address(server: TinyServer) -> None:
    server.hang_up_after = 50

    with pytest.raises(LoadError, match=rf"127\.0\.0\.1:{server.address[1]} after .*closed.*--survive-loss"):
        load(server, "set")


def test_session_that_lost_its_connection_comes_back(server: TinyServer) -> None:
    server.hang_up_after = 50

    scenario = Scenario("set", sessions=3, outstanding=4, size=10, keys=20)
    measured = run_scenario([server.address], scenario, warmup=0, duration=SECONDS, survives_loss=True)

    assert measured.reconnects == 1
    assert 0 < measured.lost <= 4
    assert measured.out_of_order == measured.unanswered == 0
    assert measured.latencies.count > 0


def test_gap_is_the_time_without_a_success(server: TinyServer) -> None:
    """Between 50 and 150 ms nothing is answered well."""
    broken = threading.Event()

    def spoil(opcode: OpCode, reply: Reply) -> Reply:
        xid, zxid, code = reply
        return xid, zxid, Code.CONNECTION_LOSS if broken.is_set() else code

    server.spoil = spoil
    scenario = Scenario("set", sessions=2, outstanding=1, size=10, keys=5)
    measured = run_scenario(
        [server.address],
        scenario,
        warmup=0.0,
        duration=0.3,
        actions=[(0.15, broken.clear), (0.05, broken.set)],  # in the order of their times
    )

    assert measured.longest_gap_ns > 90e6
    assert measured.gap_started < 0.1


def test_meter_is_read_at_both_ends_of_the_measurement(server: TinyServer) -> None:
    readings: list[float] = []

    def meter() -> float:
        readings.append(time.monotonic())
        return readings[-1]

    scenario = Scenario("get", sessions=1, outstanding=1, size=10, keys=5)
    measured = run_scenario([server.address], scenario, warmup=0.05, duration=0.1, meter=meter)

    assert len(readings) == 2
    assert measured.metered == pytest.approx(readings[1] - readings[0])
    assert measured.metered == pytest.approx(measured.seconds, abs=0.02)
    assert 0 < measured.generator_cpu <= measured.seconds


def test_nobody_listening_is_told_with_the_address() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = closed.getsockname()

        with pytest.raises(LoadError, match=rf"127\.0\.0\.1:{address[1]}: .*refused"):
            run_scenario([address], Scenario("set", 1, 1), warmup=0, duration=0.1)


def test_more_sessions_than_file_descriptors_are_refused(server: TinyServer) -> None:
    with pytest.raises(LoadError, match=r"10000000 sessions need .* descriptors.*ulimit"):
        run_scenario([server.address], Scenario("set", 10_000_000, 1), warmup=0, duration=0.1)
