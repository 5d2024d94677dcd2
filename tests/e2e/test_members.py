"""Real processes whose cluster changes: members join, are removed, come back with nothing, and are told what to do."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from coord.local.cluster import LocalCluster, running
from coord_client import Client, connect
from coord_protocol.errors import OperationTimeout
from coord_protocol.extensions import JoiningMember
from tests.e2e.clusters import PATIENCE, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@asynccontextmanager
async def founded(directory: Path) -> AsyncIterator[tuple[LocalCluster, Client]]:
    """Three members, and a client of theirs; with a configuration in the log that can be changed."""
    async with running(directory) as cluster, connect(cluster.servers) as client:
        with trio.fail_after(PATIENCE):
            while not (await client.status())["change"]["index"]:
                await trio.sleep(0.05)
        yield cluster, client


async def is_done(client: Client) -> None:
    """Wait until the change of members that was asked for is made."""
    with trio.fail_after(PATIENCE):
        while (change := (await client.status())["change"])["doing"]:
            await trio.sleep(0.05)
    assert not change["failure"]


async def start_beside(cluster: LocalCluster, member: int, client: Client, address: str) -> None:
    """Start a member that joins, see that it says why it waits, and tell the cluster of it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cluster.start, member)
        remedy = f"member {member} is not in the cluster's configuration: run `coord member add {member} HOST:PORT`"
        await until(lambda: remedy in cluster.last_words(member))
        await client.change_members([JoiningMember(member, address, False)])
    await is_done(client)


def cpu_seconds(cluster: LocalCluster, member: int) -> float:
    fields = Path(f"/proc/{cluster.processes[member].pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def count(cluster: LocalCluster, member: int, text: str) -> int:
    return cluster.log(member).read_text().count(text)


async def test_a_fourth_member_joins_and_carries_on_without_two_of_the_first(tmp_path: Path) -> None:
    """Three of four are a majority; and a member of before that was away finds it by the log."""
    async with founded(tmp_path) as (cluster, client):
        await client.create("/a", b"before")
        leader = await cluster.leader()
        away = next(member for member in cluster.members if member != leader)
        await cluster.kill(away)
        new = await cluster.add()

        await start_beside(cluster, new, client, cluster.peer_address(new))

        assert count(cluster, new, "is not in the cluster's configuration") == 1
        async with connect(cluster.address(new)) as reader:
            assert (await reader.get("/a")).data == b"before"
        await cluster.start(away)
        await cluster.kill(next(member for member in cluster.members if member not in (away, new)))
        async with connect(",".join(map(cluster.address, (away, new)))) as writer:
            await writer.set("/a", b"after")
        await cluster.kill(new)
        await cluster.start(new)  # with --join, as before: it is a member and knows the others by its log
        async with connect(cluster.address(new)) as reader:
            assert (await reader.get("/a")).data == b"after"
        assert count(cluster, new, "has joined before: --join is not needed any more") == 1


async def test_a_typo_in_an_address_costs_nothing_while_the_other_side_can_dial(tmp_path: Path) -> None:
    """Those who should dial it cannot; so it dials them, which it knows by its log."""
    async with founded(tmp_path) as (cluster, client):
        await client.change_members([JoiningMember(3, "127.0.0.1:1", False)])
        await is_done(client)

        await cluster.kill(3)
        await cluster.start(3)

        await cluster.kill(1)
        async with connect(cluster.address(3)) as writer:
            await writer.create("/a")
        assert count(cluster, 2, "no link to member 3 at 127.0.0.1:1: ") == 1


async def test_a_member_that_was_removed_says_so_and_serves_nobody(tmp_path: Path) -> None:
    """Whether it heard of it itself, or is told by the others when it comes back; and it does not spin."""
    async with founded(tmp_path) as (cluster, client):
        leader = await cluster.leader()
        one, other = (member for member in cluster.members if member != leader)
        new = await cluster.add()
        await start_beside(cluster, new, client, cluster.peer_address(new))
        await cluster.kill(other)

        async with connect(cluster.address(leader)) as operator:
            for member in (one, other):
                await operator.change_members([], [member])
                await is_done(operator)

            await until(lambda: f"member {one} was removed from the cluster" in cluster.last_words(one))
            await cluster.start_soon(other)
            await until(lambda: f"member {other} was removed from the cluster" in cluster.last_words(other))
            for member in (one, other):
                with pytest.raises(OperationTimeout):
                    async with connect(cluster.address(member), connect_timeout=1.0):
                        pass
            written = [len(cluster.log(member).read_bytes()) for member in (one, other)]
            cpu = [cpu_seconds(cluster, member) for member in (one, other)]
            await trio.sleep(2.0)
            assert written == [len(cluster.log(member).read_bytes()) for member in (one, other)]
            assert (
                max(cpu_seconds(cluster, each) - before for each, before in zip((one, other), cpu, strict=True)) < 0.5
            )
            await operator.create("/a")


async def test_a_member_that_lost_its_directory_is_refused_until_another_takes_its_place(tmp_path: Path) -> None:
    async with founded(tmp_path) as (cluster, client):
        leader = await cluster.leader()
        lost = next(member for member in cluster.members if member != leader)
        await client.create("/a", b"kept")
        await cluster.kill(lost)
        shutil.rmtree(tmp_path / f"member-{lost}")
        await cluster.start_soon(lost)
        text = f"member {lost} comes with another data directory than the one it had"
        await until(lambda: text in cluster.last_words(lost))
        assert f"run `coord member remove {lost}`, then `coord member add {lost} HOST:PORT`" in cluster.last_words(lost)
        await cluster.kill(lost)

        new = await cluster.add()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cluster.start, new)
            await client.change_members([JoiningMember(new, cluster.peer_address(new), False)], [lost])
        await is_done(client)

        async with connect(cluster.address(new)) as reader:
            assert (await reader.get("/a")).data == b"kept"
            members = (await reader.status())["members"]
            assert sorted(map(int, members)) == sorted({*cluster.members} - {lost})
