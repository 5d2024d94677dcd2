"""What is known to differ, by name, with the reason. Everything else is a failure.

Some differences show in the lines of an account: these are `KNOWN`, each with a rule that recognises it. Others would
change all that follows, so that the sequences avoid them, or the masks hide them: these are `AVOIDED` and `MASKED`.
ZooKeeper is Debian's 3.8.0; what 3.9.5 does counts where the two differ.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from coord_protocol.jute import Record
from coord_protocol.multi import END
from coord_protocol.paths import SEQUENCE_DIGITS
from coord_protocol.records import OPEN_ACL_UNSAFE
from coord_protocol.requests import CheckWatchesRequest, OpCode, RemoveWatchesRequest, SyncRequest
from tests.differential.steps import Ask, Step

MASKED: Final = {
    "zxids are other numbers": "coord's keep-alives and attached sessions take indexes of the log, too; the order and "
    "equality of zxids is compared",
    "an event carries its zxid": "-1 in 3.8; since 3.9 the zxid of the change, as in coord; that it never falls is "
    "checked",
    "children and identities are sorted": "ZooKeeper promises no order (it lists a hash set); coord's is always one",
    "what the root says": "it is shared by all sequences that ran before",
    "events of a session that is closed are sorted": "ZooKeeper deletes its ephemerals in no order (a hash set)",
    "passwords": "coord's cannot be computed from the session id",
}

AVOIDED: Final = {
    "auth or sasl that does not decode": "ZooKeeper closes without an answer (its I/O thread reads these); coord "
    "answers MARSHALLING_ERROR, as to all that does not decode",
    "requests right behind a setACL": "ZooKeeper judges them by the ACL before it, until the setACL is applied (its "
    "record of the change to come keeps the old one); coord in the order of the log",
    "containers and znodes with a TTL": "only with --extended",
    "auth, sasl and unknown opcodes behind others": "ZooKeeper answers them ahead of requests that came before; coord "
    "in order, as clients expect that check it",
    "a zxid from the future": "ZooKeeper closes without an answer, for ever; coord answers `expired`, so that the "
    "client starts anew",
    "one path, watches of two modes": "in 3.8 the mode of a connection's latest watch of a path counts for all of its "
    "watches there; since 3.9.0 each counts for itself (ZOOKEEPER-4466)",
    "addresses of IPv6 in an ACL": "3.8 refuses them as invalid; later releases and coord know them",
    "a longer session": "coord allows 60 s by default, ZooKeeper 40: the server under test is started with 40",
    "a wrong password disturbs nobody": "ZooKeeper drops the session's connection before it looks at the password",
}


@dataclass(frozen=True)
class Context:
    """What a rule may look at beside the two lines."""

    steps: Sequence[Step]
    restricted: frozenset[str]
    """Paths that had an ACL, at some time, which does not let everybody do everything."""

    @classmethod
    def of(cls, steps: Sequence[Step]) -> "Context":
        return cls(steps, frozenset(path for step in steps if isinstance(step, Ask) for path in _restricted_by(step)))

    def was_restricted(self, path: str) -> bool:
        """Also the name of a sequential znode counts for the path that was asked for."""
        return path in self.restricted or path[:-SEQUENCE_DIGITS] in self.restricted

    def request(self, number: int) -> Ask | None:
        step = self.steps[number] if 0 <= number < len(self.steps) else None
        return step if isinstance(step, Ask) else None


def _restricted_by(step: Ask) -> list[str]:
    records = [record for _, record in step.body] if isinstance(step.body, tuple) else [step.body]
    return [
        str(getattr(record, "path", ""))
        for record in records
        if isinstance(record, Record) and getattr(record, "acl", OPEN_ACL_UNSAFE) != OPEN_ACL_UNSAFE
    ]


@dataclass(frozen=True)
class Known:
    """A difference that shows."""

    name: str
    reason: str
    recognises: Callable[[str, str, int, Context], bool]
    """(ZooKeeper's line, coord's line, the step, context)."""
    takes_theirs: int = 1
    takes_ours: int = 1
    """How many lines of each side it explains."""


def difference_of(theirs: str, ours: str, step: int, context: Context) -> Known | None:
    """The name that these two lines have, if any."""
    return next((known for known in KNOWN if known.recognises(theirs, ours, step, context)), None)


def _is_exists_unread(theirs: str, ours: str, step: int, context: Context) -> bool:
    request = context.request(step)
    is_exists = request is not None and request.opcode == OpCode.EXISTS
    return is_exists and theirs.startswith("stat=") and ours.startswith("NO_AUTH ")


def _is_unread_event(theirs: str, ours: str, step: int, context: Context) -> bool:
    return theirs.startswith("event ") and context.was_restricted(theirs.rpartition(" ")[2])


def _is_unread_watch(theirs: str, ours: str, step: int, context: Context) -> bool:
    request = context.request(step)
    if request is None or not isinstance(request.body, CheckWatchesRequest | RemoveWatchesRequest):
        return False
    return (
        theirs.startswith("ok ") and ours.startswith("NO_WATCHER ") and context.was_restricted(str(request.body.path))
    )


def _is_anybodys_watch(theirs: str, ours: str, step: int, context: Context) -> bool:
    request = context.request(step)
    is_check = request is not None and request.opcode == OpCode.CHECK_WATCHES
    return is_check and theirs.startswith("ok ") and ours.startswith("NO_WATCHER ")


def _is_check_of_odd_path(theirs: str, ours: str, step: int, context: Context) -> bool:
    request = context.request(step)
    path = request.body.path if request is not None and isinstance(request.body, CheckWatchesRequest) else "/"
    is_odd = not path.startswith(("/", "~"))
    return is_odd and theirs.startswith("MARSHALLING_ERROR ") and ours.startswith("NO_WATCHER ")


def _is_surrogate_echo(theirs: str, ours: str, step: int, context: Context) -> bool:
    request = context.request(step)
    path = request.body.path if request is not None and isinstance(request.body, SyncRequest) else ""
    return theirs.startswith("path=") and ours.startswith("path=") and max(path, default="") > "\uffff"


def _is_error_with_body(theirs: str, ours: str, step: int, context: Context) -> bool:
    request = context.request(step)
    is_read = request is not None and request.opcode == OpCode.MULTI_READ
    return is_read and theirs.replace(f" and {END.hex()}", "") == ours


KNOWN: Final[tuple[Known, ...]] = (
    Known(
        "exists asks for READ",
        "since 3.9.2 (CVE-2024-23944); 3.8 shows the Stat of any znode to everybody",
        _is_exists_unread,
    ),
    Known(
        "no event without READ",
        "since 3.9.2 (CVE-2024-23944); also what exists, without READ, left no watch for",
        _is_unread_event,
        takes_ours=0,
    ),
    Known(
        "no watch without READ",
        "exists set one in 3.8 and does not since 3.9.2, so that there is none to check or remove",
        _is_unread_watch,
    ),
    Known(
        "checkWatches finds those of others",
        "in 3.8 a watch of any connection at the path will do; since 3.9.0 (ZOOKEEPER-4466) only one's own",
        _is_anybodys_watch,
    ),
    Known(
        "checkWatches takes any path",
        "3.8 climbs from the path to the root, and fails on one that is none; since 3.9.0 (ZOOKEEPER-4466) no watch is "
        "found there",
        _is_check_of_odd_path,
    ),
    Known(
        "an error has no body",
        "ZooKeeper's to a multiRead that is refused has one, of no results; clients do not read it",
        _is_error_with_body,
    ),
    Known(
        "sync echoes emoji as they came",
        "Java writes a character above U+FFFF as two surrogates, which are no UTF-8",
        _is_surrogate_echo,
    ),
)
