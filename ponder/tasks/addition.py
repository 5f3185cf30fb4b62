"""Addition of two long numbers. The thought adds digit by digit from the right; each line is the two digits and the
carry, then the carry and the digit that come out."""

import random
from dataclasses import dataclass

from ponder.core.sample import Problem
from ponder.tasks.base import Task
from ponder.tasks.read import read_number


@dataclass(frozen=True)
class Addition(Task):
    """Level L adds two numbers of L + 2 digits."""

    name: str = "add"
    levels: int = 10
    symbols: tuple[str, ...] = tuple("0123456789+=")

    def draw(self, rng: random.Random, level: int) -> str:
        low = 10 ** (level + 1)
        return f"{rng.randrange(low, 10 * low)}+{rng.randrange(low, 10 * low)}"

    def canonical(self, id_: str) -> str:
        return "+".join(sorted(id_.split("+")))

    def question(self, id_: str) -> str:
        return f"What is {id_}?"

    def think(self, id_: str) -> str:
        a, b = id_.split("+")
        lines, carry = [], 0
        for x, y in zip(reversed(a), reversed(b)):
            total = int(x) + int(y) + carry
            lines.append(f"{x}+{y}+{carry}={total:02d}")
            carry = total // 10
        return "\n".join(lines)

    def solve(self, id_: str) -> str:
        a, b = id_.split("+")
        return str(int(a) + int(b))

    def read(self, problem: Problem, text: str) -> str | None:
        return read_number(text)

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        """One digit is off, as where a carry was forgotten."""
        right = self.answer(problem)
        place = rng.randrange(len(right))
        return str(int(right) + 10**place)

    def chance(self, level: int) -> float:
        """The likeliest of all sums: both numbers have 9 * 10^(level + 1) values."""
        return float(1 / (9 * 10 ** (level + 1)))

    def size(self, level: int) -> str:
        return f"{level + 2} digits"
