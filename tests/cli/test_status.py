"""`coord status`: who leads, who lags behind, who does not answer."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from coord.cli.status import Answer, leader_of, status, table, unfinished_upgrade
from coord.local.cluster import running
from coord.local.ports import free_ports
from coord_client.addresses import Address
from tests.cli.processes import coord

MEMBERS = {"1": {"client": "a:1"}, "2": {"client": "b:1"}, "3": {"client": ""}}


def answer(
    member: int,
    *,
    role: str = "follower",
    leader: int | None = 1,
    term: int = 2,
    applied: int = 90,
    level: dict[str, Any] | None = None,
) -> Answer:
    said: dict[str, Any] = {
        "member": member,
        "role": role,
        "leader": leader,
        "term": term,
        "commit_index": 95,
        "applied_index": applied,
        "version": "0.1.0",
    }
    if level is not None:
        said["level"] = level
    counts = {"sessions": 4, "leases": 1, "connections": 2}
    return Answer(Address(" ab"[member], 1), {**said, **counts, "members": MEMBERS})


def rows_of(answers: list[Answer]) -> list[list[str]]:
    console = Console(width=120)
    with console.capture() as captured:
        console.print(table(answers))
    return [line.split() for line in captured.get().splitlines() if line.strip()][2:]


def test_table_shows_members_in_order_with_their_lag() -> None:
    """Behind what is committed, whoever told it."""
    rows = rows_of([answer(2), answer(1, role="leader", applied=95)])

    assert rows == [
        ["1", "a:1", "leader", "0.1.0", "1", "2", "95", "95", "0", "4", "1", "2"],
        ["2", "b:1", "follower", "0.1.0", "1", "2", "95", "90", "5", "4", "1", "2"],
    ]


def test_upgrade_that_is_under_way_is_told() -> None:
    """By the leader: the others have not heard everybody."""
    leader = answer(1, role="leader", level={"in_force": 1, "known": 3, "waits_for": [2]})
    follower = answer(2, level={"in_force": 1, "known": 2, "waits_for": []})

    assert [row[4] for row in rows_of([leader, follower])] == ["3", "2"]
    assert unfinished_upgrade([follower, leader]) == "level 1 is in force; 3 waits for a newer release on member 2"
    assert unfinished_upgrade([follower, Answer(Address("x", 9))]) == ""


def test_table_names_a_silent_member_that_others_know() -> None:
    rows = rows_of([answer(1), Answer(Address("b", 1)), Answer(Address("x", 9), excuse="no leader")])

    assert rows[1:] == [["2", "b:1", "no", "answer"], ["?", "x:9", "no", "leader"]]


def test_the_leader_is_that_of_the_newest_term() -> None:
    """Who was cut off may still believe in the old one."""
    assert leader_of([answer(1, leader=1, term=2), answer(2, leader=2, term=3)]) == 2
    assert leader_of([answer(1, leader=None), Answer(Address("b", 1))]) is None


def test_status_fails_where_nobody_answers() -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"

    result = CliRunner().invoke(status, ["--servers", address])

    assert result.exit_code == 1
    assert "no answer" in result.output
    assert f"{address}: no server reached" in result.output


def test_status_refuses_what_is_no_address() -> None:
    result = CliRunner().invoke(status, ["--servers", "a:b"])

    assert result.exit_code == 2
    assert "should look like host:port" in result.output


@pytest.mark.e2e
async def test_status_of_a_cluster_that_loses_its_members(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        leader = await cluster.leader()
        followers = [member for member in cluster.members if member != leader]
        async with coord("status", "--json", "--servers", cluster.address(followers[0]), directory=tmp_path) as whole:
            assert await whole.wait() == 0
        said = json.loads("\n".join(whole.printed))
        assert said["leader"] == leader
        assert sorted(server["address"] for server in said["servers"]) == cluster.servers.split(",")
        assert all(server["status"]["leader"] == leader for server in said["servers"])

        await cluster.kill(followers[0])
        async with coord("status", "--servers", cluster.address(leader), directory=tmp_path) as wounded:
            assert await wounded.wait() == 0
        assert any(line.split()[:4] == row(followers[0], cluster.address(followers[0])) for line in wounded.printed)

        await cluster.kill(leader)
        async with coord("status", "--servers", cluster.servers, directory=tmp_path) as dead:
            assert await dead.wait() == 1
        assert any(line.split()[1:] == [cluster.address(followers[1]), "no", "leader"] for line in dead.printed)


def row(member: int, address: str) -> list[str]:
    return [str(member), address, "no", "answer"]
