"""What keys do to what is shown."""

from functools import reduce

import pytest

from coord.tui.claims import Claim, claims_of
from coord.tui.screen import Screen, Sort, press, rows_of
from tests.tui.scene import RIGHTS

CLAIMS = claims_of(RIGHTS)


def after(*keys: str, start: Screen = Screen()) -> Screen:  # noqa: B008  (it is frozen)
    return reduce(lambda screen, key: press(screen, key, rows_of(CLAIMS, screen)), keys, start)


def paths(screen: Screen) -> list[str]:
    return [claim.path or claim.right.name for claim in rows_of(CLAIMS, screen)]


def selected(screen: Screen) -> Claim:
    return next(claim for claim in CLAIMS if claim.id == screen.selected)


def test_the_longest_queue_comes_first_then_other_locks() -> None:
    assert paths(Screen())[:4] == ["/pool/leader", "/billing/invoice-run", "/catalogue", "/locks/reports/2026-11-25"]


def test_sorting_goes_round() -> None:
    orders = [after(*["s"] * times, start=Screen(sort=Sort.REMAINING)).sort for times in range(5)]

    assert orders == [Sort.REMAINING, Sort.HOLDER, Sort.PATH, Sort.WAITING, Sort.REMAINING]


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        (Sort.REMAINING, "/locks/reports/2026-11-25"),
        (Sort.HOLDER, "/billing/invoice-run"),
        (Sort.PATH, "/billing/invoice-run"),
    ],
)
def test_what_comes_first(sort: Sort, first: str) -> None:
    assert paths(Screen(sort=sort))[0] == first


def test_moving_stops_at_both_ends() -> None:
    rows = rows_of(CLAIMS, Screen())

    assert selected(after("up", "k", "page-up")) is rows[0]
    assert selected(after("end", "down", "j")) is rows[-1]
    assert selected(after("down", "j", "up")) is rows[1]


def test_the_selection_stays_with_its_claim_when_the_order_changes() -> None:
    chosen = after("down", "down")

    assert after("s", start=chosen).selected == chosen.selected


def test_the_filter_takes_every_key_until_it_is_kept() -> None:
    screen = after("/", *"pool", "x", "backspace", "enter")

    assert screen.filter == "pool"
    assert not screen.is_typing
    assert all(path.startswith("/pool") for path in paths(screen))


def test_the_filter_finds_holders_too() -> None:
    assert paths(Screen(filter="nightly")) == ["/locks/reports/2026-11-25"]


def test_escape_drops_the_filter() -> None:
    assert after("/", "a", "b", "esc") == Screen()
    assert after("esc", start=Screen(filter="ab")) == Screen()


def test_q_is_a_letter_in_a_filter() -> None:
    assert after("/", "q").filter == "q"
    assert after("q").is_done


def test_enter_looks_into_what_is_selected_and_escape_comes_back() -> None:
    looking = after("down", "enter")

    assert looking.looks_at == looking.selected == "/billing/invoice-run"
    assert after("esc", start=looking).looks_at == ""
    assert after("s", start=looking) == looking, "there is nothing to sort"


def test_sessions_that_hold_nothing_are_shown_on_demand() -> None:
    assert "watcher of nothing" not in paths(Screen())
    assert "watcher of nothing" in paths(after("a"))


def test_keys_without_rows_do_nothing() -> None:
    for key in ("down", "enter", "end"):
        assert press(Screen(), key, []) == Screen()
