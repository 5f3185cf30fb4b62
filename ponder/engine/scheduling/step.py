"""Compute the work of a step and draw: one id for every sequence that is due, or several where nothing comes between.

A step that raises ends only the requests that cause it: the work is tried again one item at a time, whoever raises
alone gets the error as the end of its stream. `speculation/verify.py` computes steps with guesses.
"""

import math
import time
from collections.abc import Callable

from ponder.engine.scheduling.output_processor import Outcomes
from ponder.engine.scheduling.runner import Runner
from ponder.engine.scheduling.scheduler import Scheduler, Work
from ponder.kernels.cancel import Abandoned, Flag


class Steps:
    """count, abandoned: see `Stats`. pace: seconds of the last step in which everybody decoded."""

    def __init__(
        self, runner: Runner, scheduler: Scheduler, outcomes: Outcomes, burst: float, halted: Callable[[], bool]
    ) -> None:
        """burst: see `Engine`. halted: somebody wishes for something."""
        self.runner = runner
        self.scheduler = scheduler
        self.outcomes = outcomes
        self.count = self.abandoned = 0
        self.pace = math.inf
        self._burst = burst
        self._halted = halted

    def decode(self, work: list[Work], unwanted: Flag, most: int | None = None) -> bool:
        """Compute the work and draw one id or several for every item that wants logits. False when that failed, and
        items were tried one by one, or when it was abandoned, and nothing has changed."""
        rules = {item.sequence: rule for item in work if item.rows and (rule := self.outcomes.rule(item.sequence))}
        work = [item for item in work if not item.sequence.finished]
        if not work:
            return False
        ahead = self._ahead(work) if most is None else most
        start = time.monotonic()
        try:
            drawn = self.runner.decode(work, list(rules.values()), ahead, self._halted, unwanted)
        except Abandoned:
            self.abandoned += 1
            return False
        except Exception as error:  # whatever it is, it belongs to the readers of this work, not to the engine
            self.one_by_one(work, error, lambda item: self.decode([item], unwanted, most=1))
            return False
        self.computed(work, time.monotonic() - start, len(drawn[0]) if drawn else 1)
        for (sequence, rule), ids in zip(rules.items(), drawn):
            for n, sampled in enumerate(ids):
                if n:
                    self.scheduler.advance(sequence)
                if not self.outcomes.accept(sequence, sampled) or sequence.control.rule() is not rule:
                    break  # ids drawn behind a turn are not its ids
            self.outcomes.deliver(sequence)
        return True

    def one_by_one(self, work: list[Work], error: Exception, again: Callable[[Work], bool]) -> None:
        """The work raised: who is to blame?"""
        if len(work) == 1:
            self.outcomes.fail(work[0].sequence, error)
        else:
            for item in work:
                again(item)

    def computed(self, work: list[Work], seconds: float, steps: int = 1) -> None:
        self.count += steps
        self.pace = seconds / steps
        self.scheduler.done(work)

    def _ahead(self, work: list[Work]) -> int:
        """How many ids each sequence may draw before wishes, the scheduler and readers get their turn: 1, or as many
        as take `burst` seconds when everybody decodes, nobody waits and no rule ends sooner."""
        if self.scheduler.waiting or any(item.rows == 0 or item.end - item.start > 1 for item in work):
            return 1
        ahead = int(self._burst / self.pace)
        if ahead > 1:
            ahead = min(ahead, *(item.sequence.control.horizon for item in work))
        return self.scheduler.reserve(work, ahead) if ahead > 1 else 1
