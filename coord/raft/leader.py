"""A leader: replicates its log, counts what is durable, proves that it leads (paper §5.3, §5.4, thesis §6).

Everything here is lost with the office: each term has its own Leader.

What leaves in a turn is decided once, at its end. Each peer gets the runs it lacks, in one Append, or in
several when they exceed max_append_bytes and the window allows; what the window does not allow follows when
acks open it. A peer that lacks nothing gets an empty Append if a round has started (heartbeat, reads) or the
commit index has moved since the last one. So a peer gets one message a turn, and often the same object as the
others. A peer that needs what our log does not hold any more gets an offer of our snapshot in place of the
empty Append that starts a round; it follows us, votes in our quorums and confirms our rounds like the others.
"""

from collections.abc import Callable
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING

from msgspec.structs import replace

from .configuration import ChangeUnderWay, Configuration, encode_configuration
from .lease import Heartbeats
from .messages import Append, AppendRejected, AppendReply, OfferSnapshot, ReadIndex, ReadIndexReply, TimeoutNow
from .progress import Progress
from .quorum import Value, agreed
from .reads import ReadRequest, ReadRounds
from .ready import MembersChanged, QuorumLost, TransferAborted, TransferStarted
from .types import NO_ROUND, Index, MemberId, NotLeader, Round, Run

if TYPE_CHECKING:
    from .server import Raft


class Majority:
    """One of the sets of voters that have to agree, by what we know of them."""

    __slots__ = ("_others", "_with_us")

    def __init__(self, others: list[Progress], *, with_us: bool) -> None:
        self._others = others
        self._with_us = with_us

    def agrees_on(self, ours: Value, of: Callable[[Progress], Value]) -> Value:
        """The highest value that more than half of them have reached; `ours` counts if we are one of them."""
        values = [of(peer) for peer in self._others]
        if self._with_us:
            values.append(ours)
        return agreed(values)


_match_index = attrgetter("match_index")
_acked_round = attrgetter("acked_round")
_contact = attrgetter("contact")
_lent_until = attrgetter("lent_until")


class Transfer:
    """A handover under way (thesis §3.10)."""

    __slots__ = ("asked_round", "deadline", "target")

    def __init__(self, target: MemberId, deadline: float) -> None:
        self.target = target
        self.deadline = deadline
        """When we give up and propose again."""
        self.asked_round = NO_ROUND
        """The round in which TimeoutNow was last sent; again in each later one, as it may get lost."""


