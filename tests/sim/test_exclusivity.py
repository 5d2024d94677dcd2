"""Beliefs in true time."""

from collections.abc import Callable

import pytest

from coord.sim.exclusivity import Belief, Claim, Exclusivity, LeaseBook
from coord.sim.verdict import Violation


def always() -> bool:
    return True


def never() -> bool:
    return False


def belief(who: str, believes: Callable[[], bool], is_given_up: Callable[[], bool] = never) -> Belief:
    return Belief(who, believes, is_given_up)


def test_second_believer_is_found_when_it_begins_to_believe() -> None:
    exclusivity = Exclusivity(is_promised=True)
    exclusivity.begin("/l", Claim("a", 1, always))
    exclusivity.begin("/other", Claim("b", 2, always))

    with pytest.raises(Violation, match="b won /l with 3, a still believes"):
        exclusivity.begin("/l", Claim("b", 3, always))


@pytest.mark.parametrize("believes", [never, always])
def test_next_holder_may_come_when_the_last_has_stopped_believing(believes: Callable[[], bool]) -> None:
    exclusivity = Exclusivity(is_promised=True)
    first = Claim("a", 1, believes)
    exclusivity.begin("/l", first)
    if believes():
        exclusivity.end("/l", first)

    exclusivity.begin("/l", Claim("b", 2, always))

    assert exclusivity.won == 2


def test_tokens_grow() -> None:
    exclusivity = Exclusivity(is_promised=True)
    exclusivity.begin("/l", Claim("a", 5, never))

    with pytest.raises(Violation, match="token 5 after 5"):
        exclusivity.begin("/l", Claim("b", 5, always))


def test_nothing_is_promised_to_clocks_that_run_wild() -> None:
    exclusivity, book = Exclusivity(is_promised=False), LeaseBook(is_promised=False)
    exclusivity.begin("/l", Claim("a", 5, always))
    exclusivity.begin("/l", Claim("b", 4, always))
    book.granted(9, belief("a", always))
    book.on_end(9, ttl=1.0, now=5.0)


def test_lease_ends_only_for_who_has_stopped_believing() -> None:
    book = LeaseBook(is_promised=True)
    book.granted(1, belief("a", never))
    book.granted(2, belief("b", always))
    book.on_end(1, ttl=1.0, now=5.0)

    with pytest.raises(Violation, match="lease 2 of b has ended"):
        book.on_end(2, ttl=1.0, now=5.0)


def test_who_learns_of_its_lease_after_its_end_must_not_believe_in_it() -> None:
    """A handshake's answer that was held up for longer than the session lived."""
    book = LeaseBook(is_promised=True)
    book.on_end(1, ttl=1.0, now=5.0)
    book.on_end(2, ttl=1.0, now=5.0)
    book.granted(1, belief("a", never))

    with pytest.raises(Violation, match="lease 2 of a has ended"):
        book.granted(2, belief("a", always))


def test_session_that_a_server_has_just_spoken_to_does_not_end() -> None:
    """Unless its client has asked for it: any reply is a sign of life to ZooKeeper's clients."""
    book = LeaseBook(is_promised=True, told_at={1: 4.6, 2: 4.6, 3: 4.4})
    book.granted(1, belief("a", never, is_given_up=always))
    book.on_end(1, ttl=1.0, now=5.0)
    book.on_end(3, ttl=1.0, now=5.0)

    with pytest.raises(Violation, match=r"session 2 of 1.000 s has ended, a server spoke to it 0.400 s before"):
        book.on_end(2, ttl=1.0, now=5.0)
