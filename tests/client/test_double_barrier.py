"""The double barrier: all begin together and end together, and nobody waits for the dead."""

import time
from typing import Any

import anyio
import pytest

from coord_client import Client
from coord_client.recipes import DoubleBarrier
from coord_protocol.errors import LocalProtocolError, LockLost, LockTimeout
from coord_protocol.requests import OpCode
from tests.client.backends import on_both_backends
from tests.client.keeper import Action, Keeper, Znode
from tests.client.lost_answers import at_every_write
from tests.client.opening import client_of, cut
from tests.client.strangers import in_thread, kazoo_of
from tests.client.ways import World, in_every_way

PATH = "/a/round"
SECONDS = 0.1  # of work, where it matters that it takes time


class Diary:
    """What participants did, in the order in which they did it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def take_part(self, barrier: Any, seconds: float = 0.0) -> None:
        """Once, and work for a while."""
        self.lines.append("comes")
        async with barrier:
            self.lines.append("works")
            await anyio.sleep(seconds)
            self.lines.append("is done")
        self.lines.append("leaves")

    def is_together(self, count: int, rounds: int = 1) -> bool:
        """Whether nobody worked before all were there, nor left before all were done."""
        words = ["comes"] * count, ["works", "is done"] * count, ["leaves"] * count
        expected = [sorted(each) for _ in range(rounds) for each in words]
        cut, found = 0, []
        for each in expected:
            found.append(sorted(self.lines[cut : cut + len(each)]))
            cut += len(each)
        return found == expected and cut == len(self.lines)


@in_every_way
async def test_all_begin_when_the_last_has_come_and_leave_when_the_last_is_done(world: World) -> None:
    diary = Diary()
    async with world.connect() as client, world.connect() as other:
        async with anyio.create_task_group() as tasks:
            for number, each in enumerate((client, other, client)):
                tasks.start_soon(diary.take_part, world.recipes.DoubleBarrier(each, PATH, 3), number * 0.05)

        assert diary.is_together(3)
        assert await client.get_children(PATH) == []


@in_every_way
async def test_round_after_round_at_one_path(world: World) -> None:
    """Those who are quick come back while the slow ones of the last round are still leaving."""
    begun: list[int] = []

    async def play(client: Client) -> None:
        barrier = world.recipes.DoubleBarrier(client, PATH, 2, timeout=20)
        for number in range(5):
            async with barrier:
                begun.append(number)

    async with world.connect() as one, world.connect() as two, anyio.create_task_group() as tasks:
        tasks.start_soon(play, one)
        tasks.start_soon(play, two)

    assert begun == sorted(list(range(5)) * 2)


@in_every_way
async def test_kazoo_and_we_take_part_together(world: World) -> None:
    """Everybody has some work to do: one of kazoo's that is through at once may leave others behind."""
    diary = Diary()

    def take_part_in_kazoo(count: int) -> None:
        barrier = kazoo.DoubleBarrier(PATH, count)
        diary.lines.append("comes")
        barrier.enter()
        diary.lines.append("works")
        time.sleep(SECONDS)
        diary.lines.append("is done")
        barrier.leave()
        diary.lines.append("leaves")

    async with world.connect() as client, kazoo_of(world) as kazoo:
        for ours, theirs in ((1, 1), (2, 1), (1, 2)):
            diary.lines.clear()
            with anyio.fail_after(20):
                async with anyio.create_task_group() as tasks:
                    for _ in range(ours):
                        barrier = world.recipes.DoubleBarrier(client, PATH, ours + theirs)
                        tasks.start_soon(diary.take_part, barrier, SECONDS)
                    for _ in range(theirs):
                        tasks.start_soon(in_thread, take_part_in_kazoo, ours + theirs)
            assert diary.is_together(ours + theirs)
            assert await client.get_children(PATH) == []


