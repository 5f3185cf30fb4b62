"""The generators of reasoning-gym (Apache-2.0) as tasks, by name: "rg:leg_counting". An optional package.

A question is a seed; its split is decided by its text, as everywhere. The package's own function scores an answer, and
right is a score of 1."""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ponder.core.errors import UserError
from ponder.core.sample import Problem, Split, Verdict
from ponder.tasks.base import Task
from ponder.tasks.read import BOXED, clean

PREFIX = "rg:"
SEEDS = 1_000_000
DRAWS = 20  # for each question that is wanted
CALLED = re.compile(r"(?:final answer|answer)(?: is)?\s*:?\s*(.+)\s*\Z", re.I | re.S)


@dataclass(frozen=True)
class Gym(Task):
    """name: with the prefix. One level: the generator's own settings."""

    name: str
    levels: int = 1

    @classmethod
    def named(cls, name: str) -> "Gym":
        """Raises UserError without the package, and for a name that it does not know."""
        if find_spec("reasoning_gym") is None:
            raise UserError(f"{name} needs the package reasoning-gym: pip install reasoning-gym", param="tasks")
        try:
            _entry(name, 0)
        except (ValueError, KeyError) as e:
            raise UserError(f"reasoning-gym makes no {name.removeprefix(PREFIX)!r}: {e}", param="tasks") from e
        return cls(name)

    def draw(self, rng: random.Random, level: int) -> str:
        return str(rng.randrange(SEEDS))

    def canonical(self, id_: str) -> str:
        return self.question(id_)

    def distinct(self, rng: random.Random, level: int, split: Split, n: int) -> Iterator[Problem]:
        """Different questions, not only different seeds. Raises UserError when the generator makes too few."""
        seen: set[str] = set()
        for _ in range(n * DRAWS):
            problem = self.make(rng, level, split)
            if (asked := problem.messages[0].text) not in seen:
                seen.add(asked)
                yield problem
            if len(seen) == n:
                return
        raise UserError(f"{self.name} made only {len(seen)} different {split} questions, {n} were asked for", param="n")

    def question(self, id_: str) -> str:
        return str(_entry(self.name, int(id_))["question"])

    def think(self, id_: str) -> str:
        return ""

    def solve(self, id_: str) -> str:
        """Some generators have a verifier and no answer of their own: then what they know of the question."""
        entry = _entry(self.name, int(id_))
        answer = entry["answer"]
        return json.dumps(entry["metadata"], default=str) if answer is None else str(answer)

    def read(self, problem: Problem, text: str) -> str | None:
        """What is boxed, what is called the answer, or all of it."""
        if boxed := BOXED.findall(text):
            return str(boxed[-1]).strip() if len(set(boxed)) == 1 else None
        called = CALLED.search(text)
        return clean(called[1] if called else text).rstrip(".") or None

    def grade(self, problem: Problem, found: str) -> Verdict:
        entry = _entry(self.name, int(problem.id))
        score = import_module("reasoning_gym").get_score_answer_fn(entry["metadata"]["source_dataset"])(found, entry)
        return Verdict(reward=min(1.0, max(0.0, float(score))), ok=score >= 1, parts={"score": float(score)})

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        right = self.answer(problem)
        others = (self.solve(self.draw(rng, 0)) for _ in range(50))
        return next((other for other in others if other != right), f"{right} x")

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        if _entry(self.name, int(problem.id))["answer"] is None:
            return [], [""]
        right = self.answer(problem)
        forms = ("{}", "Answer: {}", "The answer is {}", "\\boxed{{{}}}") if "{" not in right else ("{}",)
        return [form.format(right) for form in forms], ["", "I do not know.", "qqq"]

    def chance(self, level: int) -> float:
        return 0.0

    def size(self, level: int) -> str:
        return "the generator's own"


@lru_cache(4096)
def _entry(name: str, seed: int) -> Any:
    return import_module("reasoning_gym").create_dataset(name.removeprefix(PREFIX), size=1, seed=seed)[0]
