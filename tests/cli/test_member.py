"""`coord member`: a cluster that changes its members while it serves, by the commands that people use."""

from pathlib import Path

import pytest
import trio

from coord.local.cluster import LocalCluster, running
from coord.local.ports import free_ports
from tests.cli.commands import Ended, Shell
from tests.cli.test_snapshot import command
from tests.conftest import serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


async def run(cluster: LocalCluster, *arguments: str) -> Ended:
    return await trio.to_thread.run_sync(Shell(cluster.servers).coord, "member", *arguments)


async def members(cluster: LocalCluster) -> dict[str, str]:
    """The part of each."""
    listed = await run(cluster, "list", "--json")
    assert listed.code == 0, listed.stderr
    return {member: known["part"] for member, known in listed.document["members"].items()}


async def leader(cluster: LocalCluster) -> int:
    return int((await run(cluster, "list", "--json")).document["leader"])


async def test_members_are_added_moved_replaced_and_removed(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        fourth = await cluster.add()
        await cluster.start_soon(fourth)
        added = await run(cluster, "add", "4", cluster.peer_address(fourth))
        assert (added.code, added.text) == (0, "member 4 has a vote\n")
        assert await members(cluster) == dict.fromkeys("1234", "voter")

        shown = await run(cluster, "list")
        assert [line.split()[0] for line in shown.lines if line.strip()[:1].isdigit()] == ["1", "2", "3", "4"]
        assert cluster.peer_address(4) in shown.text
        assert cluster.address(4) in shown.text

        moved = await run(cluster, "move", "4", f"localhost:{cluster.peer_address(fourth).rpartition(':')[2]}")
        assert moved.code == 0, moved.stderr
        assert "localhost:" in (await run(cluster, "list")).text

        await cluster.kill(2)
        fifth = await cluster.add()
        await cluster.start_soon(fifth)
        replaced = await run(cluster, "replace", "2", "5", cluster.peer_address(fifth))
        assert replaced.code == 0, replaced.stderr
        assert sorted(await members(cluster)) == ["1", "3", "4", "5"]

        leads = await leader(cluster)
        removed = await run(cluster, "remove", str(leads))
        assert removed.code == 0, removed.stderr
        assert str(leads) not in await members(cluster)
        assert await leader(cluster) != leads


async def test_leadership_is_handed_over(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        leads = await leader(cluster)
        target = next(member for member in (1, 2, 3) if member != leads)
        done = await run(cluster, "transfer", str(target))
        assert (done.code, done.text) == (0, f"member {target} leads\n")
        assert await leader(cluster) == target
        again = await run(cluster, "transfer", str(target))
        assert (again.code, again.text) == (0, f"member {target} leads already\n")
        refused = await run(cluster, "transfer", "7")
        assert refused.code == 1
        assert "member 7 has no vote and cannot lead; who could: " in refused.stderr
        anybody = await run(cluster, "transfer")
        assert anybody.code == 0
        assert await leader(cluster) != target


async def test_a_typo_costs_nothing_but_time(tmp_path: Path) -> None:
    async with running(tmp_path, options=("--change-patience", "1")) as cluster:
        begun = await run(cluster, "add", "9", "127.0.0.1:1", "--no-wait")
        assert begun.code == 0, begun.stderr
        second = await run(cluster, "remove", "1")
        assert second.code == 1
        assert "one change at a time, and adding 9" in second.stderr
        given_up = await run(cluster, "add", "9", "127.0.0.1:1")
        while "one change at a time" in given_up.stderr:
            given_up = await run(cluster, "add", "9", "127.0.0.1:1")
        assert given_up.code == 1
        assert "given up: member 9 did not answer at 127.0.0.1:1 within 1 s" in given_up.stderr
        assert "given up: member 9" in (await run(cluster, "list")).text
        assert await members(cluster) == dict.fromkeys("123", "voter")


def test_only_operators_change_members(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    digest = ("--super-digest", "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=")
    with serving(command(address, tmp_path, *digest), address, tmp_path):
        shell = Shell(address)
        refused = shell.coord("member", "remove", "1")
        alone = shell.coord("member", "remove", "1", "--auth", "digest:super:admin")
    assert refused.code == 4
    assert "super:PASSWORD" in refused.stderr
    assert alone.code == 1
    assert "no voter" in alone.stderr
