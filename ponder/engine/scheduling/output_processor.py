"""What a sampled id means: RequestState decides what follows, the reader gets it, an end frees slot and blocks.

One sequence at a time, in the engine's thread. What raises here (a grammar, logits that are not numbers) ends that
sequence and no other: its reader gets the error.
"""

import time

from ponder.core.errors import DamagedModel
from ponder.core.event import FinishReason
from ponder.engine.scheduling.drafter import Drafter
from ponder.engine.scheduling.scheduler import Scheduler
from ponder.engine.scheduling.sequence import Sequence
from ponder.kernels.sampling import NOT_NUMBERS, UNUSABLE, Sampled, SamplingRule


class OutputProcessor:
    """finished .. handovers: sequences so far, see `Stats`. damaged: the model computed logits that are no numbers."""

    def __init__(self, scheduler: Scheduler, drafter: Drafter | None) -> None:
        self._scheduler = scheduler
        self._drafter = drafter
        self.finished = self.cancelled = self.failed = self.handovers = 0
        self.damaged: DamagedModel | None = None

    def rule(self, sequence: Sequence) -> SamplingRule | None:
        """How the next id is sampled; None when that failed, and the sequence with it."""
        try:
            rule = sequence.state.rule()
            sequence.state.fill_mask()
        except Exception as error:  # one request's grammar must not end the others
            self.fail(sequence, error)
            return None
        return rule

    def accept(self, sequence: Sequence, sampled: Sampled) -> bool:
        """Take an id that was sampled, and do what follows from it. Whether the sequence goes on with this very id."""
        state, length = sequence.state, len(sequence.ids)
        try:
            if sampled.id == NOT_NUMBERS:
                self.damaged = DamagedModel()
                raise self.damaged
            assert sampled.id >= 0, UNUSABLE
            keep = state.accept(sampled.id, sampled=True, logprob=sampled.logprob, top=sampled.top)
        except Exception as error:  # one request's grammar or logits must not end the others
            self.fail(sequence, error)
            return False
        if keep:
            sequence.ids.append(sampled.id)
            sequence.timings.generated += 1
            sequence.timings.first_id = sequence.timings.first_id or time.monotonic()
        self.follow_up(sequence)
        return not sequence.finished and keep and len(sequence.ids) == length + 1

    def follow_up(self, sequence: Sequence) -> None:
        """Append what RequestState wants fed, end what is over."""
        state = sequence.state
        if state.finish_reason is None:
            for id_ in state.forced():
                sequence.forced.add(len(sequence.ids))
                sequence.ids.append(id_)
                state.accept(id_, sampled=False)
        if state.finish_reason is not None:
            self.finish(sequence, state.finish_reason)

    def deliver(self, sequence: Sequence) -> None:
        """Give the reader what is new; a finished sequence has delivered all of it."""
        if not sequence.finished and (events := sequence.state.events()):
            sequence.channel.put(sequence.choice, events)

    def finish(self, sequence: Sequence, reason: FinishReason) -> None:
        self._leave(sequence)
        finish = sequence.state.finish(reason, cached_tokens=sequence.cached or 0)
        self.finished += 1
        self.cancelled += finish.reason == "cancelled"
        self.handovers += finish.handover is not None
        sequence.channel.put(sequence.choice, [*sequence.state.events(), finish])

    def fail(self, sequence: Sequence, error: Exception) -> None:
        self._leave(sequence)
        self.failed += 1
        sequence.channel.put(sequence.choice, [error])

    def _leave(self, sequence: Sequence) -> None:
        """Slot and blocks are free before the reader hears of the end."""
        self._scheduler.remove(sequence)
        sequence.finished = True
        if self._drafter is not None:
            self._drafter.forget(sequence)
        sequence.timings.finished = time.monotonic()
