"""`coord doctor`: what it says of good and bad servers, configurations and machines."""

from pathlib import Path
from typing import Any

import pytest
import trio

from coord.cli import doctor_machine
from coord.cli.doctor_configuration import check_configuration
from coord.cli.doctor_findings import Finding, Verdict
from coord.cli.doctor_machine import check_data, judge_syncs
from coord.cli.doctor_servers import Probe, check_servers
from coord.local.cluster import running
from coord.local.ports import free_ports
from coord_client.addresses import Address
from tests.cli.commands import Shell
from tests.e2e.clusters import paused

GOOD = """
id = 1
data = "{data}"
client = "127.0.0.1:2181"
peer = "127.0.0.1:2281"
[members]
1 = "127.0.0.1:2281"
2 = "127.0.0.1:2282"
3 = "127.0.0.1:2283"
[limits]
max_connections = 100
"""


def verdicts(findings: list[Finding]) -> dict[str, Verdict]:
    """The worst of each check."""
    found: dict[str, Verdict] = {}
    for finding in findings:
        found[finding.check] = max(finding.verdict, found.get(finding.check, Verdict.OK))
    return found


def configuration(directory: Path, text: str) -> list[Finding]:
    file = directory / "coord.toml"
    file.write_text(text)
    return check_configuration(file)[0]


def test_a_good_configuration_is_all_well(tmp_path: Path) -> None:
    found = verdicts(configuration(tmp_path, GOOD.format(data=tmp_path)))

    assert found == {"configuration": Verdict.OK, "voters": Verdict.OK, "timing": Verdict.OK}


@pytest.mark.parametrize(
    ("old", "new", "check", "verdict", "words"),
    [
        ("id = 1", "id = 4", "configuration", Verdict.BAD, "not among the members"),
        ("id = 1", "id = 1\ncolour = 1", "configuration", Verdict.BAD, "colour: no such key"),
        ("id = 1", "id = ", "configuration", Verdict.BAD, "not TOML"),
        ('3 = "127.0.0.1:2283"', "", "voters", Verdict.WARN, "survive the loss of 0"),
        ("127.0.0.1:2283", "127.0.0.1:2282", "addresses", Verdict.BAD, "several members"),
        ("127.0.0.1:2283", "no.such.host.invalid:2283", "addresses", Verdict.BAD, "cannot be resolved"),
        ('peer = "127.0.0.1:2281"', 'peer = "127.0.0.1:2299"', "addresses", Verdict.WARN, "listens on 127.0.0.1:2299"),
        ('"127.0.0.1:2181"', '"0.0.0.0:2181"', "addresses", Verdict.BAD, "their own machine"),
        ("[limits]", "[timing]\nelection = 0.2\n[limits]", "timing", Verdict.WARN, "busy machine"),
        ("[limits]", "[timing]\nelection = 2.0\n[limits]", "timing", Verdict.WARN, "in every election"),
        ("[limits]", "[timing]\ntick = 1.0\n[limits]", "timing", Verdict.WARN, "come late"),
        ("100", "99_999_999", "limits", Verdict.WARN, "may open"),
    ],
)
def test_a_bad_configuration_is_told_with_what_to_do(
    tmp_path: Path, old: str, new: str, check: str, verdict: Verdict, words: str
) -> None:
    findings = configuration(tmp_path, GOOD.format(data=tmp_path).replace(old, new))

    (finding,) = [each for each in findings if each.verdict > Verdict.OK]
    assert (finding.check, finding.verdict) == (check, verdict)
    assert words in finding.says
    assert finding.remedy


def test_a_directory_for_data_is_measured_and_left_as_it_was(tmp_path: Path) -> None:
    findings = list(check_data(tmp_path / "not" / "there"))

    assert [finding.check for finding in findings] == ["data", "file system", "disk space", "disk"]
    assert "syncs of 4 KiB" in findings[-1].says
    assert list(tmp_path.iterdir()) == []


def test_data_may_not_be_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    (finding,) = check_data(tmp_path / "file")

    assert finding.verdict is Verdict.BAD


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no tmpfs that we know of")
def test_data_in_memory_is_warned_of() -> None:
    assert verdicts(list(check_data(Path("/dev/shm"))))["file system"] is Verdict.WARN


def test_a_slow_disk_is_told_by_how_slow_it_is() -> None:
    assert judge_syncs("disk", "syncs", 0.1, 1.0).verdict is Verdict.OK
    assert judge_syncs("disk", "syncs", doctor_machine.SLOW_SYNC_MS, 50.0).verdict is Verdict.WARN
    assert judge_syncs("disk", "syncs", 0.1, doctor_machine.STALLED_SYNC_MS).verdict is Verdict.BAD


def probe(member: int, *, skew: float = 0.0, **status: Any) -> Probe:
    """Of a server that is well, but for what is given."""
    said = {
        "member": member,
        "role": "leader" if member == 1 else "follower",
        "leader": 1,
        "term": 7,
        "commit_index": 5000,
        "applied_index": 5000,
        "version": "0.1.0",
        "cluster_id": "c",
        "members": {str(each): {"client": f"m{each}:1", "silent_ms": 10, "part": "voter"} for each in (1, 2, 3)},
        "disk": {"syncs": 9, "p50_ms": 0.2, "p99_ms": 2.0},
    }
    words = {"zk_open_file_descriptor_count": "20", "zk_max_file_descriptor_count": "1024"}
    return Probe(
        Address(f"m{member}", 1), is_listening=True, words=words, round_trip=0.001, skew=skew, status=said | status
    )