@at_every_write
async def test_all_begin_and_leave_together_whatever_answer_is_lost(keeper: Keeper) -> None:
    diary = Diary()
    async with client_of(keeper, name="a") as a, client_of(keeper, name="b") as b, client_of(keeper, name="c") as c:
        async with anyio.create_task_group() as tasks:
            for seconds, client in ((1.0, a), (2.0, b), (0.0, c)):
                tasks.start_soon(diary.take_part, DoubleBarrier(client, PATH, 3), seconds)
        await anyio.sleep(5.0)

    assert diary.is_together(3)
    assert keeper.children(PATH) == []


@on_both_backends
async def test_participants_that_wait_are_woken_by_one_event_each() -> None:
    keeper = Keeper()
    diary = Diary()
    async with client_of(keeper) as client, anyio.create_task_group() as tasks:
        for _ in range(9):
            tasks.start_soon(diary.take_part, DoubleBarrier(client, PATH, 10), 10.0)
            await anyio.sleep(0.1)
        assert keeper.count(OpCode.EXISTS) == 9
        tasks.start_soon(diary.take_part, DoubleBarrier(client, PATH, 10), 10.0)
        await anyio.sleep(1.0)

        # The last looks before and after it has said that all begins; the others once, whose beginning it is.
        assert keeper.count(OpCode.EXISTS) == 9 + 9 + 2
    assert diary.is_together(10)


@on_both_backends
async def test_who_comes_back_for_the_next_round_does_not_hold_up_the_last() -> None:
    """The last to go is back before the other, whom it released, has heard that it is gone."""
    keeper = Keeper()

    async def play(client: Client) -> None:
        for _ in range(2):
            async with DoubleBarrier(client, PATH, 2):
                await anyio.sleep(1.0)

    def delay_news_for_the_other(opcode: OpCode, _: object) -> Action:
        participants = [name for name in keeper.children(PATH) if name != "ready"]
        if opcode == OpCode.MULTI and len(participants) == 1:
            owner = keeper.znodes[f"{PATH}/{participants[0]}"].owner
            keeper.cut_off |= {link.label for link in keeper.links if link.session_id != owner}
            keeper.on_request = lambda opcode, record: Action.SERVE
        return Action.SERVE

    async with client_of(keeper, name="a") as a, client_of(keeper, name="b") as b:
        with anyio.fail_after(20.0):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(play, a)
                tasks.start_soon(play, b)
                await anyio.sleep(0.5)
                keeper.on_request = delay_news_for_the_other
                await anyio.sleep(1.0)
                assert len(keeper.cut_off) == 1
                assert len(keeper.children(PATH)) == 1
                keeper.heal()


@on_both_backends
async def test_who_dies_in_it_is_not_waited_for() -> None:
    keeper = Keeper()
    diary = Diary()

    async def take_part_and_die() -> None:
        async with DoubleBarrier(b, PATH, 3):
            keeper.expire(b.session_id)
            await anyio.sleep_forever()

    async def die() -> None:
        with pytest.raises(LockLost, match="the session has expired"):
            await take_part_and_die()

    async with client_of(keeper, name="a") as a, client_of(keeper, name="b") as b, anyio.create_task_group() as tasks:
        tasks.start_soon(die)
        tasks.start_soon(diary.take_part, DoubleBarrier(a, PATH, 3), 1.0)
        tasks.start_soon(diary.take_part, DoubleBarrier(a, PATH, 3), 2.0)

    assert diary.is_together(2)


@on_both_backends
async def test_who_dies_waiting_does_not_count() -> None:
    keeper = Keeper()
    async with client_of(keeper, name="a") as a, client_of(keeper, name="b") as b:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(DoubleBarrier(b, PATH, 2).__aenter__)
            await anyio.sleep(1.0)
            keeper.cut_off.add("b")
            keeper.expire(b.session_id)
            with pytest.raises(LockTimeout, match="not 2 participants in 5 s"):
                await DoubleBarrier(a, PATH, 2, timeout=5.0).__aenter__()
            tasks.cancel_scope.cancel()

        assert keeper.children(PATH) == []


