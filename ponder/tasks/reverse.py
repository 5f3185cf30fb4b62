"""A short word backwards: the control. The answer takes one look at each letter, so that thoughts cannot help; the
thought copies the word. A model that answers this worse with thoughts, or better, has learned something else."""

import random
from dataclasses import dataclass

from ponder.core.sample import Problem
from ponder.tasks.base import Task
from ponder.tasks.letters import ALPHABET
from ponder.tasks.read import read_letters

SHORTEST = 3


@dataclass(frozen=True)
class Reverse(Task):
    """Level L has words of L + 3 letters."""

    name: str = "reverse"
    levels: int = 6
    symbols: tuple[str, ...] = (*(f" {c}" for c in ALPHABET), *ALPHABET)

    def draw(self, rng: random.Random, level: int) -> str:
        return "".join(rng.choices(ALPHABET, k=level + SHORTEST))

    def question(self, id_: str) -> str:
        return f"Write {' '.join(id_)} backwards."

    def think(self, id_: str) -> str:
        return " ".join(id_)

    def solve(self, id_: str) -> str:
        return " ".join(reversed(id_))

    def read(self, problem: Problem, text: str) -> str | None:
        return read_letters(text, ALPHABET, len(problem.id))

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        right = self.answer(problem).split(" ")
        place = rng.randrange(len(right))
        right[place] = rng.choice(ALPHABET.replace(right[place], ""))
        return " ".join(right)

    def chance(self, level: int) -> float:
        return float(len(ALPHABET) ** -(level + SHORTEST))

    def size(self, level: int) -> str:
        return f"{level + SHORTEST} letters"
