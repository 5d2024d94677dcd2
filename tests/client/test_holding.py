"""What a holder knows of its right: how long it lasts, that it has ended and why, and a margin to stop in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from coord_client.recipes import Held, Lock
from coord_protocol.errors import LocalProtocolError, LockLost
from tests.client.backends import on_both_backends
from tests.client.keeper import Keeper
from tests.client.opening import client_of

PATH = "/locks/x"
TIMEOUT = 9.0
CERTAIN = TIMEOUT * 0.95  # seconds from a ping that was answered to the deadline, as clocks may drift

UNCONFIRMED = "the session could not be confirmed in time"


@on_both_backends
async def test_the_deadline_moves_on_with_every_ping() -> None:
    keeper = Keeper()
    async with client_of(keeper, timeout=TIMEOUT) as client:
        async with client.lock(PATH) as held:
            first = held.deadline
            assert held.remaining() == pytest.approx(CERTAIN)
            await anyio.sleep(TIMEOUT * 3)
            assert held.deadline > first
            assert CERTAIN * 0.6 < held.remaining() <= CERTAIN
            assert held.lost is None
            held.check()

        assert held.remaining() == 0.0


@on_both_backends
async def test_a_right_that_was_given_up_is_no_right() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        async with client.lock(PATH) as held:
            held.release()
            assert held.remaining() == 0.0
            with pytest.raises(LockLost, match="it was given up"):
                held.check()

        assert held.lost == "it was given up"
        assert await held.wait_lost() == "it was given up"


@asynccontextmanager
async def losing(lock: Lock, reason: str) -> AsyncIterator[Held]:
    """Hold the lock until the body is cancelled because of `reason`."""
    told = ""
    try:
        async with lock as held:
            yield held
            await anyio.sleep(600)
    except LockLost as error:
        told = str(error)
    assert reason in told


async def note_end(held: Held, notes: list[tuple[str, float]]) -> None:
    notes.append((await held.wait_lost(), anyio.current_time()))


@on_both_backends
async def test_who_works_outside_of_the_body_can_wait_for_the_end_of_the_right() -> None:
    keeper = Keeper()
    notes: list[tuple[str, float]] = []
    async with (
        client_of(keeper) as client,
        client_of(keeper) as other,
        anyio.create_task_group() as tasks,
        losing(client.lock(PATH), "DELETED") as held,
    ):
        tasks.start_soon(note_end, held, notes)
        await anyio.sleep(1.0)
        await other.delete(held.znode)

    assert [reason for reason, _ in notes] == ["somebody touched its znode: DELETED"]
    assert held.lost == notes[0][0]


@on_both_backends
async def test_the_end_comes_at_the_last_deadline_if_nothing_is_heard() -> None:
    keeper = Keeper()
    notes: list[tuple[str, float]] = []
    async with client_of(keeper, timeout=TIMEOUT) as client, anyio.create_task_group() as tasks:
        async with losing(client.lock(PATH), UNCONFIRMED) as held:
            tasks.start_soon(note_end, held, notes)
            await anyio.sleep(TIMEOUT * 2)
            keeper.is_silent = True
        keeper.heal()

    ((reason, time),) = notes
    assert reason == UNCONFIRMED
    assert time == pytest.approx(held.deadline)


# Margins.


@on_both_backends
async def test_a_margin_ends_the_body_that_much_before_the_right() -> None:
    keeper = Keeper()
    async with client_of(keeper, timeout=TIMEOUT) as client:
        async with losing(client.lock(PATH, margin=3.0), UNCONFIRMED) as held:
            keeper.is_silent = True
            try:
                await anyio.sleep(600)
            finally:
                assert held.deadline - anyio.current_time() == pytest.approx(3.0)
        keeper.heal()


@on_both_backends
async def test_a_body_that_was_told_to_stop_is_not_called_back() -> None:
    """The session is confirmed while it cleans up: too late, and its caller must know that it did not finish."""
    keeper = Keeper()
    async with (
        client_of(keeper, timeout=TIMEOUT) as client,
        losing(client.lock(PATH, margin=4.0), UNCONFIRMED) as held,
    ):
        keeper.is_silent = True
        try:
            await anyio.sleep(600)
        finally:
            keeper.heal()
            with anyio.CancelScope(shield=True):
                await anyio.sleep(2.0)
            assert client.session_deadline > held.deadline


@on_both_backends
async def test_a_healthy_session_leaves_time_for_the_longest_margin() -> None:
    keeper = Keeper()
    async with client_of(keeper, timeout=TIMEOUT) as client, client.lock(PATH, margin=TIMEOUT / 2):
        await anyio.sleep(TIMEOUT * 5)


@on_both_backends
async def test_a_margin_that_the_session_cannot_give_is_refused() -> None:
    keeper = Keeper()
    async with client_of(keeper, timeout=TIMEOUT) as client:
        with pytest.raises(LocalProtocolError, match=r"margin of 5 s: with this session it can be from 0 to 4\.5 s"):
            await Lock(client, PATH, margin=5.0).__aenter__()
        assert keeper.children(PATH) == []
