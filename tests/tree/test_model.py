"""Random histories: the machine against a naive model, another member, and blocks that come again."""

from collections import defaultdict
from collections.abc import Iterable
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from coord.raft.types import MemberId
from coord.tree import commands
from coord.tree.acl import Acl
from coord.tree.commands import Kind
from coord.tree.leases import Lease
from coord.tree.machine import Created, Machine, MultiDone, MultiFailed, Origin, Outcome
from coord.tree.watches import Watches
from coord.tree.znode import Znode
from coord_protocol.errors import Code
from coord_protocol.records import EventType
from tests.tree.history import OPEN, History, encoded
from tests.tree.invariants import check_invariants
from tests.tree.model import Model
from tests.tree.world import HERE, run_of, stat_of


class Member:
    """A machine with its watches, and what they and its clients heard."""

    def __init__(self) -> None:
        self.events: list[tuple[int, EventType, str, int]] = []
        self.watches = Watches(self._deliver)
        self.machine = Machine(self.watches)
        self.results: list[tuple[int, Any]] = []

    def hear(self, zxid: int, outcome: Outcome) -> None:
        # Translated at once: it must be right at this moment, before the next command of the run.
        self.results.append((zxid, as_result(outcome)))

    def _deliver(self, connection: int, event_type: int, path: str, zxid: int, acl: Acl) -> None:
        self.events.append((connection, EventType(event_type), path, zxid))


def as_result(outcome: Outcome) -> Any:
    """An outcome in the words of the model."""
    match outcome:
        case int():
            return Code(outcome)
        case None:
            return ("done",)
        case Znode():
            return ("znode", tuple(stat_of(outcome)))
        case Created(path, znode):
            return ("created", path, tuple(stat_of(znode)))
        case Lease():
            return ("lease", outcome.id, outcome.ttl_ms, outcome.epoch)
        case list():
            return ("left", outcome)
        case MultiFailed(position, code, count):
            return ("failed", position, Code(code), count)
        case MultiDone(results):
            return ("multi", [(Kind(kind).name.lower(), as_result(result)) for kind, result in results])


def by_connection(events: Iterable[tuple[int, Any, str, int]]) -> dict[int, list[tuple[Any, ...]]]:
    """Order matters within a connection; which of two connections is told first does not."""
    ordered = defaultdict(list)
    for connection, *event in events:
        ordered[connection].append(tuple(event))
    return dict(ordered)


def assert_same_state(machine: Machine, model: Model) -> None:
    state = model.state
    assert set(machine.znodes) == set(state.vertices)
    for path, znode in machine.znodes.items():
        vertex = state.vertices[path]
        if path != "/zookeeper/ext":
            assert tuple(stat_of(znode)) == model.stat(path)
            assert znode.data == vertex.data
        assert list(znode.acl) == vertex.acl
        assert machine.tree.names(znode) == model.children(path)
    assert set(machine.leases.table) == set(state.rights)
    for lease_id, lease in machine.leases.table.items():
        right = state.rights[lease_id]
        assert (lease.ttl_ms, lease.deadline_ms, lease.epoch) == (right.ttl, right.deadline, right.epoch)
        assert lease.keys_in_order() == right.keys
        assert list(lease.identities) == right.identities


@settings(max_examples=50, deadline=None)
@given(random=st.randoms(use_true_random=True), length=st.integers(1, 80))
def test_machine_does_what_the_rules_say(random: Random, length: int) -> None:
    """ZOOKEEPER-PROTOCOL §5 to §8 as a whole: outcomes, state and events after each run of a history.

    A second member, without watches and clients, takes the same runs and must have an equal digest.
    """
    here, there, model = Member(), Machine(Watches(lambda *event: None)), Model()
    history = History(random, model)
    clock, seq, first = 1_000, 1, 1

    for _ in range(length):
        if not random.randrange(2):
            kind, connection, path = history.watch()
            getattr(here.watches, f"add_{kind}")(connection, path)
            if (kind, connection, path) not in model.state.watches:
                model.state.watches.append((kind, connection, path))
        clock += random.choice([0, 0, 0, 100, 400])
        batch = [history.command() for _ in range(random.randrange(1, 4))]
        block = commands.block(*HERE, seq, [encoded(command) for command in batch])
        run = run_of(first, len(batch), clock, 10 * clock, [block])

        here.results.clear()
        here.machine.apply(run, HERE, here.hear)
        there.apply(run, Origin(MemberId(2), 1), lambda zxid, outcome: None)
        model.begin_run(first, clock, 10 * clock)
        expected = [(first + i, model.do(first + i, command)) for i, command in enumerate(batch)]

        assert here.results == expected
        check_invariants(here.machine)
        assert_same_state(here.machine, model)
        assert by_connection(here.events) == by_connection(model.state.events)
        assert here.machine.digest() == there.digest()
        seq += len(batch)
        first += len(batch)


def create(member: int, seq: int) -> bytes:
    """A command whose effect shows who sent it, its number, and the order in which all were applied."""
    return commands.create(1, 1, f"/{member}-{seq}-", b"", OPEN, 2)


@settings(max_examples=200, deadline=None)
@given(
    total=st.integers(2, 20),
    schedule=st.lists(st.tuples(st.integers(1, 2), st.integers(0, 19), st.integers(1, 6)), max_size=40),
)
def test_resending_blocks_in_any_way_changes_nothing(total: int, schedule: list[tuple[int, int, int]]) -> None:
    """RELIABILITY 22. Two members send stretches of their commands, early, late, twice; at last all of them.

    Each command must have been applied once, in its member's order, and member 1 be told of its own just so.
    """
    machine = Machine(Watches(lambda *event: None))
    told: list[str] = []

    def hear(zxid: int, outcome: Outcome) -> None:
        if isinstance(outcome, Created):
            told.append(outcome.path)

    def send(member: int, first_seq: int, count: int) -> None:
        batch = [create(member, seq) for seq in range(first_seq, first_seq + count)]
        block = commands.block(member, 1, first_seq, batch)
        machine.apply(run_of(machine.applied_index + 1, count, 0, 0, [block]), Origin(MemberId(1), 1), hear)

    opening = commands.block(9, 1, 1, [commands.create_session(60_000, "10.0.0.1")])
    machine.apply(run_of(1, 1, 0, 0, [opening]), Origin(MemberId(1), 1), hear)
    for member, start, count in schedule:
        first_seq = 1 + start % total
        send(member, first_seq, min(count, total + 1 - first_seq))
    for member in (1, 2):
        send(member, 1, total)

    created = sorted(
        (path for path in machine.znodes if path[1:2] in ("1", "2")),
        key=lambda path: machine.znodes[path].czxid,
    )
    for member in (1, 2):
        mine = [path.split("-")[1] for path in created if path.startswith(f"/{member}")]
        assert mine == [str(seq) for seq in range(1, total + 1)]
    assert told == [path for path in created if path.startswith("/1")]
