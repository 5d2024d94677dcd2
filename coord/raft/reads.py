"""ReadIndex: linearizable reads without a log entry (thesis §6.4).

    1  The leader must have committed an entry of its term: its commit index may be behind before
       (etcd #7331).
    2  The read's index is the leader's commit index, taken when its round starts.
    3  A majority must confirm that nobody else leads, in a round that started after the request arrived
       (etcd #20418).
    4  The reader waits until it has applied that index; then it answers from its own state.

All requests of a turn share one round, and its number rides on whatever Appends leave in that turn. A request
from a follower's client travels to the leader in a batch with the others of its turn, and only the index
comes back.

A leader that holds a lease (`lease`) answers at once instead of step 3.

Nothing here is retried: requests that wait when a leader is lost are forgotten, as the log's state is not
affected and the caller knows best whether anybody still wants the answer.
"""

from collections import deque
from dataclasses import dataclass, field

from .types import Index, MemberId, Round


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """One read, or one follower's batch of them."""

    asker: MemberId | None
    """The follower that asked; None: this member itself."""
    number: int
    """Of the follower's batch, or the number that our own caller gave to its request."""


@dataclass(slots=True)
class ReadRounds:
    """A leader's reads: those that wait for a round to start, and those whose round is under way."""

    waiting: list[ReadRequest] = field(default_factory=list)
    under_way: deque[tuple[Round, Index, list[ReadRequest]]] = field(default_factory=deque)

    def start(self, round_: Round, commit_index: Index) -> None:
        """Everything that waits joins this round, which no message has carried yet."""
        assert not self.under_way or self.under_way[-1][0] < round_, "a round is never used twice"
        self.under_way.append((round_, commit_index, self.waiting))
        self.waiting = []

    def take_confirmed(self, round_: Round) -> list[tuple[Index, ReadRequest]]:
        """The reads that may be answered once a majority has confirmed this round: its own and older ones."""
        confirmed: list[tuple[Index, ReadRequest]] = []
        while self.under_way and self.under_way[0][0] <= round_:
            _, index, requests = self.under_way.popleft()
            confirmed += [(index, request) for request in requests]
        return confirmed

    def take_all(self, commit_index: Index) -> list[tuple[Index, ReadRequest]]:
        """All reads, for a leader that needs no round to know that it leads; in the order in which they came."""
        confirmed = [(index, request) for _, index, requests in self.under_way for request in requests]
        confirmed += [(commit_index, request) for request in self.waiting]
        self.under_way.clear()
        self.waiting = []
        return confirmed


@dataclass(slots=True)
class ForwardedReads:
    """A follower's reads: those that wait for the turn to end, and the batches that are with the leader."""

    waiting: list[int] = field(default_factory=list)
    asked: deque[tuple[int, list[int]]] = field(default_factory=deque)
    """(batch, its requests), oldest first."""

    def send(self, batch: int) -> None:
        """Everything that waits leaves with this batch."""
        self.asked.append((batch, self.waiting))
        self.waiting = []

    def take_answered(self, batch: int) -> list[int]:
        """The requests of this batch, if it was asked and not answered before.

        Older batches are forgotten: the leader answers in order, so their question or answer was lost.
        """
        while self.asked and self.asked[0][0] <= batch:
            number, requests = self.asked.popleft()
            if number == batch:
                return requests
        return []
