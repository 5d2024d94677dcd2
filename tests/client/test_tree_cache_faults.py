"""The tree cache finds the truth again after every kind of interruption."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from coord_client import Client
from coord_client.recipes.subtree import ChangeKind, TreeChange
from coord_client.recipes.tree_cache import READS_AT_ONCE, TreeCache
from coord_client.session import SessionState
from coord_protocol.errors import ConnectionLost, LocalProtocolError, NodeExists, NoNode, NotEmpty, WatchOverflow
from coord_protocol.jute import Record
from coord_protocol.paths import parent_of
from coord_protocol.requests import GetDataRequest, OpCode
from tests.client.backends import on_both_backends
from tests.client.keeper import Action, Keeper, Once
from tests.client.opening import client_of, cut
from tests.client.ways import World, in_every_way

ADDED, CHANGED, REMOVED = ChangeKind.ADDED, ChangeKind.CHANGED, ChangeKind.REMOVED
LIVE, STALE = ChangeKind.LIVE, ChangeKind.STALE


async def until_live(cache: TreeCache) -> None:
    """Wait for the cache to be live."""
    async with cache.changes() as changes:
        async for _ in changes:
            if cache.is_live:
                return


def truth(keeper: Keeper, root: str) -> dict[str, bytes | None]:
    """What there is at and below `root`."""
    return {
        path: znode.data
        for path, znode in keeper.znodes.items()
        if path == root or path.startswith(root.rstrip("/") + "/")
    }


def shown(cache: TreeCache) -> dict[str, bytes | None]:
    """What the cache shows."""
    return {path: znode.data for path in cache if (znode := cache.get(path)) is not None}


@asynccontextmanager
async def scene() -> AsyncIterator[tuple[Keeper, Client, Client]]:
    """A keeper with /app/a, the client of the cache, and one of somebody else."""
    keeper = Keeper()
    async with client_of(keeper, name="cache") as client, client_of(keeper, name="other") as other:
        await other.create("/app/a", b"1", make_parents=True)
        yield keeper, client, other


@on_both_backends
async def test_what_was_missed_during_a_reconnect_is_made_up_for() -> None:
    async with scene() as (keeper, client, other):
        await other.create("/app/gone/with", b"", make_parents=True)
        async with TreeCache(client, "/app") as cache, cache.changes() as changes:
            while (await anext(changes)).kind is not LIVE:
                continue
            lost_at = anyio.current_time()
            cut(keeper, client)
            await other.set("/app/a", b"2")
            await other.create("/app/new/child", b"", make_parents=True)
            await other.delete("/app/gone/with")
            await other.delete("/app/gone")

            assert (await anext(changes)).kind is STALE
            assert not cache.is_live
            assert cache.since == pytest.approx(lost_at, abs=0.1)
            told = set()
            while (change := await anext(changes)).kind is not LIVE:
                told.add((change.kind, change.path))

            assert cache.is_live
            assert told == {
                (CHANGED, "/app/a"),
                (ADDED, "/app/new"),
                (ADDED, "/app/new/child"),
                (REMOVED, "/app/gone"),
                (REMOVED, "/app/gone/with"),
            }
            assert shown(cache) == truth(keeper, "/app")


@on_both_backends
async def test_the_loss_of_the_session_is_survived() -> None:
    """What was known stays shown meanwhile. The new session's server may lag behind, so it is asked to catch up."""
    async with scene() as (keeper, client, other), TreeCache(client, "/app") as cache:
        keeper.is_reachable = False
        keeper.expire(client.session_id)
        await other.set("/app/a", b"2")
        await anyio.sleep(300.0)

        assert shown(cache) == {"/app": b"", "/app/a": b"1"}
        assert not cache.is_live
        keeper.seen.clear()
        keeper.is_reachable = True
        await until_live(cache)

        assert shown(cache) == {"/app": b"", "/app/a": b"2"}
        reads = [opcode for opcode, _ in keeper.seen if opcode in {OpCode.SYNC, OpCode.GET_DATA}]
        assert reads[0] == OpCode.SYNC
        await other.set("/app/a", b"3")
        await cache.refresh("/app/a")
        assert shown(cache)["/app/a"] == b"3"


