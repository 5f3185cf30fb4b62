"""What stages share whose samples a model writes: which problems are asked, in which mode, under which budget."""

import random
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import field
from numpy.typing import NDArray

from ponder.core.errors import UserError
from ponder.core.sample import Sample, Split
from ponder.tasks.base import Task
from ponder.tasks.table import tasks_named
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.rollouts.collect import Ask
from ponder.train.stages.conversation import Mode, likely_said
from ponder.train.stages.text import Levels, check_tasks
from ponder.train.stages.training import Likely, TuningStage

SHOWN = 8  # problems whose answers are kept for people to read


class PromptedStage(TuningStage, frozen=True, kw_only=True):
    """Fields beside those of `TuningStage`."""

    tasks: tuple[str, ...]
    levels: Levels = field(default_factory=dict)
    """Of which levels the problems are, by task; all of them where a task is not named."""
    group: int = 1
    """Answers to a problem."""
    problems: int = 16
    """Asked in one step."""
    modes: tuple[Mode, ...] = ("think", "no_think")
    """Problems take turns in them."""
    budgets: tuple[int, ...] = ()
    """Thinking budgets in ids, one drawn at random for a problem."""
    budget_share: float = 0.5
    """Of the problems with thoughts, those that get one of the budgets."""
    max_new_tokens: int = 256
    """Longest answer, thoughts and hand-over included; of a task that is played, longest turn."""
    data: dict[str, str] = field(default_factory=dict)
    """Files of tasks that need one: { mcp = "goals.json" }."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_tasks(self.tasks, self.levels, self.data)
        if min(self.problems, self.max_new_tokens) < 1 or not self.modes:
            raise UserError("a step needs one problem or more, room to answer, and a mode", param="problems")
        if not 0 <= self.budget_share <= 1 or any(b < 0 for b in self.budgets):
            raise UserError("budgets are 0 or more ids, and budget_share is between 0 and 1", param="budgets")
        if self.budgets and "think" not in self.modes:
            raise UserError("budgets are for thoughts, and the modes have none", param="budgets")

    def likely(self, tokenizer: Tokenizer, texts: Sequence[str], seed: int, positions: int) -> Likely:
        """Answers as the tasks themselves would give them, instead of the model's."""
        asks = self.asks(seed, 0)
        told = [
            likely_said(a.problem, a.task, tokenizer, "think" if a.thinking else "no_think")
            for a in asks for _ in range(self.group)
        ]  # fmt: skip
        samples = [self.stand_in(ids, np.array([False, *own[1:]], np.float32)) for ids, own in told]
        new = sum(sum(own) for _, own in told) // len(told)
        return Likely(samples, asks, len(told), max(1, new))

    def stand_in(self, ids: list[int], own: NDArray[np.float32]) -> Sample:
        """own: 1 where the model would have written."""
        raise NotImplementedError

    def asks(
        self, seed: int, step: int, turn: int = 0, count: int | None = None, *, split: Split = "train",
        worth: Callable[[str, int], float] | None = None,
    ) -> list[Ask]:  # fmt: skip
        """The problems of a step, `problems` of them or `count`: a function of the seed, the step and the turn, and of
        what each level of a task is worth."""
        rng, tasks = random.Random(f"{seed}/{self.name}/{step}/{turn}"), self.found()
        return [self._ask(rng, tasks, n, split, worth) for n in range(self.problems if count is None else count)]

    def found(self) -> tuple[Task, ...]:
        return tasks_named(self.tasks, self.data)

    def _ask(
        self, rng: random.Random, tasks: Sequence[Task], n: int, split: Split,
        worth: Callable[[str, int], float] | None,
    ) -> Ask:  # fmt: skip
        task = rng.choice(tasks)
        level = rng.choice(task.levels_of(self.levels))
        if worth is not None:
            every = [(t, n) for t in tasks for n in t.levels_of(self.levels)]
            task, level = rng.choices(every, [worth(t.name, n) for t, n in every])[0]
        thinking = self.modes[n % len(self.modes)] == "think"
        cut = thinking and bool(self.budgets) and rng.random() < self.budget_share
        budget = rng.choice(self.budgets) if cut else None
        problem = task.make(rng, level, split)
        return Ask(task=task, problem=problem, seed=rng.getrandbits(32), thinking=thinking, budget=budget)
