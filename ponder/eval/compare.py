"""Two results side by side, problem by problem: the difference with its interval, and how many changed sides.

Both models were asked the same problems, so that what is drawn again are differences: a paired comparison sees a gain
that two intervals side by side would hide.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from ponder.core.errors import UserError
from ponder.eval.grade import Output
from ponder.eval.manifest import Result
from ponder.eval.settings import Cell
from ponder.eval.statistics import Estimate, difference


class Row(Struct, frozen=True, kw_only=True):
    """One task in one cell; level None is all levels. gained, lost: problems with more, or fewer, right answers."""

    task: str
    cell: Cell
    level: int | None
    before: float
    after: float
    change: Estimate
    gained: int
    lost: int

    @property
    def certain(self) -> bool:
        """Whether no change lies outside of the interval."""
        low, high = self.change.low, self.change.high
        return low is not None and high is not None and not low <= 0 <= high


def compare(before: Result, after: Result) -> list[Row]:
    """Of the problems that both were asked in a cell. Raises UserError when there is none."""
    old, new = _rights(before.outputs), _rights(after.outputs)
    shared = [key for key in old if key in new]
    if not shared:
        raise UserError("the two results have no task, problem and mode in common: there is nothing to compare")
    rows = []
    for task, cell in dict.fromkeys((key[0], key[1]) for key in shared):
        keys = [key for key in shared if key[:2] == (task, cell)]
        for level in (None, *sorted({key[2] for key in keys})):
            at = [key for key in keys if level in (None, key[2])]
            rows.append(_row(task, cell, level, [old[key] for key in at], [new[key] for key in at]))
    return rows


def _row(task: str, cell: Cell, level: int | None, old: Sequence[float], new: Sequence[float]) -> Row:
    changes = np.array(new) - np.array(old)
    return Row(
        task=task,
        cell=cell,
        level=level,
        before=float(np.mean(old)),
        after=float(np.mean(new)),
        change=difference(changes),
        gained=int((changes > 0).sum()),
        lost=int((changes < 0).sum()),
    )


Key = tuple[str, Cell, int, str]


def _rights(outputs: Sequence[Output]) -> dict[Key, float]:
    """The share of right answers to each problem in each cell."""
    found: dict[Key, list[bool]] = {}
    for output in outputs:
        found.setdefault((output.task, output.cell, output.level, output.problem), []).append(output.ok)
    return {key: sum(oks) / len(oks) for key, oks in found.items()}
