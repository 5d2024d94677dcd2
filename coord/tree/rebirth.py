"""The state of a cluster becomes that of a new one: what one begins with that is restored, recovered or moved in.

The old cluster may have gone on after what was saved of it, and nobody knows how far. So the new one numbers on from
far above: whatever a client was ever shown and may compare (zxids, and so lease ids, session ids and fencing tokens;
sequence numbers and cversions of znodes) is lower than what it is shown from now on. A znode that was created only
after the state was saved is not there; made anew, it counts its children from 0, as one does that was deleted.

And it is another cluster: it has another id and secret, so that neither members nor passwords of the old one are taken
for its own.

Sessions and leases end, with their znodes, for their holders have gone on or away. That, and who the members are now,
are the last two entries of the saved history: they are applied like any other.

All members of the new cluster have to make the same of the same. So everything comes from the saved state, the members
and `founded_ms`; whoever is given something else makes a cluster with another id, and is refused by the others.
"""

from dataclasses import dataclass
from hashlib import sha256

import msgspec
from msgspec.structs import replace

from coord.raft.configuration import Configuration, encode_configuration
from coord.raft.types import MAX_NUMBER, Index, MemberId, Place, Run, Term
from coord.tree import commands
from coord.tree.machine import Cluster, Machine, Origin, Outcome
from coord.tree.members import Members
from coord.tree.znode import MAX_INT32

INDEX_JUMP = 1 << 40
"""At least so many entries are left out: 127 days of 100,000 in each second."""

ENTRIES_PER_SECOND_BITS = 20
"""No cluster writes 2^20 entries a second for long. So the index never runs ahead of the seconds since 1970 times
that, and if it begins there, it is above those of every cluster that was founded before, from whichever backup."""

SEQUENCE_JUMP = 1_000_000
"""At least so many sequence numbers are left out below each znode."""

SCARCE = MAX_INT32 // 2
"""A znode that has given out so many sequence numbers has used up half of what there is: an int of Java."""

_NOBODY = Origin(MemberId(0), 0)


class NoCluster(Exception):
    """What was saved is from before the cluster's first entry: there is nothing to go on from."""


@dataclass(frozen=True, slots=True)
class Reborn:
    """Where the new cluster's history begins."""

    place: Place
    chain: bytes
    """Of the log up to there."""
    cluster: Cluster
    ended: int
    """How many sessions and leases."""
    scarce: list[str]
    """Paths of znodes that will run out of sequence numbers."""


def begin_anew(
    machine: Machine, end: Place, chain: bytes, configuration: Configuration, founded_ms: int, *, is_final: bool
) -> Reborn:
    """Make `machine`, all of whose log ends at `end` with `chain`, that of a new cluster. Raises `NoCluster`.

    `is_final`: the old one has stopped for good, and nothing came after `end`; so sequence numbers need no jump.
    """
    assert machine.applied_index == end.index, "all that was saved is applied"
    if machine.cluster is None:
        raise NoCluster("nothing was ever written to that cluster")
    encoded = encode_configuration(configuration)
    seed = msgspec.msgpack.encode((founded_ms, end.index, end.term, chain, encoded, machine.cluster.secret))
    machine.cluster = Cluster(
        int.from_bytes(_derived("id", seed)[:8], "big") >> 1 | 1,
        _derived("secret", seed)[: len(machine.cluster.secret)],
    )
    machine.members = Members()
    machine.origins = {}
    scarce = [] if is_final else _raise_sequences(machine)
    leases = machine.leases.table.values()
    clock_ms = max([machine.clock_ms, *(lease.deadline_ms + 1 for lease in leases)])
    first, term = first_index(end.index, founded_ms), Term(end.term + 1)
    machine.applied_index = first - 1
    machine.apply(Run(first, 1, term, commands.run_data(clock_ms, founded_ms, [])), _NOBODY, _nobody_asked)
    ended = len(machine.ended)
    last = Index(first + 1)
    machine.apply(Run(last, 1, term, encoded, is_configuration=True), _NOBODY, _nobody_asked)
    return Reborn(Place(last, term), _derived("chain", seed)[: len(chain)], machine.cluster, ended, scarce)


def first_index(saved: int, founded_ms: int) -> Index:
    """Where the new cluster's log goes on.

    >>> first_index(4711, 0) - 4711 == INDEX_JUMP
    True
    >>> first_index(4711, 1_800_000_000_000) == 1_800_000_000 << 20
    True
    """
    index = max(saved + INDEX_JUMP, founded_ms // 1000 << ENTRIES_PER_SECOND_BITS)
    assert index < MAX_NUMBER // 2, "the clock is centuries ahead"
    return Index(index)


def raised(creates: int) -> int:
    """What a znode's count of children ever created becomes: above what it has reached since it was saved, if that is
    not more than it had reached in its whole life before; but without running out because of it.

    >>> raised(0), raised(30_000_000), raised(2_000_000_000)
    (1000000, 60000000, 2073741823)
    """
    return creates + max(SEQUENCE_JUMP, min(creates, (MAX_INT32 - creates) // 2))


def _raise_sequences(machine: Machine) -> list[str]:
    znodes, scarce = machine.znodes, []
    for path, znode in znodes.items():
        creates = raised(znode.creates)
        znodes[path] = replace(znode, creates=creates, body=None)
        if creates > SCARCE:
            scarce.append(path)
    return scarce


def _derived(what: str, seed: bytes) -> bytes:
    return sha256(what.encode() + b"\0" + seed).digest()


def _nobody_asked(zxid: int, outcome: Outcome) -> None:
    """These entries are nobody's requests."""
