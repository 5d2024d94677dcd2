"""Exactly once and in order, as the queue shows it."""

import pytest

from coord.sim.ledger import Ledger
from coord.sim.verdict import Violation


def ledger() -> Ledger:
    """One connection has sent a, b and c; b is acknowledged."""
    made = Ledger()
    for payload in "abc":
        made.sent(client=1, connection=1, payload=payload)
    made.acknowledged("b", "/q/1")
    return made


@pytest.mark.parametrize(
    "found",
    [{"/q/0": "a", "/q/1": "b"}, {"/q/0": "a", "/q/1": "b", "/q/5": "c"}],
    ids=["the lost one did not happen", "the lost one happened"],
)
def test_lost_request_may_or_may_not_have_happened(found: dict[str, str]) -> None:
    ledger().judge_queue(found)


@pytest.mark.parametrize(
    ("found", "rule"),
    [
        ({"/q/0": "a"}, "acknowledged writes survive"),
        ({"/q/0": "a", "/q/2": "b"}, "acknowledged writes survive"),
        ({"/q/0": "a", "/q/1": "b", "/q/2": "b"}, "exactly once"),
        ({"/q/1": "b", "/q/2": "c"}, "a prefix is carried out"),
        ({"/q/2": "a", "/q/1": "b"}, "FIFO client order"),
    ],
)
def test_broken_promises_are_named(found: dict[str, str], rule: str) -> None:
    with pytest.raises(Violation, match=rule):
        ledger().judge_queue(found)


def test_refused_request_has_no_effect() -> None:
    made = ledger()
    made.refused("c", -112)
    made.judge_queue({"/q/0": "a", "/q/1": "b"})

    with pytest.raises(Violation, match="refused with -112"):
        made.judge_queue({"/q/0": "a", "/q/1": "b", "/q/2": "c"})


def test_old_connection_is_not_served_after_the_new_one() -> None:
    """CONCEPTS C1: a delayed packet of a moved session is refused."""
    made = ledger()
    made.sent(client=1, connection=2, payload="d")
    made.judge_queue({"/q/0": "a", "/q/1": "b", "/q/2": "d"})

    with pytest.raises(Violation, match="after something of a new one"):
        made.judge_queue({"/q/0": "a", "/q/1": "b", "/q/3": "c", "/q/2": "d"})
