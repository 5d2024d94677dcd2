"""Who holds what: from the list of sessions and leases to locks with their queues.

A server knows which keys go with which session or lease, and nothing of locks: these are a convention of its clients.
Siblings whose names end in a number of ten digits stand in a queue, and the lowest number holds what their parent
stands for:

    coord, kazoo    <32 hex digits>__lock__0000000007; __rlock__ for those who share
    Curator         _c_<uuid>-lock-0000000007, -latch-; __READ__ for those who share, __WRIT__ for those who do not
    ZooKeeper docs  x-<session>-0000000007, n_0000000007; read- for those who share, write- for those who do not

Those who share hold together as long as nobody in front of them wants it alone. Two kinds of siblings are numbered and
wait for nobody: the leases of Curator's semaphore, and what consumers of kazoo's queue have taken.
"""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from coord_protocol.extensions import LeaseInfo
from coord_protocol.paths import SEQUENCE_DIGITS, sequence_of, split

_shares = re.compile(rf"(?:__rlock__|__READ__|(?:^|-)read-)\d{{{SEQUENCE_DIGITS}}}$").search

WAIT_FOR_NOBODY: Final = frozenset({"leases", "taken"})
"""Names of parents whose numbered children are all held."""


class Kind(StrEnum):
    LOCK = "lock"
    """Also an election: they differ in what the holder does."""

    KEY = "key"
    """An ephemeral znode that is there as long as its holder is."""

    LEASE = "lease"
    """A lease without keys: it says something by being there."""

    SESSION = "session"
    """A session without keys: it holds nothing."""


class Contender(NamedTuple):
    """A session or lease (`right`) that is somewhere by a znode; for a right without keys `znode` is ""."""

    znode: str
    right: LeaseInfo
    number: int = 0
    """Its place in the queue is by this."""
    is_shared: bool = False


class Claim(NamedTuple):
    """Something that is held: one line of the list."""

    path: str
    """Of the lock or key; "" for a right that has none."""
    kind: Kind
    holders: Sequence[Contender]
    """At least one; several only where they share."""
    waiting: Sequence[Contender]
    """The next one first."""

    @property
    def id(self) -> str:
        """Unique in one list, and the same in the next."""
        return self.path or f"#{self.holders[0].right.lease_id}"

    @property
    def right(self) -> LeaseInfo:
        """The holder's; of several the first's."""
        return self.holders[0].right


def name_of(right: LeaseInfo) -> str:
    """What to call a holder: most clients of ZooKeeper's give their sessions no name."""
    return right.name or (f"{right.address} {right.lease_id:#x}" if right.address else f"{right.lease_id:#x}")


def claims_of(rights: Iterable[LeaseInfo]) -> list[Claim]:
    """In no particular order. What sessions without keys have is a claim, too, of kind SESSION."""
    claims = []
    queues: dict[str, list[Contender]] = {}
    for right in rights:
        if not right.keys:
            claims.append(Claim("", Kind(right.kind), (Contender("", right),), ()))
        for znode in right.keys:
            number = sequence_of(znode)
            if (
                number is None or znode[-SEQUENCE_DIGITS - 1].isdigit()
            ):  # a longer number is a name, like 20261125071500
                claims.append(Claim(znode, Kind.KEY, (Contender(znode, right),), ()))
                continue
            parent, name = split(znode)
            contender = Contender(znode, right, number, _shares(name) is not None)
            if split(parent)[1] in WAIT_FOR_NOBODY:
                claims.append(Claim(znode, Kind.KEY, (contender,), ()))
            else:
                queues.setdefault(parent, []).append(contender)
    claims += [_lock(path, contenders) for path, contenders in queues.items()]
    return claims


def _lock(path: str, contenders: list[Contender]) -> Claim:
    contenders.sort(key=_number)
    holding = 1
    if contenders[0].is_shared:
        while holding < len(contenders) and contenders[holding].is_shared:
            holding += 1
    return Claim(path, Kind.LOCK, contenders[:holding], contenders[holding:])


def _number(contender: Contender) -> int:
    return contender.number
