"""A small coord in memory: a tree, sessions, leases and watches, and a script of what goes wrong.

It has no tasks: what a client sends is served at once, in the client's own `send`. Tests make faults:

    keeper.on_request = …        decides for each request: SERVE, CUT before or after it was applied, HOLD
    keeper.is_reachable = False  nobody can dial
    keeper.cut_all()             every connection breaks
    keeper.is_silent = True      nothing passes, as behind a partition; `cut_off` names single clients; `heal`
    keeper.expire(session)       the session ends with its ephemerals; `keeper.leases.end` is for leases
    keeper.expiring_in_time      sessions and leases end by the clock
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto

import anyio

from coord_client.addresses import Address
from coord_protocol.errors import ApiError, Code, MarshallingError, NoNode
from coord_protocol.extensions import (
    EXTENSION_REQUESTS,
    EXTENSIONS_VERSION,
    ExtensionFailure,
    NameSessionRequest,
    StatusResponse,
)
from coord_protocol.frames import REPLY_HEADER, REQUEST_HEADER, FrameSplitter, frame
from coord_protocol.jute import Record
from coord_protocol.multi import decode_multi_request, encode_multi_failure, encode_multi_response
from coord_protocol.paths import parent_of, with_sequence
from coord_protocol.records import OPEN_ACL_UNSAFE, ClientInfo, EventType, Stat, WatcherEvent
from coord_protocol.requests import (
    REQUESTS,
    AddWatchRequest,
    AuthPacket,
    CheckVersionRequest,
    ConnectRequest,
    ConnectResponse,
    Create2Response,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    ErrorResponse,
    ExistsRequest,
    ExistsResponse,
    GetACLRequest,
    GetACLResponse,
    GetChildren2Response,
    GetChildrenRequest,
    GetDataRequest,
    GetDataResponse,
    OpCode,
    RemoveWatchesRequest,
    SetDataRequest,
    SetDataResponse,
    SetWatches2,
    SyncRequest,
    SyncResponse,
    WhoAmIResponse,
)
from tests.client.lease_office import LeaseOffice


class Action(Enum):
    """What happens to a request: HOLD serves it, but keeps all answers back until `Link.release`."""

    SERVE = auto()
    CUT_BEFORE = auto()
    CUT_AFTER = auto()
    HOLD = auto()


class Once:
    """A script: the first request of a kind meets with `action`, all others are served."""

    def __init__(self, action: Action, opcode: OpCode) -> None:
        self.action = action
        self.opcode = opcode
        self.is_over = False

    def __call__(self, opcode: OpCode, record: Record | None) -> Action:
        if opcode != self.opcode or self.is_over:
            return Action.SERVE
        self.is_over = True
        return self.action


@dataclass
class Znode:
    """A vertex."""

    data: bytes | None
    czxid: int
    owner: int = 0
    mzxid: int = 0
    version: int = 0
    creates: int = 0
    pzxid: int = 0


@dataclass
class Session:
    """A client, as the server knows it."""

    timeout: float
    password: bytes
    heard_at: float
    name: str = ""


@dataclass
class Link:
    """One connection: the client's end of it is a stream, the server's end is called."""

    keeper: "Keeper"
    label: str = ""
    session_id: int = 0
    to_client: bytearray = field(default_factory=bytearray)
    held: list[bytes] | None = None
    delayed: bytearray = field(default_factory=bytearray)
    """Bytes of the client that are still under way, because of a partition."""
    is_open: bool = True
    news: anyio.Event = field(default_factory=anyio.Event)
    splitter: FrameSplitter = field(default_factory=FrameSplitter)
    watched: set[tuple[str, str]] = field(default_factory=set)
    """Pairs of kind ("data", "child", "persistent", "recursive") and path."""

    async def send(self, item: bytes) -> None:
        """The client sends."""
        await anyio.lowlevel.checkpoint()
        if not self.is_open:
            raise anyio.BrokenResourceError
        self.keeper.on_bytes(self, item)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """The client receives."""
        await anyio.lowlevel.checkpoint()
        while not self.to_client or self.keeper.is_cut_off(self):
            if not self.to_client and not self.is_open and not self.keeper.is_cut_off(self):
                raise anyio.EndOfStream
            self.news = anyio.Event()
            await self.news.wait()
        data = bytes(self.to_client[:max_bytes])
        del self.to_client[:max_bytes]
        return data

    async def aclose(self) -> None:
        """The client closes."""
        self.cut()

    def cut(self) -> None:
        """The connection ends, for both sides. What was sent before still arrives."""
        self.is_open = False
        self.news.set()

    def answer(self, body: bytes) -> None:
        """Bytes for the client."""
        if not self.is_open:
            return
        if self.held is not None:
            self.held.append(body)
            return
        self.to_client += frame(body)
        self.news.set()

    def release(self) -> None:
        """Send what was held."""
        held, self.held = self.held or [], None
        for body in held:
            self.answer(body)


class Keeper:
    """See the module's head."""

    def __init__(self, *, extensions: bool = True, max_timeout: float = 60.0) -> None:
        self.extensions = extensions
        self.max_timeout = max_timeout
        self.znodes = {"/": Znode(b"", 0)}
        self.sessions: dict[int, Session] = {}
        self.leases = LeaseOffice(self)
        self.links: list[Link] = []
        self.zxid = 0
        self.dialled: list[Address] = []
        self.handshakes: list[ConnectRequest] = []
        self.sends = 0
        """How often clients called `send`."""
        self.seen: list[tuple[OpCode, Record | None]] = []
        """Every request that came, in order."""
        self.on_request: Callable[[OpCode, Record | None], Action] = lambda opcode, record: Action.SERVE
        self.is_reachable = True
        self.is_silent = False
        self.cut_off: set[str] = set()
        """Labels of clients behind a partition."""
        self._delayed_events: list[tuple[EventType, str]] | None = None
        """Those of a transaction that is under way."""
        self.hidden: set[str] = set()
        """Paths that nobody may read."""
        self.knows_persistent_types = True
        """ZooKeeper's removeWatches does so from 3.9 on."""

    async def dial(self, address: Address) -> Link:
        """Stands in for a TCP connection."""
        await anyio.lowlevel.checkpoint()
        self.dialled.append(address)
        if not self.is_reachable:
            raise ConnectionRefusedError(f"{address} refuses")
        link = Link(self)
        self.links.append(link)
        return link

    def dialler(self, label: str) -> Callable[[Address], Awaitable[Link]]:
        """A `dial` for one client: while its label is in `cut_off`, it is behind a partition."""

        async def dial(address: Address) -> Link:
            link = await self.dial(address)
            link.label = label
            return link

        return dial

    def is_cut_off(self, link: Link) -> bool:
        """Whether nothing passes over this connection for now."""
        return self.is_silent or link.label in self.cut_off

    def heal(self) -> None:
        """Partitions end. What was sent meanwhile arrives now, as TCP repeats what was not acknowledged."""
        self.is_silent = False
        self.cut_off.clear()
        for link in list(self.links):
            delayed = bytes(link.delayed)
            link.delayed.clear()
            if delayed and link.is_open:
                self.on_bytes(link, delayed)
            link.news.set()

    # The script's tools.

    def cut_all(self) -> None:
        """Every connection breaks."""
        for link in self.links:
            link.cut()

    def expire(self, session_id: int) -> None:
        """The session ends, and its ephemerals with it."""
        for link in self.links:
            if link.session_id == session_id:
                link.cut()
        self._end_session(session_id)

    def _end_session(self, session_id: int) -> None:
        del self.sessions[session_id]
        self.end_owned_by(session_id)

    def owned_by(self, owner: int) -> list[str]:
        """Paths of the znodes of a session or lease."""
        return [path for path, znode in self.znodes.items() if znode.owner == owner]

    def end_owned_by(self, owner: int) -> None:
        """The znodes of a session or lease end, in one change."""
        self.zxid += 1
        for path in self.owned_by(owner):
            self.remove(path)

    @asynccontextmanager
    async def expiring_in_time(self) -> AsyncIterator[None]:
        """Within it, sessions and leases end when nothing was heard of them for as long as they last."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._expire_in_time)
            yield
            tasks.cancel_scope.cancel()

    async def _expire_in_time(self) -> None:
        while True:
            ends = [session.heard_at + session.timeout for session in self.sessions.values()]
            await anyio.sleep_until(min(*ends, self.leases.next_end(), anyio.current_time() + 0.1))
            for session_id, session in list(self.sessions.items()):
                if anyio.current_time() >= session.heard_at + session.timeout:
                    self.expire(session_id)
            self.leases.end_overdue(anyio.current_time())

    def children(self, path: str) -> list[str]:
        """Names of the children, oldest first."""
        prefix = path.rstrip("/") + "/"
        found = [each for each in self.znodes if each.startswith(prefix) and each != "/"]
        return [each[len(prefix) :] for each in found if "/" not in each[len(prefix) :]]

    def count(self, opcode: OpCode) -> int:
        """How many requests of this kind came."""
        return sum(1 for seen, _ in self.seen if seen == opcode)

    # Serving.

    def on_bytes(self, link: Link, data: bytes) -> None:
        """A client sent something."""
        self.sends += 1
        if self.is_cut_off(link):
            link.delayed += data
            return
        for body in link.splitter.feed(data):
            if not link.is_open:
                return
            if not link.session_id:
                self._on_handshake(link, body)
            else:
                self._on_request(link, body)

    def _on_handshake(self, link: Link, body: bytes) -> None:
        request = ConnectRequest.decode(body)
        self.handshakes.append(request)
        session = self.sessions.get(request.session_id)
        session_id = request.session_id
        if session_id and (session is None or session.password != request.password):
            link.answer(ConnectResponse(0, 0, 0, bytes(16), read_only=False).encode())
            link.cut()
            return
        if session is None:
            self.zxid += 1
            session_id = 0x100 + self.zxid
            timeout = min(request.timeout_ms / 1000, self.max_timeout)
            session = self.sessions[session_id] = Session(timeout, session_id.to_bytes(16, "big"), 0.0)
        for other in self.links:
            if other is not link and other.session_id == session_id:
                other.cut()
        link.session_id = session_id
        session.heard_at = anyio.current_time()
        version = EXTENSIONS_VERSION if self.extensions and request.protocol_version else 0
        timeout_ms = round(session.timeout * 1000)
        link.answer(ConnectResponse(version, timeout_ms, session_id, session.password, read_only=False).encode())

    def _on_request(self, link: Link, body: bytes) -> None:
        xid, number = REQUEST_HEADER.unpack_from(body)
        opcode = OpCode(number)
        self.sessions[link.session_id].heard_at = anyio.current_time()
        records = REQUESTS | EXTENSION_REQUESTS
        record = records[opcode].decode(body, REQUEST_HEADER.size) if opcode in records else None
        self.seen.append((opcode, record))
        action = self.on_request(opcode, record)
        if action is Action.CUT_BEFORE:
            link.cut()
            return
        if action is Action.HOLD and link.held is None:
            link.held = []
        try:
            answer = self._serve(link, opcode, record, body)
            err = 0
        except ApiError as error:
            answer, err = b"", error.code
        except NotImplementedError:
            link.answer(REPLY_HEADER.pack(xid, -1, Code.UNIMPLEMENTED))
            link.cut()
            return
        if action is Action.CUT_AFTER:
            link.cut()
            return
        if err <= Code.EXTENSION_ERROR:
            answer = ExtensionFailure(err, "refused", "", self.zxid).encode()
        link.answer(REPLY_HEADER.pack(xid, 0 if opcode == OpCode.AUTH else self.zxid, err) + answer)
        if opcode == OpCode.CLOSE_SESSION or (opcode == OpCode.AUTH and err):
            link.cut()

    def _serve(self, link: Link, opcode: OpCode, record: Record | None, body: bytes) -> bytes:
        if isinstance(record, GetDataRequest | GetChildrenRequest) and record.path in self.hidden:
            raise _error(Code.NO_AUTH, record.path)
        match record:
            case CreateRequest() | DeleteRequest() | SetDataRequest() | CheckVersionRequest():
                self.zxid += 1
                result = self._write(link, record)
                if opcode == OpCode.CREATE:
                    assert isinstance(result, Create2Response)
                    return CreateResponse(result.path).encode()
                return result.encode() if result else b""
            case GetDataRequest():
                znode = self._find(record.path)
                self._watch(link, record, "data")
                return GetDataResponse(znode.data, self._stat(record.path)).encode()
            case ExistsRequest():
                self._watch(link, record, "data")
                self._find(record.path)
                return ExistsResponse(self._stat(record.path)).encode()
            case GetChildrenRequest():
                self._find(record.path)
                self._watch(link, record, "child")
                return GetChildren2Response(self.children(record.path), self._stat(record.path)).encode()
            case GetACLRequest():
                return GetACLResponse(OPEN_ACL_UNSAFE, self._stat(record.path)).encode()
            case SyncRequest():
                return SyncResponse(record.path).encode()
            case AddWatchRequest():
                link.watched.add(("recursive" if record.mode else "persistent", record.path))
                return ErrorResponse(0).encode()
            case RemoveWatchesRequest():
                self._remove_watch(link, record)
            case SetWatches2():
                self._rearm(link, record)
            case AuthPacket():
                if record.scheme != "digest":
                    raise _error(Code.AUTH_FAILED)
            case NameSessionRequest():
                self._need_extensions()
                self.sessions[link.session_id].name = record.name
            case None if opcode == OpCode.MULTI:
                return self._multi(link, body)
            case None:
                return self._serve_rest(link, opcode)
            case _:
                return self._serve_extension(link, opcode, record)
        return b""

    def _serve_rest(self, link: Link, opcode: OpCode) -> bytes:
        match opcode:
            case OpCode.PING:
                return b""
            case OpCode.CLOSE_SESSION:
                self._end_session(link.session_id)
                return b""
            case OpCode.WHO_AM_I:
                return WhoAmIResponse([ClientInfo("ip", "127.0.0.1")]).encode()
            case _:
                raise NotImplementedError(opcode)

    def _serve_extension(self, link: Link, opcode: OpCode, record: Record) -> bytes:
        self._need_extensions()
        if opcode == OpCode.STATUS:
            return StatusResponse('{"role": "leader"}').encode()
        answer = self.leases.serve(record)
        if answer is None:
            raise NotImplementedError(opcode)
        return answer

    def _need_extensions(self) -> None:
        if not self.extensions:
            raise NotImplementedError("extensions")

    def _multi(self, link: Link, body: bytes) -> bytes:
        operations = decode_multi_request(body, REQUEST_HEADER.size)
        before = {path: Znode(**vars(znode)) for path, znode in self.znodes.items()}
        self.zxid += 1
        self._delayed_events = []  # nobody is told of what is taken back
        results: list[tuple[OpCode, Record | None]] = []
        for index, (opcode, record) in enumerate(operations):
            try:
                result = self._write(link, record)
            except ApiError as error:
                self.znodes = before
                self._delayed_events = None
                return encode_multi_failure(len(operations), index, error.code)
            if isinstance(result, Create2Response):
                result = CreateResponse(result.path)
            results.append((opcode, result))
        events, self._delayed_events = self._delayed_events, None
        for event, path in events:
            self._fire(event, path)
        return encode_multi_response(results)

    # The tree.

    def _write(self, link: Link, record: Record) -> Record | None:
        match record:
            case CreateRequest():
                return self.create(record, owner=link.session_id if record.flags & 1 else 0)
            case DeleteRequest():
                self._check(record.path, record.version)
                if self.children(record.path):
                    raise _error(Code.NOT_EMPTY, record.path)
                self.remove(record.path)
            case SetDataRequest():
                znode = self._check(record.path, record.version)
                znode.data, znode.mzxid, znode.version = record.data, self.zxid, znode.version + 1
                self._fire(EventType.DATA_CHANGED, record.path)
                return SetDataResponse(self._stat(record.path))
            case CheckVersionRequest():
                self._check(record.path, record.version)
            case _:
                raise MarshallingError(detail=repr(record))
        return None

    def create(self, record: CreateRequest, *, owner: int) -> Create2Response:
        """`owner`: the session or lease that it ends with, or 0."""
        parent = self._find(parent_of(record.path))
        path = with_sequence(record.path, parent.creates) if record.flags & 2 else record.path
        if path in self.znodes:
            raise _error(Code.NODE_EXISTS, path)
        parent.creates += 1
        parent.pzxid = self.zxid
        self.znodes[path] = Znode(record.data, self.zxid, owner, self.zxid)
        self._fire(EventType.CREATED, path)
        self._fire(EventType.CHILDREN_CHANGED, parent_of(path))
        return Create2Response(path, self._stat(path))

    def remove(self, path: str) -> None:
        """A znode goes, whoever wanted it."""
        del self.znodes[path]
        self.znodes[parent_of(path)].pzxid = self.zxid
        self._fire(EventType.DELETED, path)
        self._fire(EventType.CHILDREN_CHANGED, parent_of(path))

    def _find(self, path: str) -> Znode:
        if path not in self.znodes:
            raise NoNode(path)
        return self.znodes[path]

    def _check(self, path: str, version: int) -> Znode:
        znode = self._find(path)
        if version not in (-1, znode.version):
            raise _error(Code.BAD_VERSION, path)
        return znode

    def _stat(self, path: str) -> Stat:
        znode = self.znodes[path]
        children = self.children(path)
        return Stat(
            znode.czxid, znode.mzxid, 0, 0, znode.version, 2 * znode.creates - len(children), 0, znode.owner,
            len(znode.data or b""), len(children), znode.pzxid,
        )  # fmt: skip

    # Watches.

    def _watch(self, link: Link, record: GetDataRequest | ExistsRequest | GetChildrenRequest, kind: str) -> None:
        if record.watch:
            link.watched.add((kind, record.path))

    def _remove_watch(self, link: Link, record: RemoveWatchesRequest) -> None:
        kinds = {3: {"data", "child", "persistent", "recursive"}, 4: {"persistent"}, 5: {"recursive"}}[record.type]
        if record.type != 3 and not self.knows_persistent_types:
            raise MarshallingError
        link.watched -= {(kind, record.path) for kind in kinds}

    def _fire(self, event: EventType, path: str) -> None:
        if self._delayed_events is not None:
            self._delayed_events.append((event, path))
            return
        for link in self.links:
            kinds = {
                EventType.CHILDREN_CHANGED: {"child"},
                EventType.DELETED: {"data", "child"},
            }.get(event, {"data"})
            fired = {(kind, path) for kind in kinds} & link.watched
            link.watched -= fired
            stays = ("persistent", path) in link.watched or (
                event is not EventType.CHILDREN_CHANGED
                and any(
                    kind == "recursive" and (path + "/").startswith(top.rstrip("/") + "/") for kind, top in link.watched
                )
            )
            if fired or stays:
                self._tell(link, event, path)

    def _tell(self, link: Link, event: EventType, path: str) -> None:
        link.answer(REPLY_HEADER.pack(-1, self.zxid, 0) + WatcherEvent(event, 3, path).encode())

    def _rearm(self, link: Link, request: SetWatches2) -> None:
        for path in request.data:
            znode = self.znodes.get(path)
            if znode is None:
                self._tell(link, EventType.DELETED, path)
            elif znode.mzxid > request.relative_zxid:
                self._tell(link, EventType.DATA_CHANGED, path)
            else:
                link.watched.add(("data", path))
        for path in request.exist:
            if path in self.znodes:
                self._tell(link, EventType.CREATED, path)
            else:
                link.watched.add(("data", path))
        for path in request.child:
            znode = self.znodes.get(path)
            if znode is None:
                self._tell(link, EventType.DELETED, path)
            elif znode.pzxid > request.relative_zxid:
                self._tell(link, EventType.CHILDREN_CHANGED, path)
            else:
                link.watched.add(("child", path))
        link.watched |= {("persistent", path) for path in request.persistent}
        link.watched |= {("recursive", path) for path in request.persistent_recursive}


def _error(code: Code, path: str = "") -> ApiError:
    error = ApiError(path)
    error.code = code
    return error
