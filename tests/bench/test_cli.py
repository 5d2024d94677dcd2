"""`coord bench` prints what it measured, for people and for scripts, and fails when the server did."""

import json

import pytest
from click.testing import CliRunner

from coord.cli.bench import bench
from coord_protocol.errors import Code
from tests.bench.tiny_server import TinyServer, tiny_server


def arguments(server: TinyServer, *more: str) -> list[str]:
    hosts = f"127.0.0.1:{server.address[1]},localhost:{server.address[1]}"
    return ["--hosts", hosts, "--sessions", "4", "--keys", "10", "--duration", "0.1", "--warmup", "0", *more]


def test_bench_prints_a_table() -> None:
    with tiny_server() as server:
        result = CliRunner().invoke(bench, arguments(server))

    assert result.exit_code == 0, result.output
    for part in ("set, 4 × 1", "operations/s", "p99.9", "max", "processor share"):
        assert part in result.output


def test_bench_prints_json_for_scripts() -> None:
    with tiny_server() as server:
        result = CliRunner().invoke(bench, arguments(server, "--mix", "sync+get", "--outstanding", "3", "--json"))

    assert result.exit_code == 0, result.output
    report = json.loads(result.output)
    assert report["operations"] > 0
    assert report["operations_per_second"] == pytest.approx(report["operations"] / report["seconds"], rel=0.01)
    assert report["latency_ms"]["p50"] <= report["latency_ms"]["p99.9"] <= report["latency_ms"]["max"]
    assert report["faults"] == {}
    assert (report["mix"], report["sessions"], report["outstanding"]) == ("sync+get", 4, 3)
    assert len(report["hosts"]) == 2


def test_bench_fails_when_an_answer_was_wrong() -> None:
    with tiny_server() as server:
        server.spoil = lambda opcode, reply: (reply[0], reply[1], Code.QUOTA_EXCEEDED)
        result = CliRunner().invoke(bench, arguments(server, "--json"))

    assert result.exit_code == 1
    assert json.loads(result.output)["faults"].keys() == {"error QUOTA_EXCEEDED"}


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--hosts", "localhost", "'localhost' is not an address such as 127.0.0.1:2181"),
        ("--hosts", "127.0.0.1:x", "is not an address"),
        ("--mix", "90/20", "'90/20' is not set, get, sync+get, create, or a share such as 90/10"),
        ("--duration", "7200", "3600"),
        ("--sessions", "0", "1<=x<=50000"),
    ],
)
def test_bench_names_the_option_that_is_wrong(option: str, value: str, message: str) -> None:
    result = CliRunner().invoke(bench, [option, value])

    assert result.exit_code == 2
    assert option in result.output
    assert message in " ".join(result.output.split())
