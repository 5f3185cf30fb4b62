"""Numbers in another base: divide, keep what is left, read it from the end."""

import random
from dataclasses import dataclass

from ponder.core.sample import Problem
from ponder.tasks.base import Task
from ponder.tasks.read import read_number

BASES = (2, 3, 5, 8)


@dataclass(frozen=True)
class Bases(Task):
    """Level L has numbers of L + 2 binary digits, written in any of the bases."""

    name: str = "base"
    levels: int = 9

    def draw(self, rng: random.Random, level: int) -> str:
        number = rng.randrange(2 ** (level + 3), 2 ** (level + 4))
        return f"{number} in {rng.choice(BASES)}"

    def question(self, id_: str) -> str:
        number, base = id_.split(" in ")
        return f"Write {number} in base {base}."

    def think(self, id_: str) -> str:
        number, base = map(int, id_.split(" in "))
        lines = []
        while number:
            lines.append(f"{number}={base}*{number // base}+{number % base}")
            number //= base
        return "\n".join(lines)

    def solve(self, id_: str) -> str:
        return "".join(line[-1] for line in reversed(self.think(id_).split("\n")))

    def read(self, problem: Problem, text: str) -> str | None:
        return read_number(text)

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        digits = list(self.answer(problem))
        at = rng.randrange(1, len(digits))
        base = int(problem.id.split(" in ")[1])
        digits[at] = str((int(digits[at]) + 1) % base)
        return "".join(digits)

    def chance(self, level: int) -> float:
        return 0.0 if level > 2 else 1 / (2 ** (level + 3) * len(BASES))

    def size(self, level: int) -> str:
        return f"{level + 4} binary digits"
