"""The map of a path's children: any str is a key, one's own writes are seen, others' garbage does no harm."""

from typing import Any

import anyio
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from coord_client import Client
from coord_client.recipes.key_value_map import ABSENT, JSON, STR, KeyValueMap, MapChange, escape, unescape
from coord_client.recipes.subtree import ChangeKind
from coord_protocol.errors import ConnectionLost, LocalProtocolError, NotEmpty, WatchOverflow
from coord_protocol.jute import Record
from coord_protocol.paths import is_valid_path
from coord_protocol.requests import OpCode
from tests.client.backends import on_both_backends
from tests.client.keeper import Action, Keeper, Once
from tests.client.opening import client_of, cut
from tests.client.ways import World, in_every_way

ADDED, CHANGED, REMOVED = ChangeKind.ADDED, ChangeKind.CHANGED, ChangeKind.REMOVED
LIVE, STALE = ChangeKind.LIVE, ChangeKind.STALE
PATH = "/limits"
ODD_KEYS = ["", ".", "..", "%", "%2F", "a/b", "/", "grün", "日本", "\N{GRINNING FACE}", "\x00", "a\nb", " ", "..."]

any_str = st.text(st.characters(exclude_categories=()))  # lone surrogates, too
nearly_escaped = st.text(st.sampled_from("%2FfEe5.0/aé"), max_size=8)


# Names.


@given(any_str | nearly_escaped)
def test_any_str_is_a_key_and_comes_back(key: str) -> None:
    name = escape(key)

    assert is_valid_path(f"/{name}")
    assert "/" not in name
    assert unescape(name) == key


@given(nearly_escaped)
def test_each_name_has_at_most_one_key(name: str) -> None:
    assume(name and "/" not in name and is_valid_path(f"/{name}"))

    key = unescape(name)

    assert key is None or escape(key) == name


def test_harmless_keys_are_their_own_names() -> None:
    for key in ("mail", "grün", "a b", "a.b", "...", "10.0.0.7:25", "日本"):
        assert escape(key) == key


# Reading and writing.


@in_every_way
async def test_one_s_own_writes_are_seen_at_once(world: World) -> None:
    async with world.connect() as client, world.recipes.KeyValueMap(client, PATH) as limits:
        assert dict(limits.items()) == {}
        for number in range(20):
            await limits.set("a", b"%d" % number)
            assert limits["a"] == b"%d" % number
            assert await limits.delete("a")
            assert "a" not in limits
        assert not await limits.delete("a")
        await limits.update({"b": b"1", "c": b"2"})
        assert dict(limits.items()) == {"b": b"1", "c": b"2"}
        assert (limits.keys(), limits.values(), len(limits)) == (["b", "c"], [b"1", b"2"], 2)
        assert dict(limits) == {"b": b"1", "c": b"2"}
        assert limits.get("x") is None
        with pytest.raises(KeyError):
            limits["x"]


@in_every_way
async def test_any_str_can_be_a_key(world: World) -> None:
    async with world.connect() as client, world.connect() as other:
        async with world.recipes.KeyValueMap(client, PATH, codec=STR) as written:
            for key in ODD_KEYS:
                await written.set(key, repr(key))
            assert dict(written.items()) == {key: repr(key) for key in ODD_KEYS}
        async with world.recipes.KeyValueMap(other, PATH, codec=STR) as read:
            assert list(read) == sorted(ODD_KEYS)
            for key in ODD_KEYS:
                assert read[key] == repr(key)
                assert await read.delete(key)
            assert dict(read.items()) == {}
            assert await other.get_children(PATH) == []


@in_every_way
async def test_json_values_come_back(world: World) -> None:
    value = {"zone": "b", "limits": [1, 2.5, None, True], "name": "grün"}
    async with world.connect() as client, world.recipes.KeyValueMap(client, PATH, codec=JSON) as limits:
        await limits.set("all", value)
        await limits.set("nothing", None)
        assert dict(limits.items()) == {"all": value, "nothing": None}


