"""Do the steps of a sequence at one server, and write down what each client hears, in order.

One step is finished before the next begins: its answer is here. An event for another client is then already in that
client's connection, in front of whatever it is answered next, so that what each client hears has one order only.
Requests that flow wait for their answers together, before anybody else does a step.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from coord_protocol.errors import Code
from coord_protocol.frames import (
    AUTH_XID,
    NOTIFICATION_XID,
    PING_XID,
    REPLY_HEADER,
    REQUEST_HEADER,
    SET_WATCHES_XID,
    frame,
)
from coord_protocol.jute import Record
from coord_protocol.multi import encode_multi_request
from coord_protocol.records import OPEN_ACL_UNSAFE
from coord_protocol.requests import ConnectRequest, ConnectResponse, CreateRequest, ExistsRequest, OpCode, SetWatches2
from tests.differential.masks import Masks
from tests.differential.steps import Ask, Body, Break, Connect, Drop, Resume, Rewatch, Seen, Step
from tests.differential.wire import Silence, Wire

FAR_FUTURE: Final = 1 << 60
PASSWORD_BYTES: Final = 16

_XIDS: Final[dict[int, int]] = {
    OpCode.AUTH: AUTH_XID,
    OpCode.SET_WATCHES: SET_WATCHES_XID,
    OpCode.SET_WATCHES2: SET_WATCHES_XID,
}
_OVERTAKING: Final = (OpCode.AUTH, OpCode.SASL, OpCode.NOTIFICATION)
"""ZooKeeper may answer these before the requests that came ahead of them. The last stands for unknown opcodes."""

_MAY_END_IT: Final = (Code.UNIMPLEMENTED, Code.AUTH_FAILED, Code.MARSHALLING_ERROR)
"""Codes after which some requests find their connection closed, and others not."""


class Line(NamedTuple):
    """Something that a client heard, or how its connection fared."""

    step: int
    """The step when it was read; of an answer, the one that asked."""
    text: str


class Waiting(NamedTuple):
    step: int
    opcode: int
    xid: int
    is_told: bool = True
    is_of_root: bool = False
    """Of the tree's, not the sequence's."""


@dataclass
class Client:
    wire: Wire | None = None
    session: int = 0
    password: bytes = bytes(PASSWORD_BYTES)
    last_zxid: int = 0
    xid: int = 0
    waiting: deque[Waiting] = field(default_factory=deque)
    lines: list[Line] = field(default_factory=list)


Account = dict[int, list[Line]]
"""What each client heard."""


def play(address: str, root: str, steps: Sequence[Step]) -> Account:
    """`root`: the path of a znode that does not exist yet; its parent does, or is `/`."""
    player = Player(address, root)
    try:
        for number, step in enumerate(steps):
            player.do(number, step)
        player.finish(len(steps))
    except Silence:
        player.clients[player.busy].lines.append(Line(player.number, "silence"))
    finally:
        player.leave()
    return {number: client.lines for number, client in sorted(player.clients.items())}


class Player:
    def __init__(self, address: str, root: str) -> None:
        self.address = address
        self.masks = Masks(root)
        self.clients: dict[int, Client] = {}
        self.busy = -1
        """The client of the present step."""
        self.number = -1
        gardener = self._client(-1)
        self._greet(gardener, ConnectRequest(0, 0, 30_000, 0, bytes(PASSWORD_BYTES), False))
        self._ask(gardener, Ask(-1, OpCode.CREATE, CreateRequest("~", b"", OPEN_ACL_UNSAFE, 0)))

    def do(self, number: int, step: Step) -> None:
        if step.client != self.busy or not isinstance(step, Ask) or step.opcode in _OVERTAKING:
            self._settle_all()
        self.number, self.busy = number, step.client
        client = self._client(step.client)
        match step:
            case Connect(_, timeout_ms, has_read_only):
                self._drop(client)
                read_only = False if has_read_only else None
                self._greet(client, ConnectRequest(0, 0, timeout_ms, 0, bytes(PASSWORD_BYTES), read_only))
            case Drop():
                self._drop(client)
            case Resume():
                self._resume(client, step)
            case Ask():
                self._ask(client, step)
            case Rewatch(_, seen, data, exist, child, persistent, recursive):
                lists = [list(paths) for paths in (data, exist, child, persistent, recursive)]
                self._ask(client, Ask(step.client, OpCode.SET_WATCHES2, SetWatches2(_zxid(client, seen), *lists)))
            case Break(_, data):
                self._break(client, data)

    def finish(self, number: int) -> None:
        """All that was still on its way is heard, and the sessions are closed."""
        self._settle_all()
        for index, client in sorted(self.clients.items()):
            self.number, self.busy = number, index
            if client.wire is None and client.session:
                self._greet(client, ConnectRequest(0, 0, 30_000, client.session, client.password, False))
            self._drain(client)
            self._ask(client, Ask(index, OpCode.CLOSE_SESSION))

    def leave(self) -> None:
        for client in self.clients.values():
            if client.wire is not None:
                client.wire.close()

    # -- connections

    def _client(self, number: int) -> Client:
        return self.clients.setdefault(number, Client())

    def _drop(self, client: Client) -> None:
        self._drain(client)
        if client.wire is not None:
            client.wire.close()
            client.wire = None

    def _resume(self, client: Client, step: Resume) -> None:
        self._drain(client)
        former = client.wire
        if former is not None and not step.has_right_password:
            former.close()  # whether it may be disturbed by somebody without the password: see `known`
            former = None
        password = client.password if step.has_right_password else b"guess".ljust(PASSWORD_BYTES)
        request = ConnectRequest(0, _zxid(client, step.seen), 30_000, client.session, password, False)
        self._greet(client, request)
        if former is not None and step.seen is not Seen.FUTURE:
            self._say(client, "the former connection is closed" if former.receive() is None else "it stands")
        if former is not None:
            former.close()

    def _greet(self, client: Client, request: ConnectRequest) -> None:
        client.wire = Wire(self.address)
        client.wire.send(frame(request.encode()))
        answer = client.wire.receive()
        if answer is None:
            self._closed(client)
            return
        response = ConnectResponse.decode(answer)
        if response.timeout_ms <= 0:
            client.session = 0
            self._say(client, f"session expired, {response.password!r}")
            self._expect_end(client)
            return
        is_same = (response.session_id, response.password) == (client.session, client.password)
        client.session, client.password = response.session_id, response.password or b""
        self.masks.sessions.setdefault(client.session, f"client {self.busy}")
        kind = "same session" if is_same else "new session"
        self._say(
            client,
            f"{kind}, version {response.protocol_version}, {response.timeout_ms} ms, "
            f"{len(client.password)} bytes of password, read-only: {response.read_only}",
        )

    def _break(self, client: Client, data: bytes) -> None:
        self._drain(client)
        if client.wire is not None:
            client.wire.send(data)
            self._expect_end(client)

    def _expect_end(self, client: Client) -> None:
        if client.wire is not None and client.wire.receive() is None:
            self._closed(client)
        else:
            self._say(client, "more, where the end should be")

    def _closed(self, client: Client) -> None:
        self._say(client, "closed")
        if client.wire is not None:
            client.wire.close()
        client.wire = None
        client.waiting.clear()

    # -- requests

    def _ask(self, client: Client, step: Ask) -> None:
        if client.wire is None:
            self._say(client, "not connected")
            return
        if step.opcode == OpCode.CLOSE_SESSION:
            self._close_session(client, step)
        else:
            self._send(client, step)
            if not step.flows:
                self._settle(client)

    def _close_session(self, client: Client, step: Ask) -> None:
        """ZooKeeper deletes the ephemerals that it leaves in no order, so the events of that are sorted."""
        for each in self.clients.values():
            self._drain(each)
        if client.wire is None:
            return
        before = [(each, len(each.lines)) for each in self.clients.values()]
        self._send(client, step)
        self._settle(client)
        for each, count in before:
            self._drain(each)
            each.lines[count:] = sorted(each.lines[count:], key=_events_first)

    def _send(self, client: Client, step: Ask) -> None:
        assert client.wire is not None, "whoever asks is connected"
        client.xid += 1
        xid = _XIDS.get(step.opcode, client.xid) if step.xid is None else step.xid
        body = encode(step.body, self.masks.root)
        client.wire.send(frame(REQUEST_HEADER.pack(xid, step.opcode) + body))
        client.waiting.append(Waiting(self.number, step.opcode, xid, is_of_root=_is_of_root(step.body)))

    def _settle_all(self) -> None:
        busy = self.busy
        for number, client in self.clients.items():
            self.busy = number
            self._settle(client)
        self.busy = busy

    def _settle(self, client: Client) -> None:
        """Until nothing is owed."""
        while client.waiting and client.wire is not None:
            answer = client.wire.receive()
            if answer is None:
                self._closed(client)
            else:
                self._hear(client, answer)

    def _drain(self, client: Client) -> None:
        """All events so far are heard: what comes before the answer to a read. (A ping's waits for coord's tick.)"""
        if client.wire is not None:
            client.wire.send(frame(REQUEST_HEADER.pack(0, OpCode.EXISTS) + ExistsRequest("/", False).encode()))
            client.waiting.append(Waiting(self.number, OpCode.EXISTS, 0, is_told=False))
            self._settle(client)

    def _hear(self, client: Client, answer: bytes) -> None:
        xid, zxid, code = REPLY_HEADER.unpack_from(answer)
        body = answer[REPLY_HEADER.size :]
        if xid == NOTIFICATION_XID:
            self._say(client, self.masks.event(body))
            return
        waiting = client.waiting.popleft()
        if zxid > 0:
            if zxid < client.last_zxid:
                self._say(client, "a zxid that is lower than the one before")
            client.last_zxid = max(client.last_zxid, zxid)
        if not code and waiting.opcode in _WRITES:
            self.masks.learn_zxid(zxid, f"@{waiting.step}")
        expected = PING_XID if waiting.opcode == OpCode.PING else waiting.xid
        order = "" if xid == expected else f"xid {xid} instead of {expected}: "
        sign = zxid if zxid <= 0 else "a zxid"
        if waiting.is_told or order:
            is_hidden = waiting.is_of_root and not code
            text = "ok, of the root" if is_hidden else self.masks.answer(waiting.opcode, code, body)
            client.lines.append(Line(waiting.step, f"{order}{text} [{sign}]"))
        if waiting.opcode == OpCode.CLOSE_SESSION and not code:
            client.session = 0
            self._expect_end(client)
        elif waiting.opcode == OpCode.NOTIFICATION:
            self._expect_end(client)
        elif code in _MAY_END_IT and not client.waiting:
            self._drain(client)

    def _say(self, client: Client, text: str) -> None:
        client.lines.append(Line(self.number, text))


_WRITES: Final = frozenset(
    {
        OpCode.CREATE,
        OpCode.CREATE2,
        OpCode.CREATE_CONTAINER,
        OpCode.CREATE_TTL,
        OpCode.DELETE,
        OpCode.SET_DATA,
        OpCode.SET_ACL,
        OpCode.MULTI,
        OpCode.CLOSE_SESSION,
    }
)


def encode(body: Body, root: str) -> bytes:
    """The bytes of a body below the root of its sequence."""
    if isinstance(body, bytes):
        return body
    if isinstance(body, Record):
        return _below(body, root).encode()
    return encode_multi_request((OpCode(opcode), _below(record, root)) for opcode, record in body)


def _below(record: Record, root: str) -> Record:
    kind = type(record)
    return kind(*(_below_value(getattr(record, name), root) for name in kind.wire_fields))


def _below_value(value: Any, root: str) -> Any:
    if isinstance(value, str):
        return root + value[1:] if value.startswith("~") else value
    return [_below_value(item, root) for item in value] if isinstance(value, list) else value


def _zxid(client: Client, seen: Seen) -> int:
    return {Seen.NOTHING: 0, Seen.ALL_IT_SAW: client.last_zxid, Seen.FUTURE: FAR_FUTURE}[seen]


def _events_first(line: Line) -> tuple[bool, str]:
    is_event = line.text.startswith("event ")
    return not is_event, line.text if is_event else ""


def _is_of_root(body: Body) -> bool:
    records = [record for _, record in body] if isinstance(body, tuple) else [body]
    return any(getattr(record, "path", "~") in ("", "/") for record in records)
