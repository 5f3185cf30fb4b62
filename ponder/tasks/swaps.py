"""Where things are after swaps: state tracking. The thought writes the row, the whole row after each swap, and what is
at the place: every line follows from the one above it, and a thing is always the same id, that with a blank before it.
"""

import random
from dataclasses import dataclass

from ponder.core.sample import Problem
from ponder.tasks.base import Task
from ponder.tasks.read import read_choice

THINGS = "KLMNP"  # no letter that is a word


@dataclass(frozen=True)
class Swaps(Task):
    """Level L has L + 1 swaps of `things` things."""

    name: str = "swap"
    things: int = 4
    levels: int = 8
    symbols: tuple[str, ...] = (*(f" {c}" for c in THINGS), *THINGS, *"012345=")

    def draw(self, rng: random.Random, level: int) -> str:
        """ "KLMN 1-2,3-4 2": the row, the swaps, the place that is asked for."""
        row = rng.sample(THINGS[: self.things], self.things)
        pairs = [f"{a}-{b}" for a in range(1, self.things) for b in range(a + 1, self.things + 1)]
        swaps = ",".join(rng.choices(pairs, k=level + 1))
        return f"{''.join(row)} {swaps} {rng.randrange(self.things) + 1}"

    def question(self, id_: str) -> str:
        row, swaps, place = id_.split(" ")
        return f"Swap {swaps} in {' '.join(row)}. What is at {place}?"

    def think(self, id_: str) -> str:
        row, _, place = id_.split(" ")
        states = [("0", row), *_states(id_)]
        return "\n".join([*(f"{name}: {' '.join(row)}" for name, row in states), f"{place}= {self.solve(id_)}"])

    def solve(self, id_: str) -> str:
        *_, (_, row) = _states(id_)
        return row[int(id_.split(" ")[2]) - 1]

    def read(self, problem: Problem, text: str) -> str | None:
        return read_choice(text, THINGS[: self.things])

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        return rng.choice(THINGS[: self.things].replace(self.answer(problem), ""))

    def chance(self, level: int) -> float:
        """To say what was there at the beginning: a swap moves a thing with probability 2/n, to any other place."""
        stays = (1 - 2 / (self.things - 1)) ** (level + 1)
        return float(1 / self.things + (1 - 1 / self.things) * stays)

    def size(self, level: int) -> str:
        return f"{level + 1} swap{'s' if level else ''} of {self.things}"


def _states(id_: str) -> list[tuple[str, str]]:
    """Each swap with the row after it."""
    row, swaps, _ = id_.split(" ")
    things, states = list(row), []
    for swap in swaps.split(","):
        a, b = (int(place) - 1 for place in swap.split("-"))
        things[a], things[b] = things[b], things[a]
        states.append((swap, "".join(things)))
    return states