@on_both_backends
async def test_a_connection_that_breaks_during_each_request_of_the_load_delays_it_only() -> None:
    for opcode in (OpCode.ADD_WATCH, OpCode.SYNC, OpCode.GET_DATA, OpCode.GET_CHILDREN2):
        for action in (Action.CUT_BEFORE, Action.CUT_AFTER):
            async with scene() as (keeper, client, _):
                keeper.on_request = Once(action, opcode)
                async with TreeCache(client, "/app") as cache:
                    assert cache.is_live
                    assert shown(cache) == truth(keeper, "/app")


@on_both_backends
async def test_a_session_that_is_lost_during_the_load_delays_it_only() -> None:
    async with scene() as (keeper, client, _):

        def on_request(opcode: OpCode, record: Record | None) -> Action:
            if opcode == OpCode.GET_CHILDREN2:
                keeper.on_request = lambda opcode, record: Action.SERVE
                keeper.expire(client.session_id)
                return Action.CUT_BEFORE
            return Action.SERVE

        keeper.on_request = on_request
        async with TreeCache(client, "/app") as cache:
            assert shown(cache) == truth(keeper, "/app")


@on_both_backends
async def test_entering_without_a_server_fails_and_leaves_nothing_behind() -> None:
    async with scene() as (keeper, client, _):
        keeper.is_reachable = False
        keeper.cut_all()
        await anyio.sleep(0.1)
        cache = TreeCache(client, "/app")

        with pytest.raises(ConnectionLost):
            await cache.__aenter__()

        keeper.is_reachable = True
        async with cache:
            assert shown(cache) == truth(keeper, "/app")


@on_both_backends
async def test_a_server_that_dies_during_the_load_for_good_fails_the_entering() -> None:
    async with scene() as (keeper, client, _):

        def on_request(opcode: OpCode, record: Record | None) -> Action:
            if opcode == OpCode.GET_DATA:
                keeper.is_reachable = False
                return Action.CUT_BEFORE
            return Action.SERVE

        keeper.on_request = on_request
        with pytest.raises(ConnectionLost):
            await TreeCache(client, "/app").__aenter__()


@on_both_backends
async def test_a_refresh_without_a_server_raises_and_the_cache_goes_on() -> None:
    async with scene() as (keeper, client, other), TreeCache(client, "/app") as cache:
        keeper.is_reachable = False
        cut(keeper, client)
        with pytest.raises(ConnectionLost):
            await cache.refresh("/app/a")
        await other.set("/app/a", b"2")
        keeper.is_reachable = True
        await until_live(cache)
        assert shown(cache) == truth(keeper, "/app")


@on_both_backends
async def test_a_refresh_lasts_through_the_loss_of_the_session() -> None:
    async with scene() as (keeper, client, other), TreeCache(client, "/app") as cache:
        keeper.expire(client.session_id)
        await other.set("/app/a", b"2")
        await cache.refresh("/app/a")
        assert shown(cache)["/app/a"] == b"2"


@on_both_backends
async def test_who_waits_for_a_refresh_is_told_that_the_scope_was_left() -> None:
    async with scene() as (keeper, client, _), anyio.create_task_group() as tasks:
        cache = TreeCache(client, "/app")
        await cache.__aenter__()

        async def refresh() -> None:
            with pytest.raises(LocalProtocolError, match="left"):
                await cache.refresh("/app/a")

        async def read() -> None:
            async with cache.changes() as changes:
                kinds = [change.kind async for change in changes]
            assert kinds == [ADDED, ADDED, LIVE, STALE]

        keeper.is_silent = True
        tasks.start_soon(refresh)
        tasks.start_soon(read)
        await anyio.sleep(1.0)
        await cache.__aexit__(None, None, None)


