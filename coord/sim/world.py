"""The world that all clients of a run share, and the requests that are judged wherever they come from."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from coord.sim.client import Client
from coord.sim.exclusivity import Exclusivity, LeaseBook
from coord.sim.history import History
from coord.sim.ledger import Ledger
from coord.sim.session import Call, Script
from coord.sim.sight import Values
from coord.sim.verdict import Violation
from coord_protocol.errors import Code
from coord_protocol.records import OPEN_ACL_UNSAFE, Stat
from coord_protocol.requests import (
    CreateMode,
    CreateRequest,
    ExistsRequest,
    ExistsResponse,
    GetChildren2Response,
    GetChildrenRequest,
    GetDataRequest,
    GetDataResponse,
    OpCode,
    SyncRequest,
)

SESSION_GONE = (Code.SESSION_EXPIRED, Code.SESSION_MOVED)
"""Answers that say nothing of the znode: the request was not even looked at."""


@dataclass(slots=True)
class World:
    """What all scripts of a run share."""

    chance: Random
    exclusivity: Exclusivity
    book: LeaseBook
    frontier: Callable[[], int]
    """The highest zxid that anybody can have been told of, now."""

    history: History = field(default_factory=History)
    ledger: Ledger = field(default_factory=Ledger)
    values: Values = field(default_factory=Values)
    think: float = 0.2
    """Mean time between two requests of a script."""

    keys: int = 3

    def pause(self) -> float:
        return self.chance.expovariate(1 / self.think)


def create(path: str, data: bytes, mode: CreateMode = CreateMode.PERSISTENT) -> CreateRequest:
    return CreateRequest(path, data, OPEN_ACL_UNSAFE, mode)


def ensure(client: Client, path: str) -> Script:
    """Make sure that `path` is there, whoever makes it."""
    while not client.is_stopping:
        yield from client.connected()
        call = client.call(OpCode.CREATE, create(path, b""))
        yield call
        if call.error in (Code.OK, Code.NODE_EXISTS):
            return


# -- requests that anybody may make


def sync(client: Client, world: World, path: str = "/") -> Call:
    """Its answer must show everything that anybody knew when it was asked (thesis §6.4)."""
    known = world.frontier()

    def on_answer(call: Call) -> None:
        if call.is_ok and call.zxid < known:
            raise Violation(
                "a sync shows everything known before it",
                f"{client.who} asked when {known} was applied somewhere, and was answered at {call.zxid}",
            )

    return client.call(OpCode.SYNC, SyncRequest(path), on_answer)


def read(
    client: Client,
    world: World,
    path: str,
    watch: bool = False,
    judge: Callable[[Stat | None, bytes | None], None] | None = None,
) -> Call:
    """getData, judged as one of its session's reads; `judge` is given what it found."""

    def on_answer(call: Call) -> None:
        stat = data = None
        if call.is_ok:
            response = GetDataResponse.decode(call.body)
            stat, data = response.stat, response.data
            world.values.on_read(client.who, path, stat, data)
        elif call.error != Code.NO_NODE:
            return
        client.sight.on_read(path, stat, watch and call.is_ok)
        if judge is not None:
            judge(stat, data)

    return client.call(OpCode.GET_DATA, GetDataRequest(path, watch), on_answer)


def exists(client: Client, path: str, watch: bool) -> Call:
    def on_answer(call: Call) -> None:
        if call.error in (Code.OK, Code.NO_NODE):
            client.sight.on_read(path, ExistsResponse.decode(call.body).stat if call.is_ok else None, watch)

    return client.call(OpCode.EXISTS, ExistsRequest(path, watch), on_answer)


def children(client: Client, path: str, watch: bool = False) -> Call:
    def on_answer(call: Call) -> None:
        if call.is_ok:
            client.sight.on_children(path, GetChildren2Response.decode(call.body).stat, watch)

    return client.call(OpCode.GET_CHILDREN2, GetChildrenRequest(path, watch), on_answer)
