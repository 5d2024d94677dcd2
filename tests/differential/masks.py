"""What a server said, as text, with what differs between any two runs replaced by what it means.

zxids        the step that made them: `@12`; `@-` for what was there before the sequence
times        `now`, if they lie within the run
session ids  whose they are: `client 1`
paths        `~` for the root of the sequence
order        of children, of ephemerals, and of identities, is no promise of ZooKeeper's: sorted
"""

import time
from typing import Any, Final

from coord_protocol.errors import Code, MarshallingError
from coord_protocol.jute import Record
from coord_protocol.multi import decode_multi_response, encode_multi_response
from coord_protocol.records import ACL, Stat, WatcherEvent
from coord_protocol.requests import RESPONSES, OpCode

_CLOCK_SLACK_MS: Final = 2_000  # clocks of one machine; a server may stamp a little earlier than it answers
_SORTED: Final = ("children", "ephemerals", "client_info")


class Masks:
    """What the numbers of one run stand for."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.began_ms = time.time() * 1000
        self.zxids: dict[int, str] = {}
        self.sessions: dict[int, str] = {}

    def learn_zxid(self, zxid: int, step: str) -> None:
        """The step's own; the first to claim it keeps it."""
        self.zxids.setdefault(zxid, step)

    def path(self, path: str) -> str:
        return "~" + path[len(self.root) :] if path.startswith(self.root) else path

    def event(self, frame_body: bytes) -> str:
        event = WatcherEvent.decode(frame_body)
        return f"event {event.type} state={event.state} {self.path(event.path)}"

    def answer(self, opcode: int, code: int, body: bytes) -> str:
        """The result of a request, behind its header."""
        if code:
            return _name(code) + (f" and {body.hex()}" if body else "")
        if opcode in (OpCode.MULTI, OpCode.MULTI_READ):
            return self._multi(body)
        record = RESPONSES.get(OpCode(opcode)) if opcode in set(OpCode) else None
        if record is None:
            return "ok" + (f" and {body.hex()}" if body else "")
        try:
            answer = record.decode(body)
        except MarshallingError:
            return f"undecodable {body.hex()}"
        return self._record(answer) + ("" if answer.encode() == body else f" encoded as {body.hex()}")

    def _multi(self, body: bytes) -> str:
        try:
            results = decode_multi_response(body, 0)
        except MarshallingError:
            return f"undecodable {body.hex()}"
        told = ", ".join(
            f"{opcode.name} {self._record(record) if record is not None else 'ok'}" for opcode, record in results
        )
        return f"[{told}]" + ("" if encode_multi_response(results) == body else f" encoded as {body.hex()}")

    def _record(self, record: Record) -> str:
        return ", ".join(f"{name}={self._value(name, getattr(record, name))}" for name in type(record).wire_fields)

    def _value(self, name: str, value: Any) -> str:
        match value:
            case Stat():
                return self._stat(value)
            case str() if name == "path":
                return self.path(value)
            case [*items] if name in _SORTED:
                return str(sorted(self.path(item) if isinstance(item, str) else repr(item) for item in items))
            case tuple():
                return str([tuple(acl) for acl in value if isinstance(acl, ACL)])
            case int() if name == "err":
                return _name(value)
            case _:
                return repr(value)

    def _stat(self, stat: Stat) -> str:
        shown: dict[str, Any] = stat._asdict()
        for name in ("czxid", "mzxid", "pzxid"):
            shown[name] = self.zxids.get(shown[name], "@-")
        for name in ("ctime", "mtime"):
            shown[name] = self._time(shown[name])
        owner = stat.ephemeral_owner
        shown["ephemeral_owner"] = self.sessions.get(owner, str(owner)) if owner else "nobody"
        return "(" + " ".join(f"{name}={value}" for name, value in shown.items()) + ")"

    def _time(self, time_ms: int) -> str:
        is_plausible = self.began_ms - _CLOCK_SLACK_MS <= time_ms <= time.time() * 1000 + _CLOCK_SLACK_MS
        return "now" if is_plausible else str(time_ms)


def _name(code: int) -> str:
    return Code(code).name if code in set(Code) else str(code)
