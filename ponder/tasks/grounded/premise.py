"""Questions that take something for granted: answered where the text agrees, called a false premise where not."""

import json
import random
from dataclasses import dataclass

from ponder.core.sample import Problem
from ponder.tasks.base import Task
from ponder.tasks.grounded.towns import FACTS, draw, passages
from ponder.tasks.read import read_name, read_number

FALSE = "false premise"
TAKEN = {  # what a question takes for granted
    "people": "where {value} people live",
    "river": "through which the river {value} runs",
    "founded": "founded in {value}",
    "bridge": "whose bridge is {value} metres long",
    "mayor": "whose mayor is {value}",
}


@dataclass(frozen=True)
class Premise(Task):
    """Level L has L + 1 towns. Half of the questions take for granted what the text denies."""

    name: str = "premise"
    levels: int = 5

    def draw(self, rng: random.Random, level: int) -> str:
        """JSON: the facts, the town, the kind that is asked for, what is taken for granted of it."""
        facts = draw(rng, level + 1)
        town = rng.choice(facts)[0]
        (_, kind, _), (_, granted, value) = rng.sample([fact for fact in facts if fact[0] == town], 2)
        if rng.random() < 0.5:
            value = rng.choice([other for other in FACTS[granted][2] if other != value])
        return json.dumps([facts, town, kind, granted, value])

    def question(self, id_: str) -> str:
        facts, town, kind, granted, value = json.loads(id_)
        place = f"{town}, {TAKEN[granted].format(value=value)},"
        return (
            f"{passages(facts)}\n\n{FACTS[kind][1].format(town=place).replace(',?', '?')} If the question takes "
            f'something for granted that the text denies, answer "{FALSE}".'
        )

    def think(self, id_: str) -> str:
        facts, town, _, granted, value = json.loads(id_)
        said = next(v for t, k, v in facts if (t, k) == (town, granted))
        return f"{town}, {granted}: {value} taken for granted, {said} in the text: {'yes' if said == value else 'no'}"

    def solve(self, id_: str) -> str:
        facts, town, kind, granted, value = json.loads(id_)
        known = {(t, k): v for t, k, v in facts}
        return str(known[town, kind]) if known[town, granted] == value else FALSE

    def read(self, problem: Problem, text: str) -> str | None:
        values = FACTS[json.loads(problem.id)[2]][2]
        if not values[0].isdigit():
            return read_name(text, [FALSE, *values])
        if FALSE not in text.lower():
            return read_number(text)
        return None if any(value in text.replace(",", "") for value in values) else read_name(text, [FALSE])

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        values = [FALSE, *FACTS[json.loads(problem.id)[2]][2]]
        return rng.choice([value for value in values if value != self.answer(problem)])

    def chance(self, level: int) -> float:
        """To call everything false."""
        return 0.5

    def size(self, level: int) -> str:
        return f"{level + 1} town{'s' if level else ''}"