@in_every_way
async def test_changes_tell_what_is_there_and_then_what_happens(world: World) -> None:
    async with (
        world.connect() as client,
        world.connect() as other,
        world.recipes.KeyValueMap(client, PATH, codec=JSON) as limits,
        world.recipes.KeyValueMap(other, PATH, codec=JSON) as elsewhere,
    ):
        await limits.set("a", 1)
        async with limits.changes() as changes:
            seen = [await anext(changes), await anext(changes)]
            await elsewhere.set("a", 2)
            seen.append(await anext(changes))
            await elsewhere.set("b", 3)
            seen.append(await anext(changes))
            await elsewhere.delete("a")
            seen.append(await anext(changes))

    assert seen == [
        MapChange(ADDED, "a", None, 1),
        MapChange(LIVE, "", None, None),
        MapChange(CHANGED, "a", 1, 2),
        MapChange(ADDED, "b", None, 3),
        MapChange(REMOVED, "a", 2, None),
    ]


@in_every_way
async def test_update_writes_all_or_nothing(world: World) -> None:
    """Whatever the map believes to exist: somebody else creates and deletes as well."""
    async with (
        world.connect() as client,
        world.connect() as other,
        world.recipes.KeyValueMap(client, PATH, codec=JSON) as limits,
    ):
        await limits.update({})
        await limits.update({"a": 1, "b": 2})
        await other.delete(f"{PATH}/a")
        await other.create(f"{PATH}/c", b"0")
        await limits.update({"a": 10, "b": 20, "c": 30, "d/e": 40})
        assert dict(limits.items()) == {"a": 10, "b": 20, "c": 30, "d/e": 40}


