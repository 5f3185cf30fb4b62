"""Documents written by the tasks themselves: a question, what to think, the answer. Text without any download.

    for text in documents(tasks, seed=0, count=1000): ...

Only questions of the train split are written, so that nothing of a test is ever seen. Every other document leaves the
thought out, since a base model should know both ways of going on.
"""

import random
from collections.abc import Iterator, Mapping, Sequence

from ponder.core.errors import UserError
from ponder.core.sample import Problem
from ponder.tasks.base import Task

ALL: Mapping[str, Sequence[int]] = {}


def problems(
    tasks: Sequence[Task], levels: Mapping[str, Sequence[int]] = ALL, *, seed: int, split: str = "train"
) -> Iterator[Problem]:
    """Endless; tasks take turns, levels are drawn at random. levels: of a task, by name; absent: all that it has."""
    if split not in ("train", "validation"):
        raise UserError(f"problems to learn from are of the train or validation split, not {split!r}", param="split")
    rng = random.Random(f"{seed} {split}")
    for task in tasks:
        for level in task.levels_of(levels):
            task.check_level(level)
    while True:
        for task in tasks:
            yield task.make(rng, rng.choice(task.levels_of(levels)), "train" if split == "train" else "validation")


def documents(
    tasks: Sequence[Task],
    levels: Mapping[str, Sequence[int]] = ALL,
    *,
    seed: int,
    count: int,
    split: str = "train",
) -> Iterator[str]:
    """`count` documents."""
    by_name = {task.name: task for task in tasks}
    for n, problem in zip(range(count), problems(tasks, levels, seed=seed, split=split)):
        task = by_name[problem.task]
        thought = f"{task.trace(problem)}\n" if (n // len(tasks)) % 2 == 0 else ""
        yield f"{problem.messages[0].text}\n{thought}{task.answer(problem)}\n"
