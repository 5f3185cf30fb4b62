"""Several ids of each sequence before anybody looks: compute, sample, feed what was sampled, and so on.

Between two ids of plain decoding nothing has to be decided that the rule of each sequence does not say already. So
the runner may go on by itself for a few milliseconds, and RequestState reads the ids afterwards, in order. Where it
takes another turn (the end, a stop string, a hand-over), the ids after that place are dropped: the outcome is that of
one id at a time, whatever the number. This is the loop over any `run`; `ModelRunner` has one that assembles less.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ponder.engine.scheduling.scheduler import Work
from ponder.kernels.sampling import Sampled, SamplingRule, sample


def decode(
    run: Callable[[list[Work]], NDArray[np.float32]],
    work: list[Work],
    rules: list[SamplingRule],
    most: int,
    commands_waiting: Callable[[], bool],
) -> list[list[Sampled]]:
    """See `runner.Runner.decode`."""
    sampled: list[list[Sampled]] = [[] for _ in rules]
    step = work
    while True:
        logits = run(step)
        positions = [item.end for item in step if item.rows]
        for ids, one in zip(sampled, sample(logits, rules, positions)):
            ids.append(one)
        if over(sampled, rules, most) or commands_waiting():
            return sampled
        step = [
            Work(item.sequence, item.end, item.end + 1, rows=1, draft=tuple(s.id for s in ids))
            for item, ids in zip(step, sampled)
        ]


def over(sampled: list[list[Sampled]], rules: list[SamplingRule], most: int) -> bool:
    """Whether somebody must look now: enough ids, an id that may change the rule, or one that could not be sampled."""
    enough = not sampled or len(sampled[0]) >= most
    return enough or any(ids[-1].id < 0 or ids[-1].id in rule.ends for ids, rule in zip(sampled, rules))
