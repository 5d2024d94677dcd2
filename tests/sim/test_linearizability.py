"""The checker against its definition, and the histories that everybody should know."""

from collections.abc import Iterator
from itertools import combinations, permutations
from math import inf
from random import Random

import pytest

from coord.sim.history import History, Register
from coord.sim.linearizability import Operation, Undecided, is_linearizable
from coord.sim.verdict import Violation


def done(start: float, end: float, *call: object, gives: tuple[object, ...]) -> Operation:
    return Operation(0, start, end, call, gives)


def lost(start: float, *call: object) -> Operation:
    return Operation(0, start, inf, call, None)


def is_linearizable_by_definition(history: list[Operation]) -> bool:
    """Herlihy & Wing, word by word: drop some lost calls, put the rest in an order, see if it is legal."""
    lost_calls = [operation for operation in history if operation.result is None]
    answered = [operation for operation in history if operation.result is not None]
    return any(
        _respects_real_time(order) and _is_legal(order)
        for count in range(len(lost_calls) + 1)
        for happened in combinations(lost_calls, count)
        for order in permutations([*answered, *happened])
    )


def _respects_real_time(order: tuple[Operation, ...]) -> bool:
    return all(not later.returned < earlier.invoked for earlier, later in combinations(order, 2))


def _is_legal(order: tuple[Operation, ...]) -> bool:
    model = Register()
    state = model.initial
    for operation in order:
        following = model.apply(state, operation)
        if following is None:
            return False
        state = following
    return True


def random_history(chance: Random, length: int) -> list[Operation]:
    """Calls of three clients on one register that answers correctly, or nearly."""
    model = Register()
    state = model.initial
    history = []
    free_at = [0.0, 0.0, 0.0]
    for number in range(length):
        client = chance.randrange(3)
        start = free_at[client] + chance.randint(0, 2)
        end = start + chance.randint(1, 4)
        free_at[client] = end + chance.randint(0, 1)
        call = chance.choice(
            (
                ("read",),
                ("write", number),
                ("create", number),
                ("cas", chance.randrange(3), number),
                ("delete", -1),
            )
        )
        result, state = _answer_of(model, state, call, chance)
        is_lost = chance.random() < 0.2 and call[0] != "read"
        history.append(Operation(client, start, inf if is_lost else end, call, None if is_lost else result))
    return history


def _answer_of(
    model: Register, state: object, call: tuple[object, ...], chance: Random
) -> tuple[tuple[object, ...], object]:
    """What the register answers now; at times what it would have answered if it were another."""
    if chance.random() < 0.15:
        state = (None,) if chance.random() < 0.3 else ((chance.randrange(3), chance.randrange(4)),)
    candidates: list[tuple[object, ...]] = [("refused", code) for code in (-101, -103, -110)]
    candidates += [("gone",), *(("ok", version) for version in range(12))]
    candidates += [("is", version, value) for version in range(12) for value in range(12)]
    for result in candidates:
        following = model.apply(state, Operation(0, 0, 0, call, result))
        if following is not None:
            return result, following
    raise AssertionError("a register answers everything")


@pytest.mark.parametrize("seed", range(8))
def test_checker_agrees_with_the_definition(seed: int) -> None:
    """Silence of a checker proves nothing unless it is known to speak: right and wrong histories both."""
    chance = Random(seed)
    verdicts = []

    for _ in range(60):
        history = random_history(chance, chance.randint(1, 6))
        verdict = is_linearizable(history, Register())
        assert verdict == is_linearizable_by_definition(history), history
        verdicts.append(verdict)

    assert 5 < sum(verdicts) < 55


def histories() -> Iterator[tuple[str, list[Operation], bool]]:
    created = done(0, 1, "create", "a", gives=("ok", 0))
    yield "nothing happened", [], True
    yield "a read sees the write before it", [created, done(2, 3, "read", gives=("is", 0, "a"))], True
    yield "a read misses the write before it", [created, done(2, 3, "read", gives=("refused", -101))], False
    yield "a read beside a write may miss it", [created, done(0.5, 3, "read", gives=("refused", -101))], True
    yield (
        "a lost write may take effect late",
        [
            created,
            lost(2, "write", "b"),
            done(3, 4, "read", gives=("is", 0, "a")),
            done(5, 6, "read", gives=("is", 1, "b")),
        ],
        True,
    )
    yield (
        "a lost write is not taken back",
        [
            created,
            lost(2, "write", "b"),
            done(3, 4, "read", gives=("is", 1, "b")),
            done(5, 6, "read", gives=("is", 0, "a")),
        ],
        False,
    )
    yield (
        "two compare-and-sets of one version",
        [
            created,
            done(2, 4, "cas", 0, "b", gives=("ok", 1)),
            done(3, 5, "cas", 0, "c", gives=("ok", 1)),
        ],
        False,
    )
    yield (
        "sequential, but not linearizable (CONCEPTS C13)",
        [
            created,
            done(2, 3, "write", "b", gives=("ok", 1)),
            done(4, 5, "read", gives=("is", 0, "a")),
            done(6, 7, "read", gives=("is", 1, "b")),
        ],
        False,
    )


@pytest.mark.parametrize(("history", "verdict"), [pytest.param(h, v, id=name) for name, h, v in histories()])
def test_known_histories(history: list[Operation], verdict: bool) -> None:
    assert is_linearizable(history, Register()) == verdict


def test_hard_history_is_given_up() -> None:
    """Twelve lost writes, and an impossible read that asks for all their orders."""
    history = [lost(0, "write", number) for number in range(12)]
    history += [lost(0, "create", "a"), done(1, 2, "read", gives=("is", 12, "nobody wrote this"))]

    with pytest.raises(Undecided):
        is_linearizable(history, Register(), max_steps=10_000)


def test_history_names_the_key_that_is_wrong() -> None:
    history = History()
    for key, seen in (("/good", "a"), ("/bad", "b")):
        history.answer(history.invoke(1, key, 0.0, "create", "a"), 1.0, "ok", 0)
        history.answer(history.invoke(2, key, 2.0, "read"), 3.0, "is", 0, seen)

    with pytest.raises(Violation, match="/bad: no order explains"):
        list(history.judge())


def test_history_drops_what_says_nothing() -> None:
    """A lost read, and a request that was refused with its session: nobody can learn anything from them."""
    history = History()
    history.lose(history.invoke(1, "/k", 0.0, "read"))
    history.forget(history.invoke(1, "/k", 0.0, "write", "a"))

    assert list(history.judge()) == []
    assert history.operations == {}
