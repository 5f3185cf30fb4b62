"""What does this program print? The thought writes the variables after every pass of the loop."""

import random
from dataclasses import dataclass

from ponder.core.sample import Problem
from ponder.tasks.base import Task, constant_chance
from ponder.tasks.read import read_number

TESTS = {"even": "x % 2 == 0", "more": "x > y", "third": "i % 3 == 0"}
STEPS = {
    "addi": "x += i",
    "twice": "x = x * 2",
    "less": "x -= y",
    "more": "y += 1",
    "swap": "x, y = y, x",
    "add": "x += y",
}


@dataclass(frozen=True)
class Tracing(Task):
    """Level L has L + 2 passes of a loop."""

    name: str = "trace"
    levels: int = 6

    def draw(self, rng: random.Random, level: int) -> str:
        """ "3 5 2 even addi swap": x, y, passes, the test, what is done when it holds and when it does not."""
        yes, no = rng.sample(list(STEPS), 2)
        return f"{rng.randrange(10)} {rng.randrange(1, 10)} {level + 2} {rng.choice(list(TESTS))} {yes} {no}"

    def question(self, id_: str) -> str:
        x, y, passes, test, yes, no = id_.split(" ")
        return (
            f"What does this Python program print?\n```python\nx, y = {x}, {y}\nfor i in range({passes}):\n"
            f"    if {TESTS[test]}:\n        {STEPS[yes]}\n    else:\n        {STEPS[no]}\nprint(x)\n```"
        )

    def think(self, id_: str) -> str:
        x, y, passes, test, yes, no = id_.split(" ")
        a, b = int(x), int(y)
        lines = [f"x={a} y={b}"]
        for i in range(int(passes)):
            holds = {"even": a % 2 == 0, "more": a > b, "third": i % 3 == 0}[test]
            step = yes if holds else no
            a, b = {"addi": (a + i, b), "twice": (a * 2, b), "less": (a - b, b), "more": (a, b + 1), "swap": (b, a),
                    "add": (a + b, b)}[step]  # fmt: skip
            lines.append(f"i={i} {'yes' if holds else 'no'} {STEPS[step]}: x={a} y={b}")
        return "\n".join(lines)

    def solve(self, id_: str) -> str:
        return self.think(id_).rsplit("x=", 1)[1].split(" ")[0]

    def read(self, problem: Problem, text: str) -> str | None:
        return read_number(text)

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        return str(int(self.answer(problem)) + rng.choice((-2, -1, 1, 3)))

    def chance(self, level: int) -> float:
        return constant_chance(self, level)

    def size(self, level: int) -> str:
        return f"{level + 2} passes"
