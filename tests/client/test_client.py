"""Operations, watches and transactions, against a server in memory."""

import anyio
import pytest

from coord_client import OPEN_ACL_UNSAFE, Check, Create, EventType
from coord_client.watches import WatchStream
from coord_protocol.errors import (
    BadArguments,
    BadVersion,
    ConnectionLost,
    ExtensionUnavailable,
    NodeExists,
    NoNode,
    NotEmpty,
    SessionExpired,
    WatchOverflow,
)
from coord_protocol.requests import OpCode
from tests.client.backends import on_both_backends
from tests.client.keeper import Action, Keeper, Znode
from tests.client.opening import client_of


@on_both_backends
async def test_a_znode_is_created_read_written_and_deleted() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        assert await client.create("/a", b"1") == "/a"
        data, stat = await client.get("/a")
        assert (data, stat.version) == (b"1", 0)
        assert (await client.set("/a", b"22", version=0)).data_length == 2
        assert await client.exists("/a") == (await client.get("/a")).stat
        await client.delete("/a", version=1)
        assert await client.exists("/a") is None


@on_both_backends
async def test_refusals_are_errors_that_name_the_path() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        await client.create("/a")
        await client.create("/a/b")
        for error, refused in (
            (NodeExists, client.create("/a")),
            (NoNode, client.create("/x/y")),
            (BadVersion, client.set("/a", b"", version=7)),
            (NotEmpty, client.delete("/a")),
            (NoNode, client.get("/x")),
        ):
            with pytest.raises(error, match=r"^/") as told:
                await refused
            assert told.value.definite


@on_both_backends
async def test_a_path_that_is_none_is_refused_before_it_is_sent() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        for operation in (client.get("a"), client.create("/a/"), client.multi([Create("/a/")])):
            with pytest.raises(BadArguments):
                await operation

        assert keeper.seen == []


@on_both_backends
async def test_a_sequential_znode_gets_its_number_even_without_a_name() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        await client.create("/q")

        assert await client.create("/q/", sequence=True) == "/q/0000000000"
        path, stat = await client.create("/q/n-", sequence=True, ephemeral=True, include_stat=True)

        assert path == "/q/n-0000000001"
        assert stat.ephemeral_owner == client.session_id
        assert await client.transaction().create("/q/", sequence=True).commit() == ["/q/0000000002"]


@on_both_backends
async def test_missing_parents_are_made_on_demand() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        assert await client.create("/a/b/c", b"x", make_parents=True) == "/a/b/c"
        await client.ensure_path("/a/b/c/d")
        await client.ensure_path("/")

        assert sorted(keeper.znodes) == ["/", "/a", "/a/b", "/a/b/c", "/a/b/c/d"]


@on_both_backends
async def test_a_chroot_is_invisible_to_the_caller() -> None:
    keeper = Keeper()
    async with client_of(keeper, hosts="a:1/deep/app") as client:
        await client.ensure_path("/a")
        assert await client.create("/a/b") == "/a/b"
        assert await client.get_children("/") == ["a"]
        async with client.watch("/", recursive=True) as events:
            await client.transaction().set("/a", b"x").create("/c").commit()
            assert [(await anext(events)).path for _ in range(2)] == ["/a", "/c"]
        with pytest.raises(NoNode, match=r"^/x: "):
            await client.get("/x")
        with pytest.raises(NoNode, match=r"^/y: "):
            await client.transaction().set("/y", b"").commit()

        assert "/deep/app/a/b" in keeper.znodes


@on_both_backends
async def test_children_come_with_or_without_their_parents_stat() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        for name in "ab":
            await client.create(f"/{name}")

        assert sorted(await client.get_children("/")) == ["a", "b"]
        children, stat = await client.get_children_and_stat("/")
        assert stat.num_children == len(children) == 2


@on_both_backends
async def test_acls_and_identities_can_be_read() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        assert (await client.get_acl("/"))[0] == OPEN_ACL_UNSAFE
        assert await client.who_am_i() == [("ip", "127.0.0.1")]


@on_both_backends
async def test_null_data_reads_as_empty() -> None:
    keeper = Keeper()
    keeper.znodes["/null"] = Znode(None, 1)
    async with client_of(keeper) as client:
        assert (await client.get("/null")).data == b""


# Transactions.


@on_both_backends
async def test_a_transaction_gives_one_result_per_operation() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        await client.create("/a")

        results = await client.transaction(Check("/a", 0)).set("/a", b"xy").create("/b", b"1").delete("/b").commit()

        assert results[0] is None
        assert results[1] == (await client.get("/a")).stat
        assert results[2:] == ["/b", None]


