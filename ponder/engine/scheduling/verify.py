"""A step of decodes with drafts after them: all rows are computed at once, and sampling goes on while a draft is right.

Each id is what it would be without a draft: it is the same RequestState, the same rule, the same random number.
"""

import time

from ponder.engine.scheduling.drafter import Drafter
from ponder.engine.scheduling.scheduler import Work
from ponder.engine.scheduling.step import StepExecutor
from ponder.kernels.cancel import CancelFlag
from ponder.kernels.sampling import sample


def speculate(steps: StepExecutor, work: list[Work], drafter: Drafter, cancelled: CancelFlag) -> None:
    """A step of decodes, with a draft after each where that pays."""
    drafts = drafter.draft([item.sequence for item in work])
    work = steps.scheduler.extend(work, drafts)
    computed = verify(steps, work) if any(item.draft for item in work) else steps.decode(work, cancelled)
    if computed:
        drafter.measured(sum(item.rows for item in work), steps.pace)
    for item in work:
        if not (sequence := item.sequence).finished:
            came = range(item.end - len(item.draft), len(sequence.ids))
            drafter.learn(sequence, [sequence.ids[p] for p in came if p not in sequence.forced])


def verify(steps: StepExecutor, work: list[Work]) -> bool:
    """Compute decodes of which some have a draft; sample as many ids as a draft got right, and one more. False when
    that failed, and items were tried one by one.

    It ends where the sequence takes another turn: another id, the end, an id that is dropped, ids that are fed.
    """
    start = time.monotonic()
    try:
        logits = steps.runner.run(work)  # [R, V]
    except Exception as error:  # it belongs to the readers of this work, not to the engine
        steps.one_by_one(work, error, lambda item: verify(steps, [item]))
        return False
    steps.computed(work, time.monotonic() - start)
    at = 0
    for item in work:
        sequence, rows = item.sequence, logits[at : at + item.rows]
        at += item.rows
        for n, row in enumerate(rows):
            if n:
                steps.scheduler.advance(sequence)
                steps.scheduler.was_right(sequence)
            if (rule := steps.output.rule(sequence)) is None:
                break
            [sampled] = sample(row[None], [rule], [len(sequence.ids)])
            if not steps.output.accept(sequence, sampled) or [sampled.id] != [*item.draft[n : n + 1]]:
                break
        steps.output.deliver(sequence)
    return True
