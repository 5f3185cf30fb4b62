"""How often a letter occurs in a word: the question about the r's of strawberry.

The letters are written apart, so that a tokenizer does not hide them; the task `strawberry` asks the same of a word
in one piece, which a model must know how to spell. The thought names each letter with the count so far.
"""

import random
from dataclasses import dataclass

from ponder.core.sample import Problem
from ponder.tasks.base import Task
from ponder.tasks.read import read_number

ALPHABET = "aberstwy"  # the letters of strawberry
SHORTEST = 2


@dataclass(frozen=True)
class Letters(Task):
    """Level L has words of L + 2 letters. The counts 0 to all are equally likely."""

    name: str = "count"
    apart: bool = True
    levels: int = 10
    symbols: tuple[str, ...] = (*(f" {c}" for c in ALPHABET), *"0123456789")

    def draw(self, rng: random.Random, level: int) -> str:
        length = level + SHORTEST
        letter = rng.choice(ALPHABET)
        others = ALPHABET.replace(letter, "")
        count = rng.randrange(length + 1)
        word = [letter] * count + rng.choices(others, k=length - count)
        rng.shuffle(word)
        return f"{letter} in {''.join(word)}"

    def question(self, id_: str) -> str:
        letter, word = id_.split(" in ")
        return f"How many {letter} in {' '.join(word) if self.apart else word}?"

    def think(self, id_: str) -> str:
        letter, word = id_.split(" in ")
        counts = [word[: n + 1].count(letter) for n in range(len(word))]
        return f"{letter}:" + "".join(f" {c}{n}" for c, n in zip(word, counts))

    def solve(self, id_: str) -> str:
        letter, word = id_.split(" in ")
        return str(word.count(letter))

    def read(self, problem: Problem, text: str) -> str | None:
        return read_number(text)

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        right = int(self.answer(problem))
        return str(rng.choice([n for n in range(right + 4) if n != right]))

    def chance(self, level: int) -> float:
        return 1 / (level + SHORTEST + 1)

    def size(self, level: int) -> str:
        return f"{level + SHORTEST} letters"
