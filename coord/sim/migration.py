"""Which moves a seed draws (`coord.sim.moves`): like its faults, few kinds at a time."""

from collections.abc import Callable
from random import Random

from coord.sim.faults import LEADER
from coord.sim.moves import Add, Mistype, Move, Outage, Remove, Replace, ReplaceAll, Return, SwapPart, Wipe

MOST_MEMBERS = 5
"""Numbers of members are drawn up to this, whether they are there or not."""


def _member(chance: Random) -> int:
    return LEADER if chance.random() < 0.4 else chance.randint(1, MOST_MEMBERS)


MAKERS: dict[str, Callable[[Random, float], Move]] = {
    "add": lambda chance, at: Add(at, chance.choice((1, 1, 2)), chance.random() < 0.3, chance.choice((0.0, 0.0, 0.5))),
    "mistype": lambda chance, at: Mistype(at),
    "swap part": lambda chance, at: SwapPart(at),
    "remove": lambda chance, at: Remove(at, _member(chance), chance.random() < 0.4),
    "replace": lambda chance, at: Replace(at, _member(chance), chance.random() < 0.5),
    "replace all": lambda chance, at: ReplaceAll(at),
    "return": lambda chance, at: Return(at, chance.random() < 0.6),
    "wipe": lambda chance, at: Wipe(at, _member(chance), chance.uniform(0.1, 1.5)),
    "outage": lambda chance, at: Outage(at, chance.uniform(2.0, 6.0)),
}

OFTEN = {"add": 2, "remove": 2, "wipe": 2}


def draw_moves(chance: Random, duration: float) -> list[Move]:
    chosen = [kind for kind in MAKERS if chance.random() < 0.5] or ["add"]
    weights = [OFTEN.get(kind, 1) for kind in chosen]
    gap = chance.choice((0.3, 0.8, 2.0))
    moves: list[Move] = []
    at = chance.uniform(0.3, 2.0)
    while at < duration:
        (kind,) = chance.choices(chosen, weights)
        moves.append(MAKERS[kind](chance, at))
        at += chance.expovariate(1 / gap)
    return moves
