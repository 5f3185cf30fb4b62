"""Sorting: the thought takes the smallest out, again and again."""

import random
from dataclasses import dataclass
from math import factorial

from ponder.core.sample import Problem
from ponder.tasks.base import Task
from ponder.tasks.read import read_pattern

ROW = r"(?<![\w.,/-])\d+(?:(?:\s*,\s*|\s+(?:<\s*)?)\d+)+(?![\w/%]|[.,]\d)"


@dataclass(frozen=True)
class Sorting(Task):
    """Level L has L + 3 numbers below 100, all different."""

    name: str = "sort"
    levels: int = 8

    def draw(self, rng: random.Random, level: int) -> str:
        return " ".join(map(str, rng.sample(range(10, 100), level + 3)))

    def question(self, id_: str) -> str:
        return f"Sort these numbers from small to large: {id_}"

    def think(self, id_: str) -> str:
        left, lines = id_.split(" "), []
        while left:
            least = min(left, key=int)
            lines.append(f"{' '.join(left)}: {least}")
            left.remove(least)
        return "\n".join(lines)

    def solve(self, id_: str) -> str:
        return " ".join(sorted(id_.split(" "), key=int))

    def read(self, problem: Problem, text: str) -> str | None:
        return read_pattern(text, ROW, lambda row: " ".join(row.replace("<", " ").replace(",", " ").split()))

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        row = self.answer(problem).split(" ")
        at = rng.randrange(len(row) - 1)
        row[at], row[at + 1] = row[at + 1], row[at]
        return " ".join(row)

    def chance(self, level: int) -> float:
        return 1 / factorial(level + 3)

    def size(self, level: int) -> str:
        return f"{level + 3} numbers"