@on_both_backends
async def test_more_events_than_the_watch_can_hold_lead_to_a_new_load() -> None:
    """As when the event loop was blocked while others wrote."""
    async with scene() as (keeper, client, other), TreeCache(client, "/app") as cache:
        loads = keeper.count(OpCode.ADD_WATCH)
        for link in keeper.links:
            if link.session_id == client.session_id:
                link.held = []
        for number in range(1100):
            await other.create(f"/app/a/{number}", b"")
        for link in keeper.links:
            link.release()
        while keeper.count(OpCode.ADD_WATCH) == loads:
            await anyio.lowlevel.checkpoint()
        await until_live(cache)
        assert shown(cache) == truth(keeper, "/app")


@on_both_backends
async def test_a_reader_that_is_too_slow_is_told_so_and_can_begin_anew() -> None:
    async with scene() as (_, client, other), TreeCache(client, "/app") as cache:
        async with cache.changes(size=2) as changes:
            for number in range(4):
                await other.create(f"/app/{number}", b"")
                await cache.refresh(f"/app/{number}")
            kept = [(await anext(changes)).path for _ in range(5)]
            assert kept == ["/app", "/app/a", "/app", "/app/0", "/app/1"]
            with pytest.raises(WatchOverflow, match="more than"):
                await anext(changes)
        async with cache.changes(size=2) as changes:
            assert [(await anext(changes)).path for _ in range(6)][-2:] == ["/app/3", "/app/a"]


@on_both_backends
async def test_reads_are_pipelined_but_bounded() -> None:
    """All of a level at once would be thousands of requests in memory, on both sides."""
    async with scene() as (keeper, client, other):
        for number in range(READS_AT_ONCE * 3):
            await other.create(f"/app/{number}", b"")
        most = 0

        def on_request(opcode: OpCode, record: Record | None) -> Action:
            nonlocal most
            if isinstance(record, GetDataRequest) and record.path != "/app":
                link = next(link for link in keeper.links if link.session_id == client.session_id)
                if link.held is None:
                    tasks.start_soon(release)
                most = max(most, len(link.held or ()) + 1)
                return Action.HOLD
            return Action.SERVE

        async def release() -> None:
            await anyio.sleep(0.01)
            for link in keeper.links:
                link.release()

        keeper.on_request = on_request
        async with anyio.create_task_group() as tasks, TreeCache(client, "/app") as cache:
            assert len(cache) == READS_AT_ONCE * 3 + 2
        assert most == READS_AT_ONCE


@on_both_backends
async def test_what_may_not_be_read_is_not_shown_nor_what_is_below_it() -> None:
    async with scene() as (keeper, client, other):
        await other.create("/app/secret/child", b"", make_parents=True)
        keeper.hidden.add("/app/secret")
        async with TreeCache(client, "/app") as cache:
            assert list(cache) == ["/app", "/app/a"]
            await other.create("/app/secret/other", b"")
            await cache.refresh("/app/secret/other")
            assert list(cache) == ["/app", "/app/a"]


@on_both_backends
async def test_what_becomes_readable_is_shown_with_all_below_it() -> None:
    """Nobody tells of what was there before, so whatever is new to the cache is read with its children."""
    async with scene() as (keeper, client, other):
        keeper.hidden.add("/app/secret")
        async with TreeCache(client, "/app") as cache:
            await other.create("/app/secret/child/deep", b"", make_parents=True)
            await cache.refresh("/app/secret/child/deep")
            keeper.hidden.clear()
            async with cache.changes() as changes:
                await cache.refresh("/app/secret")
                async for change in changes:
                    if change.path == "/app/secret/child/deep":
                        break
            assert shown(cache) == truth(keeper, "/app")


