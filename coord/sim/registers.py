"""Writes, compare-and-set, sync + read and plain reads of a few keys: for the linearizability checker."""

from dataclasses import dataclass, field

from coord.sim.client import Client
from coord.sim.history import Pending
from coord.sim.session import Call, Script
from coord.sim.world import SESSION_GONE, World, create, ensure, read, sync
from coord_protocol.errors import Code
from coord_protocol.jute import Record
from coord_protocol.records import Stat
from coord_protocol.requests import (
    Create2Response,
    DeleteRequest,
    OpCode,
    SetDataRequest,
    SetDataResponse,
)


def register(client: Client, world: World) -> Script:
    yield from ensure(client, "/r")
    user = RegisterUser(client, world)
    while not client.is_stopping:
        yield world.pause()
        yield from client.connected()
        path = f"/r/{world.chance.randrange(world.keys)}"
        dice = world.chance.random()
        if dice < 0.35:
            yield from user.sync_and_read(path)
        elif dice < 0.5:
            yield read(client, world, path)
        else:
            yield from user.change(path)


@dataclass(slots=True)
class RegisterUser:
    """One client of the registers."""

    client: Client
    world: World
    versions: dict[str, int] = field(default_factory=dict)
    """By path: the newest version that it knows of; it compares with that."""

    count: int = 0

    def change(self, path: str) -> Script:
        """One write: set, compare-and-set, delete, or create where there is nothing."""
        self.count += 1
        value = f"{self.client.number}.{self.count}"
        data = value.encode()
        known = self.versions.get(path)
        request: Record
        dice = self.world.chance.random()
        if known is None:
            pending = self._invoke(path, "create", value)
            opcode, request = OpCode.CREATE2, create(path, data)
        elif dice < 0.5:
            pending = self._invoke(path, "write", value)
            opcode, request = OpCode.SET_DATA, SetDataRequest(path, data, -1)
        elif dice < 0.9:
            pending = self._invoke(path, "cas", known, value)
            opcode, request = OpCode.SET_DATA, SetDataRequest(path, data, known)
        else:
            pending = self._invoke(path, "delete", -1)
            opcode, request = OpCode.DELETE, DeleteRequest(path, -1)
        call = self.client.call(opcode, request, lambda call: self._on_changed(pending, call, data))
        yield call
        self._close(pending, call)

    def _on_changed(self, pending: Pending, call: Call, data: bytes) -> None:
        path = pending.key
        if call.error in SESSION_GONE:
            return
        if not call.is_ok:
            assert call.error is not None
            self._answer(pending, "refused", call.error)
            if call.error == Code.NO_NODE:
                self.versions.pop(path, None)
            elif call.error == Code.NODE_EXISTS:
                self.versions[path] = 0
        elif call.opcode == OpCode.DELETE:
            self._answer(pending, "gone")
            self.versions.pop(path, None)
        else:
            response = Create2Response if call.opcode == OpCode.CREATE2 else SetDataResponse
            stat: Stat = response.decode(call.body).stat
            self._answer(pending, "ok", stat.version)
            self.world.values.on_read(self.client.who, path, stat, data)
            self.client.sight.on_write(path, stat)
            self.versions[path] = stat.version

    def sync_and_read(self, path: str) -> Script:
        """Linearizable: it takes effect between the sending of the sync and the answer of the read."""
        pending = self._invoke(path, "read")
        synced = sync(self.client, self.world, path)

        def judge(stat: Stat | None, data: bytes | None) -> None:
            if not synced.is_ok:
                return
            if stat is None or data is None:
                self.versions.pop(path, None)
                self._answer(pending, "refused", Code.NO_NODE.value)
            else:
                self.versions[path] = stat.version
                self._answer(pending, "is", stat.version, data.decode())

        call = read(self.client, self.world, path, judge=judge)
        yield call
        self._close(pending, call)

    def _invoke(self, path: str, *call: str | int) -> Pending:
        return self.world.history.invoke(self.client.number, path, self.client.timeline.now, *call)

    def _answer(self, pending: Pending, *result: str | int) -> None:
        self.world.history.answer(pending, self.client.timeline.now, *result)

    def _close(self, pending: Pending, call: Call) -> None:
        """If no answer settled it: what is its fate?"""
        if pending.is_open and call.was_sent and call.is_lost:
            self.world.history.lose(pending)
        elif pending.is_open:
            self.world.history.forget(pending)
