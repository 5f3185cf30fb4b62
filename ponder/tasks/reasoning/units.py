"""From a mixed quantity to its smallest unit: 2 h 5 min 10 s in seconds. One multiplication and one sum a step."""

import random
from dataclasses import dataclass

from ponder.core.sample import Problem
from ponder.tasks.base import Task
from ponder.tasks.read import read_number

LADDERS: dict[str, tuple[tuple[str, int], ...]] = {  # from small to large: the unit, how many make one of the next
    "time": (("seconds", 60), ("minutes", 60), ("hours", 24), ("days", 7), ("weeks", 0)),
    "length": (("millimetres", 10), ("centimetres", 100), ("metres", 1000), ("kilometres", 0)),
    "yards": (("inches", 12), ("feet", 3), ("yards", 1760), ("miles", 0)),
    "data": (("bits", 8), ("bytes", 1024), ("kibibytes", 1024), ("mebibytes", 0)),
}


@dataclass(frozen=True)
class Units(Task):
    """Level L has L + 2 units in a row."""

    name: str = "unit"
    levels: int = 3

    def draw(self, rng: random.Random, level: int) -> str:
        """ "time 0 10 5 2": the ladder, where it begins, the amounts from small to large."""
        ladder = rng.choice([name for name, units in LADDERS.items() if len(units) >= level + 2])
        first = rng.randrange(len(LADDERS[ladder]) - level - 1)
        amounts = [rng.randrange(1, min(LADDERS[ladder][first + n][1] or 20, 60)) for n in range(level + 2)]
        return " ".join(map(str, (ladder, first, *amounts)))

    def question(self, id_: str) -> str:
        units, amounts = _parts(id_)
        told = [f"{n} {unit}" for n, (unit, _) in zip(amounts, units)]
        return f"How many {units[0][0]} are {', '.join(reversed(told[1:]))} and {told[0]}?"

    def think(self, id_: str) -> str:
        units, amounts = _parts(id_)
        total, lines = amounts[-1], []
        for amount, (unit, factor) in reversed(list(zip(amounts, units))[:-1]):
            lines.append(f"{total}*{factor}={total * factor}, +{amount}={total * factor + amount} {unit}")
            total = total * factor + amount
        return "\n".join(lines)

    def solve(self, id_: str) -> str:
        return self.think(id_).rsplit("=", 1)[1].split(" ")[0]

    def read(self, problem: Problem, text: str) -> str | None:
        return read_number(text)

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        return str(int(self.answer(problem)) + rng.choice((1, 10, 60)))

    def chance(self, level: int) -> float:
        return 0.0

    def size(self, level: int) -> str:
        return f"{level + 2} units"


def _parts(id_: str) -> tuple[tuple[tuple[str, int], ...], list[int]]:
    ladder, first, *amounts = id_.split(" ")
    at = int(first)
    return LADDERS[ladder][at : at + len(amounts)], list(map(int, amounts))
