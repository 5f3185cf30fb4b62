"""Groups of answers that say something: where all answers of a group got the same reward there is nothing to learn.

Such groups are dropped, or replaced by those of new problems, and counted in either case. When ten draws in a row give
no other ones the run stops: it would go on for hours and learn nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from ponder.core.errors import UserError
from ponder.core.sample import Rollout
from ponder.train.rollouts.advantage import has_signal
from ponder.train.rollouts.watch import loops

Group = Sequence[Rollout]
NoSignal = Literal["drop", "refill"]
DRY = 10  # draws in a row without any signal
REFILLS = 4  # draws of one step at most, once there is something to learn from
EASY, HARD = 0.8, 0.1  # pass rates between which a level is worth its time


class Collected(NamedTuple):
    groups: list[Group]
    """With signal."""
    metrics: dict[str, float]
    """Of all that were drawn."""


class GroupSource:
    def __init__(self, draw: Callable[[int, int, int], Sequence[Group]], wanted: int, no_signal: NoSignal) -> None:
        """draw(step, turn, count): that many groups of new problems. wanted: groups of a step; with "drop" it may be
        fewer, 1 at least."""
        self._draw, self._wanted, self._no_signal = draw, wanted, no_signal
        self._dry = 0
        self._rewards: dict[tuple[str, int], list[float]] = defaultdict(list)  # of the dry draws, by task and level

    def collect(self, step: int) -> Collected:
        """Raises UserError after `DRY` draws without signal, here and in the steps before."""
        seen: list[Group] = []
        kept: list[Group] = []
        turn = 0
        while not kept or (self._no_signal == "refill" and len(kept) < self._wanted and turn < REFILLS):
            groups = self._draw(step, turn, self._wanted - len(kept))
            found = [group for group in groups if _differ(group)]
            self._note(groups, bool(found))
            seen += groups
            kept += found
            turn += 1
        return Collected(kept, {**metrics_of(seen), "no_signal": 1 - len(kept) / len(seen)})

    def _note(self, groups: Sequence[Group], signal: bool) -> None:
        if signal:
            self._dry = 0
            self._rewards.clear()
            return
        self._dry += 1
        for rollout in (r for group in groups for r in group):
            assert rollout.verdict is not None
            self._rewards[rollout.problem.task, rollout.problem.level].append(rollout.verdict.reward)
        if self._dry == DRY:
            rates = {at: float(np.mean(rewards)) for at, rewards in sorted(self._rewards.items())}
            raise UserError(f"no group of {DRY} draws in a row had answers of different reward: {advice(rates)}",
                            param="levels", code="no_signal")  # fmt: skip


def advice(rates: dict[tuple[str, int], float]) -> str:
    """Mean reward of each task and level -> which to choose."""
    listed = "; ".join(f"{task} level {level} {rate:.0%}" for (task, level), rate in rates.items())
    easy = {at for at, rate in rates.items() if rate > EASY}
    hard = {at for at, rate in rates.items() if rate < HARD}
    hints = []
    if easy:
        hints.append(f"take higher levels than {', '.join(sorted({f'{t} {n}' for t, n in easy}))}")
    if hard:
        hints.append(
            f"take lower levels than {', '.join(sorted({f'{t} {n}' for t, n in hard}))}, or tune longer before this "
            "stage"
        )
    if not easy and not hard:
        hints.append("the answers of a problem do not differ: take a larger group")
    return f"mean rewards were {listed}. Levels teach at pass rates of {HARD:.0%} to {EASY:.0%}: {'; '.join(hints)}."


def metrics_of(groups: Sequence[Group]) -> dict[str, float]:
    rollouts = [r for group in groups for r in group]
    verdicts = [r.verdict for r in rollouts if r.verdict is not None]
    said = [r.continuation for r in rollouts]
    return {
        "reward": float(np.mean([v.reward for v in verdicts])),
        "accuracy": float(np.mean([v.ok for v in verdicts])),
        "pass_at_group": float(np.mean([any(r.verdict is not None and r.verdict.ok for r in g) for g in groups])),
        "truncated": float(np.mean([v.status == "truncated" for v in verdicts])),
        "unparsed": float(np.mean([v.status == "unparsed" for v in verdicts])),
        "looping": float(np.mean([loops(c.ids) for c in said])),
        "new_tokens": float(np.mean([_written(r) for r in rollouts])),
        "thinking_tokens": float(np.mean([c.thinking_tokens for c in said])),
        "handovers": float(np.mean([c.handover is not None for c in said])),
        "weights_version": float(min(c.weights_version for c in said)),
    }


def computed(groups: Sequence[Group]) -> int:
    """Ids that an engine computed for these: a prompt once, and every answer."""
    several = (s for group in groups for r in group for s in r.earlier)
    return sum(len(group[0].prompt_ids) + sum(len(r.continuation.ids) for r in group) for group in groups) + sum(
        len(s.prompt_ids) + len(s.continuation.ids) for s in several
    )


def _written(rollout: Rollout) -> int:
    """Ids that are no tool's."""
    return sum(w != "environment" for stretch in rollout.stretches for w in stretch.continuation.writers)


def _differ(group: Group) -> bool:
    """Whether there is something to learn from."""
    rewards = np.array([[r.verdict.reward for r in group if r.verdict is not None]], np.float64)
    return bool(has_signal(rewards)[0])
