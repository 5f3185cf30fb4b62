"""Which questions are worth a thought: drawn field by field, so that the kept ones are balanced over the fields.

Dropped, each by name and counted: what no verifier can decide, several questions in one, and what a model answers
without any thought.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ponder.core.sample import Problem
from ponder.tasks.base import Task

NOT_VERIFIABLE, SEVERAL, EASY, SEEN = "not verifiable", "several questions", "right without thoughts", "drawn before"
ROUNDS = 8  # of drawing, until every field is full
_ASKS = re.compile(r"[?？؟]")
_LISTED = re.compile(r"(?m)^\s*(?:\(?[a-h1-9][).])\s")


@dataclass
class Queries:
    kept: list[tuple[Task, Problem]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def fields(self) -> Counter[str]:
        return Counter(task.name for task, _ in self.kept)


def drawn(
    tasks: Sequence[Task], levels: Mapping[str, Sequence[int]], count: int, seed: int,
    easy: Callable[[Sequence[tuple[Task, Problem]]], Sequence[bool]],
) -> Queries:  # fmt: skip
    """As many of each task, `count` in all if there are enough. easy: which of these a model gets right at once."""
    rng, found = random.Random(seed), Queries()
    seen: set[tuple[str, str]] = set()
    wanted = {task.name: count // len(tasks) + (n < count % len(tasks)) for n, task in enumerate(tasks)}
    for _ in range(ROUNDS):
        have, fresh = found.fields, []
        for task in tasks:
            for _ in range(wanted[task.name] - have[task.name]):
                problem = task.make(rng, rng.choice(task.levels_of(levels)), "train")
                why = SEEN if (task.name, problem.id) in seen else unfit(task, problem)
                seen.add((task.name, problem.id))
                if why:
                    found.dropped[why] += 1
                else:
                    fresh.append((task, problem))
        if not fresh:
            break
        for one, known in zip(fresh, easy(fresh), strict=True):
            if known:
                found.dropped[EASY] += 1
            else:
                found.kept.append(one)
    return found


def unfit(task: Task, problem: Problem) -> str:
    """Why it is no question to learn to think from; empty if it is one."""
    own = task.reply(problem, task.trace(problem))
    if problem.answer_key is None or not task.verify_turn(problem, own.reasoning or "", task.answer(problem)).ok:
        return NOT_VERIFIABLE
    text = problem.messages[-1].text
    return SEVERAL if len(_ASKS.findall(text)) > 1 or len(_LISTED.findall(text)) > 1 else ""
