"""Asking real clusters: members are found through others, and who does not answer is told apart and not waited for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from coord.local.cluster import LocalCluster, running
from coord.tui.model import Answer, Sample
from coord.tui.poll import LATE, NO_ANSWER, NO_LEADER, NOT_COORD, PATIENCE, Cluster, following
from coord_client import connect
from coord_client.addresses import Address, parse_hosts
from tests.e2e.clusters import PATIENCE as TEST_PATIENCE
from tests.e2e.clusters import paused

pytestmark = pytest.mark.e2e


def addresses(hosts: str) -> list[Address]:
    return parse_hosts(hosts)[0]


@asynccontextmanager
async def asking(hosts: str) -> AsyncIterator[Cluster]:
    async with following(addresses(hosts)) as cluster:
        await cluster.settle()
        yield cluster


async def until_excused(cluster: Cluster, address: str, excuse: str) -> Sample:
    """The first sample in which the server has this excuse ("": it answers)."""
    with trio.fail_after(TEST_PATIENCE):
        while True:
            sample = await cluster.sample(())
            if answer_of(sample, address).excuse == excuse:
                return sample
            await trio.sleep(0.05)


def answer_of(sample: Sample, address: str) -> Answer:
    return next(answer for answer in sample.answers if answer.address == address)


async def sessions_of(server: LocalCluster) -> list[str]:
    async with connect(server.servers, name="looks on") as client:
        return [right.name for right in await client.leases("session") if right.name != "looks on"]


async def test_members_are_found_through_one_of_them(tmp_path: Path) -> None:
    async with running(tmp_path) as servers:
        async with asking(servers.address(2)) as cluster:
            sample = await cluster.sample(())

            assert sorted(answer.address for answer in sample.answers) == sorted(servers.servers.split(","))
            assert all(not answer.excuse and answer.status for answer in sample.answers)
            assert [right.name for right in sample.rights or ()] == ["coord top"] * 3
        assert await sessions_of(servers) == [], "sessions end with the scope, and need not expire"


async def test_a_server_that_is_known_under_another_name_is_asked_once(tmp_path: Path) -> None:
    async with running(tmp_path, 1) as servers:
        port = servers.servers.rpartition(":")[2]
        async with asking(f"localhost:{port}") as cluster:
            await cluster.sample(())

            assert [source.address.host for source in cluster.sources] == ["localhost"]


async def test_a_round_begins_no_session(tmp_path: Path) -> None:
    """Sessions are log entries: a screen that is open all day must not fill the disks."""
    async with running(tmp_path, 1) as servers, asking(servers.servers) as cluster:
        first = await cluster.sample(())
        for _ in range(5):
            last = await cluster.sample(())

    assert {right.lease_id for right in first.rights or ()} == {right.lease_id for right in last.rights or ()}


async def test_a_dead_member_is_told_and_found_again(tmp_path: Path) -> None:
    async with running(tmp_path) as servers, asking(servers.servers) as cluster:
        await servers.kill(3)
        sample = await until_excused(cluster, servers.address(3), NO_ANSWER)
        assert sample.rights is not None, "the others still say who holds what"
        assert answer_of(sample, servers.address(3)).status is not None, "what it said last is kept"

        begun = trio.current_time()
        await cluster.sample(())
        assert trio.current_time() - begun < PATIENCE, "nobody waits for the dead"

        await servers.start(3)
        await until_excused(cluster, servers.address(3), "")


async def test_a_member_that_stands_still_holds_up_one_round_at_most(tmp_path: Path) -> None:
    async with running(tmp_path) as servers, asking(servers.servers) as cluster:
        leader = await servers.leader()
        frozen = next(member for member in servers.members if member != leader)
        with paused(servers, frozen):
            await until_excused(cluster, servers.address(frozen), LATE)
            begun = trio.current_time()
            await cluster.sample(())
            assert trio.current_time() - begun < PATIENCE
        await until_excused(cluster, servers.address(frozen), "")


async def test_a_server_without_a_majority_is_there_but_has_no_leader(tmp_path: Path) -> None:
    async with running(tmp_path) as servers, asking(servers.servers) as cluster:
        await servers.kill(1)
        await servers.kill(2)

        sample = await until_excused(cluster, servers.address(3), NO_LEADER)

        assert sample.rights is None


async def test_details_tell_the_token_and_the_data_of_a_contender(tmp_path: Path) -> None:
    async with running(tmp_path, 1) as servers, connect(servers.servers, name="w1") as client:
        async with client.lock("/leader") as held, asking(servers.servers) as cluster:
            sample = await cluster.sample([held.znode, "/not/there"])

        assert set(sample.details) == {held.znode}
        assert sample.details[held.znode].token == held.token
        assert sample.details[held.znode].data == b"w1"


async def test_nobody_there_is_told_without_much_waiting() -> None:
    with trio.fail_after(TEST_PATIENCE):
        async with asking("127.0.0.1:1") as cluster:
            sample = await cluster.sample(())

    assert [answer.excuse for answer in sample.answers] == [NO_ANSWER]
    assert "127.0.0.1:1" in cluster.problems[0]


async def test_a_plain_zookeeper_is_told_apart(zookeeper_address: str) -> None:
    async with asking(zookeeper_address) as cluster:
        sample = await cluster.sample(())

    assert [answer.excuse for answer in sample.answers] == [NOT_COORD]
    assert "plain ZooKeeper" in cluster.problems[0]
