"""A question about given passages: the answer with the number of its passage, or that the text does not say it."""

import json
import random
import re
from dataclasses import dataclass

from ponder.core.sample import Problem
from ponder.tasks.base import Task
from ponder.tasks.grounded.towns import FACTS, draw, number_of, passages
from ponder.tasks.read import clean

ABSENT = "not in the text"
CITED = re.compile(r"\[(\d+)\]")


@dataclass(frozen=True)
class Passages(Task):
    """Level L has L + 2 passages. A third of the questions are about what no passage says."""

    name: str = "passages"
    levels: int = 5

    def draw(self, rng: random.Random, level: int) -> str:
        """JSON: the facts, the town and the kind of fact that is asked for."""
        facts = draw(rng, level + 2)
        town, kind, _ = rng.choice(facts)
        if rng.random() < 1 / 3:
            kind = rng.choice([k for k in FACTS if (town, k) not in {(t, known) for t, known, _ in facts}])
        return json.dumps([facts, town, kind])

    def question(self, id_: str) -> str:
        facts, town, kind = json.loads(id_)
        return (
            f"{passages(facts)}\n\n{FACTS[kind][1].format(town=town)} Answer from these passages alone, with the "
            f'number of the passage, such as "Paris [3]". If they do not say it, answer "{ABSENT}".'
        )

    def think(self, id_: str) -> str:
        facts, town, kind = json.loads(id_)
        number = number_of(facts, town)
        known = ", ".join(k for t, k, _ in facts if t == town)
        return f"[{number}] {town}: {known}\n{kind}: {self.solve(id_)}"

    def solve(self, id_: str) -> str:
        facts, town, kind = json.loads(id_)
        value = next((v for t, k, v in facts if (t, k) == (town, kind)), None)
        return ABSENT if value is None else f"{value} [{number_of(facts, town)}]"

    def read(self, problem: Problem, text: str) -> str | None:
        """A value of the kind that is asked for, and one passage; or that it is not there, and nothing else."""
        _, town, kind = json.loads(problem.id)
        said = clean(text.replace("[", " [")).replace(town, "")
        values = set(re.findall(rf"(?<![\w.,\[-])(?:{'|'.join(FACTS[kind][2])})(?![\w]|[.,]\d)", said.replace(",", "")))
        numbers = set(CITED.findall(said))
        if ABSENT in said.lower():
            return ABSENT if not values and not numbers else None
        if len(values) != 1 or len(numbers) != 1 or re.search(r"\b(?:not|or|never|either)\b", said):
            return None
        return f"{values.pop()} [{numbers.pop()}]"

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        _, _, kind = json.loads(problem.id)
        right = self.answer(problem)
        others = [f"{v} [{n}]" for v in FACTS[kind][2] for n in range(1, 4)]
        return rng.choice([other for other in (*others, ABSENT) if other != right])

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        _, town, kind = json.loads(problem.id)
        a = self.answer(problem)
        wrongs = [self.wrong(problem, rng) for _ in range(10)]
        if a == ABSENT:
            forms = ["{}", "{}.", "That is {}.", "**{}**", '"{}"', "The answer is {}.", "Sorry, this is {}.", "{}\n"]
            return [form.format(a) for form in forms] * 2, [*wrongs, "", "I do not know.", f"{wrongs[0]}, {a}", "[1]"]
        value, number = a.split(" ")
        sentence = FACTS[kind][0].format(town=town, value=value)
        other = next(v for v in FACTS[kind][2] if v != value)
        right = [
            a,
            f"{a}.",
            f"**{a}**",
            f"{value}{number}",
            f"{value} {number}\n",
            f"{sentence} {number}",
            f"According to passage {number}, it is {value}.",
            f"{number} {value}",
            f"It is {value} ({number}).",
            f"{sentence[:-1]} {number}.",
        ]
        missing = [
            value,
            number,
            f"{value} [9]",
            f"{other} {number}",
            f"{value} or {other} {number}",
            f"It is not {value} {number}",
            f"{value} {number} [8]",
            f"{a}, or {ABSENT}",
            "",
            "I do not know.",
        ]
        return right, [*wrongs, *missing]

    def chance(self, level: int) -> float:
        """To say that it is not there."""
        return 1 / 3

    def size(self, level: int) -> str:
        return f"{level + 2} passages"