@in_every_way
async def test_compare_and_set_lets_one_of_many_win(world: World) -> None:
    won = []

    async def compete(counters: "KeyValueMap[Any]") -> None:
        async with counters.changes() as changes:
            async for change in changes:
                if change.new == 10:
                    return
                turn = change.new
                if turn is not None and await counters.compare_and_set("turn", turn, turn + 1):
                    won.append(turn)

    async with (
        world.connect() as one,
        world.connect() as two,
        world.recipes.KeyValueMap(one, PATH, codec=JSON) as ours,
        world.recipes.KeyValueMap(two, PATH, codec=JSON) as theirs,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(compete, ours)
        tasks.start_soon(compete, theirs)
        assert await ours.compare_and_set("turn", ABSENT, 0)
        assert not await theirs.compare_and_set("turn", ABSENT, 0)

    assert won == list(range(10))


@in_every_way
async def test_compare_and_set_creates_and_deletes(world: World) -> None:
    async with world.connect() as client, world.recipes.KeyValueMap(client, PATH, codec=JSON) as limits:
        assert await limits.compare_and_set("a", ABSENT, ABSENT)
        assert await limits.compare_and_set("a", ABSENT, 1)
        assert limits["a"] == 1
        assert not await limits.compare_and_set("a", 2, ABSENT)
        assert await limits.compare_and_set("a", 1, ABSENT)
        assert "a" not in limits
        assert not await limits.compare_and_set("a", 1, 2)


@in_every_way
async def test_what_others_wrote_and_nobody_can_read_is_left_out(world: World) -> None:
    async with world.connect() as client, world.connect() as other:
        await other.create(f"{PATH}/good", b"1", make_parents=True)
        await other.create(f"{PATH}/bad", b"oops")
        await other.create(f"{PATH}/not%2fours", b"2")
        async with world.recipes.KeyValueMap(client, PATH, codec=JSON) as limits, limits.changes() as changes:
            assert dict(limits.items()) == {"good": 1}
            assert sorted(limits.refused) == ["bad", "not%2fours"]
            assert limits.refused["bad"].znode.data == b"oops"
            assert not await limits.compare_and_set("bad", "oops", 1)
            assert not await limits.compare_and_set("bad", ABSENT, 1)
            assert [(await anext(changes)).kind for _ in range(2)] == [ADDED, LIVE]

            await other.set(f"{PATH}/bad", b"3")
            assert await anext(changes) == MapChange(ADDED, "bad", None, 3)
            await other.set(f"{PATH}/good", b"worse")
            assert await anext(changes) == MapChange(REMOVED, "good", 1, None)
            assert dict(limits.items()) == {"bad": 3}
            assert sorted(limits.refused) == ["good", "not%2fours"]


@in_every_way
async def test_what_is_below_an_entry_is_none_of_the_map_s_business(world: World) -> None:
    async with world.connect() as client, world.recipes.KeyValueMap(client, PATH, codec=STR) as limits:
        await limits.set("a", "1")
        await client.create(f"{PATH}/a/child", b"2")
        await limits.set("a", "3")
        assert dict(limits.items()) == {"a": "3"}
        with pytest.raises(NotEmpty):
            await limits.delete("a")


@in_every_way
async def test_writes_need_the_scope(world: World) -> None:
    async with world.connect() as client:
        limits = world.recipes.KeyValueMap(client, PATH)
        with pytest.raises(LocalProtocolError, match="outside"):
            await limits.set("a", b"1")
        assert await client.exists(PATH) is None


# Interruptions.


def expire(keeper: Keeper, client: Client) -> None:
    """The client's session is lost."""
    keeper.expire(client.session_id)


@on_both_backends
async def test_after_a_gap_and_after_a_lost_session_the_map_is_as_it_is() -> None:
    keeper = Keeper()
    async with (
        client_of(keeper, name="map") as client,
        client_of(keeper) as other,
        KeyValueMap(client, PATH, codec=STR) as limits,
    ):
        await limits.update({"a": "1", "b": "1"})
        for interrupt in (cut, expire):
            async with limits.changes() as changes:
                while (await anext(changes)).kind is not LIVE:
                    continue
                interrupt(keeper, client)
                await other.set(f"{PATH}/a", interrupt.__name__.encode())
                await other.create(f"{PATH}/{interrupt.__name__}")

                assert (await anext(changes)).kind is STALE
                assert not limits.is_live
                assert {(await anext(changes)).key for _ in range(2)} == {"a", interrupt.__name__}
                assert (await anext(changes)).kind is LIVE
                assert limits.is_live
        assert dict(limits.items()) == {"a": "expire", "b": "1", "cut": "", "expire": ""}


@on_both_backends
async def test_a_write_is_seen_although_the_connection_breaks_after_its_answer() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client, KeyValueMap(client, PATH, codec=STR) as limits:
        await limits.set("a", "1")

        def on_request(opcode: OpCode, record: Record | None) -> Action:
            if opcode != OpCode.GET_DATA:
                return Action.SERVE
            keeper.on_request = lambda opcode, record: Action.SERVE
            return Action.CUT_BEFORE

        keeper.on_request = on_request
        await limits.set("a", "2")
        assert limits["a"] == "2"


@on_both_backends
async def test_a_write_returns_although_no_server_is_left_to_read_it_from() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client, KeyValueMap(client, PATH, codec=STR) as limits:
        await limits.set("a", "1")

        def on_request(opcode: OpCode, record: Record | None) -> Action:
            if opcode != OpCode.GET_DATA:
                return Action.SERVE
            keeper.is_reachable = False
            return Action.CUT_BEFORE

        keeper.on_request = on_request
        await limits.set("a", "2")
        assert not limits.is_live
        assert limits["a"] == "1"

        keeper.on_request = lambda opcode, record: Action.SERVE
        keeper.is_reachable = True
        async with limits.changes() as changes:
            while (await anext(changes)).kind is not LIVE:
                continue
        assert limits["a"] == "2"


@on_both_backends
async def test_a_lost_answer_is_the_caller_s_to_judge() -> None:
    """The write may have happened or not; the map shows which, and to write it once more does no harm."""
    keeper = Keeper()
    async with client_of(keeper) as client, KeyValueMap(client, PATH, codec=STR) as limits:
        await limits.set("a", "1")
        for number, action in enumerate((Action.CUT_BEFORE, Action.CUT_AFTER)):
            keeper.on_request = Once(action, OpCode.SET_DATA)
            with pytest.raises(ConnectionLost):
                await limits.set("a", f"again {number}")
            await limits.set("a", f"again {number}")
            assert limits["a"] == f"again {number}"


@on_both_backends
async def test_a_reader_that_is_too_slow_is_told_so() -> None:
    keeper = Keeper()
    async with (
        client_of(keeper) as client,
        KeyValueMap(client, PATH, codec=STR) as limits,
        limits.changes(size=2) as changes,
    ):
        for number in range(4):
            await limits.set("a", str(number))
        assert [(await anext(changes)).new for _ in range(3)] == [None, "0", "1"]
        with pytest.raises(WatchOverflow):
            await anext(changes)
