"""Receipts: a transaction happens once, and its caller knows whether it did, or knows that it does not know."""

import anyio
import pytest

from coord_client import Check, Client, Create, Set
from coord_client.receipts import RECEIPTS
from coord_protocol.errors import BadVersion, ConnectionLost, CoordError, NoNode, SessionExpired
from coord_protocol.requests import OpCode
from tests.client.backends import on_both_backends
from tests.client.keeper import Action, Keeper, Once
from tests.client.lost_answers import at_every_write
from tests.client.opening import client_of

ITEM = Create("/item-", sequence=True)


def items(keeper: Keeper) -> list[str]:
    """What the transactions have made."""
    return [name for name in keeper.children("/") if name.startswith("item-")]


@at_every_write
async def test_a_transaction_happens_once_whatever_answer_is_lost(keeper: Keeper) -> None:
    """Though somebody takes away at once what it made, so that no look at the tree would tell."""
    async with client_of(keeper) as client:
        for _ in range(3):
            await client.receipts.commit(ITEM)

    assert len(items(keeper)) == 3


@on_both_backends
async def test_one_receipt_serves_who_waits_for_each_answer_and_several_serve_many_at_once() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        for _ in range(5):
            await client.receipts.commit(ITEM)
        assert len(keeper.children(RECEIPTS)) == 1

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(client.receipts.commit, ITEM)
        assert len(keeper.children(RECEIPTS)) == 5

    assert len(items(keeper)) == 10
    assert keeper.children(RECEIPTS) == []


@on_both_backends
async def test_a_refusal_names_the_callers_operation_and_spoils_no_receipt() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        await client.create("/a")

        with pytest.raises(BadVersion) as refused:
            await client.receipts.commit(ITEM, Set("/a", b"", version=7))
        assert refused.value.op_index == 1
        with pytest.raises(NoNode) as refused_too:
            await client.receipts.commit(Check("/missing"))
        assert refused_too.value.op_index == 0
        await client.receipts.commit(ITEM)

        assert len(items(keeper)) == 1
        assert len(keeper.children(RECEIPTS)) == 1


@on_both_backends
async def test_a_receipt_whose_writer_was_cancelled_is_looked_at_before_it_is_used_again() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        await client.receipts.commit(ITEM)
        keeper.on_request = Once(Action.HOLD, OpCode.MULTI)
        with anyio.move_on_after(1.0):
            await client.receipts.commit(ITEM)
        keeper.links[-1].release()

        await client.receipts.commit(ITEM)

        assert len(items(keeper)) == 3
        assert len(keeper.children(RECEIPTS)) == 1


@on_both_backends
async def test_a_session_that_ends_with_the_answer_leaves_the_outcome_open() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        await client.receipts.commit(ITEM)

        def expire(opcode: OpCode, _: object) -> Action:
            if opcode != OpCode.MULTI:
                return Action.SERVE
            keeper.on_request = lambda opcode, record: Action.SERVE
            keeper.sessions[client.session_id].password = b"another"  # so it cannot be taken up again
            return Action.CUT_AFTER

        keeper.on_request = expire
        with pytest.raises(SessionExpired) as unknown:
            await client.receipts.commit(ITEM)

        assert not unknown.value.definite
        await client.receipts.commit(ITEM)
        assert len(items(keeper)) == 3


@on_both_backends
async def test_an_unreachable_cluster_leaves_open_what_was_sent_and_nothing_else() -> None:
    keeper = Keeper()

    async def error_of(client: Client) -> CoordError:
        with pytest.raises(ConnectionLost) as lost:
            await client.receipts.commit(ITEM)
        return lost.value

    async with client_of(keeper, retry_timeout=2.0) as client:
        await client.receipts.commit(ITEM)

        def cut_for_good(opcode: OpCode, _: object) -> Action:
            if opcode != OpCode.MULTI:
                return Action.SERVE
            keeper.is_reachable = False
            return Action.CUT_AFTER

        keeper.on_request = cut_for_good
        assert not (await error_of(client)).definite
        assert (await error_of(client)).definite


@on_both_backends
async def test_a_receipt_that_somebody_else_touches_is_an_error_and_not_a_guess() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        await client.receipts.commit(ITEM)
        (name,) = keeper.children(RECEIPTS)
        await client.set(f"{RECEIPTS}/{name}", b"touched")

        with pytest.raises(CoordError, match="somebody else wrote"):
            await client.receipts.commit(ITEM)
        await client.receipts.commit(ITEM)

        assert len(items(keeper)) == 2
