"""Whose disks and votes count: the configurations that are in force, and the disks that are the members' own.

A leader may decide by the newest configuration that is applied, or by one that follows it in a log somewhere. Which it
was cannot be told from outside, so what it decides must satisfy at least one of them. How one follows from another is a
rule of its own.
"""

from collections.abc import Collection

from coord.raft import Raft
from coord.raft.configuration import UNTOLD, Configuration, Membership, decode_configuration
from coord.raft.leader import Leader
from coord.raft.types import BEFORE_FIRST, Index, MemberId, Run
from coord.sim.verdict import Violation


class InForce:
    def __init__(self, founders: tuple[MemberId, ...], since: Index = BEFORE_FIRST) -> None:
        self.decided = Membership(since, Configuration(founders))
        """The newest that anybody has applied."""
        self._undecided: list[Membership] = []
        """Those that leaders have put into their logs since, each as soon as it could have been acted on."""
        self._lost: set[MemberId] = set()

    def majorities(self) -> list[tuple[MemberId, ...]]:
        """All sets of voters that may have to agree now."""
        return [voters for configuration in self._configurations() for voters in _sets(configuration)]

    def _configurations(self) -> list[Configuration]:
        return [self.decided.configuration, *(membership.configuration for membership in self._undecided)]

    def on_disk(self, member: MemberId, is_lost: bool) -> None:
        """It has an empty disk, which is its own by right unless the one before was lost."""
        (self._lost.add if is_lost else self._lost.discard)(member)

    def has_forgotten(self, member: MemberId) -> bool:
        """Whether it has promised, as far as anybody can know, what it does not know any more."""
        return member in self._lost

    def on_link(self, member: MemberId, raft: Raft, other: MemberId) -> None:
        """They have greeted each other. One that may still be taken for a newcomer has promised nothing to anybody."""
        has_vote = raft.log.memberships[-1].index and raft.configuration.has_vote(other)
        if has_vote and other in self._lost and member not in self._lost:
            raise Violation(
                "who has forgotten is not heard", f"member {member} has a link to {other}, which lost its disk"
            )

    def look(self, raft: Raft) -> None:
        """At the log of whoever may be about to act on it."""
        newest = raft.log.memberships[-1]
        role = raft.role
        if not isinstance(role, Leader) or newest.index <= self.decided.index or newest in self._undecided:
            return
        if newest.index > role.term_start:
            self._check_step(raft, role)
        self._undecided.append(newest)

    def _check_step(self, raft: Raft, role: Leader) -> None:
        """It is of this leader's own making."""
        *_, before, newest = [UNTOLD, *raft.log.memberships]
        if raft.commit_index < max(before.index, role.term_start):
            raise Violation(
                "one change of members at a time",
                f"member {raft.member} leads term {raft.term} and makes configuration {newest.index}, when it knows"
                f" {raft.commit_index} to be committed; the one before is {before.index}, its term began at"
                f" {role.term_start}",
            )

    def decide(self, run: Run) -> None:
        """Somebody is the first to apply a configuration."""
        newest = Membership(run.first, decode_configuration(run.data))
        old, new = self.decided.configuration, newest.configuration
        if old.is_joint:
            is_step = new.voters == old.voters and not new.is_joint
        elif new.is_joint:
            is_step = new.outgoing == old.voters
        else:
            is_step = new.voters == old.voters
        if not is_step:
            raise Violation("voters change through a joint configuration", f"{new} follows {old}")
        # Whoever was out and is in again begins anew, with whatever disk it has by now.
        self._lost.difference_update(set(new.members) - set(old.members))
        self.decided = newest
        self._undecided = [membership for membership in self._undecided if membership.index > run.first]

    def agree(self, members: Collection[MemberId]) -> bool:
        """Whether they are a majority by some configuration, in each of its sets."""
        return any(is_quorum(configuration, members) for configuration in self._configurations())


def is_quorum(configuration: Configuration, members: Collection[MemberId]) -> bool:
    """Counted anew, so that the judge is not wrong with the accused."""
    return all(
        2 * len([voter for voter in voters if voter in members]) > len(voters) for voters in _sets(configuration)
    )


def _sets(configuration: Configuration) -> list[tuple[MemberId, ...]]:
    return [voters for voters in (configuration.voters, configuration.outgoing) if voters]
