"""Whenever the power fails, what was acknowledged is still there: rows 17 and 30 of what happened elsewhere."""

from dataclasses import dataclass, field, replace

import pytest

from coord.storage import Store
from tests.storage.building import append, vote
from tests.storage.lives import (
    ask,
    entries,
    entry,
    fetch,
    held,
    leaders_file,
    live_store,
    place,
    receive,
    restart,
    save,
    snapshot_path,
    state,
)
from tests.storage.simulated import Crashed, SimulatedFiles, everything, nothing, some

LEADERS = leaders_file()


@dataclass
class Promises:
    """What the store has told its caller, and what it was in the middle of."""

    held: list[bytes] = field(default_factory=list)
    next_held: list[bytes] = field(default_factory=list)
    """If what is under way gets through."""
    term: int = 0
    snapshot: int = 0
    """The newest that was said to be durable."""
    restarted_at: int = 0

    def kept(self) -> None:
        self.held = self.next_held

    def check(self, files: SimulatedFiles) -> Store:
        store = live_store(files)
        assert store.stored.hard_state.term >= self.term
        assert store.stored.snapshot.index >= self.snapshot
        assert store.snapshots.damaged == []
        assert held(store) in (self.held, self.next_held)
        return store


def write(store: Store, promises: Promises, first: int, last: int, term: int = 1) -> None:
    for index in range(first, last + 1):
        promises.next_held = [*promises.held, entry(index, term).data]
        store.write([append(entry(index, term))])
        promises.kept()


def snapshot(store: Store, promises: Promises, index: int, term: int = 1) -> None:
    saved = save(store, place(index, term), promises.held[:index])
    promises.snapshot = index
    store.cut_log(saved.keeps_from.index)


def live(files: SimulatedFiles, promises: Promises) -> None:
    """Three snapshots with their cuts, another member's over a tail that was never committed, one more, a new start."""
    store = live_store(files)
    store.write([vote(1, 1)])
    promises.term = 1
    write(store, promises, 1, 6)
    snapshot(store, promises, 4)
    write(store, promises, 7, 9)
    snapshot(store, promises, 8)
    write(store, promises, 10, 11)
    snapshot(store, promises, 11)
    write(store, promises, 12, 13)
    promises.next_held = state([*entries(1, 11), *entries(12, 20, 2)])
    fetch(store, LEADERS)
    promises.snapshot = 20
    store.write([vote(2, None), restart(place(20, 2))])
    promises.kept()
    promises.term = 2
    write(store, promises, 21, 22, 2)
    snapshot(store, promises, 21, 2)
    store.close()
    store = live_store(files)
    write(store, promises, 23, 24, 2)
    snapshot(store, promises, 24, 2)
    store.close()


@pytest.fixture(scope="module")
def crashes() -> list[tuple[SimulatedFiles, Promises]]:
    """A life that ended before its first, second, … operation on the disk."""
    found = []
    for operation in range(2000):
        files, promises = SimulatedFiles(), Promises()
        files.crash_at = operation
        try:
            live(files, promises)
        except Crashed:
            found.append((files, promises))
        else:
            assert operation > 200, "the life is long enough to be worth it"
            return found
    pytest.fail("the life never ends")


@pytest.mark.parametrize("choice", ["everything", "nothing", 1, 2, 3, 4, 5, 6])
def test_store_keeps_its_promises_after_a_crash_at_any_operation(
    crashes: list[tuple[SimulatedFiles, Promises]], choice: str | int
) -> None:
    survives = some(choice) if isinstance(choice, int) else {"everything": everything, "nothing": nothing}[choice]
    for files, promises in crashes:
        after = files.after_crash(survives)

        first = held(promises.check(after))
        second = held(promises.check(after))

        assert first == second, "what it told then it does not take back either"


def test_store_keeps_its_promises_after_a_crash_while_it_recovers_from_one(
    crashes: list[tuple[SimulatedFiles, Promises]],
) -> None:
    for seed, (files, promises) in enumerate(crashes[::3]):
        after = files.after_crash(some(seed))
        for operation in range(0, 200, 2):
            again = after.copy()
            again.crash_at = operation + seed % 2
            try:
                live_store(again)
            except Crashed:
                pass
            else:
                break
            replace(promises).check(again.after_crash(some(seed + operation)))


def test_what_a_killed_process_left_in_the_page_cache_is_durable_before_it_counts(
    crashes: list[tuple[SimulatedFiles, Promises]],
) -> None:
    for files, promises in crashes:
        after = files.after_kill()
        known = held(promises.check(after))

        assert held(live_store(after.after_crash(nothing))) == known


def test_member_that_came_back_goes_on(crashes: list[tuple[SimulatedFiles, Promises]]) -> None:
    """Wherever it came back, it can write, and take a snapshot."""
    for seed, (files, promises) in enumerate(crashes):
        after = files.after_crash(some(seed))
        store = promises.check(after)
        all_of_it = [*held(store), entry(len(held(store)) + 1, 2).data]
        last = len(all_of_it)

        store.write([append(entry(last, 2))])
        save(store, place(last, 2), all_of_it)

        again = live_store(after.after_crash(nothing))
        assert again.stored.snapshot == place(last, 2)
        assert held(again) == all_of_it


def test_what_has_arrived_survives_a_sync_that_failed() -> None:
    """Fsyncgate: what another life could not sync is in the page cache, taken for clean, and on no disk."""
    files = SimulatedFiles()
    store = live_store(files)
    ask(store, LEADERS.place)
    receive(store, LEADERS, until=LEADERS.size // 2)
    after = files.after_kill()
    after.forget_writes(snapshot_path(20, "part"))

    store = live_store(after)
    received = ask(store, LEADERS.place)
    assert received.offset > 0
    assert receive(store, LEADERS, received.offset).is_whole

    assert live_store(after.after_crash(nothing)).stored.snapshot == LEADERS.place