@on_both_backends
async def test_a_load_that_was_interrupted_does_not_count() -> None:
    """What it had read before is out of date by the time that the rest is read, over the next connection."""
    async with scene() as (keeper, client, other):
        await other.create("/app/b", b"1")
        read: list[str] = []

        def on_request(opcode: OpCode, record: Record | None) -> Action:
            if isinstance(record, GetDataRequest) and record.path != "/app":
                read.append(record.path)
                if len(read) == 2:
                    keeper.zxid += 1
                    changed = keeper.znodes[read[0]]
                    changed.data, changed.mzxid = b"2", keeper.zxid
                    return Action.CUT_BEFORE
            return Action.SERVE

        keeper.on_request = on_request
        async with TreeCache(client, "/app") as cache:
            assert shown(cache) == truth(keeper, "/app")


# The truth.


class Gardener:
    """Random writes below /app, of a seed."""

    def __init__(self, client: Client, chance: random.Random) -> None:
        self._client = client
        self._chance = chance

    def _path(self) -> str:
        return "/app" + "".join(f"/{self._chance.choice('abc')}" for _ in range(self._chance.randint(0, 3)))

    async def write(self) -> None:
        path, data = self._path(), str(self._chance.random()).encode()
        try:
            match self._chance.randrange(5):
                case 0 | 1:
                    await self._client.create(path, data, make_parents=True)
                case 2:
                    await self._client.delete(path)
                case 3:
                    await self._client.transaction().delete(path).create(path, data).commit()
                case _:
                    await self._client.set(path, data)
        except (NoNode, NodeExists, NotEmpty):
            return


class History:
    """Checks each change: of one path nothing older follows anything newer, and no child is without its parent."""

    def __init__(self) -> None:
        self.newest: dict[str, int] = {}
        self.shown: set[str] = set()

    def check(self, change: TreeChange) -> None:
        if change.new is not None:
            assert change.new.stat.mzxid > self.newest.get(change.path, 0), "it went back"
            assert change.path == "/app" or parent_of(change.path) in self.shown
            self.newest[change.path] = change.new.stat.mzxid
            self.shown.add(change.path)
        elif change.old is not None:
            self.shown.remove(change.path)
            assert not any(parent_of(path) == change.path for path in self.shown)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_after_random_writes_and_interruptions_it_shows_the_truth(seed: int, backend: str) -> None:
    """Writes by others, cuts and lost sessions at random points; in the end, and at each pause, all is as it is."""

    @on_both_backends
    async def run() -> None:
        chance = random.Random(seed)
        keeper = Keeper()
        async with client_of(keeper, name="cache") as client, client_of(keeper, name="other") as other:
            gardener = Gardener(other, chance)
            cache = TreeCache(client, "/app", on_change=History().check)
            async with cache:
                for _ in range(30):
                    for _ in range(chance.randrange(20)):
                        await gardener.write()
                        match chance.randrange(12):
                            case 0:
                                cut(keeper, client)
                            case 1 if client.session_id in keeper.sessions:
                                keeper.expire(client.session_id)
                            case 2:
                                await anyio.sleep(chance.random())
                    await anyio.sleep(20.0)
                    assert client.state is SessionState.CONNECTED
                    assert cache.is_live
                    assert shown(cache) == truth(keeper, "/app")

    run(backend)


@in_every_way
async def test_two_writers_and_a_cache_agree_in_the_end(world: World) -> None:
    async def write(writer: Client, seed: int) -> None:
        gardener = Gardener(writer, random.Random(seed))
        for _ in range(200):
            await gardener.write()

    async with (
        world.connect() as client,
        world.connect() as one,
        world.connect() as two,
        world.recipes.TreeCache(client, "/app") as cache,
    ):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write, one, 1)
            tasks.start_soon(write, two, 2)
        await client.sync("/")
        paths = await all_below(two, "/app")
        await cache.refresh(*cache, *paths)

        assert list(cache) == paths
        for path in cache:
            assert cache.get(path).data == (await two.get(path)).data


async def all_below(client: Client, path: str) -> list[str]:
    """The path and all below it, in tree order."""
    found = [path]
    for name in sorted(await client.get_children(path)):
        found += await all_below(client, f"{path}/{name}")
    return found
