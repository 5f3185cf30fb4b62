"""What an evaluation asks: tasks, modes, budgets, levels, numbers and seeds. Everything that decides its outputs.

A cell is one mode with one budget. Every cell gets the same problems, and sample s of a problem has the same seed in
all of them: what differs between two cells is the mode or the budget alone, and a thought that was cut is the
beginning of the same thought uncut.
"""

import difflib
import hashlib
import random
import re
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct, structs

from ponder.core.errors import UserError
from ponder.core.params import ANSWER_DEFAULTS, THINKING_DEFAULTS, Capability, SamplingParams
from ponder.core.sample import Problem, Split
from ponder.tasks.base import Task
from ponder.tasks.published.released import Released
from ponder.tasks.table import tasks_named

Mode = Literal["think", "no_think"]
MODES: tuple[Mode, ...] = ("think", "no_think")


class Cell(Struct, frozen=True):
    """budget: most ids of a thought; None is no limit, and what `no_think` has."""

    mode: Mode
    budget: int | None = None

    @property
    def title(self) -> str:
        return self.mode if self.budget is None else f"{self.mode} {self.budget}"


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """n: problems of a task, spread evenly over the levels. levels: None is all that a task has. samples: answers to
    each problem in each cell. sampling: None in it is the model's own value for the mode; its seed is not used. data:
    the file of a released benchmark. as_reported: those are asked whole, with the report's sampling values, lengths and
    numbers of answers."""

    tasks: tuple[str, ...]
    modes: tuple[Mode, ...] = MODES
    budgets: tuple[int | None, ...] = (None,)
    levels: tuple[int, ...] | None = None
    n: int = 100
    samples: int = 1
    seed: int = 0
    split: Split = "test"
    sampling: SamplingParams = SamplingParams()
    data: dict[str, str] = {}
    as_reported: bool = False

    def __post_init__(self) -> None:
        for name in ("tasks", "modes", "budgets", "levels"):
            values = getattr(self, name)
            if values is not None and (not values or len(set(values)) < len(values)):
                raise UserError(f"{name} must name one or more, each of them once; got {list(values)}", param=name)
        for name in ("n", "samples"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be 1 or more, got {getattr(self, name)}", param=name)
        if any(b is not None and b < 0 for b in self.budgets):
            raise UserError("a budget is a number of tokens, 0 or more, or none", param="budgets")
        if self.budgets != (None,) and "think" not in self.modes:
            raise UserError("budgets are for thoughts: they need the mode think", param="budgets")

    def checked(self) -> "Settings":
        """The same, when what is to be asked is here: a result can be read without. Raises UserError."""
        for task in self.found():
            for level in self.levels or ():
                task.check_level(level)
        return self

    def found(self) -> tuple[Task, ...]:
        return tasks_named(self.tasks, self.data)

    def samples_of(self, task: Task) -> int:
        return task.preset.samples if self.as_reported and isinstance(task, Released) else self.samples

    def sampling_of(self, task: Task, mode: str) -> SamplingParams:
        """What the caller gave, before what the report says."""
        if not (self.as_reported and isinstance(task, Released)):
            return self.sampling
        reported = THINKING_DEFAULTS if mode == "think" else ANSWER_DEFAULTS
        preset = structs.replace(
            reported, max_tokens=task.preset.tokens, presence_penalty=task.preset.presence[mode != "think"]
        )
        return self.sampling.with_defaults(preset)

    def cells(self, task: Task) -> tuple[Cell, ...]:
        """Those that mean something for the task; a task about the modes is asked with thoughts allowed, however the
        model is asked otherwise."""
        modes = [mode for mode in self.modes if mode in task.modes] or [mode for mode in MODES if mode in task.modes]
        thinking = [Cell("think", budget) for budget in self.budgets] if "think" in modes else []
        return (*thinking, *([Cell("no_think")] if "no_think" in modes else []))

    def problems(self, task: Task) -> list[Problem]:
        """The same for the same settings. Raises UserError when a level has too few questions."""
        levels = self.levels or tuple(range(task.levels))
        problems: list[Problem] = []
        for place, level in enumerate(levels):
            count = self.n // len(levels) + (place < self.n % len(levels))
            if self.as_reported and isinstance(task, Released):
                count = len(task.items)
            rng = random.Random(f"{self.seed} {task.name} {level} {self.split}")
            problems += task.distinct(rng, level, self.split, count)
        return problems

    def seed_of(self, problem: Problem, sample: int) -> int:
        digest = hashlib.blake2b(f"{self.seed}\0{problem.task}\0{problem.id}\0{sample}".encode(), digest_size=4)
        return int.from_bytes(digest.digest(), "big")


def deviations(settings: Settings) -> list[str]:
    """In what the released benchmarks are not asked as the report did, in words (EV-3)."""
    found = []
    for task in settings.found():
        if isinstance(task, Released):
            asked, whole = len(settings.problems(task)), len(task.items)
            parts = [f"{asked} of its {whole} questions"] if asked < whole else []
            if (samples := settings.samples_of(task)) != task.preset.samples:
                parts.append(f"{samples} answers to each instead of {task.preset.samples}")
            if not settings.as_reported:
                parts.append("the model's own sampling values and lengths instead of the report's")
            found += [f"{task.name}: {', '.join(parts)}."] if parts else []
    return found


def check_capability(settings: Settings, name: str, capability: Capability) -> None:
    """Raises UserError for a mode that the model does not have."""
    if capability in ("instruct", "base") and "think" in settings.modes:
        raise UserError(
            f"{name} does not think ({capability}), so that it has neither the mode think nor budgets: "
            "take --modes no_think and leave --budgets out, or a hybrid model such as qwen3:4b",
            param="modes",
        )
    if capability == "thinking" and "no_think" in settings.modes:
        raise UserError(
            f"{name} always thinks: take --modes think; budget 0 is the nearest to no thoughts", param="modes"
        )


def modes_for(capability: Capability) -> tuple[Mode, ...]:
    """The modes that a model has."""
    return {"hybrid": MODES, "thinking": ("think",), "instruct": ("no_think",), "base": ("no_think",)}[capability]


def modes_of(text: str) -> tuple[Mode, ...]:
    """ "think,no_think" """
    modes: list[Mode] = []
    for word in _words(text):
        mode = next((m for m in MODES if m == word.replace("-", "_")), None)
        if mode is None:
            close = difflib.get_close_matches(word, MODES, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {' and '.join(MODES)}"
            raise UserError(f"there is no mode {word!r}; {hint}", param="modes")
        modes.append(mode)
    return tuple(modes)


def budgets_of(text: str) -> tuple[int | None, ...]:
    """ "0,4,8,none" """
    found: list[int | None] = []
    for word in _words(text):
        if word != "none" and not word.isdecimal():
            raise UserError(f"a budget is a number of tokens or the word none, got {word!r}", param="budgets")
        found.append(None if word == "none" else int(word))
    return tuple(found)


def levels_of(text: str) -> tuple[int, ...]:
    """ "0-3,5" """
    levels: list[int] = []
    for word in _words(text):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", word)
        if match is None:
            raise UserError(f"levels are numbers and ranges such as 0-3,5; got {word!r}", param="levels")
        levels += range(int(match[1]), int(match[2] or match[1]) + 1)
    return tuple(levels)


def _words(text: str) -> Sequence[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
