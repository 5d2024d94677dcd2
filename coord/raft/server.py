"""Raft: one member's part in the consensus, and the rules for all servers (paper, figure 2).

Roles hold what only they need and act through the methods at the end of the class; here is what every member
does whatever its role: terms (§5.1), votes (§5.2, §5.4.1), what goes to the disk, what comes out of a turn.
"""

from collections.abc import Callable
from typing import TypeAlias, assert_never

from .candidate import Candidate
from .config import Config
from .configuration import UNTOLD, Configuration, Membership
from .follower import NO_CONTACT, Follower
from .leader import Leader
from .lease import Promise
from .log import Log
from .messages import (
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
from .ready import (
    BecameFollower,
    BecameLeader,
    ElectionStarted,
    Happened,
    Persist,
    ReadReady,
    Ready,
    Voted,
)
from .stored import Stored
from .types import BEFORE_FIRST, MAX_RUN_BYTES, MAX_RUN_COUNT, HardState, Index, MemberId, NotLeader, Place, Run, Term

Role: TypeAlias = Follower | Candidate | Leader


class Raft:
    """One member: inputs and `now` go in, `take_ready` says what to do. See the package's docstring."""

    __slots__ = (
        "_batches",
        "_commit_taken",
        "_distrusted",
        "_distrusted_until",
        "_happened",
        "_hard_state_changed",
        "_reads",
        "_saved",
        "_token",
        "commit_index",
        "config",
        "jitter",
        "leader",
        "log",
        "member",
        "notices",
        "now",
        "outbox",
        "promise",
        "role",
        "snapshot",
        "term",
        "voted_for",
    )

    def __init__(self, config: Config, stored: Stored, now: float, jitter: Callable[[], float]) -> None:
        """`jitter`: the only source of chance, uniform in [0, 1)."""
        self.config = config
        self.member = config.member
        self.jitter = jitter

        self.term = stored.hard_state.term
        self.voted_for = stored.hard_state.voted_for
        membership = stored.membership if stored.membership != UNTOLD else Membership(BEFORE_FIRST, config.first)
        self.log = Log(stored.runs, stored.start, membership)
        self.snapshot = stored.snapshot
        """Where the newest durable snapshot of this member stands: what a leader offers to who is behind."""
        assert self.log.has(self.snapshot.index, self.snapshot.term), "the log does not go on from the snapshot"

        self.commit_index = self.snapshot.index
        self.leader: MemberId | None = None
        self.now = now
        """Of this turn."""
        self._commit_taken = self.snapshot.index
        self._token = 0
        self._saved = 0
        self._hard_state_changed = False
        self._batches = 0
        self._distrusted: MemberId | None = None
        self._distrusted_until = now
        self.promise = Promise(config, now)
        """Which we gave to the leaders that we heard, in whatever role and term."""
        self.outbox: list[Outgoing] = []
        self.notices: list[Outgoing] = []
        """What leaves with this turn."""
        self._reads: list[ReadReady] = []
        self._happened: list[Happened] = []

        if self.term < self.snapshot.term:
            # A snapshot of a leader was durable before we had stored its term, in which we cannot have voted then.
            self._set_hard_state(self.snapshot.term, None)
        assert self.term >= self.log.last_term, "the log is of a later term than the hard state"

        # A cluster that starts must not wait for the silence of a leader that never was.
        self.role: Role = Follower(now, config.heartbeat_interval * (1 + jitter()), NO_CONTACT)
        if self.configuration.members == (self.member,) and not self.promise.binds(now):
            self.become_candidate(now, pre=True)

    # What there is to see.

    @property
    def is_leader(self) -> bool:
        """Whether this member leads, as far as it knows."""
        return isinstance(self.role, Leader)

    @property
    def can_propose(self) -> bool:
        """Whether `propose` would be accepted: we lead, and are not handing over."""
        return isinstance(self.role, Leader) and self.role.transfer is None

    @property
    def configuration(self) -> Configuration:
        """The members, by the newest configuration in the log, decided or not: the one that holds (§6)."""
        return self.log.memberships[-1].configuration

    @property
    def may_stand(self) -> bool:
        """Whether this member could be needed as the leader: it has a vote, or had one and cannot know that the
        configuration which takes it away is decided.

        Thesis §4.2.2. Of members 1 and 2, leader 1 removes itself, and dies before 2 has that entry. Then 2 needs the
        vote of 1, whose log is longer: it does not get it. Only 1 can lead, with the vote of 2, and see itself out.
        """
        for membership in reversed(self.log.memberships):
            if membership.configuration.has_vote(self.member):
                return True
            if membership.index <= self.commit_index:
                break
        return False

    @property
    def last_index(self) -> Index:
        """Where the log ends, durable or not."""
        return self.log.last_index

    # Inputs.

    def advance_time(self, now: float) -> None:
        """Act on what is due. The first input of a turn: a member that slept must know before it speaks."""
        self.now = now
        if now >= self.role.deadline:
            self.role.on_time(self, now)

    def next_deadline(self) -> float:
        """When a turn has something to do even if nothing comes in. May be past."""
        if self._commit_taken < self.commit_index:
            return self.now
        return self.role.deadline

    def step(self, sender: MemberId, message: Message, now: float) -> None:
        """Take in what a peer sent; the transport vouches for the sender."""
        if message.term != self.term and not self._settle_term(sender, message, now):
            return
        role = self.role
        match message:  # the most frequent first
            case AppendReply():
                if isinstance(role, Leader):
                    role.on_append_reply(self, sender, message, now)
            case Append():
                follower = self._follow(sender, now)
                if follower is not None:
                    follower.on_append(self, message, now)
            case AppendRejected():
                if isinstance(role, Leader):
                    role.on_append_rejected(self, sender, message, now)
            case ReadIndex():
                if isinstance(role, Leader):
                    role.on_read_index(sender, message)
            case ReadIndexReply():
                if isinstance(role, Follower):
                    role.on_read_index_reply(self, message)
            case RequestPreVote():
                self._on_request_pre_vote(sender, message, now)
            case PreVoteReply():
                if isinstance(role, Candidate):
                    role.on_pre_vote_reply(self, sender, message, now)
            case RequestVote():
                self._on_request_vote(sender, message, now)
            case VoteReply():
                if isinstance(role, Candidate):
                    role.on_vote_reply(self, sender, message, now)
            case TimeoutNow():
                if isinstance(role, Follower) and sender == self.leader and self.configuration.has_vote(self.member):
                    self.promise.release()
                    self.become_candidate(now, pre=False, transfer=True)
            case OfferSnapshot():
                follower = self._follow(sender, now)
                if follower is not None:
                    follower.on_offer(self, sender, message, now)
            case NewerTerm():
                pass  # settling the term was all there was to it
            case _:
                assert_never(message)

    def persisted(self, token: int, now: float) -> None:
        """The disk has done everything up to the Persist with this token."""
        assert self._saved <= token <= self._token, "the disk answers in order, and only what it was asked"
        self._saved = token
        self.log.saved(token)
        self.role.on_persisted(self, now)

    def propose(self, data: bytes, count: int, now: float) -> Index:
        """Append `count` entries, encoded in `data`, as one run; returns the index of the first.

        Whether they get committed shows in `Ready.committed`, here or at another leader. Raises `NotLeader`,
        also while we hand over; `can_propose` asks without an exception.
        """
        assert data, "only a leader's no-op is empty"
        assert len(data) <= MAX_RUN_BYTES
        assert 0 < count <= MAX_RUN_COUNT
        if not isinstance(self.role, Leader):
            raise NotLeader(self.leader)
        return self.role.propose(self, data, count)

    def change_members(self, configuration: Configuration, now: float) -> Index:
        """Append a configuration without `outgoing`; returns the index of its entry.

        It holds at once; `outgoing` is filled in if the voters change, and a second entry ends that by itself once the
        first is committed. Raises `NotLeader` as `propose` does, and `ChangeUnderWay` until the newest configuration,
        and an entry of our own term, are committed.
        """
        assert not configuration.is_joint, "the joint configuration is our own business"
        flaws = list(configuration.flaws())
        assert not flaws, flaws
        if not isinstance(self.role, Leader):
            raise NotLeader(self.leader)
        return self.role.change(self, configuration, now)

    def read_index(self, request: int, now: float) -> None:
        """Ask for an index such that a state which has applied it reflects every write acknowledged before.

        Answered by a ReadReady with the same number. Dropped without an answer when there is no leader, when
        the leader or the term changes (BecameFollower, BecameLeader or ElectionStarted happens), or when the
        question or the answer gets lost: ask again. Repeating a number that is under way may yield two
        answers.
        """
        self.role.on_read_request(self, request)

    def peer_lost(self, member: MemberId, now: float) -> None:
        """The transport saw a connection break: what was on the way may be lost, and the peer dead."""
        self.role.on_peer_lost(self, member, now)

    def peer_up(self, member: MemberId, now: float) -> None:
        """The transport has a (new) connection to a peer."""
        self.role.on_peer_up(self, member, now)

    def transfer_leadership(self, now: float, to: MemberId | None = None) -> None:
        """Hand over to `to`, another voter, or to the most caught-up one (thesis §3.10).

        Until that succeeds or an election timeout has passed, `propose` refuses. Does nothing on a member
        that does not lead, and in a cluster of one.
        """
        if isinstance(self.role, Leader):
            self.role.start_transfer(self, to, now)

    def install(self, place: Place, membership: Membership) -> bool:
        """Go on from a snapshot that is durable here, and whose state is loaded and waits to be the machine's;
        `membership` is the newest configuration in it.

        Returns False if it is of no use, which it may have become while it was on the way: we know of more that is
        committed, or lead. Then nothing happened, and the state must be dropped. If True, the next of
        `Ready.committed` follow `place`.
        """
        if isinstance(self.role, Leader) or place.index <= self.commit_index:
            return False
        if not self.log.has(place.index, place.term):
            if membership == UNTOLD:
                membership = Membership(BEFORE_FIRST, self.config.first)
            self.log.restart(place, membership)
            if isinstance(self.role, Candidate):
                # The log that it boasts of is gone; what it said may get it votes, but never enough: a log that
                # lacks what is committed does not win.
                self.become_follower(self.term, None, self.now)
        self.commit_index = self._commit_taken = place.index
        self.snapshot = place
        if isinstance(self.role, Follower):
            self.role.on_installed(place)
        return True

    def snapshot_saved(self, place: Place) -> None:
        """A snapshot of our own state is durable; it may be late, and older than another."""
        assert place.index <= self._commit_taken, "a snapshot of what was not applied"
        if place.index > self.snapshot.index:
            self.snapshot = place

    def compact(self, index: Index) -> None:
        """Forget the runs up to `index`, a boundary, that the newest snapshot holds. A peer that needs them gets that.

        Costs a peer that is only slow a whole snapshot: leave the runs that peers lack, as long as there is room.
        """
        assert index <= self.snapshot.index, "no snapshot holds what is to be forgotten"
        self.log.compact(index)
        if isinstance(self.role, Leader):
            self.role.on_compacted(self)

    def take_ready(self) -> Ready:
        """End the turn: what is to be done for all its inputs together."""
        self.role.finish_turn(self)
        ready = Ready(
            self.outbox,
            self.notices,
            self._take_persist(),
            self._take_committed(),
            self._reads,
            self._happened,
        )
        self.outbox = []
        if self.notices:
            self.notices = []
        if self._reads:
            self._reads = []
        if self._happened:
            self._happened = []
        return ready

    # Terms: figure 2, "All Servers"; §5.1.

    def _settle_term(self, sender: MemberId, message: Message, now: float) -> bool:
        """Deal with a term that is not ours; returns whether the message still means something after that."""
        if message.term < self.term:
            self._answer_old_term(sender, message)
            return False
        match message:
            case RequestPreVote():
                return True  # it only asks about that term
            case PreVoteReply() if message.granted:
                return True  # it only repeats the term that we asked about
            case RequestVote() if not message.transfer and self._is_loyal(now):
                # Thesis §4.2.3: entering the term would already unseat the leader that we hear.
                self.send(sender, VoteReply(self.term, granted=False))
                return False
            case Append() | OfferSnapshot():
                self.become_follower(message.term, sender, now)
            case _:
                self.become_follower(message.term, None, now)
        return True

    def _answer_old_term(self, sender: MemberId, message: Message) -> None:
        """Whoever asks in a term that is over must learn it, or would go on for ever (raft-rs #42)."""
        match message:
            case RequestPreVote():
                self.send(sender, PreVoteReply(self.term, granted=False))
            case RequestVote():
                self.send(sender, VoteReply(self.term, granted=False))
            case Append() | OfferSnapshot() | TimeoutNow() | ReadIndex():
                self.send(sender, NewerTerm(self.term))
            case AppendReply() | AppendRejected() | PreVoteReply() | VoteReply() | ReadIndexReply() | NewerTerm():
                pass  # answers to what we asked in that term
            case _:
                assert_never(message)

    def _follow(self, sender: MemberId, now: float) -> Follower | None:
        """The sender leads our term: whatever we are, we follow it (§5.2). None: it may be dead by now."""
        role = self.role
        if isinstance(role, Follower) and self.leader == sender:
            return role
        if sender == self._distrusted and now < self._distrusted_until:
            return None
        assert not isinstance(role, Leader), f"two leaders in term {self.term}: {self.member} and {sender}"
        assert self.leader is None, f"two leaders in term {self.term}: {self.leader} and {sender}"
        return self.become_follower(self.term, sender, now)

    # Votes: §5.2, §5.4.1; thesis §9.6.

    def _is_loyal(self, now: float) -> bool:
        """Whether we must not help to replace a leader: because we hear it, or promised it."""
        return self.role.hears_leader(now, self) or self.promise.binds(now)

    @property
    def _has_a_say(self) -> bool:
        """Who is to join, and has no configuration yet, gives nobody its vote. It may have had one before, and a log
        that is lost: together with others like it, it would make a majority of those who know nothing."""
        return bool(self.configuration.voters)

    def _on_request_pre_vote(self, sender: MemberId, message: RequestPreVote, now: float) -> None:
        if (
            message.term > self.term
            and self._has_a_say
            and not self._is_loyal(now)
            and self.log.is_up_to_date(message.last_index, message.last_term)
        ):
            self.send(sender, PreVoteReply(message.term, granted=True))
        else:
            self.send(sender, PreVoteReply(self.term, granted=False))

    def _on_request_vote(self, sender: MemberId, message: RequestVote, now: float) -> None:
        if (
            self.voted_for not in (None, sender)
            or not self._has_a_say
            or (self._is_loyal(now) and not message.transfer)
            or not self.log.is_up_to_date(message.last_index, message.last_term)
        ):
            self.send(sender, VoteReply(self.term, granted=False))
            return
        if self.voted_for is None:
            self._set_hard_state(self.term, sender)
            self.happen(Voted(self.term, sender))
        role = self.role
        if not isinstance(role, Follower):  # then we were only asking for pre-votes
            role = self.become_follower(self.term, None, now)
        role.grant_vote(self, sender, now)

    # The disk.

    def _set_hard_state(self, term: Term, voted_for: MemberId | None) -> None:
        assert term > self.term or self.voted_for is None, "one vote per term"
        self.term = term
        self.voted_for = voted_for
        self._hard_state_changed = True

    def _take_persist(self) -> Persist | None:
        if not self._hard_state_changed and not self.log.has_unsaved():
            return None
        hard_state = HardState(self.term, self.voted_for) if self._hard_state_changed else None
        self._hard_state_changed = False
        self._token += 1
        runs, truncate_from, restart_at = self.log.hand_out(self._token)
        return Persist(self._token, hard_state, truncate_from, runs, restart_at)

    def _take_committed(self) -> list[Run]:
        if self._commit_taken == self.commit_index:
            return []
        runs = self.log.between(self._commit_taken, self.commit_index, self.config.max_committed_entries)
        self._commit_taken = runs[-1].last
        return runs

    # For the roles.

    def become_follower(self, term: Term, leader: MemberId | None, now: float, wait: float | None = None) -> Follower:
        """Follow `leader`, or wait for one to appear; without `wait`, as long as is usual."""
        assert term >= self.term
        if term > self.term:
            self._set_hard_state(term, None)
        if leader is not None:
            wait, contact = self.draw_election_timeout(), now
        else:
            contact = NO_CONTACT
            if wait is None:
                # Nobody is known to lead, and to ask about an election disturbs nobody.
                wait = self.config.pre_vote_interval * (1 + self.jitter())
        self.leader = leader
        self.role = role = Follower(now, wait, contact)
        self.happen(BecameFollower(term, leader))
        return role

    def become_candidate(self, now: float, *, pre: bool, attempt: int = 0, transfer: bool = False) -> None:
        """Ask for votes; unless `pre`, in a new term."""
        role = self.role
        was_asking = isinstance(role, Candidate) and role.pre
        silence = now - role.contact if isinstance(role, Follower) and self.leader is not None else None
        self.leader = None
        if not pre:
            self._set_hard_state(Term(self.term + 1), self.member)
        if not pre or not was_asking:
            self.happen(ElectionStarted(Term(self.term + 1) if pre else self.term, pre, silence))
        self.role = candidate = Candidate(self, now, pre=pre, attempt=attempt, transfer=transfer)
        candidate.start(self, now)

    def become_leader(self, now: float) -> None:
        """We won: lead our term, beginning with a no-op (§5.4.2; thesis §6.4)."""
        assert isinstance(self.role, Candidate)
        self.leader = self.member
        self.role = Leader(self, now)
        self.happen(BecameLeader(self.term))

    def distrust(self, leader: MemberId, now: float) -> None:
        """Its connection broke: what still arrives may be its last words; do not wait for more.

        To lose them does no harm. If it lives, we will hear its next heartbeat.
        """
        self._distrusted = leader
        self._distrusted_until = now + self.config.heartbeat_interval

    def draw_election_timeout(self) -> float:
        """Randomised in [T, 2T), so that seldom two stand at once (§5.2)."""
        return self.config.election_timeout * (1 + self.jitter())

    def commit(self, index: Index) -> None:
        """Everything up to `index` is decided."""
        if index > self.commit_index:
            assert index <= self.log.last_index
            self.commit_index = index

    def unsaved_token(self) -> int:
        """The token of the Persist that makes durable all we hold now."""
        return self._token + 1 if self._hard_state_changed or self.log.has_unsaved() else self._token

    def is_saved(self, token: int) -> bool:
        """Whether the disk has answered this token."""
        return token <= self._saved

    def new_batch(self) -> int:
        """A number that this member never gave to a batch of reads, nor will, in this life or another."""
        self._batches += 1
        assert self._batches < 1 << 32
        return (self.config.incarnation << 32) | self._batches

    def send(self, to: MemberId, message: Message) -> None:
        """Let a message leave with this turn."""
        self.outbox.append((to, message))

    def answer_read(self, request: int, index: Index) -> None:
        """Answer our own caller."""
        self._reads.append(ReadReady(request, index))

    def happen(self, event: Happened) -> None:
        """Let the driver know, for logs and metrics."""
        self._happened.append(event)
