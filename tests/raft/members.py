"""Configurations, and members that use them, in few words."""

from msgspec.structs import replace

from coord.raft import (
    UNTOLD,
    Config,
    Configuration,
    HardState,
    MemberId,
    Membership,
    Raft,
    Run,
    Stored,
)
from coord.raft.configuration import encode_configuration
from coord.raft.leader import Leader
from coord.raft.messages import (
    Append,
    AppendReply,
)
from coord.raft.ready import MembersChanged
from coord.raft.types import Index, Round

from .texts import append, half, leader, place, save

ONE, TWO, THREE = MemberId(1), MemberId(2), MemberId(3)


def of(*voters: int, outgoing: tuple[int, ...] = (), learners: tuple[int, ...] = ()) -> Configuration:
    """A configuration without seats."""
    sets = [tuple(MemberId(one) for one in members) for members in (voters, outgoing, learners)]
    return Configuration(sets[0], sets[1], sets[2])


def entry(text: str, configuration: Configuration) -> Run:
    """The run at a place like "1/2" that carries a configuration."""
    at = place(text)
    return Run(at.index, 1, at.term, encode_configuration(configuration), True)


def brings(prev: str, *carried: Run, term: int = 1, commit: int = 0, round_: int = 2) -> Append:
    return replace(append(prev, term=term, commit=commit, round_=round_), runs=carried)


def acked(raft: Raft, peer: MemberId, match: int, *, round_: int | None = None, now: float = 0.0) -> None:
    """The newest round unless another is named."""
    assert isinstance(raft.role, Leader)
    confirmed = raft.role.round if round_ is None else Round(round_)
    raft.step(peer, AppendReply(raft.term, confirmed, Index(match)), now)


def in_office(*voters: int) -> Raft:
    """Member 1 leads; its no-op, entry 1, is on all disks and committed."""
    raft = leader(voters=voters)
    for peer in raft.configuration.members:
        if peer != ONE:
            acked(raft, peer, 1)
    save(raft)
    assert raft.commit_index == 1
    return raft


def decides(raft: Raft, index: int, *peers: MemberId) -> list[Configuration]:
    """The leader's disk and these peers hold `index`; returns the configurations that it made in these turns."""
    happened = save(raft).happened
    for peer in peers:
        acked(raft, peer, index)
    return [event.configuration for event in [*happened, *save(raft).happened] if isinstance(event, MembersChanged)]


def stored(*carried: Run, start: str = "0/0", membership: Membership = UNTOLD) -> Stored:
    return Stored(HardState(carried[-1].term, None), list(carried), place(start), place(start), membership)


def founder(disk: Stored, me: MemberId = TWO) -> Raft:
    return Raft(Config(member=me, voters=(ONE, TWO, THREE), incarnation=1), disk, 0.0, half)
