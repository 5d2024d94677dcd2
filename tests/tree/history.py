"""Random histories that get somewhere: most commands name what exists and may be done, some do not.

Commands are tuples as `Model` takes them, chosen by the model's present state; `encoded` makes the log's
bytes of them. Not lists of Hypothesis strategies: those meet each other too rarely (tried: of 10,000 commands
500 created something, and six multis of more than one operation succeeded).
"""

from collections.abc import Sequence
from random import Random
from typing import Any, TypeVar

from coord.tree import commands
from tests.tree.model import SYSTEM, Model

Command = tuple[Any, ...]
T = TypeVar("T")

BAD_PATHS = ["/", "/zookeeper/quota", "/a/", "//a", "a", "/a/..", "/a/\0", "/none/a", "/none"]
OPEN = [(31, "world", "anyone")]
ODD_ACLS = [
    [(1, "world", "anyone"), (31, "digest", "bob:hash")],
    [(31, "auth", ""), (4, "world", "anyone")],
    [(31, "ip", "10.0.0.0/8"), (31, "ip", "10.0.0.0/8")],
    [(31, "nonsense", "")],
    [],
]
WEIGHTS = {
    "create": 30,
    "delete": 15,
    "set_data": 12,
    "multi": 18,
    "set_acl": 4,
    "create_session": 3,
    "attach_session": 2,
    "keep_alive": 5,
    "close_session": 1,
    "add_auth": 3,
    "lease_grant": 3,
    "lease_keep_alive": 3,
    "lease_revoke": 1,
    "end_lease": 1,
}


class History:
    """What clients do, one command after the other."""

    def __init__(self, random: Random, model: Model) -> None:
        self._random = random
        self._model = model

    def command(self) -> Command:
        rights = self._model.state.rights.values()
        if not any(right.epoch for right in rights):
            return ("create_session", 3_000, "10.0.0.1")
        name = self._random.choices(list(WEIGHTS), weights=list(WEIGHTS.values()))[0]
        match name:
            case "create_session":
                return (name, self._pick([1_000, 3_000, 7_000]), self._pick(["10.0.0.1", "11.0.0.1"]))
            case "attach_session":
                return (name, self._session()[0], self._pick([1_000, 3_000]), "10.0.0.2")
            case "keep_alive":
                return (name, [self._session() for _ in range(self._random.randrange(4))])
            case "multi":
                return (name, *self._session(), self._operations())
            case "close_session":
                return (name, *self._session())
            case "add_auth":
                return (name, *self._session(), *self._pick([("digest", "bob:hash"), ("super", "")]))
            case "lease_grant":
                return (name, *self._session(), self._pick([1_000, 3_000]), "name")
            case "lease_keep_alive":
                return (name, *self._session(), [self._lease(), self._lease()])
            case "lease_revoke":
                return (name, *self._session(), self._lease())
            case "end_lease":
                anything = self._pick([self._lease(), self._session()[0]])
                return (name, *self._session(), anything, self._pick([True, False]))
            case "set_acl":
                return (name, *self._session(), self._existing(), self._acl(), self._version())
            case _:
                return self._operation(name)

    def watch(self) -> tuple[str, int, str]:
        """(kind, connection, path)."""
        path = self._pick([self._existing(), self._new(), "/"])
        return self._pick(["data", "child", "persistent", "recursive"]), self._random.randrange(1, 4), path

    def _operations(self) -> list[Command]:
        names = self._random.choices(
            ["create", "delete", "set_data", "check"], [4, 2, 2, 1], k=self._random.randrange(6)
        )
        return [self._operation(name) for name in names]

    def _operation(self, name: str) -> Command:
        session = self._session()
        match name:
            case "create":
                mode = self._pick([0, 0, 0, 1, 1, 2, 3]) if self._is_usual() else self._pick([4, 9])
                lease = 0 if self._random.randrange(6) else self._lease()
                return (name, *session, self._new(), self._data(), self._acl(), mode, lease)
            case "set_data":
                return (name, *session, self._existing(), self._data(), self._version())
            case _:
                return (name, *session, self._existing(), self._version())

    def _session(self) -> tuple[int, int]:
        sessions = [right for right in self._model.state.rights.values() if right.epoch]
        if not sessions:
            return 4711, 4711
        session = self._pick(sessions)
        if self._is_usual():
            return session.id, session.epoch
        return self._pick([(session.id, session.id), (session.id, session.epoch + 1), (4711, 4711)])

    def _lease(self) -> int:
        leases = [right.id for right in self._model.state.rights.values() if not right.epoch]
        sessions = [right.id for right in self._model.state.rights.values() if right.epoch]
        return self._pick(leases) if leases and self._is_usual() else self._pick([4711, *sessions])

    def _existing(self) -> str:
        paths = [path for path in self._model.state.vertices if path not in SYSTEM]
        return self._pick(paths) if paths and self._is_usual() else self._pick(BAD_PATHS)

    def _new(self) -> str:
        """A path whose parent exists, and which may exist itself."""
        if not self._is_usual():
            return self._pick(BAD_PATHS)
        parents = [path for path in self._model.state.vertices if path not in SYSTEM and path.count("/") < 4]
        parent = self._pick(["", "", *parents])
        return f"{parent}/{self._pick(['a', 'b', 'c', 'd'])}"

    def _data(self) -> bytes | None:
        return self._pick([None, b"", b"data"])

    def _acl(self) -> list[tuple[int, str, str]]:
        return OPEN if self._random.randrange(8) else self._pick(ODD_ACLS)

    def _version(self) -> int:
        return self._pick([-1, -1, 0]) if self._is_usual() else self._pick([1, 2, -2])

    def _is_usual(self) -> bool:
        return self._random.randrange(20) > 0

    def _pick(self, choices: Sequence[T]) -> T:
        return self._random.choice(choices)


def encoded(command: Command) -> bytes:
    name, *arguments = command
    if name == "multi":
        session, epoch, operations = arguments
        return commands.multi(session, epoch, [encoded(operation) for operation in operations])
    if name == "lease_grant":
        arguments.append(b"")
    if name == "end_lease":
        *arguments, is_vouched_for = arguments
        return commands.end_lease(*arguments, is_vouched_for=is_vouched_for)
    result: bytes = getattr(commands, name)(*arguments)
    return result
