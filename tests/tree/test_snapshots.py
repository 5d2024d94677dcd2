"""A state goes through its pieces and is the same: by its digest, and in all that is done to it afterwards."""

import re
from random import Random

import pytest

from coord.raft.types import MemberId, Run
from coord.tree import commands
from coord.tree.acl import OPEN
from coord.tree.leases import Lease
from coord.tree.machine import Machine, Origin, Outcome
from coord.tree.snapshots import DamagedState, Frozen, Loader, freeze
from coord.tree.watches import Watches
from tests.tree.history import History, encoded
from tests.tree.model import Model
from tests.tree.world import ANYONE, World, creating, deleting, run_of

ORIGIN = Origin(MemberId(1), 1)


def pieces_of(frozen: Frozen, znodes: int = 1, size: int = 1) -> list[bytes]:
    pieces = []
    while (piece := frozen.next_piece(znodes, size)) is not None:
        pieces.append(piece)
    return pieces


def loaded(pieces: list[bytes]) -> Machine:
    loader = Loader()
    for piece in pieces:
        loader.add(piece)
    machine = Machine(Watches(lambda *event: None))
    machine.adopt(loader.finish())
    return machine


def shown(outcome: Outcome) -> str:
    """Without the children, whose order nobody sees."""
    return re.sub(r"children=\{[^}]*\}", "", repr(outcome))


class Twins:
    """Two machines that are given the same."""

    def __init__(self, one: Machine, other: Machine) -> None:
        self.machines = one, other

    def apply(self, run: Run) -> list[tuple[int, str]]:
        heard = []
        for machine in self.machines:
            outcomes: list[tuple[int, str]] = []
            machine.apply(run, ORIGIN, lambda zxid, outcome, into=outcomes: into.append((zxid, shown(outcome))))  # type: ignore[misc]
            heard.append(outcomes)
        assert heard[0] == heard[1]
        return heard[0]


def commands_of(random: Random, sessions: list[tuple[int, int]]) -> bytes:
    """Of all kinds, on few paths, so that they meet."""
    session, epoch = random.choice(sessions[-4:])
    path = random.choice(["/a", "/b", "/a/x", "/b/x", "/a/x/y", "/s-"])
    data = random.choice([None, b"", b"data"])
    match random.randrange(12):
        case 0 | 1 | 2:
            acl = random.choice([ANYONE, ANYONE, [(31, "digest", "bob:hash")], [(1, "ip", "10.0.0.1")]])
            return commands.create(session, epoch, path, data, acl, random.choice([0, 0, 1, 2, 3]))
        case 3:
            return commands.delete(session, epoch, path, -1)
        case 4:
            return commands.set_data(session, epoch, path, data, -1)
        case 5:
            return commands.set_acl(session, epoch, path, ANYONE, -1)
        case 6:
            return commands.create_session(random.choice([500, 3000]), "10.0.0.1", "name")
        case 7:
            return commands.attach_session(session, 1000, "10.0.0.2")
        case 8:
            return commands.lease_grant(session, epoch, 900, "lease", b"meta")
        case 9:
            return commands.add_auth(session, epoch, "digest", "bob:hash")
        case 10:
            return commands.announce(random.randrange(1, 4), "host:1", "host:2", random.randrange(3))
        case _:
            made = [creating("/m-", mode=3), creating("/m-", mode=3), random.choice([creating("/a"), deleting("/b")])]
            return commands.multi(session, epoch, made)


@pytest.mark.parametrize("seed", range(25))
def test_a_loaded_state_is_the_same_for_ever(seed: int) -> None:
    random = Random(seed)
    machine = Machine(Watches(lambda *event: None))
    sessions = [(0, 0)]
    clock_ms = seq = 1

    def hear(zxid: int, outcome: Outcome) -> None:
        if isinstance(outcome, Lease) and outcome.epoch:
            sessions.append((outcome.id, outcome.epoch))

    def next_run() -> Run:
        nonlocal clock_ms, seq
        clock_ms += random.choice([0, 1, 100, 400])
        batch = [commands_of(random, sessions) for _ in range(random.randrange(1, 6))]
        run = run_of(machine.applied_index + 1, len(batch), clock_ms, clock_ms, [commands.block(1, 1, seq, batch)])
        seq += len(batch)
        return run

    first = [commands.init_cluster(7, b"secret"), commands.create_session(5000, "10.0.0.1")]
    machine.apply(run_of(1, 2, 1, 1, [commands.block(1, 1, seq, first)]), ORIGIN, hear)
    seq += 2
    for _ in range(random.randrange(1, 80)):
        machine.apply(next_run(), ORIGIN, hear)
    frozen, digest = freeze(machine), machine.digest()
    twin = loaded(pieces_of(freeze(machine), random.choice([1, 3, 1000]), random.choice([1, 100, 1 << 20])))
    assert twin.digest() == digest
    twins = Twins(machine, twin)
    for _ in range(40):
        twins.apply(next_run())
        assert machine.digest() == twin.digest()
    assert loaded(pieces_of(frozen)).digest() == digest, "what was done since does not show in the view"


def test_the_models_histories_survive() -> None:
    """With watches, versions that wrap, ACLs and all else that the model of the tree knows."""
    for seed in range(10):
        random = Random(seed)
        world = World()
        history = History(random, Model())
        for _ in range(60):
            world.apply(encoded(history.command()))
        assert loaded(pieces_of(freeze(world.machine))).digest() == world.machine.digest()


def small() -> World:
    world = World()
    client = world.session()
    client.create("/a")
    client.create("/a/b", mode=1)
    client.set_data("/a", None)
    client.grant(name="lease")
    return world


def test_usual_things_stay_single_objects() -> None:
    world = small()
    machine = loaded(pieces_of(freeze(world.machine), 100, 1 << 20))
    assert machine.znodes["/a"].acl is OPEN
    assert machine.znodes["/a"].children is not None
    (child,) = machine.znodes["/a"].children
    assert any(child is path for path in machine.znodes), "a path is held once"
    assert machine.znodes["/a/b"].children is None
    znode = machine.znodes["/a/b"]
    assert znode.czxid is znode.mzxid is znode.pzxid
    assert machine.leases.bound_ms == min(lease.deadline_ms for lease in machine.leases.table.values())


def test_pieces_are_small_and_say_how_far_they_are() -> None:
    world = World()
    client = world.session()
    for number in range(50):
        client.create(f"/{number}", bytes(1000))
    frozen = freeze(world.machine)
    sizes = [len(piece) for piece in pieces_of(frozen, 1000, 5000)]
    assert max(sizes) < 5000 + 1500
    assert frozen.progress == (len(world.machine.znodes), len(world.machine.znodes))


@pytest.mark.parametrize("damage", ["missing", "twice", "no head", "head twice", "cut", "empty"])
def test_pieces_that_are_no_state_are_refused(damage: str) -> None:
    pieces = pieces_of(freeze(small().machine))
    match damage:
        case "missing":
            del pieces[-2]
        case "twice":
            pieces.append(pieces[-1])
        case "no head":
            del pieces[0]
        case "head twice":
            pieces.insert(1, pieces[0])
        case "cut":
            pieces[-1] = pieces[-1][:-3]
        case _:
            pieces = pieces[:1]
    with pytest.raises(DamagedState):
        loaded(pieces)
