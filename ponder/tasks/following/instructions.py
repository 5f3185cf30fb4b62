"""A short text about a thing, written as one to five checkable instructions say."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ponder.core.sample import Problem, Verdict
from ponder.tasks.base import Task
from ponder.tasks.following.checks import follows
from ponder.tasks.following.filler import TOPICS, sentence
from ponder.tasks.following.rules import APART, RULES

Asked = list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Instructions(Task):
    """Level L has L + 1 instructions. The reward is the share that is followed; right is only all of them."""

    name: str = "instructions"
    levels: int = 5

    def draw(self, rng: random.Random, level: int) -> str:
        """JSON: the topic, and each instruction with its arguments."""
        while True:
            names = rng.sample(list(RULES), level + 1)
            groups = {RULES[name].group for name in names}
            if len(groups) == len(names) and not any(frozenset(pair) in APART for pair in combinations(names, 2)):
                asked = [[name, RULES[name].draw(rng)] for name in RULES if name in names]
                return json.dumps([rng.choice(TOPICS), *asked])

    def question(self, id_: str) -> str:
        topic, asked = _parts(id_)
        return " ".join([f"Write a short text about {topic}.", *(RULES[name].ask.format(**a) for name, a in asked)])

    def think(self, id_: str) -> str:
        return "\n".join(f"{n}. {RULES[name].ask.format(**a)}" for n, (name, a) in enumerate(_parts(id_)[1], 1))

    def solve(self, id_: str) -> str:
        return next(_texts(id_))

    def read(self, problem: Problem, text: str) -> str | None:
        return text if text.strip() else None

    def grade(self, problem: Problem, found: str) -> Verdict:
        parts = {name: float(follows(name, a, found)) for name, a in _parts(problem.id)[1]}
        return Verdict(reward=sum(parts.values()) / len(parts), ok=all(parts.values()), parts=parts)

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        name, arguments = rng.choice(_parts(problem.id)[1])
        return RULES[name].spoil(self.answer(problem), arguments)

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        texts = [text for text, _ in zip(_texts(problem.id), range(16))]
        spoilt = [RULES[name].spoil(text, a) for name, a in _parts(problem.id)[1] for text in texts]
        return [*texts, *(f"\n{text}\n\n" for text in texts)], [*spoilt, "", " \n"]

    def chance(self, level: int) -> float:
        """Any text has no comma, no forbidden word or few words by chance."""
        return 0.3 ** (level + 1)

    def size(self, level: int) -> str:
        return f"{level + 1} instruction{'s' if level else ''}"


def _parts(id_: str) -> tuple[str, Asked]:
    topic, *asked = json.loads(id_)
    return topic, [(name, arguments) for name, arguments in asked]


def _texts(id_: str) -> Iterator[str]:
    """Endless."""
    topic, asked = _parts(id_)
    rng = random.Random(id_)
    while True:
        text = " ".join(sentence(topic, rng) for _ in range(rng.randrange(1, 3)))
        for name, arguments in asked:
            text = RULES[name].do(text, arguments, topic, rng)
        yield text
