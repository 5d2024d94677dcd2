"""Short ways to say what is written to a log, and what is found in one."""

from coord.raft.ready import Persist
from coord.raft.stored import Stored
from coord.raft.types import HardState, Index, MemberId, Run, Term
from coord.storage.files import Files
from coord.storage.recovery import Recovered, recover
from coord.storage.store import Store
from coord.storage.wal import Wal

ME = MemberId(1)
SEGMENT_BYTES = 16 * 1024


def run(first: int, data: bytes = b"x", count: int = 1, term: int = 1) -> Run:
    return Run(Index(first), count, Term(term), data)


def runs(*persists: Persist) -> list[Run]:
    return [each for persist in persists for each in persist.runs]


def append(*appended: Run) -> Persist:
    return Persist(token=1, hard_state=None, truncate_from=None, runs=list(appended))


def vote(term: int, voted_for: int | None) -> Persist:
    state = HardState(Term(term), None if voted_for is None else MemberId(voted_for))
    return Persist(token=1, hard_state=state, truncate_from=None, runs=[])


def truncate(first: int, *appended: Run) -> Persist:
    return Persist(token=1, hard_state=None, truncate_from=Index(first), runs=list(appended))


def open_wal(files: Files, segment_bytes: int = SEGMENT_BYTES) -> Wal:
    wal = Wal(files, ME, recover(files, ME), segment_bytes)
    wal.start()
    return wal


def write_log(files: Files, *persists: Persist, segment_bytes: int = SEGMENT_BYTES) -> None:
    """One batch each, and a mark at either end."""
    wal = open_wal(files, segment_bytes)
    for persist in persists:
        wal.write([persist])
    wal.mark()


def found_in(files: Files) -> Recovered:
    return recover(files, ME)


def open_store(files: Files, segment_bytes: int = SEGMENT_BYTES) -> Store:
    return Store.open(files, ME, segment_bytes)


def stored(files: Files) -> Stored:
    """What a store that is opened now finds."""
    store = open_store(files)
    store.close()
    return store.stored
