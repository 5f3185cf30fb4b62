"""Knights and knaves: knights always say what is true, knaves what is false. Who is what?

The thought tries the cases in order, and drops one at the first word that does not fit its speaker."""

import random
from dataclasses import dataclass
from itertools import product

from ponder.core.sample import Problem
from ponder.tasks.base import Task
from ponder.tasks.read import read_name
from ponder.tasks.reasoning.stories import NAMES

KINDS = ("knight", "knave")


@dataclass(frozen=True)
class Knights(Task):
    """Level L has L + 2 people, each of whom says one thing."""

    name: str = "knights"
    levels: int = 4

    def draw(self, rng: random.Random, level: int) -> str:
        """ "Ann,Ben 1:knave 0:same1 ?0": the second is a knave, says the first; the first is like the second."""
        people = rng.sample(NAMES, level + 2)
        while True:
            said = [_saying(rng, n, len(people)) for n in range(len(people))]
            if len(_cases(said)) == 1:
                return " ".join([",".join(people), *said, f"?{rng.randrange(len(people))}"])

    def question(self, id_: str) -> str:
        people, said, asked = _parts(id_)
        told = [f'{people[n]} says: "{_words(people, what)}"' for n, what in enumerate(said)]
        return (
            f"{', '.join(people[:-1])} and {people[-1]} are each a knight, who always tells the truth, or a knave, who "
            f"always lies. {' '.join(told)} Is {people[asked]} a knight or a knave?"
        )

    def think(self, id_: str) -> str:
        people, said, asked = _parts(id_)
        lines = []
        for case in product((True, False), repeat=len(people)):
            named = ", ".join(f"{p} {KINDS[not k]}" for p, k in zip(people, case))
            broken = next((n for n, what in enumerate(said) if _holds(what, n, case) != case[n]), None)
            if broken is None:
                lines.append(f"{named}: all fits, {people[asked]} is a {KINDS[not case[asked]]}")
                break
            lines.append(f"{named}: no, {people[broken]} says what is {str(not case[broken]).lower()}")
        return "\n".join(lines)

    def solve(self, id_: str) -> str:
        _, said, asked = _parts(id_)
        return KINDS[not _cases(said)[0][asked]]

    def read(self, problem: Problem, text: str) -> str | None:
        return read_name(text, KINDS)

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        return KINDS[self.answer(problem) == "knight"]

    def chance(self, level: int) -> float:
        """Of either kind there are about as many."""
        return 0.5

    def size(self, level: int) -> str:
        return f"{level + 2} people"


def _saying(rng: random.Random, speaker: int, people: int) -> str:
    other = rng.choice([n for n in range(people) if n != speaker])
    return f"{other}:{rng.choice((*KINDS, 'same', 'other'))}"


def _parts(id_: str) -> tuple[list[str], list[str], int]:
    people, *said, asked = id_.split(" ")
    return people.split(","), said, int(asked[1:])


def _words(people: list[str], what: str) -> str:
    other, kind = what.split(":")
    if kind in KINDS:
        return f"{people[int(other)]} is a {kind}."
    return f"{people[int(other)]} and I are {'the same kind' if kind == 'same' else 'of different kinds'}."


def _holds(what: str, speaker: int, case: tuple[bool, ...]) -> bool:
    other, kind = what.split(":")
    if kind in KINDS:
        return case[int(other)] == (kind == "knight")
    return (case[int(other)] == case[speaker]) == (kind == "same")


def _cases(said: list[str]) -> list[tuple[bool, ...]]:
    """All in which knights say what is true and knaves what is false."""
    return [
        case
        for case in product((True, False), repeat=len(said))
        if all(_holds(what, n, case) == case[n] for n, what in enumerate(said))
    ]