class Leader:
    """What a member holds while it leads one term."""

    __slots__ = (
        "_disk_moved",
        "_heartbeats",
        "_majorities",
        "_may_be_replaced",
        "_peers",
        "deadline",
        "progress",
        "reads",
        "round",
        "term_start",
        "transfer",
    )

    def __init__(self, raft: "Raft", now: float) -> None:
        log = raft.log
        self.term_start = Index(log.last_index + 1)
        """Index of the no-op. Counting replicas commits from here on only (§5.4.2)."""
        self.round = Round(1)
        self._peers: list[Progress] = []
        self.progress: dict[MemberId, Progress] = {}
        """What we know of each peer, voter or not."""
        self._majorities: list[Majority] = []
        """Those of the newest configuration."""
        self._look_at_members(raft, now)
        self.reads = ReadRounds()
        self.transfer: Transfer | None = None
        self.deadline = now + raft.config.heartbeat_interval
        """The next heartbeat."""
        self._heartbeats = Heartbeats(raft.config)
        self._heartbeats.begin(self.round, now)
        self._may_be_replaced = False
        """Whether we ever asked somebody to stand for election in spite of what was promised to us."""
        self._disk_moved = False
        """Whether somebody's durable index moved in this turn."""
        log.append(Run(self.term_start, 1, raft.term, b""))

    def hears_leader(self, now: float, raft: "Raft") -> bool:
        """A leader is one; whether it still has a majority, its own check-quorum says (thesis §6.2)."""
        return True

    # What the driver asks.

    def propose(self, raft: "Raft", data: bytes, count: int) -> Index:
        """Append one run; it leaves with this turn."""
        if self.transfer is not None:
            raise NotLeader(None)
        first = Index(raft.log.last_index + 1)
        raft.log.append(Run(first, count, raft.term, data))
        return first

    def change(self, raft: "Raft", configuration: Configuration, now: float) -> Index:
        """Append a configuration, which holds from now on (§6): a joint one, if it has other voters."""
        if self.transfer is not None:
            raise NotLeader(None)
        membership = raft.log.memberships[-1]
        # Thesis §4.2.1 and its erratum: one change at a time, and none before an entry of our term is committed, for an
        # earlier leader may have made another that we do not know of (raft-dev, 2015).
        if membership.configuration.is_joint or raft.commit_index < max(membership.index, self.term_start):
            raise ChangeUnderWay(membership)
        present = membership.configuration.voters
        outgoing = present if present != configuration.voters else ()
        seats = configuration.seats
        if outgoing:
            named = {seat.member for seat in seats}
            kept = [seat for seat in membership.configuration.seats if seat.member in outgoing]
            kept = [seat for seat in kept if seat.member not in named]
            seats = tuple(sorted([*seats, *kept], key=lambda seat: seat.member))
        return self._configure(raft, replace(configuration, outgoing=outgoing, seats=seats), now)

    def _configure(self, raft: "Raft", configuration: Configuration, now: float) -> Index:
        index = Index(raft.log.last_index + 1)
        raft.log.append(Run(index, 1, raft.term, encode_configuration(configuration), True))
        raft.happen(MembersChanged(raft.term, index, configuration))
        # A round of its own: answers to older ones tell about a time before, when a member that is new may have been
        # another, with another disk.
        self.round = Round(self.round + 1)
        self._look_at_members(raft, now)
        for peer in self._peers:
            if peer.since == self.round:
                peer.probe(self.round)  # unlike the peers of a new leader it is not likely to have everything
        return index

    def _look_at_members(self, raft: "Raft", now: float) -> None:
        """Feed whoever the newest configuration lists, and nobody else; a new member from where our log ends."""
        configuration = raft.configuration
        known, last_index = self.progress, raft.log.last_index
        self._peers = [
            known.get(member) or Progress(member, last_index, now, self.round)
            for member in configuration.members
            if member != raft.member
        ]
        self.progress = {peer.member: peer for peer in self._peers}
        self._majorities = [
            Majority([self.progress[voter] for voter in voters if voter != raft.member], with_us=raft.member in voters)
            for voters in configuration.majorities
        ]

    def on_read_request(self, raft: "Raft", request: int) -> None:
        """Our own caller's read joins the next round."""
        self.reads.waiting.append(ReadRequest(None, request))

    def start_transfer(self, raft: "Raft", target: MemberId | None, now: float) -> None:
        """Stop proposing and hand over to `target`, or to whoever we reach that holds most."""
        if target is None:
            target = self._successor(raft)
        if target is None:
            return
        assert target in self.progress, f"{target} is not a peer"
        assert target in raft.configuration.voters, f"{target} has no vote"
        self.transfer = Transfer(target, now + raft.config.election_timeout)
        raft.happen(TransferStarted(raft.term, target))

    def _successor(self, raft: "Raft") -> MemberId | None:
        """Of the other voters, the one that we reach and that holds most."""
        voters = [peer for peer in self._peers if peer.member in raft.configuration.voters]
        best = max(voters, key=lambda peer: (peer.is_reachable, peer.match_index, peer.contact), default=None)
        return None if best is None else best.member

    # What the peers and the disk say.

    def on_append_reply(self, raft: "Raft", sender: MemberId, message: AppendReply, now: float) -> None:
        """The peer took our Appends up to this round; its disk is as far as it says."""
        assert message.round <= self.round, "a round that we never started is confirmed"
        peer = self.progress.get(sender)
        if peer is None or message.round < peer.since:
            return  # it is a member no more, or was one before
        heartbeat = self._heartbeats.confirmed_by(message.round)
        if heartbeat is not None:
            round_, began = heartbeat
            if peer.acked_round < round_:
                peer.round_trip = now - began
            if message.lent_ms:
                lent = message.lent_ms / 1000 * (1 - raft.config.max_clock_drift)
                peer.lent_until = max(peer.lent_until, began + lent)
        peer.answered(message.round, now)
        if peer.acknowledge(message.match_index):
            self._disk_moved = True
        if peer.is_probing:
            if peer.is_behind:
                if peer.match_index >= raft.log.start.index:
                    peer.catch_up()
            elif message.round >= peer.fed_since:
                # All Appends since then were probes of the same place, and one was accepted.
                peer.is_probing = False

    def on_append_rejected(self, raft: "Raft", sender: MemberId, message: AppendRejected, now: float) -> None:
        """§5.3: the peer lacks what we built on; go back to where its log may join ours."""
        peer = self.progress.get(sender)
        if peer is None or message.round < peer.since:
            return
        peer.answered(message.round, now)
        if message.round < peer.fed_since or message.prev_index <= peer.match_index:
            return  # it tells about what we sent before we last fell back, or before an ack
        hint = raft.log.joint(message.hint_index, message.hint_term)
        joint = peer.match_index if hint is None else max(hint, peer.match_index)
        assert joint < message.prev_index, "a step back that is none"
        self.round = Round(self.round + 1)
        if joint < raft.log.start.index:
            peer.fall_behind(joint, self.round)
        else:
            peer.fall_back(joint, self.round)

    def on_read_index(self, sender: MemberId, message: ReadIndex) -> None:
        """A follower's reads join the next round."""
        self.reads.waiting.append(ReadRequest(sender, message.batch))

    def on_persisted(self, raft: "Raft", now: float) -> None:
        """Our own disk counts like a peer's."""
        self._disk_moved = True

    def on_compacted(self, raft: "Raft") -> None:
        """The log starts later now: for some peer perhaps too late."""
        late = [peer for peer in self._peers if peer.sent_index < raft.log.start.index and not peer.is_behind]
        if late:
            self.round = Round(self.round + 1)
        for peer in late:
            peer.fall_behind(peer.sent_index, self.round)

    def on_peer_lost(self, raft: "Raft", member: MemberId, now: float) -> None:
        """What was on the way to it may be lost: look for the place to go on from."""
        if member in self.progress:
            self.progress[member].is_reachable = False
            self._probe(member)

    def on_peer_up(self, raft: "Raft", member: MemberId, now: float) -> None:
        """Do not let it wait for the next heartbeat."""
        if member in self.progress:
            self._probe(member)

    def _probe(self, member: MemberId) -> None:
        self.round = Round(self.round + 1)
        self.progress[member].probe(self.round)

    # Time.

    def on_time(self, raft: "Raft", now: float) -> None:
        """Check-quorum (thesis §6.2), then a heartbeat: a round, which every peer must answer."""
        timeout = raft.config.election_timeout
        if now - min([majority.agrees_on(now, _contact) for majority in self._majorities]) >= timeout:
            raft.happen(QuorumLost(raft.term))
            raft.become_follower(raft.term, None, now)
            return
        membership = raft.log.memberships[-1]
        if membership.index <= raft.commit_index and not membership.configuration.has_vote(raft.member):
            self._leave(raft, now)
            return
        if self.transfer is not None and now >= self.transfer.deadline:
            raft.happen(TransferAborted(raft.term, self.transfer.target))
            self.transfer = None
        self.deadline = now + raft.config.heartbeat_interval
        self.round = Round(self.round + 1)
        self._heartbeats.begin(self.round, now)

    # The end of a turn.

    def finish_turn(self, raft: "Raft") -> None:
        """Commit what a majority holds, feed the peers; answer the reads that came, or start a round for them."""
        if self._disk_moved:
            self._disk_moved = False
            self._advance_commit(raft)
            if raft.configuration.is_joint:
                self._end_change(raft)
        if self.reads.waiting and raft.commit_index >= self.term_start:
            if self._holds_lease(raft):
                self._answer(raft, self.reads.take_all(raft.commit_index))
            else:
                self.round = Round(self.round + 1)
                self.reads.start(self.round, raft.commit_index)
        self._replicate(raft)
        if self.reads.under_way:
            self._answer_confirmed(raft)
        if self.transfer is not None:
            self._go_on_with_transfer(raft, self.transfer)

    def _advance_commit(self, raft: "Raft") -> None:
        """§5.4.2, figure 8: only entries of our own term are committed by counting; older go with them."""
        ours = raft.log.durable_index
        index = min([majority.agrees_on(ours, _match_index) for majority in self._majorities])
        if index >= self.term_start:
            raft.commit(index)

    def _end_change(self, raft: "Raft") -> None:
        """§6: once the joint configuration is committed, the new one takes over, whoever leads by now."""
        index, joint = raft.log.memberships[-1].index, raft.configuration
        if raft.commit_index >= max(index, self.term_start):
            seats = tuple([seat for seat in joint.seats if seat.member in (*joint.voters, *joint.learners)])
            self._configure(raft, replace(joint, outgoing=(), seats=seats), raft.now)

    def _leave(self, raft: "Raft", now: float) -> None:
        """Thesis §4.2.2: we have seen a change through that leaves us out. Nobody need wait for our silence."""
        successor = self._successor(raft)
        if successor is not None:
            raft.send(successor, TimeoutNow(raft.term))
        raft.become_follower(raft.term, None, now)

    def _replicate(self, raft: "Raft") -> None:
        last_index, commit_index = raft.log.last_index, raft.commit_index
        round_ = self.round
        outbox = raft.outbox
        # Before a transfer ends our term, peers should know what was decided in it.
        notices = raft.notices if self.transfer is None else outbox
        append: Append | None = None  # the last one that was built; a peer that is equally far gets the same
        size = 0
        for peer in self._peers:
            while peer.sent_index < last_index and not peer.is_probing and peer.has_room(raft.config):
                if append is None or append.prev_index != peer.sent_index or not append.runs:
                    runs = raft.log.following(peer.sent_index, raft.config.max_append_bytes)
                    append = self._append(raft, peer.sent_index, runs)
                    size = sum([len(run.data) for run in runs])
                peer.sent_runs(append.runs[-1].last, size)
                peer.sent_round, peer.sent_commit = round_, commit_index
                outbox.append((peer.member, append))
            if peer.sent_round < round_ or (peer.sent_commit < commit_index and not peer.is_probing):
                if peer.is_behind:
                    outbox.append((peer.member, self._offer(raft)))
                else:
                    # Built on the last run we sent: if that was lost, this bounces, and we know.
                    if append is None or append.prev_index != peer.sent_index or append.runs:
                        append = self._append(raft, peer.sent_index, ())
                    (outbox if peer.sent_round < round_ else notices).append((peer.member, append))
                peer.sent_round, peer.sent_commit = round_, commit_index

    def _append(self, raft: "Raft", prev_index: Index, runs: tuple[Run, ...]) -> Append:
        prev_term = raft.log.term_at(prev_index)
        return Append(raft.term, prev_index, prev_term, raft.commit_index, self.round, runs)

    def _offer(self, raft: "Raft") -> OfferSnapshot:
        place = raft.snapshot
        assert place.index >= raft.log.start.index, "the log was cut where no snapshot stands"
        return OfferSnapshot(raft.term, self.round, place.index, place.term)

    def _holds_lease(self, raft: "Raft") -> bool:
        """Thesis §6.4.1: nobody else can lead at this turn's time."""
        if self._may_be_replaced or not raft.config.lease_reads:
            return False
        return raft.now < min([majority.agrees_on(inf, _lent_until) for majority in self._majorities])

    def _answer_confirmed(self, raft: "Raft") -> None:
        """Thesis §6.4: a majority took us for the leader in a round that began after these reads came."""
        round_ = min([majority.agrees_on(self.round, _acked_round) for majority in self._majorities])
        self._answer(raft, self.reads.take_confirmed(round_))

    def _answer(self, raft: "Raft", reads: list[tuple[Index, ReadRequest]]) -> None:
        for index, request in reads:
            if request.asker is None:
                raft.answer_read(request.number, index)
            else:
                raft.send(request.asker, ReadIndexReply(raft.term, request.number, index))

    def _go_on_with_transfer(self, raft: "Raft", transfer: Transfer) -> None:
        if transfer.asked_round < self.round:
            peer = self.progress.get(transfer.target)
            if peer is not None and peer.match_index == raft.log.last_index:
                transfer.asked_round = self.round
                self._may_be_replaced = True
                raft.send(transfer.target, TimeoutNow(raft.term))
