"""Faults at random, for stories that must come to a good end in spite of them."""

import random
from collections.abc import Sequence
from typing import Final

import anyio

from coord_protocol.requests import OpCode
from tests.client.keeper import Action, Keeper, Once

OF_LOCKS: Final = (OpCode.CREATE2, OpCode.MULTI, OpCode.DELETE, OpCode.GET_CHILDREN2, OpCode.PING)
OF_LEASES: Final = (OpCode.LEASE_KEEP_ALIVE, OpCode.CREATE_WITH_LEASE, OpCode.LEASE_REVOKE)


async def trouble(keeper: Keeper, chance: random.Random, requests: Sequence[OpCode] = OF_LOCKS) -> None:
    """Two minutes of partitions of the clients "a" to "d", cuts and lost answers to `requests`; then all is well."""
    for _ in range(60):
        await anyio.sleep(chance.random() * 4)
        match chance.randrange(4):
            case 0:
                keeper.cut_off.add(chance.choice("abcd"))
            case 1:
                keeper.heal()
            case 2:
                keeper.on_request = Once(chance.choice([Action.CUT_BEFORE, Action.CUT_AFTER]), chance.choice(requests))
            case 3:
                keeper.cut_all()
    keeper.heal()
