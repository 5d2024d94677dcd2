"""What members say to each other: one frozen class per message, and the closed union `Message`.

Every message carries the sender's `term`, except that a pre-vote carries the term it asks about. No message
relies on order, on arriving, or on arriving once. One object may be addressed to several peers (an Append to
two peers that are equally far): whoever encodes may do it once per object.

    asks                      is answered by                          rule
    RequestPreVote            PreVoteReply                            thesis §9.6
    RequestVote               VoteReply, once the vote is durable     paper §5.2, §5.4.1
    Append                    AppendReply or AppendRejected           paper §5.3
    OfferSnapshot             AppendReply                             paper §7
    TimeoutNow                RequestVote(transfer=True) to all       thesis §3.10
    ReadIndex                 ReadIndexReply                          thesis §6.4
    any of the last four,     NewerTerm
    of a term that is over

How an answer to an Append can be prompt although the disk is slow: AppendReply reports two things that become
true at different times. `round` is confirmed by merely having followed the leader when its Append arrived; it
says nothing about the log and is reported at once. `match_index` is how far the log is both equal to the
leader's *and on this disk*; it is reported as it is, and again when the disk has answered. A follower answers
when either has moved, at most once a turn. So an Append that needs an answer carries a new round (heartbeats,
probes, reads), and an empty one that only brings a newer commit index carries a round already answered and
costs no answer.

An OfferSnapshot takes the place of an Append for a peer that needs runs which the leader has cut off; it carries a
round in the same way. The snapshot itself travels outside of Raft: whoever is behind fetches it. That it has it,
the leader learns from match_index.
"""

from typing import TypeAlias

import msgspec

from .types import Index, MemberId, Round, Run, Term


class RequestPreVote(msgspec.Struct, frozen=True, gc=False):
    """Would you vote for me in `term`? Asked without entering that term, so that asking disturbs nobody."""

    term: Term
    """The term the sender would enter: its own plus one."""
    last_index: Index
    last_term: Term


class PreVoteReply(msgspec.Struct, frozen=True, gc=False):
    """A promise of nothing: the answer to what I would do."""

    term: Term
    """If granted, the term that was asked about; else the answering member's own term."""
    granted: bool


class RequestVote(msgspec.Struct, frozen=True, gc=False):
    """Vote for me in my term. Leaves only when the sender's own vote, and the log it boasts of, are
    durable."""

    term: Term
    last_index: Index
    last_term: Term
    transfer: bool
    """The leader itself asked for this election (thesis §3.10), so that having heard from it is no
    objection."""


class VoteReply(msgspec.Struct, frozen=True, gc=False):
    """A vote, durable before it is sent, or its refusal."""

    term: Term
    granted: bool


class Append(msgspec.Struct, frozen=True, gc=False):
    """AppendEntries: runs that follow (prev_index, prev_term). Without runs: heartbeat, probe or commit
    notice."""

    term: Term
    prev_index: Index
    prev_term: Term
    commit_index: Index
    round: Round
    runs: tuple[Run, ...]


class AppendReply(msgspec.Struct, frozen=True, gc=False):
    """The log holds what the Append said. See the module's head for what is true when."""

    term: Term
    round: Round
    """The newest round among the Appends of this term that were accepted, and among its offers."""
    match_index: Index
    """Durable here and equal to the leader's log up to this index."""
    lent_ms: int = 0
    """For so long after that round arrived the sender helps nobody to replace this leader (`lease`)."""


class AppendRejected(msgspec.Struct, frozen=True, gc=False):
    """The log does not hold (prev_index, prev_term); the hint is where it might join the leader's."""

    term: Term
    round: Round
    """Round of the rejected Append. Rejecting a log confirms the leader all the same."""
    prev_index: Index
    hint_index: Index
    """The last entry here that is not after prev_index and whose term is not above prev_term …"""
    hint_term: Term
    """… and its term: nothing that the leader holds of later terms up to there can be here."""


class OfferSnapshot(msgspec.Struct, frozen=True, gc=False):
    """My log does not go back as far as yours: fetch my snapshot of the state at (index, snapshot_term)."""

    term: Term
    round: Round
    index: Index
    snapshot_term: Term


class TimeoutNow(msgspec.Struct, frozen=True, gc=False):
    """The leader hands over: campaign at once, without pre-vote (thesis §3.10)."""

    term: Term


class ReadIndex(msgspec.Struct, frozen=True, gc=False):
    """A follower asks for an index that covers every write acknowledged so far; one for all reads of its
    turn."""

    term: Term
    batch: int
    """Never used twice by this member, not even across restarts: an old answer must not serve a new read."""


class ReadIndexReply(msgspec.Struct, frozen=True, gc=False):
    """The leader was still the leader after it received `batch`: reads at `index` or later are
    linearizable."""

    term: Term
    batch: int
    index: Index


class NewerTerm(msgspec.Struct, frozen=True, gc=False):
    """Your term is over. Answers what a deposed or sleepy leader sends, and what is asked of one."""

    term: Term


Message: TypeAlias = (
    AppendReply
    | Append
    | AppendRejected
    | RequestPreVote
    | PreVoteReply
    | RequestVote
    | VoteReply
    | TimeoutNow
    | ReadIndex
    | ReadIndexReply
    | NewerTerm
    | OfferSnapshot
)

Outgoing: TypeAlias = tuple[MemberId, Message]
"""Whom to send it to, and what."""
