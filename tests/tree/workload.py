"""A long pseudo-random history from one seed, printed as a digest: `python -m tests.tree.workload`.

Run in processes with different PYTHONHASHSEED, it must always print the same.
"""

from random import Random

from coord.raft.types import MemberId
from coord.tree import commands
from coord.tree.acl import Acl
from coord.tree.leases import Lease
from coord.tree.machine import Machine, Origin, Outcome
from coord.tree.watches import Watches
from tests.tree.world import run_of

ANYONE = [(31, "world", "anyone")]


def play(seed: int, runs: int) -> str:
    """The digest at the end and a checksum of all events, both in hex."""
    random = Random(seed)
    events: list[tuple[int, int, str, int]] = []

    def deliver(connection: int, event_type: int, path: str, zxid: int, acl: Acl) -> None:
        events.append((connection, event_type, path, zxid))

    watches = Watches(deliver)
    machine = Machine(watches)
    sessions: list[tuple[int, int]] = [(0, 0)]

    def hear(zxid: int, outcome: Outcome) -> None:
        if isinstance(outcome, Lease):
            sessions.append((outcome.id, outcome.epoch))

    clock_ms = seq = 1
    for _ in range(runs):
        clock_ms += random.choice([0, 1, 300])
        for add in (watches.add_data, watches.add_child, watches.add_persistent, watches.add_recursive):
            add(random.randrange(1, 5), _path(random))
        batch = [_command(random, *random.choice(sessions[-4:])) for _ in range(random.randrange(1, 8))]
        run = run_of(machine.applied_index + 1, len(batch), clock_ms, clock_ms, [commands.block(1, 1, seq, batch)])
        machine.apply(run, Origin(MemberId(1), 1), hear)
        seq += len(batch)
    checksum = sum(hash_of(event) for event in events) % 2**64
    return f"{machine.digest().hex()} {len(events)} {checksum:x}"


def hash_of(event: tuple[int, int, str, int]) -> int:
    """Not `hash`, which is what this must not depend on."""
    connection, event_type, path, zxid = event
    return (connection + 31 * event_type) * int.from_bytes(path.encode()) * (zxid + 1)


def _path(random: Random) -> str:
    return random.choice(["/a", "/b", "/c", "/a/x", "/b/x", "/c/x", "/a/x/y", "/"])


def _command(random: Random, session: int, epoch: int) -> bytes:
    path = _path(random)
    match random.randrange(9):
        case 0:
            return commands.create_session(random.choice([500, 3_000]), "10.0.0.1")
        case 1:
            return commands.delete(session, epoch, path, -1)
        case 2:
            return commands.set_data(session, epoch, path, path.encode(), -1)
        case 3:
            return commands.keep_alive([(session, epoch)])
        case 4:
            operations = [commands.create(0, 0, path, b"", ANYONE, 1), commands.check(0, 0, "/a", -1)]
            return commands.multi(session, epoch, operations)
        case 5:
            return commands.add_auth(session, epoch, "digest", f"{path}:x")
        case 6:
            return commands.set_acl(session, epoch, path, [(31, "auth", ""), *ANYONE], -1)
        case mode:
            return commands.create(session, epoch, path, None, ANYONE, mode % 4)


if __name__ == "__main__":
    print(play(seed=7, runs=2_000))  # noqa: T201
