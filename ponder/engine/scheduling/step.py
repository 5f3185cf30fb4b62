"""Compute the work of a step and sample: one id for every sequence that is due, or several where nothing comes between.

A step that raises ends only the requests that cause it: the work is tried again one item at a time, whoever raises
alone gets the error as the end of its stream. `verify.py` computes steps with drafts.
"""

import math
import time
from collections.abc import Callable

from ponder.engine.scheduling.burst import Burst
from ponder.engine.scheduling.output_processor import OutputProcessor
from ponder.engine.scheduling.runner import Runner
from ponder.engine.scheduling.scheduler import Scheduler, Work
from ponder.kernels.cancel import CancelFlag, Cancelled


class StepExecutor:
    """count: of steps; cancelled: left half-way. pace: seconds of the last step in which everybody decoded."""

    def __init__(
        self,
        runner: Runner,
        scheduler: Scheduler,
        output: OutputProcessor,
        burst: float,
        commands_waiting: Callable[[], bool],
    ) -> None:
        """burst: see `Engine`. commands_waiting: whether the queue has any."""
        self.runner = runner
        self.scheduler = scheduler
        self.output = output
        self.count = self.cancelled = 0
        self.pace = math.inf
        self._burst = burst
        self._commands_waiting = commands_waiting

    def decode(self, work: list[Work], cancelled: CancelFlag, most: int | None = None) -> bool:
        """Compute the work and sample one id or several for every item that wants logits. False when that failed, and
        items were tried one by one, or when it was cancelled, and nothing has changed."""
        rules = {item.sequence: rule for item in work if item.rows and (rule := self.output.rule(item.sequence))}
        work = [item for item in work if not item.sequence.finished]
        if not work:
            return False
        ahead = self._ahead(work) if most is None else most
        start = time.monotonic()
        try:
            batch = self.runner.decode(work, Burst([*rules.values()], ahead, self._commands_waiting, cancelled))
        except Cancelled:
            self.cancelled += 1
            return False
        except Exception as error:  # whatever it is, it belongs to the readers of this work, not to the engine
            self.one_by_one(work, error, lambda item: self.decode([item], cancelled, most=1))
            return False
        self.computed(work, time.monotonic() - start, len(batch[0]) if batch else 1)
        for (sequence, rule), ids in zip(rules.items(), batch):
            for n, sampled in enumerate(ids):
                if n:
                    self.scheduler.advance(sequence)
                if not self.output.accept(sequence, sampled) or sequence.state.rule() is not rule:
                    break  # ids sampled after a turn are not its ids
            self.output.deliver(sequence)
        return True

    def one_by_one(self, work: list[Work], error: Exception, again: Callable[[Work], bool]) -> None:
        """The work raised: who is to blame?"""
        if len(work) == 1:
            self.output.fail(work[0].sequence, error)
        else:
            for item in work:
                again(item)

    def computed(self, work: list[Work], seconds: float, steps: int = 1) -> None:
        self.count += steps
        self.pace = seconds / steps
        self.scheduler.done(work)

    def _ahead(self, work: list[Work]) -> int:
        """How many ids each sequence may sample before commands, the scheduler and readers get their turn: 1, or as
        many as take `burst` seconds when everybody decodes, nobody waits and no rule ends sooner."""
        if self.scheduler.waiting or any(item.rows == 0 or item.end - item.start > 1 for item in work):
            return 1
        ahead = int(self._burst / self.pace)
        if ahead > 1:
            ahead = min(ahead, *(item.sequence.state.horizon for item in work))
        return self.scheduler.reserve(work, ahead) if ahead > 1 else 1
