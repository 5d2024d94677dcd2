"""Who the members are, and who they are to be: the part of the state that a change of members goes through.

    asked       `Change`: what an operator wants; judged here, one at a time, the same everywhere
    desired     `Desired`: the members that there are to be, until there are
    made        configurations, which the leader puts into the log one after another (`coord.replica.changes`)
    done        the newest configuration is what was desired; or the leader gave up, and all is to be as it was

Whoever leads by then goes on from `desired`, so a change outlives its leader.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from coord.raft.configuration import UNTOLD, Configuration, Membership, Seat
from coord.raft.types import MemberId
from coord.tree.configuration import Addresses
from coord.tree.outcomes import BAD_ARGUMENTS, BAD_VERSION, RECONFIG_IN_PROGRESS, ChangeRefused

MAX_MEMBERS = 255
"""Learners and all; more than anybody runs, and few enough that a configuration stays a small entry."""


class Joining(msgspec.Struct, frozen=True, array_like=True):
    """A member that is to be there, new or not: one that is there already may get another address or another part."""

    member: MemberId
    address: str
    """HOST:PORT for other members; "" leaves that of a present member as it is."""
    is_learner: bool = False
    client: str = ""
    election: str = ""
    """See `Seat`."""


class Change(msgspec.Struct, frozen=True, array_like=True):
    """What is to be different."""

    joining: tuple[Joining, ...] = ()
    leaving: tuple[MemberId, ...] = ()
    version: int = -1
    """Index of the configuration that it is meant for; -1: whichever there is."""
    is_whole: bool = False
    """`joining` are all the members there are to be."""


class Desired(msgspec.Struct, frozen=True, array_like=True):
    """The members there are to be."""

    index: int
    """Of the command that asked for it."""
    voters: tuple[MemberId, ...]
    learners: tuple[MemberId, ...]
    seats: tuple[Seat, ...]
    """Of all of them."""
    learners_before: tuple[MemberId, ...] = ()
    """Who keeps its place if the change is given up."""

    def is_met_by(self, configuration: Configuration) -> bool:
        addresses = {seat.member: seat.address for seat in configuration.seats}
        return (
            (configuration.voters, configuration.learners) == (self.voters, self.learners)
            and not configuration.is_joint
            and all(seat.address in ("", addresses.get(seat.member)) for seat in self.seats)
        )

    def newcomers(self, configuration: Configuration) -> list[MemberId]:
        """Those that have no vote yet and are to get one."""
        return [member for member in self.voters if not configuration.has_vote(member)]


_encode = msgspec.msgpack.Encoder().encode
_decode_change = msgspec.msgpack.Decoder(Change).decode
_decode_members = msgspec.msgpack.Decoder(tuple[Membership, list[list[Any]], Desired | None, str]).decode


def encode_change(change: Change) -> bytes:
    return _encode(change)


def decode_change(data: bytes) -> Change:
    return _decode_change(data)


def encode_members(members: "Members") -> bytes:
    """All of it, for snapshots and digests."""
    announced = [(member, *addresses) for member, addresses in sorted(members.announced.items())]
    return _encode((members.membership, announced, members.desired, members.failure))


def decode_members(data: bytes) -> "Members":
    """Raises `msgspec.MsgspecError`."""
    membership, announced, desired, failure = _decode_members(data)
    known = {MemberId(member): Addresses(*addresses) for member, *addresses in announced}
    return Members(membership, known, desired, failure)


@dataclass(slots=True)
class Members:
    """What is replicated of it."""

    membership: Membership = UNTOLD
    """The newest configuration that is applied."""

    announced: dict[MemberId, Addresses] = field(default_factory=dict)
    """What members said of themselves when they started; nothing of those that are members no more."""

    desired: Desired | None = None
    """None: no change is under way."""

    failure: str = ""
    """Why the last change was given up; empty if it was not, or another was asked for since."""

    def configured(self, membership: Membership) -> None:
        """The log has come to this configuration."""
        self.membership = membership
        present = membership.configuration
        members = present.members
        for member in [member for member in self.announced if member not in members]:
            del self.announced[member]
        if self.desired is not None and self.desired.is_met_by(present):
            self.desired = None

    def knows(self, member: int) -> bool:
        """Whether the log takes commands from it: it is one of us, or 0, which stands for the cluster itself."""
        return not member or self.membership == UNTOLD or member in self.membership.configuration.members

    def ask(self, change: Change, index: int) -> int | ChangeRefused | None:
        """Begin a change; a refusal says why it is none."""
        present = self.membership.configuration
        if self.membership == UNTOLD:
            return ChangeRefused(RECONFIG_IN_PROGRESS, "the cluster has only just started: ask again in a second")
        if self.desired is not None:
            return ChangeRefused(RECONFIG_IN_PROGRESS, f"one change at a time, and {self.doing()}")
        if change.version not in (-1, self.membership.index):
            return BAD_VERSION
        refusal = _flaw(change, present)
        if refusal:
            return ChangeRefused(BAD_ARGUMENTS, refusal)
        joining = {one.member: one for one in change.joining}
        gone = {member for member in present.members if change.is_whole or member in change.leaving}
        learners = {member for member in present.learners if member not in gone}
        voters = {member for member in present.voters if member not in gone}
        for one in change.joining:
            (learners if one.is_learner else voters).add(one.member)
            (voters if one.is_learner else learners).discard(one.member)
        if not voters:
            return ChangeRefused(BAD_ARGUMENTS, "that would leave no voter: nothing could ever be decided again")
        if len(voters | learners) > MAX_MEMBERS:
            return ChangeRefused(BAD_ARGUMENTS, f"more than {MAX_MEMBERS} members")
        known = {seat.member: seat for seat in present.seats}
        seats = [_seated(member, joining.get(member), known.get(member)) for member in sorted(voters | learners)]
        self._want(Desired(index, _in_order(voters), _in_order(learners), tuple(seats), present.learners))
        self.failure = ""
        return None

    def give_up(self, index: int, reason: str) -> None:
        """The leader could not bring that change about: all is to be as it was before."""
        desired, present = self.desired, self.membership.configuration
        if desired is None or desired.index != index or present.is_joint:
            return
        newcomers = desired.newcomers(present)
        before = desired.learners_before
        learners = [member for member in present.learners if member not in newcomers or member in before]
        members = {*present.voters, *learners}
        seats = tuple([seat for seat in present.seats if seat.member in members])
        self._want(Desired(index, present.voters, tuple(learners), seats))
        self.failure = reason

    def doing(self) -> str:
        """What the change that is under way is about, for people; empty if none is."""
        desired, present = self.desired, self.membership.configuration
        if desired is None:
            return ""
        newcomers = desired.newcomers(present)
        learners = [member for member in desired.learners if member not in present.members]
        wanted = {*desired.voters, *desired.learners}
        leaving = [member for member in present.members if member not in wanted]
        parts = [
            f"{what} {_listed(members)}"
            for what, members in (("adding", newcomers), ("adding as learner", learners), ("removing", leaving))
            if members
        ]
        return " and ".join(parts) if parts else "changing addresses or parts of members"

    def _want(self, desired: Desired) -> None:
        self.desired = None if desired.is_met_by(self.membership.configuration) else desired


def _flaw(change: Change, present: Configuration) -> str:
    joining = [one.member for one in change.joining]
    for one in change.joining:
        if one.member <= 0 or joining.count(one.member) > 1:
            return f"member {one.member} joins: ids are positive, and each joins once"
        if not one.address and present.seat_of(one.member) is None:
            return f"member {one.member} joins without an address"
        if one.member in change.leaving:
            return f"member {one.member} joins and leaves: remove it first, then add it"
        for seat in present.seats:
            if one.address and seat.address == one.address and seat.member not in (*joining, *change.leaving):
                return f"{one.address} is the address of member {seat.member}"
    for member in change.leaving:
        if member not in present.members:
            return f"member {member} is none; there are {_listed(present.members)}"
    return ""


def _seated(member: MemberId, joining: Joining | None, known: Seat | None) -> Seat:
    seat = known if known is not None else Seat(member, "")
    if joining is None:
        return seat
    return Seat(
        member,
        joining.address or seat.address,
        seat.directory,
        joining.client or seat.client,
        joining.election or seat.election,
    )


def _in_order(members: Iterable[MemberId]) -> tuple[MemberId, ...]:
    return tuple(sorted(members))


def _listed(members: Iterable[MemberId]) -> str:
    return ", ".join(str(member) for member in members)
