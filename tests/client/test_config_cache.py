"""The watched value: always the latest good one, and honest about what it does not know."""

import json
from typing import Any

import anyio
import pytest

from coord_client.recipes.config_cache import ConfigCache, ConfigState
from coord_protocol.errors import BadVersion, NoNode
from tests.client.backends import on_both_backends
from tests.client.keeper import Keeper
from tests.client.opening import client_of, cut
from tests.client.ways import World, in_every_way

PATH = "/config/app"


@in_every_way
async def test_the_value_is_the_latest(world: World) -> None:
    async with world.connect() as client, world.connect() as other:
        await other.create(PATH, b'{"limit": 1}', make_parents=True)
        async with world.recipes.ConfigCache(client, PATH, parse=json.loads) as config:
            assert config.value == {"limit": 1}
            assert config.version == 0
            assert config.is_live
            async with config.changes() as changes:
                assert (await anext(changes)).value == {"limit": 1}
                for number in (2, 3, 4):
                    await other.set(PATH, b'{"limit": %d}' % number)
                    state = await anext(changes)
                    assert state.value == config.value == {"limit": number}
                    assert state.stat == config.stat == await other.exists(PATH)
                    assert config.version == number - 1


@in_every_way
async def test_without_parse_the_value_is_the_bytes(world: World) -> None:
    async with world.connect() as client:
        await client.create(PATH, b"\x00\xff", make_parents=True)
        async with world.recipes.ConfigCache(client, PATH) as config:
            assert config.value == b"\x00\xff"


@in_every_way
async def test_a_value_that_is_refused_does_not_replace_a_good_one(world: World) -> None:
    async with world.connect() as client, world.connect() as other:
        await other.create(PATH, b"1", make_parents=True)
        async with world.recipes.ConfigCache(client, PATH, parse=json.loads) as config, config.changes() as changes:
            assert (await anext(changes)).refused is None

            await other.set(PATH, b"oops")
            state = await anext(changes)
            assert state.value == config.value == 1
            assert config.version == 0
            assert state.refused.data == config.refused.data == b"oops"
            assert state.refused.stat.version == 1
            assert isinstance(state.refused.error, ValueError)

            await other.set(PATH, b"2")
            state = await anext(changes)
            assert (state.value, state.refused, config.version) == (2, None, 2)


@in_every_way
async def test_the_default_stands_in_for_what_is_not_there_or_no_good(world: World) -> None:
    async with (
        world.connect() as client,
        world.connect() as other,
        world.recipes.ConfigCache(client, PATH, parse=json.loads, default=0) as config,
        config.changes() as changes,
    ):
        seen = [await anext(changes)]
        assert config.version is None
        await other.create(PATH, b"oops", make_parents=True)
        seen.append(await anext(changes))
        await other.set(PATH, b"1")
        seen.append(await anext(changes))
        await other.delete(PATH)
        seen.append(await anext(changes))
        await other.create(PATH, b"2")
        seen.append(await anext(changes))

    assert [state.value for state in seen] == [0, 0, 1, 0, 2]
    assert [state.refused is not None for state in seen] == [False, True, False, False, False]
    assert [state.stat is not None for state in seen] == [False, False, True, False, True]


@in_every_way
async def test_without_a_default_the_last_good_value_outlives_the_znode(world: World) -> None:
    async with world.connect() as client, world.connect() as other:
        await other.create(PATH, b"1", make_parents=True)
        async with world.recipes.ConfigCache(client, PATH, parse=int) as config, config.changes() as changes:
            await anext(changes)
            await other.delete(PATH)
            state = await anext(changes)
            assert (state.value, state.stat, config.version) == (1, None, None)


@in_every_way
async def test_without_a_default_there_must_be_a_good_value_to_begin_with(world: World) -> None:
    async with world.connect() as client:
        config = world.recipes.ConfigCache(client, PATH, parse=int)
        with pytest.raises(NoNode):
            await config.__aenter__()
        await client.create(PATH, b"oops", make_parents=True)
        with pytest.raises(ValueError, match="oops"):
            await config.__aenter__()
        await client.set(PATH, b"1")
        async with config:
            assert config.value == 1


@in_every_way
async def test_a_write_with_the_version_replaces_only_what_was_seen(world: World) -> None:
    async with world.connect() as client, world.connect() as other:
        await client.create(PATH, b"1", make_parents=True)
        async with world.recipes.ConfigCache(client, PATH, parse=int) as config:
            await client.set(PATH, b"2", config.version)
            await config.refresh()
            assert config.value == 2
            await other.set(PATH, b"3")
            with pytest.raises(BadVersion):
                await client.set(PATH, b"4", 1)


@in_every_way
async def test_a_busy_reader_misses_what_was_replaced_but_not_the_newest(world: World) -> None:
    async with world.connect() as client, world.connect() as other:
        await other.create(PATH, b"0", make_parents=True)
        async with world.recipes.ConfigCache(client, PATH, parse=int) as config, config.changes() as changes:
            for number in range(1, 100):
                await other.set(PATH, b"%d" % number)
            await client.sync(PATH)
            await config.refresh()
            assert (await anext(changes)).value == config.value == 99


@on_both_backends
async def test_it_says_since_when_it_is_stale_and_live_again() -> None:
    keeper = Keeper()
    async with client_of(keeper, name="config") as client, client_of(keeper) as other:
        await other.create(PATH, b"1", make_parents=True)
        async with ConfigCache(client, PATH, parse=int) as config, config.changes() as changes:
            entered_at = anyio.current_time()
            assert config.since == pytest.approx(entered_at)
            await anyio.sleep(5.0)
            keeper.is_reachable = False
            cut(keeper, client)
            await other.set(PATH, b"2")
            await anyio.sleep(100.0)

            assert (config.value, config.is_live) == (1, False)
            assert config.since == pytest.approx(entered_at + 5.0, abs=0.1)
            assert await anext(changes) == ConfigState(1, config.stat, None, is_live=False)

            keeper.is_reachable = True
            while not (state := await anext(changes)).is_live:
                continue
            assert state.value == config.value == 2
            assert config.since > entered_at + 105.0


@on_both_backends
async def test_it_survives_the_loss_of_the_session() -> None:
    keeper = Keeper()
    async with client_of(keeper, name="config") as client, client_of(keeper) as other:
        await other.create(PATH, b"1", make_parents=True)
        async with ConfigCache(client, PATH, parse=int) as config, config.changes() as changes:
            for number in range(2, 6):
                keeper.expire(client.session_id)
                await other.set(PATH, b"%d" % number)
                await anyio.sleep(10.0)
                assert (config.value, config.is_live) == (number, True)
                assert (await anext(changes)).value == number


@on_both_backends
async def test_leaving_ends_the_streams() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client, anyio.create_task_group() as tasks:
        config: ConfigCache[Any] = ConfigCache(client, PATH, parse=int, default=7)

        async def read() -> None:
            async with config.changes() as changes:
                assert [(state.value, state.is_live) async for state in changes] == [(7, True), (7, False)]

        async with config:
            tasks.start_soon(read)
            await anyio.sleep(1.0)
