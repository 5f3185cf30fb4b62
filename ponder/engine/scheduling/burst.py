"""Several ids of each sequence before anybody looks: compute, sample, feed what was sampled, and so on.

Between two ids of plain decoding nothing has to be decided that the rule of each sequence does not say already. So
the runner may go on by itself for a few milliseconds, and RequestState reads the ids afterwards, in order. Where it
takes another turn (the end, a stop string, a hand-over), the ids after that place are dropped: the outcome is that of
one id at a time, whatever the number.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ponder.kernels.cancel import CancelFlag
from ponder.kernels.sampling import Sampled, SamplingRule


@dataclass(frozen=True)
class Burst:
    """How ids are sampled, and until when."""

    rules: list[SamplingRule]
    """One for each item of the work that wants a row."""
    most: int
    """Ids of each. More than 1: every item is one id that wants its row, and has blocks for so many."""
    commands_waiting: Callable[[], bool]
    """Asked after each id; ends the burst early."""
    cancelled: CancelFlag
    """Set from another thread when nobody wants the step any more, even in the middle of it."""

    def over(self, sampled: list[list[Sampled]]) -> bool:
        """Whether somebody must look now: enough ids, an id that may change the rule, one that could not be sampled,
        or a command."""
        return (
            not sampled
            or len(sampled[0]) >= self.most
            or any(ids[-1].id < 0 or ids[-1].id in rule.ends for ids, rule in zip(sampled, self.rules))
            or self.commands_waiting()
        )
