"""From samples to a model: who leads, who lags, how much is done, and what happened."""

from dataclasses import replace
from typing import Any

import pytest

from coord.tui.history import NEVER_SEEN, History
from coord.tui.model import Answer, Event, Model, Sample
from tests.tui.scene import ADDRESSES, NOON_MS, RIGHTS, event, kazoo, model, right, samples, status


def answer(member: int, at: float = 0.0, **said: Any) -> Answer:
    return Answer(ADDRESSES[member], status(member, at, **said))


def seen(*rounds: list[Answer]) -> Model:
    """The model after these rounds of answers, a second apart."""
    history = History()
    last = Model(0.0, 0)
    for at, answers in enumerate(rounds):
        last = history.observe(Sample(float(at), answers, []))
    return last


# Rates.


def test_rates_are_differences_of_counters() -> None:
    first = [answer(1, 0.0, received=100, writes=10, write_ms=20.0), answer(2, 0.0, received=1000)]
    second = [answer(1, 2.0, received=140, writes=14, write_ms=26.0), answer(2, 2.0, received=1100)]

    model = seen(first, second)

    assert [member.requests for member in model.members] == [(None, 20.0), (None, 50.0)]
    assert model.requests == (None, 70.0)
    assert model.latency_ms == (None, 1.5)


def test_a_server_that_was_started_again_has_no_rate_at_first() -> None:
    """Its counters begin anew: a difference would be negative."""
    restarted = replace(answer(1), status=status(1, received=3) | {"uptime_s": 0.5})

    model = seen([answer(1, 0.0, received=100)], [restarted])

    assert model.requests == (None, None)


def test_a_server_that_was_away_has_no_rate_when_it_is_back() -> None:
    away = replace(answer(1, 0.0, received=100), excuse="no answer", since=1.0)

    model = seen([answer(1, 0.0, received=100)], [away], [answer(1, 2.0, received=500)])

    assert model.requests == (None, None, None)


def test_a_second_without_writes_has_no_latency() -> None:
    assert seen([answer(1)], [answer(1, 1.0)]).latency_ms == (None, None)


# Members.


def test_lag_is_behind_the_highest_commit_index_that_anybody_knows() -> None:
    model = seen([answer(1, applied=90), answer(2, applied=100), answer(3, applied=100)])

    assert [member.lag for member in model.members] == [10, 0, 0]


def test_round_trips_are_told_by_the_newest_leader() -> None:
    """A leader that was cut off goes on to tell old ones."""
    old, new = answer(1, leader=1, term=3), answer(2, leader=2, term=4)

    model = seen([old, new])

    assert [member.round_trip_ms for member in model.members][:2] == [0.3, None]
    assert model.leader == 2


def test_nobody_leads_if_the_newest_term_has_no_leader() -> None:
    model = seen([answer(1, leader=2, term=7), answer(3, leader=None, term=8)])

    assert model.leader is None


def test_a_dead_leader_leads_no_more() -> None:
    """What it said last is still there, but who answers knows better."""
    dead = replace(answer(2), excuse="no answer", since=0.0)

    model = seen([answer(1, leader=None, term=7), dead])

    assert model.leader is None
    assert [(member.number, member.excuse) for member in model.members] == [(1, ""), (2, "no answer")]


def test_one_member_under_two_names_is_shown_once_by_the_one_that_answers() -> None:
    by_name = Answer("localhost:2181", status(1))
    by_address = Answer(ADDRESSES[1], None, "no answer", 0.0)

    model = seen([by_address, by_name, answer(2), answer(3)])

    assert [member.address for member in model.members] == ["localhost:2181", ADDRESSES[2], ADDRESSES[3]]


def test_a_member_that_was_never_started_is_shown_as_such() -> None:
    said = status(1)
    said["members"]["3"]["client"] = ""

    model = seen([Answer(ADDRESSES[1], said), answer(2)])

    assert [(member.number, member.excuse) for member in model.members][2] == (3, NEVER_SEEN)


def test_how_long_nobody_has_answered() -> None:
    history = History()
    history.observe(Sample(0.0, [answer(1), answer(2)], []))
    dead = [replace(answer(1), excuse="no answer", since=3.0), replace(answer(2), excuse="no answer", since=5.0)]

    model = history.observe(Sample(9.0, dead, None))

    assert model.answering == 0
    assert model.silent == 4.0, "since the last of them fell silent"
    assert model.sessions == 9, "what was heard last stays"


# What is held.


def test_claims_stay_when_nobody_can_tell_them_anew() -> None:
    history = History()
    history.observe(Sample(0.0, [answer(1)], RIGHTS))

    model = history.observe(Sample(1.0, [answer(1)], None))

    assert model.claims
    assert model.are_claims_old


# Events.


def test_events_of_all_members_are_put_together() -> None:
    """The leader knows why there was an election; a follower, half a second later by its clock, only that there was."""
    told = [event(1.5, "election", "member 2 leads term 7"), event(3, "member-back", "member 1 is back")]
    known = [event(1.0, "election", "member 2 leads term 7", "member 1 was silent for 0.61 s")]

    model = seen([answer(1, events=told), answer(2, events=known)], [answer(1, events=told)])

    assert model.events == [
        Event(NOON_MS + 1000, "election", "member 2 leads term 7", "member 1 was silent for 0.61 s"),
        Event(NOON_MS + 3000, "member-back", "member 1 is back", ""),
    ]


def test_a_member_that_was_away_tells_of_an_election_late() -> None:
    told = [event(at, "election", "member 2 leads term 7", why) for at, why in ((0, "member 1 handed over"), (60, ""))]

    assert len(seen([answer(1, events=told[:1]), answer(3, events=told[1:])]).events) == 1


def test_the_ends_of_our_own_sessions_are_no_news() -> None:
    ours = event(0, "session-expired", 'session 0x21 "coord top" expired')

    assert seen([answer(1, events=[ours])]).events == []


def test_what_happens_again_is_told_again() -> None:
    twice = [event(at, "member-lost", "member 3 is gone") for at in (0, 60)]

    assert len(seen([answer(1, events=twice)]).events) == 2


def test_events_outlive_who_told_them() -> None:
    told = [event(0, "election", "member 2 leads term 7")]
    dead = replace(answer(2), excuse="no answer", since=1.0)

    assert seen([answer(2, events=told)], [dead]).events


@pytest.mark.parametrize(
    ("rights", "why"),
    [
        ([right(1, "w1"), right(2, "w2", kazoo("/leader", 2))], "it was released"),
        ([right(2, "w2", kazoo("/leader", 2))], "its session ended"),
    ],
)
def test_a_lock_that_goes_to_the_next_is_an_event(rights: list[Any], why: str) -> None:
    history = History()
    history.observe(
        Sample(0.0, [answer(1)], [right(1, "w1", kazoo("/leader", 1)), right(2, "w2", kazoo("/leader", 2))])
    )

    model = history.observe(Sample(1.0, [answer(1, 1.0)], rights))

    assert model.events == [Event(NOON_MS + 1000, "lock", "/leader went from w1 to w2", why)]


def test_a_busy_lock_does_not_push_out_the_elections() -> None:
    history = History()
    told = [event(0, "election", "member 2 leads term 7")]
    for second in range(300):
        rights = [right(second, f"w{second}", kazoo("/leader", second))]
        model = history.observe(Sample(float(second), [answer(1, second, events=told)], rights))

    assert model.events[0].what == "election"
    assert len(model.events) <= 201


def test_the_scene_is_what_the_golden_frames_show() -> None:
    assert model().answering == len(samples()[0].answers) == 3
