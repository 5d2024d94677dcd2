"""What is written comes back, in order, however it is spread over batches and segments."""

import pytest

from coord.raft.configuration import Configuration, encode_configuration
from coord.raft.types import HardState, Index, MemberId, Run, Term
from tests.storage.building import append, found_in, open_wal, run, runs, truncate, vote, write_log
from tests.storage.simulated import Crashed, SimulatedFiles, nothing


def test_log_gives_back_what_was_written() -> None:
    files = SimulatedFiles()
    persists = [
        append(run(1, b"a")),
        append(run(2, b"b" * 3000, count=7), run(9, b"")),
        append(run(10, b"c")),
    ]

    write_log(files, *persists)

    assert found_in(files).runs == runs(*persists)


def test_configuration_comes_back_as_one() -> None:
    """A member must know who the members are before it has applied anything (paper §6)."""
    files = SimulatedFiles()
    trio = tuple(MemberId(number) for number in (1, 2, 3))
    data = encode_configuration(Configuration(trio, learners=(MemberId(4),)))
    configuration = Run(Index(2), 1, Term(1), data, True)

    write_log(files, append(run(1, b"a"), configuration))

    assert found_in(files).runs == [run(1, b"a"), configuration]


def test_write_is_durable_when_it_returns() -> None:
    """Row 3 of the bugs that happened elsewhere: an ack from the page cache is a lie."""
    files = SimulatedFiles()
    wal = open_wal(files)

    wal.write([append(run(1, b"promised"))])

    assert found_in(files.after_crash(nothing)).runs == [run(1, b"promised")]


def test_list_of_persists_costs_one_write_and_one_sync() -> None:
    files = SimulatedFiles()
    wal = open_wal(files)
    before = files.operations

    wal.write([vote(2, 1), append(run(1)), append(run(2)), truncate(2, run(2, b"y"))])

    assert files.operations - before == 2


def test_last_hard_state_counts() -> None:
    files = SimulatedFiles()

    write_log(files, vote(1, 3), append(run(1)), vote(2, None), vote(3, 2), append(run(2)))

    assert found_in(files).hard_state == HardState(Term(3), MemberId(2))


def test_hard_state_without_a_vote_survives() -> None:
    files = SimulatedFiles()

    write_log(files, vote(1, 3), vote(2, None))

    assert found_in(files).hard_state == HardState(Term(2), None)


def test_truncation_voids_the_runs_from_its_index_on() -> None:
    files = SimulatedFiles()

    write_log(files, append(run(1, count=3), run(4, count=2), run(6)), truncate(4, run(4, b"new", term=2)))

    assert found_in(files).runs == [run(1, count=3), run(4, b"new", term=2)]


def test_truncation_inside_one_batch_is_in_order() -> None:
    files = SimulatedFiles()
    wal = open_wal(files)

    wal.write([append(run(1), run(2)), truncate(1, run(1, b"y")), append(run(2, b"z")), truncate(2)])

    assert found_in(files).runs == [run(1, b"y")]


def test_log_can_be_emptied_and_filled_again() -> None:
    files = SimulatedFiles()

    write_log(files, append(run(1), run(2)), truncate(1), append(run(1, b"again", term=3)))

    assert found_in(files).runs == [run(1, b"again", term=3)]


def test_log_goes_on_after_reopening() -> None:
    files = SimulatedFiles()
    write_log(files, append(run(1)), vote(4, 1))

    write_log(files, append(run(2)), truncate(2, run(2, b"other")))

    found = found_in(files)
    assert found.runs == [run(1), run(2, b"other")]
    assert found.hard_state == HardState(Term(4), MemberId(1))


def test_batch_that_does_not_fit_opens_a_segment() -> None:
    files = SimulatedFiles()
    persists = [append(run(index, bytes([index]) * 1500)) for index in range(1, 40)]

    write_log(files, *persists, segment_bytes=8192)

    assert [name for name in files.names() if files.size(name) == 8192] == files.names()
    assert len(files.names()) == 11  # four batches of four sectors each
    assert found_in(files).runs == runs(*persists)


def test_roll_is_durable_when_the_write_returns() -> None:
    """Row 21: the name of a new segment is lost unless the directory is synced."""
    files = SimulatedFiles()
    wal = open_wal(files, segment_bytes=4096)
    for index in range(1, 10):
        wal.write([append(run(index, b"x" * 3000))])

        assert len(found_in(files.after_crash(nothing)).runs) == index


def test_run_larger_than_a_segment_gets_one_of_its_size() -> None:
    files = SimulatedFiles()
    persists = [append(run(1)), append(run(2, b"L" * 50_000)), append(run(3))]

    write_log(files, *persists, segment_bytes=4096)

    assert sorted(map(files.size, files.names())) == [4096, 4096, 50_688]
    assert found_in(files).runs == runs(*persists)


def test_members_with_the_same_log_have_the_same_chain() -> None:
    """The chain is of runs only: batches, segments, votes and truncations on the way do not show in it."""
    one = SimulatedFiles()
    write_log(one, append(run(1), run(2)), append(run(3, b"end", term=2)))
    other = SimulatedFiles()
    write_log(other, vote(1, 1), append(run(1)), append(run(2, b"lost"), run(3)), segment_bytes=1024)
    write_log(other, vote(2, 2), truncate(2, run(2)), append(run(3, b"end", term=2)), segment_bytes=1024)

    assert found_in(one).history.chain == found_in(other).history.chain


def test_chain_differs_when_any_field_of_a_run_does() -> None:
    chains = set()
    for last in (run(2), run(2, b"y"), run(2, term=2), run(2, count=2)):
        files = SimulatedFiles()
        write_log(files, append(run(1)), append(last))
        chains.add(found_in(files).history.chain)

    assert len(chains) == 4


def test_segment_that_a_killed_process_made_is_durable_before_it_is_written_to() -> None:
    """Its name was in no directory on the disk yet, and its first batch in the page cache only."""
    files = SimulatedFiles()
    wal = open_wal(files, segment_bytes=4096)
    wal.write([append(run(1, b"x" * 3000))])
    files.crash_at = files.operations + 2  # made and written to, not synced
    with pytest.raises(Crashed):
        wal.write([append(run(2, b"x" * 3000))])
    files = files.after_kill()
    open_wal(files, segment_bytes=4096)

    assert len(found_in(files.after_crash(nothing)).runs) == 2
