"""How likely an id of a draft is right, by the evidence for it: counted while serving.

Evidence is a small number (how long a copy has held, say). Counts fade, so a text that begins to copy is noticed within
a few ids; evidence that a sequence has not met yet starts from what other sequences made of it.
"""

from dataclasses import dataclass

FADE = 0.93  # of older counts per new one, in a sequence: the last dozen ids decide
SLOW_FADE = 0.995  # in what all sequences share
FIRST = 8.0  # ids that a chance given at the start weighs
PRIOR = 2.0  # ids that the shared experience weighs


@dataclass
class _Count:
    hits: float = 0.0
    tries: float = 0.0


class AcceptanceRate:
    """Of one sequence, backed by `shared`; or, without, the shared ones, which start from `first`."""

    def __init__(self, first: "tuple[float, ...] | AcceptanceRate") -> None:
        self._shared: AcceptanceRate | None = None
        self._counts: list[_Count]
        if isinstance(first, AcceptanceRate):
            self._shared, self._counts = first, [_Count() for _ in first._counts]
        else:
            self._counts = [_Count(p * FIRST, FIRST) for p in first]

    def of(self, evidence: int) -> float:
        count = self._counts[evidence]
        if self._shared is None:
            return count.hits / count.tries
        return (count.hits + PRIOR * self._shared.of(evidence)) / (count.tries + PRIOR)

    def note(self, evidence: int, hit: bool) -> None:
        count, fade = self._counts[evidence], FADE if self._shared else SLOW_FADE
        count.hits = count.hits * fade + hit
        count.tries = count.tries * fade + 1
        if self._shared is not None:
            self._shared.note(evidence, hit)
