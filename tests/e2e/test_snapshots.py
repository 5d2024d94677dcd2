"""Real processes whose logs are cut: they come back from their snapshots, and bring each other up to date."""

from pathlib import Path

import pytest
import trio

from coord.local.cluster import LocalCluster, running
from coord_client import Client, connect
from tests.e2e.clusters import PATIENCE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

LOG_BYTES = 200_000
OPTIONS = ("--snapshot-log-bytes", str(LOG_BYTES))


async def fill(client: Client, first: int, count: int) -> None:
    """Znodes of 1,000 bytes, many at a time."""
    async with trio.open_nursery() as nursery:
        for number in range(first, first + count):
            nursery.start_soon(client.create, f"/fill/{number:06}", bytes([number % 256]) * 1000)


async def overwrite(client: Client, count: int) -> None:
    """A small state with a large log: so many times 10,000 bytes."""
    await client.ensure_path("/a")
    for _ in range(count // 250):
        async with trio.open_nursery() as nursery:
            for _ in range(250):
                nursery.start_soon(client.set, "/a", bytes(10_000))


async def expect(client: Client, count: int) -> None:
    assert sorted(await client.get_children("/fill")) == [f"{number:06}" for number in range(count)]
    for number in range(0, count, 37):
        assert (await client.get(f"/fill/{number:06}")).data == bytes([number % 256]) * 1000


def snapshots_of(cluster: LocalCluster, member: int) -> list[Path]:
    return sorted((cluster.directory / f"member-{member}" / "snapshots").glob("*.snap"))


async def test_all_members_come_back_from_their_snapshots_after_kill_9(tmp_path: Path) -> None:
    async with running(tmp_path, options=OPTIONS) as cluster, connect(cluster.servers) as client:
        await client.create("/fill")
        async with client.lease(60.0, name="kept") as lease:
            await lease.create("/owned", b"by a lease")
            await fill(client, 0, 1500)
            with trio.fail_after(PATIENCE):
                while not all(len(snapshots_of(cluster, member)) == 2 for member in cluster.members):
                    await overwrite(client, 250)
            for member in cluster.members:
                await cluster.kill(member)
            await cluster.start()
            await expect(client, 1500)
            assert (await client.get("/owned")).data == b"by a lease"
            assert [info.name for info in await client.leases("lease")] == ["kept"]


async def test_a_member_that_missed_too_much_gets_a_snapshot_while_the_others_serve(tmp_path: Path) -> None:
    async with running(tmp_path, options=OPTIONS) as cluster, connect(cluster.servers) as client:
        await client.create("/fill")
        leader = await cluster.leader()
        behind = next(member for member in cluster.members if member != leader)
        await cluster.kill(behind)
        await fill(client, 0, 500)
        await overwrite(client, 2500)  # more than the leader keeps in memory for those who are behind
        await cluster.start(behind)
        with trio.fail_after(PATIENCE):
            while "goes on from a snapshot of another member" not in cluster.log(behind).read_text():
                await trio.sleep(0.05)
        await fill(client, 500, 100)
        async with connect(cluster.address(behind)) as reader:
            await reader.sync()
            await expect(reader, 600)


async def test_the_newest_snapshot_is_damaged_on_disk_and_nothing_is_lost(tmp_path: Path) -> None:
    async with running(tmp_path, size=1, options=OPTIONS) as cluster, connect(cluster.servers) as client:
        await client.create("/fill")
        await fill(client, 0, 300)
        await client.snapshot()
        await fill(client, 300, 200)
        await client.snapshot()
        (member,) = cluster.members
        await cluster.kill(member)
        newest = snapshots_of(cluster, member)[-1]
        content = bytearray(newest.read_bytes())
        content[len(content) // 2] ^= 1
        newest.write_bytes(content)
        await cluster.start()
        await expect(client, 500)


async def test_the_log_on_disk_stays_bounded(tmp_path: Path) -> None:
    async with running(tmp_path, size=1, options=OPTIONS) as cluster, connect(cluster.servers) as client:
        await overwrite(client, 10_000)
        segments = list((tmp_path / "member-1").glob("*.wal"))
        assert len(segments) <= 2, "of 100 MB that were written"
        assert int(sorted(segments)[-1].stem) > 1
