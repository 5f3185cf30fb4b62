"""Sums in words: somebody has some things, and more and more happens to them. The thought keeps the number so far."""

import random
from dataclasses import dataclass

from ponder.core.sample import Problem
from ponder.tasks.base import Task, constant_chance
from ponder.tasks.read import read_number

NAMES = ("Ann", "Ben", "Cleo", "Dev", "Eli", "Fay", "Gus", "Hana", "Ivo", "Jun", "Kofi", "Lea", "Mei", "Nils")
THINGS = ("apples", "books", "coins", "stamps", "shells", "marbles", "cards", "pencils", "plums", "stones")
HAPPENS = {
    "+": "{name} finds {n} more.",
    "-": "{name} gives {n} away.",
    "*": "Then a friend swaps each of them for {n} others.",
    "/": "{name} shares them equally with others, {n} people in all, and keeps one share.",
    "~": "A neighbour has {n} {other}.",
}
DISTRACTING = 3  # the level from which one sentence has nothing to do with it


@dataclass(frozen=True)
class Stories(Task):
    """Level L has L + 1 events, from level 3 on beside one that does not matter."""

    name: str = "story"
    levels: int = 6

    def draw(self, rng: random.Random, level: int) -> str:
        """ "Ann apples 12 +5 -3 *2" """
        start = number = rng.randrange(5, 30)
        events = []
        for _ in range(level + 1):
            event = rng.choice([e for e in "++--*/" if e in "+-" or _fits(e, number)])
            amount = _amount(rng, event, number)
            number = _apply(number, event, amount)
            events.append(f"{event}{amount}")
        if level >= DISTRACTING:
            events.insert(rng.randrange(level + 1), f"~{rng.randrange(2, 40)}")
        return " ".join([rng.choice(NAMES), rng.choice(THINGS), str(start), *events])

    def question(self, id_: str) -> str:
        name, things, start, *events = id_.split(" ")
        other = THINGS[(THINGS.index(things) + 3) % len(THINGS)]
        told = [HAPPENS[e[0]].format(name=name, n=e[1:], other=other) for e in events]
        return " ".join([f"{name} has {start} {things}.", *told, f"How many {things} does {name} have now?"])

    def think(self, id_: str) -> str:
        _, _, start, *events = id_.split(" ")
        number, steps = int(start), [start]
        for event in events:
            if event[0] != "~":
                number = _apply(number, event[0], int(event[1:]))
                steps.append(f"{event}={number}")
        return " ".join(steps)

    def solve(self, id_: str) -> str:
        return self.think(id_).replace("=", " ").split(" ")[-1]

    def read(self, problem: Problem, text: str) -> str | None:
        return read_number(text)

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        return str(int(self.answer(problem)) + rng.choice((1, 2, 10)))

    def chance(self, level: int) -> float:
        return constant_chance(self, level)

    def size(self, level: int) -> str:
        return f"{level + 1} event{'s' if level else ''}"


def _fits(event: str, number: int) -> bool:
    return 2 <= number <= 60 if event == "*" else any(number % n == 0 for n in range(2, 7))


def _amount(rng: random.Random, event: str, number: int) -> int:
    if event == "+":
        return rng.randrange(1, 30)
    if event == "-":
        return rng.randrange(1, max(2, number))
    return rng.randrange(2, 5) if event == "*" else rng.choice([n for n in range(2, 7) if number % n == 0])


def _apply(number: int, event: str, amount: int) -> int:
    return {"+": number + amount, "-": number - amount, "*": number * amount, "/": number // amount}[event]
