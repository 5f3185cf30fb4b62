"""Which day is so many days later: the thought goes from month to month."""

import random
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta

from ponder.core.sample import Problem
from ponder.tasks.base import Task
from ponder.tasks.read import read_pattern

DAY = r"(?<![\w.,/-])\d{4}-\d{2}-\d{2}(?![\w/-]|[.,]\d)"
FIRST = date(1980, 1, 1).toordinal()
DAYS = 365 * 80


@dataclass(frozen=True)
class Dates(Task):
    """Level L goes on for up to 30 days more than level L - 1."""

    name: str = "date"
    levels: int = 6

    def draw(self, rng: random.Random, level: int) -> str:
        start = date.fromordinal(FIRST + rng.randrange(DAYS))
        return f"{start}+{rng.randrange(30 * level + 3, 30 * level + 33)}"

    def question(self, id_: str) -> str:
        start, days = id_.split("+")
        return f"Which date is {days} days after {start}? Write it as YYYY-MM-DD."

    def think(self, id_: str) -> str:
        start, rest = date.fromisoformat(id_.split("+")[0]), int(id_.split("+")[1])
        lines = [f"{start} +{rest}"]
        while start.day + rest > (length := monthrange(start.year, start.month)[1]):
            step = length - start.day + 1
            start, rest = start + timedelta(step), rest - step
            lines.append(f"{length} days: +{step} {start} +{rest}")
        lines.append(f"{start.day}+{rest}={start.day + rest}")
        return "\n".join(lines)

    def solve(self, id_: str) -> str:
        start, days = id_.split("+")
        return str(date.fromisoformat(start) + timedelta(int(days)))

    def read(self, problem: Problem, text: str) -> str | None:
        return read_pattern(text, DAY)

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        return str(date.fromisoformat(self.answer(problem)) + timedelta(rng.choice((-2, -1, 1, 2, 30))))

    def chance(self, level: int) -> float:
        """One of 30 distances."""
        return 1 / 30

    def size(self, level: int) -> str:
        return f"{30 * level + 3} to {30 * level + 32} days"
