"""What happened lately, for people who look at the cluster: elections, lost members, sessions and leases that ended.

Every member keeps a chronicle of its own, of what it saw itself; whoever asks several puts them together. What comes
from the log (ends of sessions and leases) all tell alike, with the time that the leader stamped on it, even after a
restart; of what they saw themselves they may tell differently, or know or not know the cause.

Kept in two bounded parts, so that a thousand expiries do not push out the election that they followed from.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from coord.raft.ready import (
    BecameFollower,
    BecameLeader,
    ElectionStarted,
    Happened,
    QuorumLost,
    TransferAborted,
    TransferStarted,
)
from coord.raft.types import MemberId, Term
from coord.tree.leases import End, Ended

KEPT: Final = 50  # of each part
KEYS_NAMED: Final = 2


class Occurrence(NamedTuple):
    """One thing that happened."""

    id: int
    """1, 2, 3, … as this member noted them since it started; gaps are what was dropped."""

    at_ms: int
    """The wall clock: the leader's for ends of sessions and leases, otherwise this member's."""

    what: str
    """election, quorum-lost, hand-over, member-lost, member-back; session- or lease- and how it ended (`End`)."""

    text: str

    why: str
    """Empty if this member does not know."""

    lease: int
    """The id of the session or lease that ended; otherwise 0."""


class Chronicle:
    def __init__(self, member: MemberId) -> None:
        self._member = member
        self._noted = 0
        self._of_members: deque[Occurrence] = deque(maxlen=KEPT)
        self._of_leases: deque[Occurrence] = deque(maxlen=KEPT)
        self._led_by: tuple[Term, MemberId] | None = None
        """The newest leader told of."""
        self._cause = ""
        """Of the next election."""
        self._is_asking = False
        """For pre-votes. Who stands without having asked was told to by the leader."""
        self._lost: set[MemberId] = set()

    def documents(self) -> list[dict[str, Any]]:
        """Ready for JSON, oldest first."""
        return [each._asdict() for each in sorted((*self._of_members, *self._of_leases))]

    # What the replica tells.

    def peer_lost(self, member: MemberId, at_ms: int) -> None:
        if member not in self._lost:
            self._lost.add(member)
            self._note(at_ms, "member-lost", f"member {member} is gone", "the connection broke")
        if self._led_by is not None and member == self._led_by[1]:
            self._cause = f"the connection to member {member} broke"

    def peer_up(self, member: MemberId, at_ms: int) -> None:
        if member in self._lost:
            self._lost.remove(member)
            self._note(at_ms, "member-back", f"member {member} is back")

    def happened(self, event: Happened, at_ms: int) -> None:
        match event:
            case ElectionStarted(_, pre, silence):
                self._on_election_started(pre, silence)
            case BecameLeader(term):
                self._on_leader(term, self._member, at_ms)
            case BecameFollower(term, leader):
                self._is_asking = False
                if leader is not None:
                    self._on_leader(term, leader, at_ms)
            case QuorumLost(term):
                self._cause = f"member {self._member} had lost its majority"
                text = f"member {self._member} leads term {term} no more"
                self._note(at_ms, "quorum-lost", text, "no majority was heard for an election timeout")
            case TransferStarted(_, target):
                text = f"member {self._member} hands over to member {target}"
                self._note(at_ms, "hand-over", text, "it is to stop")
            case TransferAborted(_, target):
                text = f"member {self._member} leads on"
                self._note(at_ms, "hand-over", text, f"member {target} did not take over")
            case _:
                pass  # of use in the server's log only

    def ended(self, ended: Iterable[Ended], at_ms: int) -> None:
        """Sessions and leases that a run of the log ended. Of sessions that were closed only those that had keys."""
        worth_telling = [(lease, how) for lease, how in ended if how is not End.CLOSED or lease.keys]
        self._noted += max(0, len(worth_telling) - KEPT)
        for lease, how in worth_telling[-KEPT:]:
            name = f' "{lease.name}"' if lease.name else f" from {lease.address}" if lease.address else ""
            text = f"{lease.kind} {lease.id:#x}{name} {how}{_with_keys(lease.keys_in_order())}"
            why = f"no sign of life for {lease.ttl_ms / 1000:g} s" if how is End.EXPIRED else ""
            self._noted += 1
            what = f"{lease.kind}-{how}"
            self._of_leases.append(Occurrence(self._noted, at_ms, what, text, why, lease.id))

    # Inside.

    def _on_election_started(self, pre: bool, silence: float | None) -> None:
        leader = self._led_by[1] if self._led_by is not None else None
        if pre:
            if leader is None:
                self._cause = "nobody was known to lead"
            elif silence is not None:
                self._cause = f"member {leader} was silent for {silence:.2f} s"
        elif not self._is_asking and leader is not None:
            self._cause = f"member {leader} handed over"
        self._is_asking = pre

    def _on_leader(self, term: Term, leader: MemberId, at_ms: int) -> None:
        """Also told when a member comes back to the leader that it had given up: that is no election."""
        self._is_asking = False
        if self._led_by != (term, leader):
            self._led_by = (term, leader)
            self._note(at_ms, "election", f"member {leader} leads term {term}", self._cause)
        self._cause = ""

    def _note(self, at_ms: int, what: str, text: str, why: str = "") -> None:
        self._noted += 1
        self._of_members.append(Occurrence(self._noted, at_ms, what, text, why, 0))


def _with_keys(keys: list[str]) -> str:
    """
    >>> _with_keys([]), _with_keys(["/a"]), _with_keys(["/a", "/b", "/c"])
    ('', ', with it /a', ', with it /a, /b and 1 more')
    """
    if not keys:
        return ""
    more = len(keys) - KEYS_NAMED
    return f", with it {', '.join(keys[:KEYS_NAMED])}" + (f" and {more} more" if more > 0 else "")
