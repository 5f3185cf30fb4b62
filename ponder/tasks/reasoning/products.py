"""Long multiplication: a product for each digit of the second number, then their sum."""

import random
from dataclasses import dataclass

from ponder.core.sample import Problem
from ponder.tasks.base import Task
from ponder.tasks.read import read_number


@dataclass(frozen=True)
class Products(Task):
    """Level L multiplies numbers that have L + 3 digits together."""

    name: str = "multiply"
    levels: int = 6

    def draw(self, rng: random.Random, level: int) -> str:
        short = (level + 3) // 2
        numbers = (rng.randrange(10 ** (n - 1) + 1, 10**n) for n in (level + 3 - short, short))
        return "*".join(map(str, numbers))

    def canonical(self, id_: str) -> str:
        return "*".join(sorted(id_.split("*")))

    def question(self, id_: str) -> str:
        return f"What is {id_}?"

    def think(self, id_: str) -> str:
        a, b = map(int, id_.split("*"))
        parts = [int(digit) * 10**place for place, digit in enumerate(reversed(str(b)))]
        lines, total = [], 0
        for part in parts:
            lines.append(f"{a}*{part}={a * part}")
            if total:
                lines.append(f"{total}+{a * part}={total + a * part}")
            total += a * part
        return "\n".join(lines)

    def solve(self, id_: str) -> str:
        a, b = map(int, id_.split("*"))
        return str(a * b)

    def read(self, problem: Problem, text: str) -> str | None:
        return read_number(text)

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        right = self.answer(problem)
        return str(int(right) + 10 ** rng.randrange(len(right)))

    def chance(self, level: int) -> float:
        return 0.0

    def size(self, level: int) -> str:
        return f"{level + 3} digits together"
