"""Learning rates: warm-up, a stable stretch, a decay. A pure function of the step, one `Schedule` a stage."""

import math
from dataclasses import dataclass
from typing import Literal

from ponder.core.errors import UserError

Shape = Literal["linear", "cosine", "1-sqrt"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    steps: int
    """Of the stage, counted from 0."""
    peak: float
    """The rate of the stable stretch."""
    warmup: int = 0
    """The first steps: the rate climbs from `start` and is at the peak in step number `warmup`."""
    decay: int = 0
    """The last steps: step number `steps` would be at `floor`. 0 keeps the peak to the end."""
    shape: Shape = "cosine"
    floor: float = 0.0
    """A rate, not a share."""
    start: float = 0.0
    """The rate that the stage before ended with, where this one goes on from it."""

    def __post_init__(self) -> None:
        if self.steps < 1 or min(self.warmup, self.decay) < 0 or self.warmup + self.decay > self.steps:
            raise UserError(
                f"warm-up {self.warmup} and decay {self.decay} do not fit into {self.steps} steps", param="warmup"
            )
        if not (0 <= self.floor <= self.peak and 0 <= self.start < math.inf and self.peak < math.inf):
            raise UserError(f"the floor {self.floor} must be between 0 and the peak {self.peak}", param="floor")
        if self.shape not in ("linear", "cosine", "1-sqrt"):
            raise UserError(f"a decay is linear, cosine or 1-sqrt, not {self.shape!r}", param="shape")

    def rate(self, step: int) -> float:
        if step < self.warmup:  # step 0 moves already: a step at rate 0 is wasted
            return self.start + (self.peak - self.start) * (step + 1) / (self.warmup + 1)
        begin = self.steps - self.decay
        if step <= begin:
            return self.peak
        x = min((step - begin) / self.decay, 1.0) if self.decay else 0.0
        left = {"linear": 1 - x, "cosine": (1 + math.cos(math.pi * x)) / 2, "1-sqrt": 1 - math.sqrt(x)}[self.shape]
        return self.floor + (self.peak - self.floor) * left
