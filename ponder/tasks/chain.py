"""Running arithmetic modulo 10. The thought copies each term and writes the result so far.

The result of a step is uniform whatever one of its inputs is, so that a model gets no first hint of how to compute
it: the slow task of the set, for larger recipes."""

import random
import re
from dataclasses import dataclass

from ponder.core.sample import Problem
from ponder.tasks.base import Task
from ponder.tasks.read import read_number


@dataclass(frozen=True)
class Chain(Task):
    """Level L has L + 2 terms."""

    name: str = "chain"
    levels: int = 9
    symbols: tuple[str, ...] = (*"0123456789+-=", " +", " -")

    def draw(self, rng: random.Random, level: int) -> str:
        terms = "".join(f"{rng.choice('+-')}{rng.randrange(10)}" for _ in range(level + 1))
        return f"{rng.randrange(10)}{terms}"

    def question(self, id_: str) -> str:
        return f"What is {id_} modulo 10?"

    def think(self, id_: str) -> str:
        result, steps = int(id_[0]), [id_[0]]
        for term in re.findall(r"[+-]\d", id_):
            result = (result + int(term)) % 10
            steps.append(f"{term}={result}")
        return " ".join(steps)

    def solve(self, id_: str) -> str:
        return str(sum(int(term) for term in re.findall(r"[+-]?\d", id_)) % 10)

    def read(self, problem: Problem, text: str) -> str | None:
        return read_number(text)

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        return str((int(self.answer(problem)) + rng.randrange(1, 10)) % 10)

    def chance(self, level: int) -> float:
        return 0.1

    def size(self, level: int) -> str:
        return f"{level + 2} terms"
