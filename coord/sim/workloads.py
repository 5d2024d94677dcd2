"""What clients do all day. Each workload is a script (`coord.sim.client`).

    queue      pipelined sequential creates with payloads of their own: for exactly-once and order
    pair       two znodes changed only together, by multi, some of which must fail: for all or nothing
    watch      one-shot, child and persistent watches on what others change
    probe      nothing but sync: for reads that know too little
    ephemeral  ephemerals of sessions that are closed, or die of silence
    audit      the last one: reads what is there at the end

More are in `registers` and `contenders`. Scripts judge nothing themselves but what only they can know; they
tell the checkers what they asked and what they were told.
"""

from collections.abc import Generator

from coord.sim.client import Client
from coord.sim.session import Call, News, Script, Wait
from coord.sim.world import World, children, create, ensure, exists, read, sync
from coord_protocol.errors import Code
from coord_protocol.multi import culprit_of, decode_multi_response, encode_multi_request
from coord_protocol.requests import (
    AddWatchMode,
    AddWatchRequest,
    CheckVersionRequest,
    CreateMode,
    CreateResponse,
    DeleteRequest,
    GetChildren2Response,
    GetDataResponse,
    OpCode,
    SetDataRequest,
    SetDataResponse,
)

# -- queue


def queue(client: Client, world: World) -> Script:
    yield from ensure(client, "/q")
    count = 0
    while not client.is_stopping:
        yield world.pause()
        yield from client.connected()
        if world.chance.random() < 0.2:
            yield sync(client, world)
        batch: list[tuple[str, Call]] = []
        for _ in range(world.chance.choice((1, 1, 3, 10))):
            count += 1
            payload = f"{client.number}.{count}"
            call = client.call(OpCode.CREATE, create("/q/e-", payload.encode(), CreateMode.PERSISTENT_SEQUENTIAL))
            if call.was_sent:
                world.ledger.sent(client.number, client.connection_number, payload)
                batch.append((payload, call))
        for payload, call in batch:
            yield call
            if call.is_ok:
                world.ledger.acknowledged(payload, CreateResponse.decode(call.body).path)
            elif call.error is not None:
                world.ledger.refused(payload, call.error)


# -- pair


def pair(client: Client, world: World) -> Script:
    for path in ("/p", "/p/a", "/p/b"):
        yield from ensure(client, path)
    count = 0
    while not client.is_stopping:
        yield world.pause()
        yield from client.connected()
        count += 1
        if world.chance.random() < 0.5:
            yield from _read_pair(client, world)
            continue
        fails = world.chance.random() < 0.3
        data = f"{client.number}.{count}{' must not be seen' if fails else ''}".encode()
        operations = [
            (OpCode.SET_DATA, SetDataRequest("/p/a", data, -1)),
            (OpCode.SET_DATA, SetDataRequest("/p/b", data, -1)),
            (OpCode.CHECK, CheckVersionRequest("/p", 1 if fails else 0)),
        ]
        call = client.call(OpCode.MULTI, encode_multi_request(operations))
        yield call
        if call.is_ok:
            culprit = culprit_of(decode_multi_response(call.body, 0))
            world.ledger.judge_multi(client.who, culprit, (2, Code.BAD_VERSION.value) if fails else None)


def _read_pair(client: Client, world: World) -> Script:
    """The second of two reads is of the same state or a later one."""
    calls = [read(client, world, path) for path in ("/p/a", "/p/b")]
    yield sync(client, world)
    yield from calls
    if all(call.is_ok for call in calls):
        first, second = (GetDataResponse.decode(call.body) for call in calls)
        world.ledger.judge_pair(client.who, first, second)


# -- watch


