"""Another member's snapshot on its way into this server, which is so far behind that the log it needs is cut off.

    offered     the leader says at which place it has one (`raft.follower`)
    asked       our disk looks what it has of that file: a crash on either side costs only what was under way
    fetched     we ask for it chunk by chunk, a few at a time, so the pace is ours; the log goes on meanwhile
    loaded      the file is whole, checked and durable: its state is built beside ours, a piece a turn
    installed   in one turn log and state go on from there

A snapshot is of decided entries, so one from any member is good for ever: one that arrives well is not given up because
another leader offers another. Where it does not come on, the next offer is taken; where it turns out to be damaged, or
not for us, only after a while.
"""

from collections.abc import Callable

from coord.raft import Raft
from coord.raft.follower import Follower
from coord.raft.types import BEGINNING, MemberId
from coord.replica.config import ReplicaConfig
from coord.replica.inputs import Event, FetchSnapshot, SnapshotChunk, SnapshotRefused
from coord.replica.snapshot_work import (
    PiecesRead,
    ReadPieces,
    ReceiveSnapshot,
    SnapshotReceived,
    SnapshotWork,
    WriteReceived,
)
from coord.tree.snapshots import Loader, State

CHUNKS_UNDER_WAY = 4

REFUSAL_PAUSE = 10.0  # seconds; a whole file was sent for nothing, and the next may be no better


class Installation:
    def __init__(self, config: ReplicaConfig, raft: Raft, on_event: Callable[[Event], None]) -> None:
        self._on_event = on_event
        self._level = config.level
        self._chunk_bytes = config.snapshot_piece_bytes
        self._patience = config.resend_after
        self._raft = raft
        self.place = BEGINNING
        """Of the snapshot that is on its way; BEGINNING: none is."""
        self.source = MemberId(0)
        self._id = 0
        self.size = 0
        """Of its file in bytes; 0: not known yet."""
        self.written = 0
        """So much of the file our disk has."""
        self._arrived = 0
        """So much of it has come, all from the beginning."""
        self._asked = 0
        """So much of it was asked for."""
        self._is_fetching = False
        self._moved_at = 0.0
        """When it last came on."""
        self._asked_at = 0.0
        """When we last asked again, because it did not."""
        self._rests_until = float("-inf")
        """No offer is taken before: one was in vain."""
        self._loader: Loader | None = None
        self._state: State | None = None
        self._work: list[SnapshotWork] = []

    @property
    def is_under_way(self) -> bool:
        return self.place != BEGINNING

    # -- each turn

    def look(self, now: float) -> None:
        """Whether there is an offer to take."""
        role = self._raft.role
        offer = role.offer if isinstance(role, Follower) else None
        if self.is_under_way:
            if self.place.index <= self._raft.commit_index:
                self._forget()  # the log came on without it
            elif self._loader is not None or now < self._moved_at + 2 * self._patience:
                return
        if offer is None or now < self._rests_until:
            return
        self._forget()
        self.source, self.place = offer
        self._moved_at = now
        self._work.append(ReceiveSnapshot(self.place))

    def take_fetches(self, now: float) -> list[FetchSnapshot]:
        """What to ask `source` for."""
        if not self._is_fetching:
            return []
        if now >= max(self._asked_at, self._moved_at) + self._patience:
            self._asked = self._arrived  # questions or answers were lost
            self._asked_at = now
        fetches = []
        # Before the first chunk nobody knows how many there are.
        limit = min(self.written + CHUNKS_UNDER_WAY * self._chunk_bytes, self.size or self._arrived + 1)
        while self._asked < limit:
            fetches.append(FetchSnapshot(self.place, self._id, self._asked, self._chunk_bytes))
            self._asked += self._chunk_bytes
        return fetches

    def take_work(self) -> list[SnapshotWork]:
        work, self._work = self._work, []
        return work

    def has_work(self) -> bool:
        return bool(self._work) or self._state is not None

    def next_deadline(self) -> float:
        return max(self._asked_at, self._moved_at) + self._patience if self._is_fetching else float("inf")

    def take_state(self) -> State | None:
        """The state at `place`, once it is loaded; then this is over."""
        if self._loader is None or self._state is None:
            return None
        state = self._state
        self._forget()
        return state

    # -- what comes

    def on_received(self, received: SnapshotReceived, now: float) -> None:
        """The disk says what it has of the file."""
        if received.place != self.place or self._loader is not None:
            return
        if received.refusal:
            self._on_event(SnapshotRefused(self.source, received.refusal))
            self._rests_until = now + REFUSAL_PAUSE
            self._forget()
            return
        if received.is_whole:
            self._is_fetching = False
            self._moved_at = now
            self._loader = Loader(self._level)
            self._work.append(ReadPieces(self.place, 0))
        elif received.is_start:
            self._is_fetching = True
            self._moved_at = now
            self._id = received.id
            self.written = self._arrived = self._asked = received.offset
        elif self._is_fetching and received.id == self._id and received.offset > self.written:
            self._moved_at = now
            self.written = received.offset

    def on_chunk(self, chunk: SnapshotChunk) -> None:
        """Some of the file; what does not follow what has arrived will be asked for again."""
        if chunk.place != self.place or not self._is_fetching:
            return
        if not chunk.size:
            self._forget()  # it is not there any more: there will be another offer
            return
        if chunk.id != self._id:
            if chunk.offset:
                return
            self._id = chunk.id
            self.written = self._arrived = 0
            self._asked = len(chunk.data)
        if chunk.offset != self._arrived:
            return
        self.size = chunk.size
        self._arrived += len(chunk.data)
        self._asked = max(self._asked, self._arrived)
        self._work.append(WriteReceived(self.place, chunk.id, chunk.size, chunk.offset, chunk.data))

    def on_pieces(self, read: PiecesRead) -> None:
        """Some of the state."""
        if read.place != self.place or self._loader is None:
            return
        for piece in read.pieces:
            self._loader.add(piece)
        if read.next_offset:
            self._work.append(ReadPieces(self.place, read.next_offset))
        else:
            self._state = self._loader.finish()

    def _forget(self) -> None:
        self.place = BEGINNING
        self._is_fetching = False
        self._loader = self._state = None
        self._id = self.size = self.written = self._arrived = self._asked = 0
