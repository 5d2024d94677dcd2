"""The party: who is a member is seen by all, and a member stays one through whatever happens to its session."""

import anyio
import pytest

from coord_client.recipes import Member, Party
from coord_protocol.errors import BadArguments
from coord_protocol.requests import OpCode
from tests.client.backends import on_both_backends
from tests.client.keeper import Keeper
from tests.client.lost_answers import at_every_write
from tests.client.opening import client_of, cut
from tests.client.strangers import in_thread, kazoo_of
from tests.client.ways import World, in_every_way

PATH = "/a/party"


def names(members: frozenset[Member]) -> list[str]:
    """In order."""
    return sorted(member.name for member in members)


@in_every_way
async def test_members_are_seen_to_come_and_go(world: World) -> None:
    async with world.connect(name="one") as one, world.connect() as two:
        ours, theirs = world.recipes.Party(one, PATH), world.recipes.Party(two, PATH, name="two")
        assert await ours.members() == frozenset()
        with anyio.fail_after(10):
            async with ours.watch_members() as views:
                assert await anext(views) == frozenset()
                async with theirs.join() as member:
                    assert await anext(views) == {member}
                    async with ours.join():
                        assert names(await anext(views)) == ["one", "two"]
                        assert names(await theirs.members()) == ["one", "two"]
                    assert names(await anext(views)) == ["two"]
                assert await anext(views) == frozenset()


@in_every_way
async def test_one_name_may_be_that_of_several_members(world: World) -> None:
    async with world.connect(name="w") as client:
        for shallow in (False, True):
            party = world.recipes.Party(client, f"{PATH}-{shallow}", shallow=shallow)
            async with party.join() as first, party.join() as second:
                assert first != second
                assert names(await party.members()) == ["w", "w"]


@in_every_way
async def test_kazoos_members_and_ours_see_each_other(world: World) -> None:
    """In both of kazoo's layouts."""
    async with world.connect() as client, kazoo_of(world) as kazoo:
        for path, shallow, kind in (("/deep", False, kazoo.Party), ("/shallow", True, kazoo.ShallowParty)):
            ours = world.recipes.Party(client, path, name="o-u-r-s", shallow=shallow)
            theirs = kind(path, "their-s")
            with anyio.fail_after(10):
                async with ours.watch_members() as views, ours.join():
                    while names(await anext(views)) != ["o-u-r-s"]:
                        pass
                    await in_thread(theirs.join)
                    assert names(await anext(views)) == ["o-u-r-s", "their-s"]
                    assert sorted(await in_thread(lambda theirs=theirs: list(theirs))) == ["o-u-r-s", "their-s"]
                    assert await in_thread(theirs.leave)
                    assert names(await anext(views)) == ["o-u-r-s"]
            assert await in_thread(lambda theirs=theirs: list(theirs)) == []


@at_every_write
async def test_a_member_is_there_once_and_then_gone_whatever_answer_is_lost(keeper: Keeper) -> None:
    async with client_of(keeper, name="w") as client:
        for shallow in (False, True):
            async with Party(client, PATH, shallow=shallow).join():
                assert len(keeper.children(PATH)) == 1
            await anyio.sleep(5.0)
            assert keeper.children(PATH) == []


@on_both_backends
async def test_a_member_joins_again_in_its_next_session() -> None:
    """As the same znode; those who watch see it go and come, as the body goes on."""
    keeper = Keeper()
    seen: list[list[str]] = []

    async def watch() -> None:
        async with Party(other, PATH).watch_members() as views:
            async for members in views:
                seen.append(names(members))

    async with client_of(keeper, name="a") as client, client_of(keeper, name="b") as other:
        async with anyio.create_task_group() as tasks, Party(client, PATH).join() as member:
            tasks.start_soon(watch)
            await anyio.sleep(1.0)
            for _ in range(2):
                keeper.expire(client.session_id)
                await anyio.sleep(5.0)
                assert await Party(client, PATH).members() == {member}
            tasks.cancel_scope.cancel()
        assert keeper.children(PATH) == []

    assert seen == [["a"], [], ["a"], [], ["a"]]


@on_both_backends
async def test_who_leaves_while_the_session_is_lost_does_not_come_back() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        async with Party(client, PATH).join():
            keeper.is_reachable = False
            keeper.expire(client.session_id)
            await anyio.sleep(1.0)
        keeper.is_reachable = True
        await anyio.sleep(5.0)

        assert keeper.children(PATH) == []


@on_both_backends
async def test_who_leaves_while_cut_off_is_removed_after_the_reconnect() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        async with Party(client, PATH).join():
            keeper.is_reachable = False
            cut(keeper, client)
            await anyio.sleep(1.0)
        assert len(keeper.children(PATH)) == 1

        keeper.is_reachable = True
        await anyio.sleep(5.0)

        assert keeper.children(PATH) == []


@on_both_backends
async def test_a_view_goes_on_through_a_reconnect_and_in_the_next_session() -> None:
    keeper = Keeper()
    async with (
        client_of(keeper, name="a") as client,
        client_of(keeper, name="b") as other,
        Party(client, PATH).watch_members() as views,
    ):
        assert await anext(views) == frozenset()
        cut(keeper, client)
        async with Party(other, PATH).join() as member:
            assert await anext(views) == {member}
            keeper.expire(client.session_id)
        assert await anext(views) == frozenset()


@on_both_backends
async def test_a_view_reads_each_member_once() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client, client_of(keeper, name="b") as other:
        party = Party(other, PATH)
        async with party.join(), party.join(), Party(client, PATH).watch_members() as views:
            await anext(views)
            before = keeper.count(OpCode.GET_DATA)
            async with party.join():
                assert len(await anext(views)) == 3

            # One by the new member, of its own znode, and one by the view.
            assert keeper.count(OpCode.GET_DATA) - before == 2


@on_both_backends
async def test_a_name_that_a_path_cannot_hold_is_refused() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        with pytest.raises(BadArguments):
            await Party(client, PATH, name="a/b", shallow=True).join().__aenter__()
        async with Party(client, PATH, name="a/b").join() as member:
            assert await Party(client, PATH).members() == {member}
