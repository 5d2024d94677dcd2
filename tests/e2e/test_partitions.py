"""Members that are cut off from each other: whom clients may believe."""

from functools import partial

import pytest
import trio
from kazoo.client import KazooClient, KazooState

from coord import Cluster
from coord_client import EventType, SessionState, connect
from coord_protocol.errors import CoordError
from tests.e2e.clusters import PATIENCE, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

SESSION_TIMEOUT = 3.0


def addresses(cluster: Cluster, *members: int) -> str:
    return ",".join(map(cluster.address, members))


async def leader_other_than(cluster: Cluster, old: int) -> int:
    with trio.fail_after(PATIENCE):
        while (leader := await trio.to_thread.run_sync(cluster.leader)) == old:
            await trio.sleep(0.05)
        return leader


async def agree_on(cluster: Cluster, path: str) -> bytes:
    """What every member has there once it has seen all that is committed."""
    values = set()
    for member in cluster.members:
        async with connect(cluster.address(member), connect_timeout=PATIENCE) as client:
            await client.sync(path)
            values.add((await client.get(path)).data)
    (value,) = values
    return value


async def test_a_leader_that_is_cut_off_acknowledges_nothing_and_the_others_go_on(coord_cluster: Cluster) -> None:
    """What it did not acknowledge may still happen once it is back: then it happens everywhere."""
    cluster = coord_cluster
    old = cluster.leader()
    majority = [member for member in cluster.members if member != old]
    async with connect(cluster.servers) as client:
        await client.create("/inside", b"before")
        await client.create("/outside", b"before")

    async with (
        connect(cluster.address(old), session_timeout=SESSION_TIMEOUT) as inside,
        connect(addresses(cluster, *majority)) as outside,
    ):
        cluster.isolate(old)

        with pytest.raises((CoordError, trio.TooSlowError)), trio.fail_after(2.0):
            await inside.set("/inside", b"after")
        await leader_other_than(cluster, old)
        await outside.set("/outside", b"after")
        assert (await outside.get("/inside")).data == b"before"

        cluster.heal()

    assert await agree_on(cluster, "/outside") == b"after"
    assert await agree_on(cluster, "/inside") in {b"before", b"after"}


async def test_a_holder_on_the_wrong_side_is_told_before_what_it_holds_is_deleted(coord_cluster: Cluster) -> None:
    """Or two could believe to hold the same: its server must fall silent in time (a reply is a promise).

    Whichever side the holder's server is on: here it leads when it is cut off. And whoever the holder is: kazoo knows
    nothing of promises, and takes silence for what it is.
    """
    cluster = coord_cluster
    old = cluster.leader()
    majority = [member for member in cluster.members if member != old]
    happened: list[str] = []
    kazoo = KazooClient(cluster.address(old), timeout=SESSION_TIMEOUT)
    kazoo.add_listener(lambda state: happened.append("kazoo is told") if state == KazooState.SUSPENDED else None)
    await trio.to_thread.run_sync(kazoo.start)
    try:
        async with (
            connect(cluster.address(old), session_timeout=SESSION_TIMEOUT) as holder,
            connect(addresses(cluster, *majority)) as outside,
            trio.open_nursery() as nursery,
        ):
            await holder.create("/ours", ephemeral=True)
            await trio.to_thread.run_sync(partial(kazoo.create, "/kazoos", ephemeral=True))
            await outside.sync("/")

            async def watch_states() -> None:
                with holder.states() as states:
                    async for state in states:
                        if state is SessionState.SUSPENDED:
                            happened.append("ours is told")

            async def watch_znode(path: str) -> None:
                found, change = await outside.get_and_watch(path)
                assert found.stat.ephemeral_owner
                assert (await change.wait()).type is EventType.DELETED
                happened.append(f"{path} is deleted")

            nursery.start_soon(watch_states)
            nursery.start_soon(watch_znode, "/ours")
            nursery.start_soon(watch_znode, "/kazoos")

            cluster.isolate(old)
            await until(lambda: len(happened) >= 4)
            nursery.cancel_scope.cancel()
    finally:
        await trio.to_thread.run_sync(kazoo.stop)
        kazoo.close()

    assert set(happened[:2]) == {"ours is told", "kazoo is told"}
    assert set(happened[2:4]) == {"/ours is deleted", "/kazoos is deleted"}


async def test_what_is_cut_one_way_only_is_no_link(coord_cluster: Cluster) -> None:
    """A follower that hears its leader, but is not heard: the others go on, and so does it once it is heard again."""
    cluster = coord_cluster
    leader = cluster.leader()
    silenced, other = (member for member in cluster.members if member != leader)

    cluster.partition([silenced], [leader, other], one_way=True)

    async with connect(addresses(cluster, leader, other)) as client:
        await client.create("/a", b"1")
    assert cluster.leader() == leader

    cluster.heal()

    assert await agree_on(cluster, "/a") == b"1"
