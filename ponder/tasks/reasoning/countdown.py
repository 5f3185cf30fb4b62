"""Countdown: make a target out of all the numbers. The thought is a search that goes wrong and turns back.

    3 7 8 2: 24
    8+2=10: 3 7 10
    7*3=21: 10 21
    21+10=31 no
    back: 3 7 10
    ...

Each line takes two numbers and writes what is left. Many answers are right: the verifier computes the one given.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ponder.core.sample import Problem, Verdict
from ponder.tasks.base import Task
from ponder.tasks.read import read_pattern
from ponder.tasks.reasoning.expression import SUM, compact, numbers, signed, value

Item = tuple[int, str]  # a number, and the sum that made it
Step = tuple[str, tuple[Item, ...]]  # "8+2=10", and what is there then
WRONG_TURNS = 2  # at most before each right step


@dataclass(frozen=True)
class Countdown(Task):
    """Level L has L + 2 numbers."""

    name: str = "countdown"
    levels: int = 4

    def draw(self, rng: random.Random, level: int) -> str:
        """ "3 7 8 2=24": the target is what a random way through the numbers gives."""
        while True:
            given = [rng.randrange(2, 14) for _ in range(level + 2)]
            items: tuple[Item, ...] = tuple((n, str(n)) for n in given)
            while len(items) > 1:
                items = rng.choice(_steps(items))[1]
            if 10 <= items[0][0] <= 99 and items[0][0] not in given:
                return f"{' '.join(map(str, given))}={items[0][0]}"

    def canonical(self, id_: str) -> str:
        given, target = id_.split("=")
        return f"{' '.join(sorted(given.split(' ')))}={target}"

    def question(self, id_: str) -> str:
        given, target = id_.split("=")
        return (
            f"Use each of the numbers {', '.join(given.split(' '))} once, with + - * / and brackets, to make {target}."
        )

    def think(self, id_: str) -> str:
        rng, (items, target) = random.Random(id_), _given(id_)
        lines = [f"{_row(items)}: {target}"]
        for step, after in _path(id_):
            if len(items) > 2:
                for _ in range(rng.randrange(WRONG_TURNS + 1)):
                    if (turn := _wrong_turn(items, target, rng)) is not None:
                        lines += [*turn, f"back: {_row(items)}"]
            lines.append(f"{step}: {_row(after)}" if len(after) > 1 else f"{step} yes")
            items = after
        return "\n".join(lines)

    def solve(self, id_: str) -> str:
        sum_ = _path(id_)[-1][1][0][1]
        return sum_[1:-1] if sum_.startswith("(") else sum_

    def read(self, problem: Problem, text: str) -> str | None:
        return read_pattern(signed(text), SUM, compact)

    def grade(self, problem: Problem, found: str) -> Verdict:
        given, target = problem.id.split("=")
        uses = sorted(numbers(found)) == sorted(map(int, given.split(" ")))
        ok = uses and value(found) == int(target)
        return Verdict(reward=float(ok), ok=ok, parts={"parsed": 1.0, "numbers": float(uses)})

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        """All the numbers, but another value."""
        given, target = problem.id.split("=")
        while True:
            said = rng.choice("+*").join(rng.sample(given.split(" "), given.count(" ") + 1))
            if value(said) != int(target):
                return said
            given = given + " 1"

    def chance(self, level: int) -> float:
        return 0.0

    def size(self, level: int) -> str:
        return f"{level + 2} numbers"


def _given(id_: str) -> tuple[tuple[Item, ...], int]:
    given, target = id_.split("=")
    return tuple((int(n), n) for n in given.split(" ")), int(target)


def _row(items: Sequence[Item]) -> str:
    return " ".join(str(number) for number, _ in items)


@lru_cache(100_000)
def _steps(items: tuple[Item, ...]) -> tuple[Step, ...]:
    return tuple(_all_steps(items))


def _all_steps(items: tuple[Item, ...]) -> Iterator[Step]:
    """Every pair with every sign that leaves a whole number above 0."""
    for i in range(len(items)):
        for j in range(i + 1, len(items)):
            rest = tuple(item for k, item in enumerate(items) if k not in (i, j))
            (a, x), (b, y) = sorted((items[i], items[j]), reverse=True)
            for sign, made in (("+", a + b), ("-", a - b), ("*", a * b), ("/", a // b if a % b == 0 else 0)):
                if 0 < made < 10_000 and not (b == 1 and sign in "*/"):
                    yield f"{a}{sign}{b}={made}", (*rest, (made, f"({x}{sign}{y})"))


@lru_cache(4096)
def _path(id_: str) -> tuple[Step, ...]:
    """The first way to the target."""
    items, target = _given(id_)
    dead: set[tuple[int, ...]] = set()

    def search(items: tuple[Item, ...]) -> list[Step] | None:
        key = tuple(sorted(number for number, _ in items))
        if len(items) == 1 or key in dead:
            return [] if items[0][0] == target and len(items) == 1 else None
        for step in _all_steps(items):
            if (rest := search(step[1])) is not None:
                return [step, *rest]
        dead.add(key)
        return None

    found = search(items)
    assert found, f"{id_} has a solution by the way it was made"
    return tuple(found)


def _wrong_turn(items: tuple[Item, ...], target: int, rng: random.Random) -> list[str] | None:
    """A random way to the end that misses; None when it happens to hit."""
    lines = []
    while len(items) > 1:
        step, items = rng.choice(_steps(items))
        lines.append(f"{step}: {_row(items)}" if len(items) > 1 else f"{step} no")
    return None if items[0][0] == target else lines
