"""The comparison's arithmetic, its table, and what it starts; the measuring itself needs the peers and half
an hour.
"""

from pathlib import Path

import pytest
from click.testing import CliRunner

from coord.cli.bench_compare import ROWS, Results, bench_compare, markdown
from coord.cli.bench_ensembles import Ensemble, Layout
from coord.cli.bench_etcd import _rate, body
from coord.cli.bench_kinds import Coord, Etcd, ZooKeeper
from coord.cli.bench_load import LoadError
from coord.cli.bench_machine import require
from coord.local.ports import free_ports

NAMES = ["coord", "ZooKeeper 3.8", "etcd 3.4"]


def test_ratio_is_the_median_of_the_rounds_not_the_ratio_of_medians() -> None:
    """A slow minute that meets both neighbours leaves their ratio alone."""
    results = Results()
    for ours, theirs in ((100, 50), (10, 5), (90, 30)):
        results.add("x", "coord", ours)
        results.add("x", "ZooKeeper 3.8", theirs)

    assert results.ratio("x", "coord", "ZooKeeper 3.8") == 2.0
    assert results.median("x", "coord") == 90


def test_table_has_the_rows_and_targets_of_the_goal() -> None:
    results = Results()
    for row in ROWS:
        for figure in row.figures:
            results.add(figure.key, "coord", 1.5)
            results.add(figure.key, "ZooKeeper 3.8", 1.0)

    lines = list(markdown(results, NAMES))

    assert lines[0] == "| what | target | ratio to ZooKeeper 3.8 | coord | ZooKeeper 3.8 | etcd 3.4 |"
    assert lines[2] == (
        "| writes/s, 64 sessions × 1 outstanding · 1000 × 1 · 16 × 64 | ≥ 1.3 · ≥ 2 · ≥ 3 "
        "| **1.50** · 1.50 (missed) · 1.50 (missed) | 1.50 · 1.50 · 1.50 | 1.00 · 1.00 · 1.00 | – · – · – |"
    )
    assert lines[7] == (
        "| longest gap in writes after kill -9 of the leader · after SIGTERM | ≤ 0.5 · ≤ 0.1 "
        "| 1.50 (missed) · 1.50 (missed) | 1.50 ms · 1.50 ms | 1.00 ms · 1.00 ms | – · – |"
    )
    assert len(lines) == 2 + len(ROWS)
    assert {line.count("|") for line in lines} == {7}


def test_figures_that_were_not_measured_leave_their_cells_empty() -> None:
    lines = list(markdown(Results(), NAMES[:2]))

    assert lines[3] == "| reads/s, 64 × 1 · 16 × 64 | ≥ 2 · ≥ 5 | – · – | – · – | – · – |"


def test_missing_program_is_told_with_the_way_to_install_it() -> None:
    with pytest.raises(LoadError, match=r"Frobnicator is not installed.*apt-get install frob-server"):
        require("/nowhere/frob.jar", "Frobnicator", "frob-server")


def test_compare_refuses_to_start_without_the_peers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    result = CliRunner().invoke(bench_compare, ["--etcd"])

    assert result.exit_code == 1
    assert "apt-get install default-jre-headless" in result.output


def layout(directory: Path) -> Layout:
    for number in range(3):
        (directory / str(number)).mkdir()
    return Layout(directory, [11, 12, 13], [21, 22, 23], [31, 32, 33])


def test_coord_is_started_with_the_flags_that_are_fixed(tmp_path: Path) -> None:
    command = Coord().command(layout(tmp_path), 1)

    assert command[1:] == [
        *("-m", "coord", "serve", "--id", "2", "--data", str(tmp_path / "1" / "data")),
        *("--client", "127.0.0.1:12", "--peer", "127.0.0.1:22"),
        *("--members", "1=127.0.0.1:21,2=127.0.0.1:22,3=127.0.0.1:23"),
    ]


def test_zookeeper_gets_its_configuration(tmp_path: Path) -> None:
    command = ZooKeeper("256m").command(layout(tmp_path), 2)

    configuration = Path(command[-1]).read_text().splitlines()
    assert "-Xmx256m" in command
    assert "clientPort=13" in configuration
    assert "server.1=127.0.0.1:21:31" in configuration
    assert not [line for line in configuration if "forceSync" in line], "its fsync stays on, which is the default"
    assert (tmp_path / "2" / "myid").read_text() == "3\n"


def test_etcd_knows_its_peers(tmp_path: Path) -> None:
    command = Etcd().command(layout(tmp_path), 0)

    assert "n0=http://127.0.0.1:21,n1=http://127.0.0.1:22,n2=http://127.0.0.1:23" in command


def test_etcd_bodies_are_grpc_messages() -> None:
    path, message = body("set", 100)

    assert path == "/etcdserverpb.KV/Put"
    assert message[:5] == b"\0" + (len(message) - 5).to_bytes(4, "big")
    assert message[5:] == b"\x0a\x0bcoord-bench\x12\x64" + b"x" * 100
    assert body("get", 100)[1].endswith(b"coord-bench\x38\x01"), "a local read"
    assert body("sync+get", 100)[1].endswith(b"coord-bench"), "a linearizable one"


def test_h2load_is_believed_only_without_failures() -> None:
    printed = (
        "finished in 2.00s, 2758.50 req/s, 300KB/s\n"
        "requests: 5517 total, 5581 started, 5517 done, 5517 succeeded, {} failed, 0 errored, 0 timeout\n"
    )

    assert _rate(printed.format(0)) == 2758.5
    with pytest.raises(LoadError, match="7 failed"):
        _rate(printed.format(7))
    with pytest.raises(LoadError):
        _rate("could not connect")


def test_ports_are_different_and_below_those_of_outgoing_connections() -> None:
    ports = free_ports(9) + free_ports(9)

    assert len(set(ports)) == 18
    assert max(ports) < 32_768


class Stillborn(Coord):
    """A server that ends at once."""

    name = "stillborn"

    def command(self, layout: Layout, number: int) -> list[str]:
        return ["/bin/sh", "-c", "echo no room here; exit 3"]


def test_server_that_does_not_start_is_told_with_its_last_words() -> None:
    with Ensemble(Stillborn()) as ensemble:
        directory = ensemble.layout.directory
        with pytest.raises(LoadError, match=r"of stillborn ended with exit code 3: no room here"):
            ensemble.start()

    assert not directory.exists()
