"""From outputs to scores, and from scores to the curve of accuracy over the thinking budget.

A point of the curve has three parts. With F the share of thoughts that fit in the budget, W the accuracy after whole
thoughts and C after those that were cut, accuracy = F W + (1 - F) C. F says how long thoughts are, W how good, C what
the model makes of half a thought; a curve that rises smoothly may hide a C far below the score without thoughts.
"""

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from ponder.eval.grade import Output
from ponder.eval.settings import Cell, Settings
from ponder.eval.statistics import Estimate, estimate, majority, pass_at_k
from ponder.tasks.base import Task


class Rates(Struct, frozen=True):
    """Shares of the answers: cut off, not readable, in a loop. Each should be near 0; `RED` is the limit."""

    truncated: float
    unparsed: float
    loops: float


RED = 0.02
RIGHT = "\0right"  # what right answers vote for, however they are written


class Score(Struct, frozen=True, kw_only=True):
    """One task in one cell; level None is all levels. k: answers to a problem. chance: what needs no thought."""

    task: str
    cell: Cell
    level: int | None
    k: int
    answers: int
    pass_1: Estimate
    pass_k: Estimate
    maj_k: Estimate
    rates: Rates
    thinking_tokens: float
    chance: float
    seconds: float = 0.0


class Point(Struct, frozen=True, kw_only=True):
    """One budget of a curve. fits: F. whole, cut: W and C over answers, None where there are none of them."""

    task: str
    level: int | None
    budget: int | None
    accuracy: Estimate
    fits: float
    whole: float | None
    cut: float | None
    answers: int
    seconds: float = 0.0


def scores_of(settings: Settings, outputs: Sequence[Output]) -> list[Score]:
    """Each task over all levels, then level by level; cells in the order of the settings."""
    scores = []
    for task in settings.found():
        own = [o for o in outputs if o.task == task.name]
        for level in (None, *sorted({o.level for o in own})):
            at_level = [o for o in own if level is None or o.level == level]
            scores += [
                _score(task, cell, level, [o for o in at_level if o.cell == cell]) for cell in settings.cells(task)
            ]
    return scores


def _score(task: Task, cell: Cell, level: int | None, outputs: Sequence[Output]) -> Score:
    problems = _by_problem(outputs)
    k = max(len(answers) for answers in problems)
    right = [sum(o.ok for o in answers) for answers in problems]
    return Score(
        task=task.name,
        cell=cell,
        level=level,
        k=k,
        answers=len(outputs),
        pass_1=estimate([r / len(a) for r, a in zip(right, problems)]),
        pass_k=estimate([pass_at_k(r, len(a), len(a)) for r, a in zip(right, problems)]),
        maj_k=estimate([majority([RIGHT if o.ok else o.found for o in a], RIGHT) for a in problems]),
        rates=Rates(
            truncated=_share(outputs, lambda o: o.status == "truncated"),
            unparsed=_share(outputs, lambda o: o.status == "unparsed"),
            loops=_share(outputs, lambda o: o.loops),
        ),
        thinking_tokens=sum(o.thinking_tokens for o in outputs) / len(outputs),
        chance=sum(task.chance(answers[0].level) for answers in problems) / len(problems),
        seconds=sum(o.seconds for o in outputs) / len(outputs),
    )


def curve_of(settings: Settings, outputs: Sequence[Output]) -> list[Point]:
    """The points of each task, over all levels and level by level, budgets in ascending order, no limit last."""
    budgets = sorted(settings.budgets, key=lambda b: (b is None, b or 0)) if "think" in settings.modes else []
    points = []
    for task in settings.found():
        own = [o for o in outputs if o.task == task.name and o.cell.mode == "think"]
        for level in (None, *sorted({o.level for o in own})):
            at_level = [o for o in own if level is None or o.level == level]
            for budget in budgets:
                points.append(_point(task.name, level, budget, [o for o in at_level if o.cell.budget == budget]))
    return points


def _point(task: str, level: int | None, budget: int | None, outputs: Sequence[Output]) -> Point:
    whole = [o for o in outputs if o.whole]
    cut = [o for o in outputs if not o.whole]
    return Point(
        task=task,
        level=level,
        budget=budget,
        accuracy=estimate([sum(o.ok for o in a) / len(a) for a in _by_problem(outputs)]),
        fits=len(whole) / len(outputs),
        whole=_share(whole, lambda o: o.ok) if whole else None,
        cut=_share(cut, lambda o: o.ok) if cut else None,
        answers=len(outputs),
        seconds=sum(o.seconds for o in outputs) / len(outputs),
    )


def _by_problem(outputs: Iterable[Output]) -> list[list[Output]]:
    found: dict[tuple[int, str], list[Output]] = {}
    for output in outputs:
        found.setdefault((output.level, output.problem), []).append(output)
    return list(found.values())


def _share(outputs: Sequence[Output], holds: Callable[[Output], bool]) -> float:
    return sum(map(holds, outputs)) / len(outputs)
