"""The disk as a peer of the loop: takes what must become durable, in order, and answers when it is.

A sync of a fast disk takes about as long as to hand it to a thread and back (100 µs; 64 clients with one
request each got 13–20 k writes/s when it was done inline, 7–10 k through a thread, measured). A sync of a
slow disk would stop heartbeats and reads. So we watch how long the disk takes and choose before each write:

    fast    `submit` writes at once and posts the answer before it returns
    slow    `submit` queues; one worker thread takes all that is queued as one write (group commit), and posts

Order is kept because `submit` writes inline only when the worker has answered for everything it was given.

A failure ends the process. `fail` is called once, from whichever thread it is; from then on `submit` and `work`
raise it, too, and that thread posts nothing more.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import NamedTuple

from coord.raft.ready import Persist
from coord.raft.types import Place
from coord.replica.durations import Durations
from coord.replica.inputs import Persisted
from coord.replica.snapshot_work import BeginSnapshot, CutLog, SnapshotAnswer, SnapshotWork
from coord.storage.store import Store

FAST_SECONDS = 1.5e-3  # the loop may stand still that long per turn; a hand-over costs 0.1 ms and two wake-ups
STALL_SECONDS = 25e-3  # half a heartbeat interval: after one such the loop leaves the disk to the worker
STALL_MEMORY_SECONDS = 1.0
SAMPLES = 32  # at a thousand writes a second, what the disk was like in the last 30 ms


class Pace:
    """Whether the disk is fast: at least half of its last writes were, and none of late has stalled."""

    def __init__(self) -> None:
        # Slow until it has shown otherwise.
        self._were_fast: deque[bool] = deque([False] * SAMPLES, maxlen=SAMPLES)
        self._fast_count = 0
        self._stalled_until = float("-inf")

    def add(self, seconds: float, now: float) -> None:
        """One write took so long, and ended `now`."""
        is_fast = seconds < FAST_SECONDS
        self._fast_count += is_fast - self._were_fast[0]
        self._were_fast.append(is_fast)
        if seconds >= STALL_SECONDS:
            self._stalled_until = now + STALL_MEMORY_SECONDS

    def is_fast(self, now: float) -> bool:
        return self._fast_count * 2 >= SAMPLES and now >= self._stalled_until


class _ClusterId(NamedTuple):
    number: int


class _Chain(NamedTuple):
    """The log's chain at a place, for a snapshot that begins; asked of one thread, and answered to the other."""

    place: Place
    answer: "SimpleQueue[bytes]"


_LogWork = Persist | _ClusterId | _Chain | CutLog | None


class Disk:
    """One per server. All methods are for the loop's thread."""

    def __init__(
        self,
        store: Store,
        post: Callable[[Persisted | SnapshotAnswer], None],
        fail: Callable[[Exception], None],
        pace: Pace | None = None,
    ) -> None:
        """`post` and `fail` are called from the loop's thread and from the worker's, and must not block."""
        self._store = store
        self._post = post
        self._fail = fail
        self._pace = pace or Pace()
        self.durations = Durations()
        """Of the writes, each with its sync, which is most of it."""
        self._queue: SimpleQueue[_LogWork] = SimpleQueue()
        self._snapshot_queue: SimpleQueue[tuple[SnapshotWork, _Chain | None] | None] = SimpleQueue()
        self._given = 0
        """What was handed to the worker; written by the loop only."""
        self._answered = 0
        """How much of it is done; written by the worker only, so that no lock is needed."""
        self._failure: Exception | None = None
        self._has_failed = Lock()
        """Taken by the first thread that fails, for ever."""
        self._is_closing = False
        self._worker = Thread(target=self._work, name="disk", daemon=True)
        self._worker.start()
        self._snapshot_worker = Thread(target=self._work_on_snapshots, name="snapshots", daemon=True)
        self._snapshot_worker.start()

    def submit(self, persist: Persist | None) -> None:
        """Answered by `Persisted` with its token, or with that of a later one. None: nothing to do."""
        if persist is None:
            return
        if self._failure is not None:
            raise self._failure
        if self._answered == self._given and self._pace.is_fast(time.perf_counter()):
            self._write([persist])
        else:
            self._give(persist)

    def work(self, items: Sequence[SnapshotWork]) -> None:
        """What concerns snapshots (`coord.replica.snapshot_work`). Raises the failure, as `submit`."""
        if items and self._failure is not None:
            raise self._failure
        for item in items:
            match item:
                case CutLog():
                    self._give(item)
                case BeginSnapshot(place):
                    chain = _Chain(place, SimpleQueue())
                    self._give(chain)
                    self._snapshot_queue.put((item, chain))
                case _:
                    self._snapshot_queue.put((item, None))

    def _give(self, item: _LogWork) -> None:
        self._given += 1
        self._queue.put(item)

    def adopt_cluster(self, cluster_id: int) -> None:
        """Remember it, as `Store.adopt_cluster`; in order with what was submitted, and without an answer.

        Another cluster's directory is a failure like any other.
        """
        self._give(_ClusterId(cluster_id))

    def close(self) -> None:
        """Wait until everything submitted is durable, and close the store. A snapshot under way is given up."""
        self._is_closing = True
        self._queue.put(None)
        self._worker.join()
        self._snapshot_queue.put(None)
        self._snapshot_worker.join()
        self._store.close()

    def _write(self, batch: list[Persist]) -> None:
        start = time.perf_counter()
        with self._fatal():
            self._store.write(batch)
        end = time.perf_counter()
        self._pace.add(end - start, end)
        self.durations.add(end - start)
        self._post(Persisted(batch[-1].token))

    @contextmanager
    def _fatal(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if self._has_failed.acquire(blocking=False):
                self._failure = error
                self._fail(error)
            raise

    def _work(self) -> None:
        with suppress(Exception):  # the loop knows: `fail` was called
            while True:
                batch = self._take_all()
                persists: list[Persist] = []
                for item in batch:
                    if isinstance(item, Persist):
                        persists.append(item)
                    elif item is not None:
                        self._flush(persists)
                        with self._fatal():
                            self._do(item)
                self._flush(persists)
                if None in batch:
                    return
                self._answered += len(batch)

    def _flush(self, persists: list[Persist]) -> None:
        """Before anything else is done: a later restart of the log would take away the place that is asked for."""
        if persists:
            self._write(persists)
            persists.clear()

    def _do(self, item: _ClusterId | _Chain | CutLog) -> None:
        """What is in the log's order, but not written to it."""
        match item:
            case _ClusterId(number):
                self._store.adopt_cluster(number)
            case _Chain(place, answer):
                chain = self._store.chain_at(place)
                assert chain is not None, f"the log has no boundary at {place}"
                answer.put(chain)
            case CutLog(before):
                self._store.cut_log(before)

    def _work_on_snapshots(self) -> None:
        with suppress(Exception):  # the loop knows: `fail` was called
            while (given := self._snapshot_queue.get()) is not None:
                if not self._is_closing:
                    with self._fatal():
                        self._work_on(*given)

    def _work_on(self, item: SnapshotWork, chain: _Chain | None) -> None:
        value = None
        while chain is not None and value is None:
            try:
                value = chain.answer.get(timeout=1.0)
            except Empty:
                if self._is_closing or self._failure is not None:
                    return
        answer = self._store.carry_out(item, value)
        if answer is not None:
            self._post(answer)

    def _take_all(self) -> list[_LogWork]:
        """Everything that is queued; waits until something is. None stands for the end."""
        batch = [self._queue.get()]
        try:
            while True:
                batch.append(self._queue.get_nowait())
        except Empty:
            return batch
