"""Who is a member, and whose votes count: the configuration, which is an entry of the log like any other (paper §6).

    voters      decide together, by majority
    outgoing    voters of the configuration before, as long as a change is under way: then both majorities decide
    learners    are sent everything and decide nothing

A member uses the newest configuration in its log, committed or not; one that is truncated away gives its place back to
the one before. To get from one set of voters to another takes two entries: the *joint* configuration, in which either
set has to agree, and, once that is committed, the new one alone (paper §6, thesis §4.3). Whatever else changes
(learners, addresses) takes one.
"""

from collections.abc import Iterator

import msgspec

from .types import BEFORE_FIRST, Index, MemberId


class Seat(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is known of a member, whatever its part. Raft does not look at it; it travels with the configuration so that
    whoever has the log knows where the others are before anything is applied."""

    member: MemberId
    address: str
    """HOST:PORT, where other members reach it; looked up each time it is dialled. "" if it was never told."""
    directory: int = 0
    """The id of its data directory; 0 until it is known. One that comes with another has forgotten what it promised."""
    client: str = ""
    """HOST:PORT where clients reach it, and …"""
    election: str = ""
    """… its second port, both as an operator said in ZooKeeper's words; what it says itself, once it is there, counts
    more."""


class Configuration(msgspec.Struct, frozen=True, array_like=True):
    """One set of members. Members are in ascending order everywhere in it."""

    voters: tuple[MemberId, ...]
    outgoing: tuple[MemberId, ...] = ()
    learners: tuple[MemberId, ...] = ()
    seats: tuple[Seat, ...] = ()
    """At most one for each member."""

    @property
    def is_joint(self) -> bool:
        return bool(self.outgoing)

    @property
    def majorities(self) -> tuple[tuple[MemberId, ...], ...]:
        """The sets of voters that all have to agree, each by majority."""
        return (self.voters, self.outgoing) if self.outgoing else (self.voters,)

    @property
    def members(self) -> tuple[MemberId, ...]:
        """Everybody who is sent the log."""
        return tuple(sorted({*self.voters, *self.outgoing, *self.learners}))

    def has_vote(self, member: MemberId) -> bool:
        return member in self.voters or member in self.outgoing

    def seat_of(self, member: MemberId) -> Seat | None:
        return next((seat for seat in self.seats if seat.member == member), None)

    def flaws(self) -> Iterator[str]:
        """Why nobody can work with it; nothing if everybody can."""
        for name, members in (("voters", self.voters), ("outgoing", self.outgoing), ("learners", self.learners)):
            if list(members) != sorted(set(members)):
                yield f"{name} {members} are not in order, each once"
        if not self.voters:
            yield "nobody has a vote"
        if set(self.voters) & set(self.learners):
            yield f"members {set(self.voters) & set(self.learners)} are voters and learners"
        if any(member <= 0 for member in self.members):
            yield "member ids are positive"
        seated = [seat.member for seat in self.seats]
        if seated != sorted(set(seated)) or not set(seated) <= set(self.members):
            yield f"seats of {seated} among members {self.members}"


NOBODY = Configuration(())
"""What a member starts with that is to join a cluster: it has no vote, and learns from the log who has."""


class Membership(msgspec.Struct, frozen=True, array_like=True):
    """A configuration, and which entry of the log it is."""

    index: Index
    """0: it is in no log, but what the members were started with."""
    configuration: Configuration


UNTOLD = Membership(BEFORE_FIRST, NOBODY)


class ChangeUnderWay(Exception):
    """The members are changed one step at a time, and `membership` is not decided yet, or half of a change."""

    def __init__(self, membership: Membership) -> None:
        super().__init__(f"the members are being changed: entry {membership.index} is not the end of it")
        self.membership = membership


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Configuration).decode


def encode_configuration(configuration: Configuration) -> bytes:
    return _encode(configuration)


def decode_configuration(data: bytes) -> Configuration:
    """Raises `ValueError`."""
    configuration = _decode(data)
    for flaw in configuration.flaws():
        raise ValueError(f"not a configuration: {flaw}")
    return configuration
