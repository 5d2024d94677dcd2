"""The client against real servers, coord and ZooKeeper: what a script in memory cannot vouch for."""

import socket

import anyio
import anyio.to_thread
import pytest
from anyio.abc import SocketAttribute
from kazoo.client import KazooClient

from coord_client import CREATOR_ALL_ACL, Client, EventType
from coord_client.addresses import Address
from coord_client.session import Stream
from coord_protocol.errors import (
    BadVersion,
    ExtensionUnavailable,
    LockTimeout,
    NoAuth,
    NodeExists,
    NoNode,
    NotEmpty,
)
from tests.client.ways import World, in_every_way


@in_every_way
async def test_the_data_operations(world: World) -> None:
    async with world.connect() as client:
        path, stat = await client.create("/a", b"1", include_stat=True)
        assert (path, stat.version, stat.data_length) == ("/a", 0, 1)
        assert await client.create("/a/b/c", make_parents=True) == "/a/b/c"
        assert (await client.set("/a", b"22", version=0)).version == 1
        assert (await client.get("/a")).data == b"22"
        assert await client.get_children("/a") == ["b"]
        assert (await client.get_children_and_stat("/a"))[1] == await client.exists("/a")
        await client.sync()
        for error, refused in (
            (NodeExists, client.create("/a")),
            (NoNode, client.get("/x")),
            (BadVersion, client.set("/a", b"", version=0)),
            (NotEmpty, client.delete("/a")),
        ):
            with pytest.raises(error):
                await refused
        await client.delete("/a/b/c")
        assert await client.exists("/a/b/c") is None


@in_every_way
async def test_transactions(world: World) -> None:
    async with world.connect() as client:
        results = await client.transaction().create("/a", b"x").create("/a/n-", sequence=True).check("/a", 0).commit()
        assert results == ["/a", "/a/n-0000000000", None]

        with pytest.raises(NoNode) as refused:
            await client.transaction().set("/a", b"y").delete("/missing").commit()

        assert refused.value.op_index == 1
        assert (await client.get("/a")).data == b"x"


@in_every_way
async def test_identities_and_acls(world: World) -> None:
    async with world.connect(auth=[("digest", "bob:pw")]) as bob, world.connect_to(world.server) as stranger:
        await bob.create("/a", b"secret", acl=CREATOR_ALL_ACL)
        root = world.root
        with pytest.raises(NoAuth):
            await stranger.get(f"{root}/a")
        await stranger.add_auth("digest", "bob:pw")

        assert (await stranger.get(f"{root}/a")).data == b"secret"
        (entry,) = (await bob.get_acl("/a"))[0]
        assert (entry.perms, entry.scheme) == (31, "digest")


@in_every_way
async def test_one_shot_and_persistent_watches(world: World) -> None:
    """On paths of their own: ZooKeeper 3.8.0 knows one kind of watch per path (ZOOKEEPER-4466)."""
    async with world.connect() as client:
        _, created = await client.exists_and_watch("/a/b")
        _, child = await client.get_children_and_watch("/")
        async with client.watch("/a", recursive=True) as events:
            await client.create("/a")
            await client.create("/a/b")
            await client.set("/a/b", b"1")
            await client.delete("/a/b")
            with anyio.fail_after(5):
                assert (await created.wait()).type is EventType.CREATED
                assert (await child.wait()).type is EventType.CHILDREN_CHANGED
                assert [(await anext(events))[:2] for _ in range(4)] == [
                    (EventType.CREATED, "/a"),
                    (EventType.CREATED, "/a/b"),
                    (EventType.DATA_CHANGED, "/a/b"),
                    (EventType.DELETED, "/a/b"),
                ]


@in_every_way
async def test_watches_and_ephemerals_live_through_a_broken_connection(world: World) -> None:
    sockets: list[socket.socket] = []

    async def dial(address: Address) -> Stream:
        stream = await anyio.connect_tcp(address.host, address.port)
        sockets.append(stream.extra(SocketAttribute.raw_socket))
        return stream

    async with world.connect(dial=dial) as client:
        session_id = client.session_id
        await client.create("/mine", ephemeral=True)
        _, change = await client.get_and_watch("/mine")
        async with client.watch("/other") as events:
            with client.states() as states:
                sockets[-1].shutdown(socket.SHUT_RDWR)
                assert [(await anext(states)).value for _ in range(3)] == [
                    "connected",
                    "suspended",
                    "connected",
                ]
            await client.set("/mine", b"1")
            await client.create("/other")
            with anyio.fail_after(5):
                assert (await change.wait()).type is EventType.DATA_CHANGED
                assert (await anext(events)).is_gap
                assert (await anext(events)).type is EventType.CREATED

        assert client.session_id == session_id
        assert len(sockets) == 2


@in_every_way
async def test_a_lock_passes_through_its_queue(world: World) -> None:
    order: list[str] = []

    async def hold(client: Client, name: str) -> None:
        async with client.lock("/lock", name=name, timeout=10) as held:
            order.append(name)
            contender = await client.lock("/lock").holder()
            assert contender is not None
            assert (contender.name, contender.token) == (name, held.token)
            await client.transaction(held.fence()).set("/", name.encode()).commit()

    async with world.connect() as client, anyio.create_task_group() as tasks, client.lock("/lock"):
        for name in ("one", "two", "three"):
            tasks.start_soon(hold, client, name)
            while len(await client.get_children("/lock")) < 2 + ["one", "two", "three"].index(name):
                await anyio.lowlevel.checkpoint()

    assert order == ["one", "two", "three"]


@in_every_way
async def test_kazoo_and_we_stand_in_one_queue(world: World) -> None:
    """Whoever holds the lock, the other waits, sees the holder's name, and comes next."""
    async with world.connect() as client:
        root = world.root
        kazoo = KazooClient(world.server)
        await anyio.to_thread.run_sync(kazoo.start)
        try:
            theirs = kazoo.Lock(f"{root}/lock", "kazoo")
            async with anyio.create_task_group() as tasks, client.lock("/lock", name="ours"):
                assert await anyio.to_thread.run_sync(theirs.contenders) == ["ours"]
                assert not await anyio.to_thread.run_sync(lambda: theirs.acquire(blocking=False))
                tasks.start_soon(anyio.to_thread.run_sync, lambda: theirs.acquire(timeout=10))
                while len(await client.get_children("/lock")) < 2:
                    await anyio.lowlevel.checkpoint()

            with pytest.raises(LockTimeout):
                await client.lock("/lock", timeout=0).__aenter__()
            holder = await client.lock("/lock").holder()
            assert holder is not None
            assert holder.name == "kazoo"
        finally:
            await anyio.to_thread.run_sync(kazoo.stop)
            await anyio.to_thread.run_sync(kazoo.close)


@in_every_way
async def test_leaders_are_seen_by_others(world: World) -> None:
    async with world.connect() as client, client.election("/leader").watch_leader() as leaders:
        with anyio.fail_after(10):
            assert await anext(leaders) is None
            async with client.election("/leader", name="one") as leadership:
                leader = await anext(leaders)
                assert leader is not None
                assert (leader.name, leader.token) == ("one", leadership.token)
            assert await anext(leaders) is None


@in_every_way
async def test_extensions_where_they_are_offered(world: World) -> None:
    async with world.connect(name="worker 7") as client:
        if not client.session.extensions:
            with pytest.raises(ExtensionUnavailable):
                await client.status()
            return
        assert await client.status()
        names = {lease.lease_id: lease.name for lease in await client.leases("session")}
        assert names[client.session_id] == "worker 7"
