"""Faults at random, for stories that must come to a good end in spite of them."""

import random

import anyio

from coord_protocol.requests import OpCode
from tests.client.keeper import Action, Keeper, Once


async def trouble(keeper: Keeper, chance: random.Random) -> None:
    """Two minutes of partitions of the clients "a" to "d", cuts and lost answers; then all is well."""
    for _ in range(60):
        await anyio.sleep(chance.random() * 4)
        match chance.randrange(4):
            case 0:
                keeper.cut_off.add(chance.choice("abcd"))
            case 1:
                keeper.heal()
            case 2:
                keeper.on_request = Once(
                    chance.choice([Action.CUT_BEFORE, Action.CUT_AFTER]),
                    chance.choice([OpCode.CREATE2, OpCode.MULTI, OpCode.DELETE, OpCode.GET_CHILDREN2, OpCode.PING]),
                )
            case 3:
                keeper.cut_all()
    keeper.heal()