@on_both_backends
async def test_a_refused_transaction_names_the_operation_and_changes_nothing() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        await client.create("/a")

        with pytest.raises(BadVersion, match="operation 2 of 3") as refused:
            await client.transaction().create("/b").check("/a", 5).delete("/a").commit()

        assert refused.value.op_index == 1
        assert refused.value.path == "/a"
        assert "/b" not in keeper.znodes


@on_both_backends
async def test_an_empty_transaction_is_legal() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        assert await client.transaction().commit() == []


# Watches.


@on_both_backends
async def test_a_watch_tells_every_change_until_it_is_left() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        async with client.watch("/a") as events:
            await client.create("/a")
            await client.set("/a", b"1")
            await client.create("/a/b")
            await client.delete("/a/b")
            await client.delete("/a")

            assert [(await anext(events)).type for _ in range(5)] == [
                EventType.CREATED,
                EventType.DATA_CHANGED,
                EventType.CHILDREN_CHANGED,
                EventType.CHILDREN_CHANGED,
                EventType.DELETED,
            ]

        assert keeper.links[-1].watched == set()


@on_both_backends
async def test_a_watch_shared_by_two_readers_stays_for_the_second() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client, client.watch("/a", recursive=True) as first:
        async with client.watch("/a", recursive=True) as second:
            await client.create("/a")
            assert (await anext(second)).path == "/a"
        await client.create("/a/b")

        assert [(await anext(first)).path for _ in range(2)] == ["/a", "/a/b"]


@on_both_backends
async def test_a_reader_that_falls_behind_is_told_so() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        await client.create("/a")
        async with client.watch("/a", size=3) as events:
            for _ in range(5):
                await client.set("/a", b"")

            with pytest.raises(WatchOverflow):
                await count(events)


async def count(events: WatchStream) -> int:
    """Events to the end of the stream."""
    return len([event async for event in events])


@on_both_backends
async def test_a_watch_goes_on_after_a_reconnect_behind_a_gap() -> None:
    """What happened meanwhile is not told: the reader has to read anew, and is told when."""
    keeper = Keeper()
    async with client_of(keeper) as client, client.watch("/a", recursive=True) as events:
        keeper.cut_all()
        await client.sync()
        await client.create("/a")

        seen = [await anext(events) for _ in range(2)]
        assert [event.is_gap for event in seen] == [True, False]
        assert seen[1].path == "/a"


@on_both_backends
async def test_a_watch_ends_with_the_session() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client, client.watch("/a") as events:
        keeper.expire(client.session_id)

        with pytest.raises(SessionExpired):
            await anext(events)


@on_both_backends
async def test_leaving_a_watch_while_suspended_does_not_wait() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        async with client.watch("/a"):
            keeper.is_reachable = False
            keeper.cut_all()
            await anyio.sleep(0.5)
            left_at = anyio.current_time()
        assert anyio.current_time() == left_at
        keeper.is_reachable = True
        await client.sync()

        assert keeper.count(OpCode.SET_WATCHES2) == 0


@on_both_backends
async def test_a_watch_is_taken_off_a_server_that_knows_no_persistent_type() -> None:
    """ZooKeeper 3.8 answers MarshallingError. ANY takes the watch, unless others would go with it."""
    keeper = Keeper()
    keeper.knows_persistent_types = False
    async with client_of(keeper) as client:
        async with client.watch("/a"):
            pass
        assert keeper.links[-1].watched == set()

        async with client.watch("/a"):
            _, change = await client.exists_and_watch("/a")
        await client.create("/a")
        assert (await change.wait()).type is EventType.CREATED


# Extensions.


@on_both_backends
async def test_extensions_are_used_where_they_are_offered() -> None:
    keeper = Keeper()
    async with client_of(keeper, name="worker 7") as client:
        assert await client.status() == {"role": "leader"}
        (lease,) = await client.leases("session")
        assert (lease.lease_id, lease.name) == (client.session_id, "worker 7")


@on_both_backends
async def test_extensions_are_refused_clearly_on_a_plain_zookeeper() -> None:
    """Nothing is sent: ZooKeeper would close the connection."""
    keeper = Keeper(extensions=False)
    async with client_of(keeper) as client:
        for operation in (client.status(), client.leases()):
            with pytest.raises(ExtensionUnavailable, match="plain ZooKeeper"):
                await operation

        assert keeper.seen == []


@on_both_backends
async def test_an_unanswered_transaction_may_have_happened() -> None:
    keeper = Keeper()
    keeper.on_request = lambda opcode, _: Action.CUT_AFTER if opcode == OpCode.MULTI else Action.SERVE
    async with client_of(keeper) as client:
        with pytest.raises(ConnectionLost) as lost:
            await client.transaction().create("/a").commit()

        assert not lost.value.definite
        assert "/a" in keeper.znodes
