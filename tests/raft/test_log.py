"""The log of runs against the plainest model there is: a list with one term per entry."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord.raft.configuration import UNTOLD
from coord.raft.log import Log
from coord.raft.types import MAX_RUNS, Index, Place, Run, Term

from .texts import runs, show_run

NO_LIMIT = 1 << 30


def log_of(text: str) -> Log:
    return Log(list(runs(text)))


def shown(some: tuple[Run, ...] | list[Run]) -> str:
    return " ".join(map(show_run, some))


def test_terms_are_known_for_every_entry_and_for_the_place_before_the_first() -> None:
    """The consistency check asks for (index, term) inside of runs as well."""
    log = log_of("1/1-3 2/4 5/5-6")

    assert [log.term_at(Index(index)) for index in range(7)] == [0, 1, 1, 1, 2, 5, 5]
    with pytest.raises(AssertionError, match="no entry 7"):
        log.term_at(Index(7))


def test_what_follows_can_be_handed_out_where_a_run_ends() -> None:
    """Which is where whoever asks has come to; it may also name what we never had, or what is cut off."""
    log = log_of("1/1-3 2/4 5/5-6")
    places = [Place(Index(index), Term(term)) for index in range(8) for term in (0, 1, 2, 5)]

    assert [(place.index, place.term) for place in places if log.ends_run_at(place)] == [(0, 0), (3, 1), (4, 2), (6, 5)]
    log.compact(Index(4))
    assert [(place.index, place.term) for place in places if log.ends_run_at(place)] == [(4, 2), (6, 5)]


def test_a_gap_is_refused() -> None:
    """Leader and follower append where the log ends, and nowhere else."""
    with pytest.raises(AssertionError, match="a gap"):
        log_of("1/1-3 1/5")


def test_a_falling_term_is_refused() -> None:
    """Terms only grow, in time and along the log."""
    with pytest.raises(AssertionError, match="term 1 after 2"):
        log_of("2/1 1/2")


@pytest.mark.parametrize(
    ("log", "message", "missing"),
    [
        ("1/1 1/2", "1/3 1/4", "1/3 1/4"),
        ("1/1 1/2", "1/2 1/3", "1/3"),
        ("1/1 1/2 1/3", "1/2", ""),
        ("1/1 1/2-4 2/5", "1/2-4 3/5", "3/5"),
        ("1/1 1/2-4 2/5 2/6", "3/2", "3/2"),
        ("1/1 2/2-4 2/5", "3/2 3/3-9", "3/2 3/3-9"),
    ],
)
def test_missing_is_what_the_log_lacks_of_a_message(log: str, message: str, missing: str) -> None:
    """§5.3, steps 3 and 4."""
    assert shown(log_of(log).missing(runs(message))) == missing


def test_logs_that_part_inside_a_run_are_refused() -> None:
    """The leader of a term makes each run once: such a message is a bug of somebody."""
    with pytest.raises(AssertionError, match="two leaders made them"):
        log_of("1/1 1/2-4").missing(runs("1/2-3 1/4"))
    with pytest.raises(AssertionError, match="only between runs"):
        log_of("1/1 1/2-4 1/5-9").missing(runs("1/3"))


@pytest.mark.parametrize(
    ("index", "term", "joint"),
    [(9, 9, 6), (6, 5, 6), (5, 5, 4), (6, 4, 4), (4, 2, 4), (3, 2, 3), (2, 2, 0), (6, 0, 0), (0, 5, 0)],
)
def test_joint_is_the_last_boundary_that_both_may_share(index: int, term: int, joint: int) -> None:
    """§5.3, end: what is of a later term than the other's entry there, the other cannot have."""
    assert log_of("1/1-3 2/4 5/5-6").joint(Index(index), Term(term)) == joint


def test_following_takes_at_least_one_run_and_then_what_fits() -> None:
    """A run may be larger than an append should be, but it is atomic."""
    log = log_of("1/1 1/2 1/3-4 1/5")

    assert shown(log.following(Index(0), 1)) == "1/1"
    assert shown(log.following(Index(0), len("1/1") + len("1/2"))) == "1/1 1/2"
    assert shown(log.following(Index(2), NO_LIMIT)) == "1/3-4 1/5"
    with pytest.raises(AssertionError, match="inside a run"):
        log.following(Index(3), NO_LIMIT)


def test_following_takes_no_more_than_a_message_may_carry() -> None:
    """Runs of no bytes are still runs."""
    log = Log([Run(Index(number + 1), 1, Term(1), b"") for number in range(MAX_RUNS + 10)])

    assert len(log.following(Index(0), NO_LIMIT)) == MAX_RUNS


@dataclass
class Model:
    """A log as a list of terms, and a disk as what it has been told."""

    entries: list[int] = field(default_factory=list)
    """From index 1; those before the log's start are as it was told."""
    disk: list[int] = field(default_factory=list)
    """The same: what is before its start, a snapshot vouches for."""
    under_way: list[tuple[int, list[Run], Index | None, Place | None]] = field(default_factory=list)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("append", "append", "truncate", "hand out", "save", "compact", "restart")),
        st.integers(0, 1000),
    ),
    max_size=40,
)


@given(STEPS)
def test_log_and_disk_agree_with_the_model(steps: list[tuple[str, int]]) -> None:
    """Whatever is appended, truncated, written and answered: durable_index vouches only for the disk."""
    log = Log([])
    model = Model()
    token = term = 0
    for step, chance in steps:
        if step == "append":
            term += chance % 2
            count = 1 + chance % 3
            log.append(Run(Index(log.last_index + 1), count, Term(term or 1), str(chance).encode()))
            model.entries += [term or 1] * count
        elif step == "truncate" and log.runs:
            first = log.runs[chance % len(log.runs)].first
            log.truncate(first)
            del model.entries[first - 1 :]
            term += 1  # whoever replaces these runs is of a later term
        elif step == "hand out" and log.has_unsaved():
            token += 1
            model.under_way.append((token, *log.hand_out(token)))
        elif step == "save" and model.under_way:
            done = 1 + chance % len(model.under_way)
            for _, new, cut, restart in model.under_way[:done]:
                if restart is not None:
                    assert cut is None
                    model.disk = [restart.term] * restart.index
                if cut is not None:
                    del model.disk[cut - 1 :]
                for one in new:
                    assert one.first == len(model.disk) + 1
                    model.disk += [one.term] * one.count
            log.saved(model.under_way[done - 1][0])
            del model.under_way[:done]

        elif step == "compact" and len(log.runs) > len(log.unsaved):
            log.compact(log.runs[chance % (len(log.runs) - len(log.unsaved))].last)
        elif step == "restart":
            term += 1
            log.restart(Place(Index(1 + chance % 20), Term(term)), UNTOLD)
            model.entries = [term] * (1 + chance % 20)

        assert log.size == sum(len(run.data) for run in log.runs)
        start = log.start.index
        assert len(model.entries) == log.last_index
        assert [log.term_at(Index(index)) for index in range(max(start, 1), log.last_index + 1)] == model.entries[
            max(start, 1) - 1 :
        ]
        assert log.has(start, log.start.term)
        if start:
            assert not log.has(Index(start - 1), log.start.term)
        assert model.disk[start : log.durable_index] == model.entries[start : log.durable_index]
        assert len(model.disk) >= log.durable_index
        if not model.under_way and not log.has_unsaved():
            assert log.durable_index == log.last_index
