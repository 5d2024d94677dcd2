"""What a disk has confirmed must be found on it: in the log, or in a snapshot that covers it."""

import pytest

from coord.raft import Persist
from coord.raft.stored import Stored
from coord.raft.types import BEGINNING, HardState, Index, MemberId, Place, Run, Term
from coord.sim.durability import Durable, check_safe
from coord.sim.verdict import Violation

STATE = HardState(Term(1), None)
RUNS = [Run(Index(first), 2, Term(1), b"x") for first in (1, 3, 5, 7)]


def place(index: int) -> Place:
    return Place(Index(index), Term(1))


def disk_with(runs: list[Run], *snapshots: int) -> Durable:
    durable = Durable(MemberId(1))
    durable.confirm(Persist(1, STATE, None, runs))
    for index in snapshots:
        durable.confirm_snapshot(place(index), BEGINNING)
    return durable


def test_run_is_there_in_the_log_or_in_a_snapshot() -> None:
    durable = disk_with(RUNS, 4)

    durable.check_recovery(Stored(STATE, RUNS, BEGINNING, place(4)))
    durable.check_recovery(Stored(STATE, RUNS[2:], place(4), place(4)))
    durable.check_recovery(Stored(STATE, RUNS[3:], place(6), place(6)))
    with pytest.raises(Violation, match="recovery loses nothing durable"):
        durable.check_recovery(Stored(STATE, RUNS[3:], place(4), place(4)))
    with pytest.raises(Violation, match="recovery loses nothing durable"):
        durable.check_recovery(Stored(STATE, RUNS[2:3], place(4), place(4)))


def test_snapshot_is_never_replaced_by_an_older_one() -> None:
    with pytest.raises(Violation, match="a snapshot is replaced only by a newer one"):
        disk_with(RUNS, 4, 6).check_recovery(Stored(STATE, RUNS, BEGINNING, place(4)))


def test_damaged_snapshot_is_missed_only_where_an_older_one_will_not_do() -> None:
    durable = disk_with(RUNS, 4, 6)

    assert durable.spare(Index(6))
    durable.check_recovery(Stored(STATE, RUNS[2:], place(4), place(4)))
    assert not durable.spare(Index(4)), "there is no other any more"


def test_snapshot_before_the_log_was_begun_anew_will_not_do() -> None:
    durable = disk_with(RUNS, 4, 8)
    durable.begin(Persist(2, None, None, [], restart_at=place(8)))

    assert not durable.spare(Index(8))


def test_log_that_is_begun_anew_may_be_found_as_before_until_that_is_confirmed() -> None:
    durable = disk_with(RUNS[:2], 8)
    restart = Persist(2, None, None, [], restart_at=place(8))
    before, after = Stored(STATE, RUNS[:2], BEGINNING, place(8)), Stored(STATE, [], place(8), place(8))

    durable.begin(restart)
    durable.check_recovery(before)
    durable.check_recovery(after)
    durable.confirm(restart)

    assert durable.runs == {}
    assert durable.last_index == 8
    durable.check_recovery(after)


def test_log_is_begun_anew_only_where_a_snapshot_is_durable() -> None:
    with pytest.raises(Violation, match="only at a durable snapshot"):
        disk_with(RUNS, 4).begin(Persist(2, None, None, [], restart_at=place(8)))


def test_only_what_was_cut_off_may_come_back() -> None:
    found = Stored(STATE, RUNS[2:], place(4), place(4))

    check_safe(MemberId(1), found, Stored(STATE, RUNS, BEGINNING, place(4)))
    with pytest.raises(Violation, match="what recovery found is safe"):
        check_safe(MemberId(1), found, Stored(STATE, RUNS[2:3], place(4), place(4)))
    with pytest.raises(Violation, match="what recovery found is safe"):
        check_safe(MemberId(1), found, Stored(STATE, RUNS, BEGINNING, BEGINNING))
