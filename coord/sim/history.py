"""What clients asked and were told, and whether it can be true.

Three judgements, from the strictest to the loosest:

    linearizable   writes, and reads that followed a `sync`, of each key: one order that respects real time
    sequential     every read of a session: what it has seen never goes back, and it sees its own writes
    global         a version of a znode has one value, whoever reads it, ever

The last two are judged as the answers come in; the first at the end of the run.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from math import inf

from coord.sim.linearizability import MAX_STEPS, Operation, State, Undecided, is_linearizable
from coord.sim.verdict import Violation

NO_NODE, BAD_VERSION, NODE_EXISTS = -101, -103, -110


class Register:
    """A znode as a register with versions: state is None, or (version, value).

    Calls: ("create", value) ("write", value) ("cas", version, value) ("delete", version) ("read",).
    Results: ("ok", version) of what is there now, ("gone",), ("is", version, value) for a read, ("refused",
    code).
    """

    initial: State = (None,)

    def apply(self, state: State, operation: Operation) -> State | None:
        assert isinstance(state, tuple)
        expected, following = _answer(state[0], operation.call)
        if operation.result is not None and operation.result != expected:
            return None
        return (following,)


Znode = tuple[int, Hashable] | None


def _answer(znode: Znode, call: tuple[Hashable, ...]) -> tuple[tuple[Hashable, ...], Znode]:
    match call:
        case ("create", value):
            if znode is not None:
                return ("refused", NODE_EXISTS), znode
            return ("ok", 0), (0, value)
        case _ if znode is None:
            return ("refused", NO_NODE), None
        case ("read",):
            return ("is", *znode), znode
        case ("write", value):
            return ("ok", znode[0] + 1), (znode[0] + 1, value)
        case ("cas", version, value):
            if version != znode[0]:
                return ("refused", BAD_VERSION), znode
            return ("ok", znode[0] + 1), (znode[0] + 1, value)
        case ("delete", version):
            if version not in (-1, znode[0]):
                return ("refused", BAD_VERSION), znode
            return ("gone",), None
        case _:
            raise AssertionError(f"no such call on a register: {call}")


@dataclass(slots=True)
class Pending:
    """An operation that has been sent; `History` turns it into an `Operation` when its fate is known."""

    client: int
    key: str
    invoked: float
    call: tuple[Hashable, ...]
    is_open: bool = True


@dataclass(slots=True)
class History:
    """Linearizable operations by key."""

    operations: dict[str, list[Operation]] = field(default_factory=dict)

    def invoke(self, client: int, key: str, now: float, *call: Hashable) -> Pending:
        return Pending(client, key, now, call)

    def answer(self, pending: Pending, now: float, *result: Hashable) -> None:
        self._close(pending, now, result)

    def lose(self, pending: Pending) -> None:
        """No answer will come: it may have happened, or may yet happen. A lost read says nothing and is
        dropped.
        """
        if pending.call[0] == "read":
            self.forget(pending)
        else:
            self._close(pending, inf, None)

    def forget(self, pending: Pending) -> None:
        """It certainly did not happen, and its answer says nothing of the key (the session was gone)."""
        assert pending.is_open, "an operation has one fate"
        pending.is_open = False

    def _close(self, pending: Pending, now: float, result: tuple[Hashable, ...] | None) -> None:
        self.forget(pending)
        operation = Operation(pending.client, pending.invoked, now, pending.call, result)
        self.operations.setdefault(pending.key, []).append(operation)

    def judge(self, max_steps: int = MAX_STEPS) -> Iterator[str]:
        """Check every key; yields the keys that could not be decided, raises `Violation` for one that is
        wrong.
        """
        model = Register()
        for key, operations in self.operations.items():
            try:
                right = is_linearizable(operations, model, max_steps)
            except Undecided:
                yield key
                continue
            if not right:
                raise Violation("linearizability", f"{key}: no order explains\n{_table(operations)}")


def _table(operations: list[Operation]) -> str:
    rows = sorted(operations, key=lambda operation: operation.invoked)
    return "\n".join(
        f"  {row.invoked:10.6f}..{row.returned:10.6f} client {row.client}: {row.call} -> {row.result}" for row in rows
    )
