"""Whether answers grow longer and longer, or go round in circles: where distillation and rewards go wrong quietly.

A student that matches its teacher on its own text is never told to stop, and published runs saw their answers double
and loop. The lengths of the first steps are what later ones are measured by.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ponder.core.errors import UserError
from ponder.train.record.metrics import read

WINDOW = 5  # steps whose mean counts
PERIOD, AGAIN = 24, 3  # ids of a loop at most, and how often it comes


class Watch:
    def __init__(self, metrics: Path, longer: float, looping: float) -> None:
        """metrics: of the stage, from which a run that goes on knows the first steps. longer: times the first length
        that is too much. looping: share of answers; 0 turns each off."""
        self._metrics, self._longer, self._looping = metrics, longer, looping
        self._lengths: list[float] | None = None
        self._loops: list[float] = []

    def note(self, metrics: Mapping[str, float]) -> None:
        """Raises UserError when the last steps are too long, or loop."""
        if "new_tokens" not in metrics:  # nobody asked the student
            return
        if self._lengths is None:
            lines = read(self._metrics) if self._metrics.exists() else []
            self._lengths = [float(line["new_tokens"]) for line in lines if "new_tokens" in line]
        self._lengths.append(metrics["new_tokens"])
        self._loops = [*self._loops, metrics["looping"]][-WINDOW:]
        first, last = (sum(part) / len(part) for part in (self._lengths[:WINDOW], self._lengths[-WINDOW:]))
        if self._longer and len(self._lengths) > WINDOW and last > self._longer * first:
            raise UserError(
                f"answers have {last:.0f} ids where they had {first:.0f}: they grow, and nothing ends them. Lower the "
                "rate, take part of the answers from the teacher, or allow it with a higher length_limit",
                param="length_limit", code="length",
            )  # fmt: skip
        if self._looping and len(self._loops) == WINDOW and sum(self._loops) / WINDOW > self._looping:
            raise UserError(
                f"{sum(self._loops) / WINDOW:.0%} of the answers end in a loop: lower the rate, or go on from an "
                "earlier model; loop_limit allows more",
                param="loop_limit", code="loop",
            )  # fmt: skip


def loops(ids: Sequence[int]) -> bool:
    """Whether the end repeats itself: the same ids three times, 8 ids or more in all."""
    return any(
        len(ids) >= AGAIN * period and AGAIN * period >= 8
        and all(ids[-n] == ids[-n - period] for n in range(1, (AGAIN - 1) * period + 1))
        for period in range(1, PERIOD + 1)
    )  # fmt: skip
