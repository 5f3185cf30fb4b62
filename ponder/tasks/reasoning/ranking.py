"""Who is the k-th tallest? Clues compare neighbours, in any order; the thought puts them one after the other."""

import random
from dataclasses import dataclass
from itertools import pairwise

from ponder.core.sample import Problem
from ponder.tasks.base import Task
from ponder.tasks.read import read_name
from ponder.tasks.reasoning.stories import NAMES

PLACES = ("tallest", "second tallest", "third tallest", "fourth tallest", "fifth tallest", "sixth tallest")


@dataclass(frozen=True)
class Ranking(Task):
    """Level L has L + 3 people."""

    name: str = "ranking"
    levels: int = 4

    def draw(self, rng: random.Random, level: int) -> str:
        """ "Ann>Ben Cleo<Ben ?0": who is the tallest?"""
        order = rng.sample(NAMES, level + 3)
        clues = [f"{a}>{b}" if rng.random() < 0.5 else f"{b}<{a}" for a, b in pairwise(order)]
        rng.shuffle(clues)
        return " ".join([*clues, f"?{rng.randrange(len(order))}"])

    def canonical(self, id_: str) -> str:
        return ">".join(_order(id_)[0]) + id_.split(" ")[-1]

    def question(self, id_: str) -> str:
        *clues, asked = id_.split(" ")
        told = [c.replace(">", " is taller than ").replace("<", " is shorter than ") for c in clues]
        return f"{'. '.join(told)}. Who is the {PLACES[int(asked[1:])]}?"

    def think(self, id_: str) -> str:
        order, asked = _order(id_)
        lines = [" > ".join(order[: n + 1]) for n in range(1, len(order))]
        return "\n".join([*lines, f"{asked + 1}: {order[asked]}"])

    def solve(self, id_: str) -> str:
        order, asked = _order(id_)
        return order[asked]

    def read(self, problem: Problem, text: str) -> str | None:
        return read_name(text, _order(problem.id)[0])

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        return rng.choice([name for name in _order(problem.id)[0] if name != self.answer(problem)])

    def chance(self, level: int) -> float:
        """To name one who stands in the middle of the clues, or at their ends, gains a little over one of all."""
        return 1 / (level + 3)

    def size(self, level: int) -> str:
        return f"{level + 3} people"


def _order(id_: str) -> tuple[list[str], int]:
    *clues, asked = id_.split(" ")
    below: dict[str, str] = {}
    for clue in clues:
        taller, shorter = clue.split(">") if ">" in clue else clue.split("<")[::-1]
        below[taller] = shorter
    order = [next(iter(below.keys() - set(below.values())))]
    while order[-1] in below:
        order.append(below[order[-1]])
    return order, int(asked[1:])
