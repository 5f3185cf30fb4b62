"""How long a decode step takes, by how many rows it computes: measured while serving, never assumed.

With few rows a step reads the weights and waits for memory, more rows are nearly free; with many it computes, and a
row costs what it costs. Where the bend is depends on model, kernels and machine, so every step is timed. What counts is
the ratio between sizes: a machine that gets slower as a whole moves the pace of all sizes, not their ratio.
"""

from dataclasses import dataclass, field

UNSEEN = 0.02  # what a row more than was ever measured is taken to cost: low, so that it is tried and then known
STALE = 1000  # steps after which a size that was not used is measured again
FAST, SLOW = 0.1, 0.05  # weight of a new measurement in the pace and in a ratio


@dataclass
class _Size:
    ratio: float
    seen: int
    last: int


@dataclass
class StepTimeModel:
    """`note` every step; `seconds` of any size."""

    _pace: float = 0.0  # seconds of a step of ratio 1
    _steps: int = 0
    _sizes: dict[int, _Size] = field(default_factory=dict)

    def note(self, rows: int, seconds: float) -> None:
        self._steps += 1
        self._pace = self._pace or seconds
        if self._steps % (STALE // 10) == 0:
            self._sizes = {r: size for r, size in self._sizes.items() if self._steps - size.last <= STALE}
        size = self._sizes.get(rows)
        if size is None:
            self._sizes[rows] = _Size(seconds / self._pace, 1, self._steps)
            return
        error = min(2.0, max(0.5, seconds / (self._pace * size.ratio)))  # a hiccup of the machine is no news
        size.seen += 1
        size.last = self._steps
        size.ratio *= error ** max(SLOW, 1 / size.seen)
        self._pace *= error**FAST

    def knows(self, rows: int) -> bool:
        """Measured not long ago."""
        return rows in self._sizes

    def seconds(self, rows: int) -> float:
        """Measured, or a straight line between the neighbours that were."""
        if rows in self._sizes:
            return self._pace * self._sizes[rows].ratio
        below = max((r for r in self._sizes if r < rows), default=None)
        above = min((r for r in self._sizes if r > rows), default=None)
        if below is None and above is None:
            return self._pace
        if above is None:
            assert below is not None
            return self._pace * self._sizes[below].ratio * (1 + UNSEEN * (rows - below))
        if below is None:
            return self._pace * self._sizes[above].ratio
        low, high = self._sizes[below].ratio, self._sizes[above].ratio
        return self._pace * (low + (high - low) * (rows - below) / (above - below))
