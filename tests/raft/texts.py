"""Raft in short texts, for tests: what goes in is built from them, what comes out is rendered to them.

entries   "1/1 1/2 2/3-5"   term/index, or term/first-last for a run of several; data is the text itself
prev      "1/4"             "0/0" is the place before the first entry
message   "append t2 1/4 [2/5] c3 r1"   see `render`
"""

from typing import assert_never

from coord.raft import Config, HardState, Index, MemberId, Place, Raft, Run, Stored, Term
from coord.raft.messages import (
    Append,
    AppendRejected,
    AppendReply,
    Message,
    NewerTerm,
    OfferSnapshot,
    Outgoing,
    PreVoteReply,
    ReadIndex,
    ReadIndexReply,
    RequestPreVote,
    RequestVote,
    TimeoutNow,
    VoteReply,
)
from coord.raft.ready import Ready
from coord.raft.types import Round

TRIO = (MemberId(1), MemberId(2), MemberId(3))


def run(text: str) -> Run:
    """The run that a text like "2/3-5" means."""
    term, _, indexes = text.partition("/")
    first, _, last = indexes.partition("-")
    return Run(Index(int(first)), int(last or first) - int(first) + 1, Term(int(term)), text.encode())


def runs(text: str) -> tuple[Run, ...]:
    """The runs that a text like "1/1 2/2-4" means."""
    return tuple(run(word) for word in text.split())


def show_run(one: Run) -> str:
    """A run as its text, whatever its data."""
    indexes = f"{one.first}" if one.count == 1 else f"{one.first}-{one.last}"
    return f"{one.term}/{indexes}"


def show_log(raft: Raft) -> str:
    """A member's log as a text."""
    return " ".join(map(show_run, raft.log.runs))


def append(prev: str = "0/0", entries: str = "", *, term: int = 1, commit: int = 0, round_: int = 1) -> Append:
    """An Append of the runs that the text means."""
    prev_term, _, prev_index = prev.partition("/")
    return Append(Term(term), Index(int(prev_index)), Term(int(prev_term)), Index(commit), Round(round_), runs(entries))


def render(message: Message) -> str:
    """A message on one line: its name, its term, then what it says."""
    match message:
        case Append():
            entries = " ".join(map(show_run, message.runs))
            prev = f"{message.prev_term}/{message.prev_index}"
            return f"append t{message.term} {prev} [{entries}] c{message.commit_index} r{message.round}"
        case AppendReply(term, round_, match):
            return f"appended t{term} m{match} r{round_}"
        case AppendRejected(term, round_, prev, index, hint_term):
            return f"rejected t{term} at {prev}, try {hint_term}/{index} r{round_}"
        case RequestPreVote(term, index, last_term):
            return f"pre-vote? t{term} {last_term}/{index}"
        case PreVoteReply(term, granted):
            return f"pre-vote {'yes' if granted else 'no'} t{term}"
        case RequestVote(term, index, last_term, transfer):
            return f"vote? t{term} {last_term}/{index}{' transfer' if transfer else ''}"
        case VoteReply(term, granted):
            return f"vote {'yes' if granted else 'no'} t{term}"
        case TimeoutNow(term):
            return f"timeout-now t{term}"
        case ReadIndex(term, batch):
            return f"read-index? t{term} #{batch & 0xFFFF_FFFF}"
        case ReadIndexReply(term, batch, index):
            return f"read-index t{term} #{batch & 0xFFFF_FFFF} {index}"
        case NewerTerm(term):
            return f"newer-term t{term}"
        case OfferSnapshot(term, round_, index, snapshot_term):
            return f"offer t{term} {snapshot_term}/{index} r{round_}"
        case _:
            assert_never(message)


def half() -> float:
    """A jitter for tests in which chance plays no part."""
    return 0.5


def place(text: str) -> Place:
    """The place that a text like "1/4" means; "0/0" is the beginning."""
    term, _, index = text.partition("/")
    return Place(Index(int(index)), Term(int(term)))


def disk(log: str = "", term: int = 0, vote: int | None = None, start: str = "0/0") -> Stored:
    """What a disk holds: a log, and where it starts a snapshot; the term is at least the log's."""
    stored, at = list(runs(log)), place(start)
    term = max(term, stored[-1].term if stored else at.term)
    return Stored(HardState(Term(term), MemberId(vote) if vote else None), stored, at, at)


def member(
    log: str = "",
    *,
    term: int = 0,
    vote: int | None = None,
    me: int = 1,
    voters: tuple[int, ...] = (1, 2, 3),
    start: str = "0/0",
) -> Raft:
    """A member that just started with this on its disk, at time 0; it knows no leader."""
    config = Config(member=MemberId(me), voters=tuple(MemberId(voter) for voter in voters), incarnation=1)
    return Raft(config, disk(log, term, vote, start), 0.0, half)


def follower(log: str = "", *, term: int = 0, leader: int = 1, me: int = 2, start: str = "0/0") -> Raft:
    """A member that heard from `leader` at time 0 and has answered; its log equals the leader's."""
    raft = member(log, term=term, me=me, start=start)
    term = max(raft.term, 1)
    end = f"{raft.log.last_term}/{raft.last_index}"
    raft.step(MemberId(leader), append(end, term=term, round_=1), 0.0)
    save(raft)
    raft.take_ready()
    return raft


def leader(log: str = "", *, voters: tuple[int, ...] = (1, 2, 3), start: str = "0/0") -> Raft:
    """Member 1, elected at time 0 in the term after the log's; its no-op is sent and on its own disk."""
    raft = member(log, voters=voters, start=start)
    elect(raft)
    save(raft)
    return raft


def elect(raft: Raft, now: float = 0.0) -> None:
    """Let a member win: as many as needed vote for it. Its no-op is not sent yet."""
    term = Term(raft.term + 1)
    raft.role.on_time(raft, now)
    peers = [voter for voter in raft.configuration.voters if voter != raft.member]
    for peer in peers[: len(peers) // 2 + len(peers) % 2]:
        raft.step(peer, PreVoteReply(term, granted=True), now)
    save(raft, now)
    for peer in peers[: len(peers) // 2 + len(peers) % 2]:
        raft.step(peer, VoteReply(term, granted=True), now)
    assert raft.is_leader


def save(raft: Raft, now: float = 0.0) -> Ready:
    """End the turn, and let the disk do what it asked for."""
    ready = raft.take_ready()
    if ready.persist is not None:
        raft.persisted(ready.persist.token, now)
    return ready


def sent_in(ready: Ready) -> list[Outgoing]:
    """All that leaves with a turn."""
    return ready.messages + ready.notices


def say(raft: Raft) -> list[str]:
    """End the turn: what it says to whom, as texts like "2: vote yes t1"."""
    return [f"{to}: {render(message)}" for to, message in sent_in(raft.take_ready())]


def save_and_say(raft: Raft) -> list[str]:
    """Like `say`, with what follows when the disk has done what this turn asked for."""
    ready = save(raft)
    return [f"{to}: {render(message)}" for to, message in sent_in(ready)] + say(raft)
