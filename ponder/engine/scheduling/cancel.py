"""A long step is left half-way when somebody in it cancels, so that Stop need not wait for a prompt to be read.

Only steps with more ids than a full batch of decodes are long. What others had in the step is planned again: nothing is
lost but time. Whoever starts long prompts and cancels them all the time must not stop the others with it, so the step
that follows a cancelled one is computed to its end; only close() ends any step.
"""

from ponder.engine.scheduling.scheduler import Work
from ponder.engine.scheduling.sequence import Sequence
from ponder.kernels.cancel import CancelFlag


class StepCancellation:
    """The step under way, and whose cancel ends it. The engine's thread calls `begin`, any thread the others."""

    def __init__(self, short: int) -> None:
        """short: the most ids of a step that is always computed to its end."""
        self._short = short
        self._closed = False
        self._step: tuple[frozenset[Sequence], CancelFlag] = (frozenset(), CancelFlag())

    def begin(self, work: list[Work]) -> CancelFlag:
        """A step of this work begins; it need not go on once the flag is set. [] when there is no work."""
        enders = frozenset(item.sequence for item in work)
        short = sum(item.end - item.start for item in work) <= self._short
        if short or (len(enders) > 1 and self._step[1].is_set()):
            enders = frozenset()
        flag = CancelFlag()
        self._step = enders, flag
        if self._closed or any(sequence.cancelled for sequence in enders):  # it came before there was this step to see
            flag.set()
        return flag

    def cancel(self, sequence: Sequence) -> None:
        """The sequence is cancelled; the command is already in the queue. May be called from a destructor."""
        sequence.cancelled = True
        enders, flag = self._step
        if sequence in enders:
            flag.set()

    def close(self) -> None:
        """Everybody is cancelled."""
        self._closed = True
        self._step[1].set()