@on_both_backends
async def test_who_waits_comes_in_again_in_its_next_session() -> None:
    keeper = Keeper()
    diary = Diary()
    async with client_of(keeper, name="a") as a, client_of(keeper, name="b") as b, anyio.create_task_group() as tasks:
        tasks.start_soon(diary.take_part, DoubleBarrier(b, PATH, 2))
        await anyio.sleep(1.0)
        keeper.expire(b.session_id)
        await anyio.sleep(5.0)
        assert len(keeper.children(PATH)) == 1
        tasks.start_soon(diary.take_part, DoubleBarrier(a, PATH, 2))

    assert diary.is_together(2)


@on_both_backends
async def test_the_body_is_cancelled_before_the_others_can_leave_without_us() -> None:
    """Behind a partition, a participant stops by its own clock; the others are released by the server's."""
    keeper = Keeper()
    log: list[str] = []

    async def take_part_cut_off(b: Client) -> None:
        async with DoubleBarrier(b, PATH, 2):
            keeper.cut_off.add("b")
            try:
                await anyio.sleep_forever()
            finally:
                log.append("stopped")

    async def cut_off() -> None:
        async with client_of(keeper, name="b", timeout=9.0) as b:
            with pytest.raises(LockLost, match="could not be confirmed in time"):
                await take_part_cut_off(b)

    async with (
        keeper.expiring_in_time(),
        client_of(keeper, name="a", timeout=9.0) as a,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(cut_off)
        async with DoubleBarrier(a, PATH, 2):
            pass
        log.append("left")

    assert log == ["stopped", "left"]


@on_both_backends
async def test_a_body_that_raises_leaves_without_waiting() -> None:
    keeper = Keeper()
    diary = Diary()
    async with client_of(keeper, name="a") as a, client_of(keeper, name="b") as b, anyio.create_task_group() as tasks:
        tasks.start_soon(diary.take_part, DoubleBarrier(a, PATH, 2), 60.0)
        started = anyio.current_time()
        with pytest.raises(ZeroDivisionError):
            async with DoubleBarrier(b, PATH, 2):
                raise ZeroDivisionError

        assert anyio.current_time() - started < 5.0
        assert diary.lines == ["comes", "works"]


@on_both_backends
async def test_who_waits_keeps_its_place_through_a_reconnect_even_if_all_begins_meanwhile() -> None:
    keeper = Keeper()
    diary = Diary()
    async with client_of(keeper, name="a") as a, client_of(keeper, name="b") as b, anyio.create_task_group() as tasks:
        tasks.start_soon(diary.take_part, DoubleBarrier(a, PATH, 2))
        await anyio.sleep(1.0)
        keeper.is_reachable = False
        cut(keeper, a)
        tasks.start_soon(diary.take_part, DoubleBarrier(b, PATH, 2))
        await anyio.sleep(3.0)
        keeper.is_reachable = True

    assert diary.is_together(2)


@on_both_backends
async def test_what_a_dead_round_has_left_behind_opens_nothing() -> None:
    """All participants died in their bodies, and `ready` stands for ever."""
    keeper = Keeper()
    keeper.znodes |= {"/a": Znode(b"", 0), PATH: Znode(b"", 0), f"{PATH}/ready": Znode(b"", 0)}
    diary = Diary()
    async with client_of(keeper, name="a") as a, client_of(keeper, name="b") as b, anyio.create_task_group() as tasks:
        tasks.start_soon(diary.take_part, DoubleBarrier(a, PATH, 2))
        await anyio.sleep(1.0)
        assert diary.lines == ["comes"]
        tasks.start_soon(diary.take_part, DoubleBarrier(b, PATH, 2))

    assert diary.is_together(2)


@on_both_backends
async def test_it_can_be_used_again_but_not_within_itself() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        barrier = DoubleBarrier(client, PATH, 1)
        for _ in range(2):
            async with barrier:
                with pytest.raises(LocalProtocolError, match="in use"):
                    await barrier.__aenter__()