def test_a_healthy_cluster_is_all_well() -> None:
    findings = list(check_servers([probe(1), probe(2), probe(3)]))

    assert {finding.verdict for finding in findings} == {Verdict.OK}
    assert {"leader", "cluster", "voters", "lag", "clocks", "versions"} <= {finding.check for finding in findings}


@pytest.mark.parametrize(
    ("third", "check", "verdict"),
    [
        (probe(3, leader=2), "leader", Verdict.BAD),
        (probe(3, cluster_id="d"), "cluster", Verdict.BAD),
        (probe(3, version="0.0.9"), "versions", Verdict.WARN),
        (probe(3, applied_index=10), "lag", Verdict.WARN),
        (probe(3, skew=-5.0), "clocks", Verdict.WARN),
        (probe(3, disk={"syncs": 9, "p50_ms": 20.0, "p99_ms": 30.0}), "disk of m3:1", Verdict.WARN),
        (probe(3, disk={"syncs": 9, "p50_ms": 1.0, "p99_ms": 300.0}), "disk of m3:1", Verdict.BAD),
        (probe(3, disk=None), "disk of m3:1", Verdict.UNKNOWN),
        (Probe(Address("m3", 1), problem="nobody listens"), "server m3:1", Verdict.BAD),
    ],
)
def test_one_server_that_is_not_well_is_named(third: Probe, check: str, verdict: Verdict) -> None:
    findings = [each for each in check_servers([probe(1), probe(2), third]) if each.verdict > Verdict.OK]

    assert [(each.check, each.verdict) for each in findings] == [(check, verdict)]


def test_a_cluster_without_a_leader_is_bad() -> None:
    found = verdicts(list(check_servers([probe(each, leader=None, role="candidate") for each in (1, 2, 3)])))

    assert found["leader"] is Verdict.BAD


def test_a_member_that_the_leader_does_not_hear_is_bad() -> None:
    """We may reach it all the same: it is the link between the members that is cut."""
    silent = {"1": 0, "2": 5000}
    members = {each: {"client": f"m{each}:1", "silent_ms": ms, "part": "voter"} for each, ms in silent.items()}

    found = verdicts(list(check_servers([probe(1, members=members), probe(2)])))

    assert found["member 2"] is Verdict.BAD


def test_a_server_that_runs_out_of_descriptors_is_bad() -> None:
    full = probe(1)
    full.words["zk_open_file_descriptor_count"] = "1000"

    assert verdicts(list(check_servers([full])))["open files of m1:1"] is Verdict.BAD


@pytest.mark.e2e
def test_doctor_of_a_real_server(coord_address: str) -> None:
    shell = Shell(coord_address)

    told = shell.ask("doctor", "--json")
    printed = shell.ask("doctor")

    assert told.code == printed.code == 0
    found = {finding["check"]: finding["verdict"] for finding in told.document["findings"]}
    assert found[f"server {coord_address}"] == found["leader"] == found["clocks"] == "ok"
    assert found["voters"] == told.document["verdict"] == "warn", "it is alone"
    assert any(line.startswith("ok    leader") for line in printed.lines)
    assert any(line.strip().startswith("→ run three") for line in printed.lines)


@pytest.mark.e2e
def test_doctor_of_a_zookeeper_says_what_it_cannot_know(zookeeper_address: str) -> None:
    told = Shell(zookeeper_address).ask("doctor", "--json")

    assert told.code == 0
    found = {finding["check"]: finding for finding in told.document["findings"]}
    assert found[f"server {zookeeper_address}"]["verdict"] == "ok"
    assert found["members"]["verdict"] == "unknown"
    assert "plain ZooKeeper" in found["members"]["says"]


@pytest.mark.e2e
def test_doctor_where_nobody_listens_and_of_a_bad_file_exits_with_1(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    file = tmp_path / "coord.toml"
    file.write_text("id = 0")

    assert Shell(address).ask("doctor").code == 1
    ended = Shell(address).ask("doctor", "--config", str(file), COORD_SERVERS="")
    assert ended.code == 1
    assert "id = 0: expected a number from 1" in ended.text
    assert address not in ended.text, "no server was to be asked"


@pytest.mark.e2e
async def test_doctor_finds_the_member_that_stands_still(tmp_path: Path) -> None:
    """It is known from the others, and asked as they are."""
    async with running(tmp_path) as cluster:
        leader = await cluster.leader()
        still = next(member for member in cluster.members if member != leader)
        with paused(cluster, still):
            told = await trio.to_thread.run_sync(Shell(cluster.address(leader)).ask, "doctor", "--json")

    assert told.code == 1
    found = {finding["check"]: finding["verdict"] for finding in told.document["findings"]}
    assert found[f"server {cluster.address(still)}"] == "bad"
    assert found["leader"] == found["voters"] == "ok"