def watch(client: Client, world: World) -> Script:
    yield from ensure(client, "/w")
    paths = [f"/w/{number}" for number in range(world.keys)]
    for path in paths:
        yield from ensure(client, path)
    count = 0
    while not client.is_stopping:
        yield News(world.pause())
        yield from client.connected()
        count += 1
        path = world.chance.choice(paths)
        dice = world.chance.random()
        if dice < 0.3:
            yield _set(client, path, f"{client.number}.{count}".encode())
        elif dice < 0.35:
            yield sync(client, world)
        elif dice < 0.4:
            yield from _come_and_go(client, f"/w/child-{client.number}")
        elif dice < 0.5:
            yield children(client, "/w", watch=True)
        elif dice < 0.6:
            yield exists(client, f"/w/child-{world.chance.randrange(8)}", watch=True)
        elif dice < 0.7:
            yield _watch_for_ever(client, path, AddWatchMode.PERSISTENT)
        elif dice < 0.73:
            yield _watch_for_ever(client, "/w", AddWatchMode.PERSISTENT_RECURSIVE)
        else:
            yield read(client, world, path, watch=world.chance.random() < 0.7)
    for path in paths:
        yield from client.connected()
        yield read(client, world, path)


def _set(client: Client, path: str, data: bytes) -> Call:
    def on_answer(call: Call) -> None:
        if call.is_ok:
            client.sight.on_write(path, SetDataResponse.decode(call.body).stat)

    return client.call(OpCode.SET_DATA, SetDataRequest(path, data, -1), on_answer)


def _watch_for_ever(client: Client, path: str, mode: AddWatchMode) -> Call:
    def on_answer(call: Call) -> None:
        if not call.is_ok:
            return
        if mode is AddWatchMode.PERSISTENT:
            client.sight.on_persistent_watch(path)
        else:
            client.sight.on_recursive_watch(path)

    return client.call(OpCode.ADD_WATCH, AddWatchRequest(path, mode), on_answer)


def _come_and_go(client: Client, path: str) -> Script:
    call = client.call(OpCode.CREATE, create(path, b"", CreateMode.EPHEMERAL))
    yield call
    if call.error == Code.NODE_EXISTS:
        yield client.call(OpCode.DELETE, DeleteRequest(path, -1))


# -- probe


def probe(client: Client, world: World) -> Script:
    """Ask again and again, without waiting for answers: to be there when a leader knows too little."""
    while not client.is_stopping:
        yield world.chance.uniform(0.0, 0.08)
        yield from client.connected()
        sync(client, world)
    yield sync(client, world)


# -- ephemeral


def ephemeral(client: Client, world: World) -> Script:
    yield from ensure(client, "/e")
    count = 0
    while not client.is_stopping:
        yield world.pause()
        yield from client.connected()
        count += 1
        dice = world.chance.random()
        if dice < 0.8:
            yield client.call(OpCode.CREATE, create(f"/e/{client.number}.{count}", b"", CreateMode.EPHEMERAL))
        elif dice < 0.9:
            # Requests behind a close are never carried out; what was before it is.
            closing = client.call(OpCode.CLOSE_SESSION, b"")
            yield closing
        else:
            yield world.chance.uniform(0.0, 1.5 * client.habits.timeout)


# -- the last one


def audit(client: Client, world: World) -> Script:
    """When all others have finished: read everything that they agreed on, and compare."""
    yield from client.connected()
    found: dict[str, str] | None = None
    while found is None:
        yield from client.connected()
        yield sync(client, world)
        found = yield from _read_queue(client, world)
    world.ledger.judge_queue(found)
    calls = [read(client, world, path) for path in ("/p/a", "/p/b")]
    yield from calls
    if all(call.is_ok for call in calls):
        first, second = (GetDataResponse.decode(call.body) for call in calls)
        world.ledger.judge_final_pair(first, second)


def _read_queue(client: Client, world: World) -> Generator[Wait, None, dict[str, str] | None]:
    """Path → payload of all that is in the queue; None if the connection broke."""
    listing = children(client, "/q")
    yield listing
    if listing.error == Code.NO_NODE:
        return {}
    if not listing.is_ok:
        return None
    paths = [f"/q/{name}" for name in GetChildren2Response.decode(listing.body).children]
    calls = [read(client, world, path) for path in paths]
    yield from calls
    if not all(call.is_ok for call in calls):
        return None
    datas = [GetDataResponse.decode(call.body).data for call in calls]
    return {path: (data or b"").decode() for path, data in zip(paths, datas, strict=True)}
