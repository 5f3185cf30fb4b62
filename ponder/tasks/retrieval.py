"""A key somewhere in a long text, to be said at its end: how far a model looks back. At any length.

RETRIEVAL.at_most(2048, count, rng)     # a question of as many lines as fit into 2048 ids
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from ponder.core.sample import Problem
from ponder.tasks.base import Task
from ponder.tasks.read import read_number

FILLER = (
    "The grass is green.", "The sky is blue.", "The sun is warm.", "Here we go.", "There and back again.",
    "A river runs to the sea.", "Birds sing in the trees.", "The road goes on.",
)  # fmt: skip
ASKED = "What is the key?"
FEWEST = 4  # lines


@dataclass(frozen=True)
class Retrieval(Task):
    """Level L has 4 times 2^L lines, one of which is the key's."""

    name: str = "retrieval"
    levels: int = 7
    symbols: tuple[str, ...] = tuple("0123456789")

    def draw(self, rng: random.Random, level: int) -> str:
        return self.of_lines(rng, FEWEST << level)

    def of_lines(self, rng: random.Random, lines: int) -> str:
        """ "16 3 4821 5": lines, the one that has the key, the key, and where the others begin."""
        return f"{lines} {rng.randrange(lines)} {rng.randrange(1000, 10_000)} {rng.randrange(len(FILLER))}"

    def at_most(self, most: int, count: Callable[[str], int], rng: random.Random) -> str:
        """An id of a question that has `most` units or a few less. count: of the units of a text, ids for instance."""
        lines = FEWEST
        while count(self.prompt(f"{2 * lines} 0 1000 0")) <= most:
            lines *= 2
        step = lines // 2
        while step:
            if count(self.prompt(f"{lines + step} 0 1000 0")) <= most:
                lines += step
            step //= 2
        return self.of_lines(rng, max(FEWEST, lines - 1))  # other lines may be a little longer

    def question(self, id_: str) -> str:
        lines, place, key, first = map(int, id_.split(" "))
        text = [FILLER[(first + n) % len(FILLER)] for n in range(lines)]
        text[place] = f"The key is {key}."
        return "\n".join([*text, ASKED])

    def prompt(self, id_: str) -> str:
        """For a model that only continues text: the next thing that it writes is the key."""
        return f"{self.question(id_)}\n"

    def think(self, id_: str) -> str:
        return self.solve(id_)

    def solve(self, id_: str) -> str:
        return id_.split(" ")[2]

    def read(self, problem: Problem, text: str) -> str | None:
        return read_number(text)

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        right = int(self.answer(problem))
        return str(1000 + (right - 1000 + rng.randrange(1, 9000)) % 9000)

    def chance(self, level: int) -> float:
        return 1 / 9000

    def size(self, level: int) -> str:
        return f"{FEWEST << level} lines"


RETRIEVAL = Retrieval()
