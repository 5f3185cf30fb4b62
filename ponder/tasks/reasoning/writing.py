"""Write a small function; a sandbox runs it on lists it has not seen.

What the function should give back never enters the sandbox: it prints, and is compared outside."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from ponder.core.sample import Problem, Verdict
from ponder.tasks.base import Task
from ponder.tasks.run_code import code_in, printed

Numbers = list[int]
TAKE: dict[str, tuple[str, str, Callable[[int], bool]]] = {
    "all": ("all numbers", "True", lambda x: True),
    "even": ("the even numbers", "x % 2 == 0", lambda x: x % 2 == 0),
    "odd": ("the odd numbers", "x % 2 == 1", lambda x: x % 2 == 1),
    "negative": ("the numbers below zero", "x < 0", lambda x: x < 0),
    "large": ("the numbers above ten", "x > 10", lambda x: x > 10),
    "third": ("the multiples of three", "x % 3 == 0", lambda x: x % 3 == 0),
}
MAKE: dict[str, tuple[str, str, Callable[[int], int]]] = {
    "same": ("", "x", lambda x: x),
    "square": ("the squares of ", "x * x", lambda x: x * x),
    "twice": ("the doubles of ", "2 * x", lambda x: 2 * x),
    "size": ("the absolute values of ", "abs(x)", abs),
    "next": ("the successors of ", "x + 1", lambda x: x + 1),
}
JOIN: dict[str, tuple[str, str, Callable[[Numbers], Any]]] = {
    "sum": ("the sum of", "sum(ys)", sum),
    "count": ("how many different values there are among", "len(set(ys))", lambda ys: len(set(ys))),
    "list": ("a list, in their order, of", "ys", lambda ys: ys),
    "sorted": ("a list, from large to small, of", "sorted(ys, reverse=True)", lambda ys: sorted(ys, reverse=True)),
    "max": ("the largest (0 if there is none) of", "max(ys, default=0)", lambda ys: max(ys, default=0)),
    "ends": ("a list of the first and the last (empty if there is none) of", "ys[:1] + ys[-1:]",
             lambda ys: ys[:1] + ys[-1:]),
    "product": ("the product of", "prod(ys)", prod),
}  # fmt: skip
NAMES = ("f", "solve", "work", "pick", "apply_all", "answer")
MARK = "@result "


@dataclass(frozen=True)
class Writing(Task):
    """Level 0 leaves out the middle step."""

    name: str = "write_code"
    levels: int = 2
    trials: int = 2

    def draw(self, rng: random.Random, level: int) -> str:
        """ "f even square sum" """
        make = rng.choice([m for m in MAKE if m != "same"]) if level else "same"
        return " ".join([rng.choice(NAMES), rng.choice(list(TAKE)), make, rng.choice(list(JOIN))])

    def question(self, id_: str) -> str:
        name, take, make, join = id_.split(" ")
        return (
            f"Write a Python function {name}(xs) that takes a list of whole numbers and returns "
            f"{JOIN[join][0]} {MAKE[make][0]}{TAKE[take][0]} in it. Answer with the code alone."
        )

    def think(self, id_: str) -> str:
        _, take, make, join = id_.split(" ")
        return f"take {TAKE[take][1]}\nmake {MAKE[make][1]}\njoin {JOIN[join][1]}"

    def solve(self, id_: str) -> str:
        name, take, make, join = id_.split(" ")
        header = "from math import prod\n\n\n" if join == "product" else ""
        body = f"    ys = [{MAKE[make][1]} for x in xs if {TAKE[take][1]}]\n    return {JOIN[join][1]}"
        return f"```python\n{header}def {name}(xs):\n{body}\n```"

    def read(self, problem: Problem, text: str) -> str | None:
        return code_in(text, problem.id.split(" ")[0])

    def grade(self, problem: Problem, found: str) -> Verdict:
        name, lists = problem.id.split(" ")[0], _lists(problem.id)
        calls = f"import json\nprint({MARK!r} + json.dumps([{name}(list(xs)) for xs in {lists}]))"
        said = (printed(f"{found}\n\n{calls}\n") or "").rpartition(MARK)[2]
        ok = said.strip() == json.dumps(_results(problem.id, lists))
        return Verdict(reward=float(ok), ok=ok, parts={"parsed": 1.0, "ran": float(bool(said))})

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        """Takes, makes or joins something else."""
        name, take, make, join = problem.id.split(" ")
        place = rng.choice((1, 3))
        keys = list(TAKE if place == 1 else JOIN)
        parts = [name, take, make, join]
        parts[place] = rng.choice([key for key in keys if key != parts[place]])
        other, lists = " ".join(parts), _lists(problem.id)
        differ = _results(problem.id, lists) != _results(other, lists)
        return self.solve(other) if differ else self.solve(other).replace("return ", "return None, ")

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        name, take, make, join = problem.id.split(" ")
        right, wrong = self.solve(problem.id), self.wrong(problem, rng)
        code = right.removeprefix("```python\n").removesuffix("\n```")
        lines = f"def {name}(xs):\n    ys = []\n    for x in xs:\n        if {TAKE[take][1]}:\n"
        loop = f"from math import prod\n{lines}            ys.append({MAKE[make][1]})\n    return {JOIN[join][1]}\n"
        ends = [f"def {name}(xs):\n    {body}\n" for body in ("return None", "import os; os._exit(0)",
                                                             "print('@result [0]')", "raise ValueError")]  # fmt: skip
        return (
            [right, code, f"Here it is:\n\n{right}\n\nIt is short.", f"```\n{code}\n```", f"```python\n{loop}```",
             f"```py\n{code}\n```\n\nFor example:\n```python\nprint({name}([1, 2]))\n```"],
            [wrong, "I cannot write it.", "", f"def {name}(xs): return", right.replace(f"def {name}", "def other"),
             *ends, f"The function {name} gives the answer."],
        )  # fmt: skip

    def chance(self, level: int) -> float:
        return 0.0

    def size(self, level: int) -> str:
        return ("take, join", "take, make, join")[level]


def _lists(id_: str) -> list[Numbers]:
    rng = random.Random(id_)
    return [[], [3], *([rng.randrange(-15, 30) for _ in range(rng.randrange(4, 9))] for _ in range(6))]


def _results(id_: str, lists: list[Numbers]) -> list[object]:
    _, take, make, join = id_.split(" ")
    return [JOIN[join][2]([MAKE[make][2](x) for x in xs if TAKE[take][2](x)]) for xs in lists]
