"""Which levels are worth their time now: how often the model is right there, measured on the very rollouts.

A level that is nearly always right, or nearly never, has groups without signal. Levels whose rate lies outside the band
are drawn seldom, and stay measured: what was too hard becomes learnable, what is learned leaves. The rates are in
metrics.jsonl (`rate count 3`), and a run that goes on takes them from there.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from ponder.core.sample import Rollout
from ponder.train.record.metrics import read

PREFIX = "rate "
SELDOM = 0.1  # of the weight of a level inside the band
MEMORY = 32  # answers after which an old rate counts a third


class PassRates:
    def __init__(self, band: tuple[float, float], metrics: Path) -> None:
        """metrics: of the stage; read at the first draw."""
        self._band, self._metrics = band, metrics
        self._rates: dict[str, float] | None = None

    def worth(self, task: str, level: int) -> float:
        """Weight of a level in the draw. One that was never asked is worth it."""
        rate, (low, high) = self._known().get(key(task, level)), self._band
        return 1.0 if rate is None or low <= rate <= high else SELDOM

    def note(self, groups: Sequence[Sequence[Rollout]]) -> dict[str, float]:
        """All rates, with those of these answers in."""
        right: dict[str, list[bool]] = defaultdict(list)
        for rollout in (r for group in groups for r in group):
            assert rollout.verdict is not None
            right[key(rollout.problem.task, rollout.problem.level)].append(rollout.verdict.ok)
        rates = self._known()
        for name, oks in right.items():
            new, old = sum(oks) / len(oks), rates.get(name)
            rates[name] = new if old is None else old + (new - old) * len(oks) / (len(oks) + MEMORY / 2)
        return dict(sorted(rates.items()))

    def _known(self) -> dict[str, float]:
        if self._rates is None:
            lines = read(self._metrics) if self._metrics.exists() else []
            said = next((line for line in reversed(lines) if any(k.startswith(PREFIX) for k in line)), {})
            self._rates = {k: float(v) for k, v in said.items() if k.startswith(PREFIX)}
        return self._rates


def key(task: str, level: int) -> str:
    return f"{PREFIX}{task} {level}"
