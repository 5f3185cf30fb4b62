"""A step of decodes with guesses behind them: all rows are computed at once, and draws go on while a guess was right.

Each draw is what it would be without a guess: it is the same Control, the same rule, the same random number.
"""

import time

from ponder.engine.scheduling.drafter import Drafter
from ponder.engine.scheduling.scheduler import Work
from ponder.engine.scheduling.step import Steps
from ponder.kernels.cancel import Flag
from ponder.kernels.sampling import draw


def speculate(steps: Steps, work: list[Work], drafter: Drafter, unwanted: Flag) -> None:
    """A step of decodes, with a draft behind each where that pays."""
    drafts = drafter.draft([item.sequence for item in work])
    work = steps.scheduler.extend(work, drafts)
    computed = verify(steps, work) if any(item.draft for item in work) else steps.decode(work, unwanted)
    if computed:
        drafter.measured(sum(item.rows for item in work), steps.pace)
    for item in work:
        if not (sequence := item.sequence).finished:
            came = range(item.end - len(item.draft), len(sequence.ids))
            drafter.learn(sequence, [sequence.ids[p] for p in came if p not in sequence.forced])


def verify(steps: Steps, work: list[Work]) -> bool:
    """Compute decodes of which some have a draft; draw as many ids as a draft got right, and one more. False when
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
            if (rule := steps.outcomes.rule(sequence)) is None:
                break
            [sampled] = draw(row[None], [rule], [len(sequence.ids)])
            if not steps.outcomes.accept(sequence, sampled) or [sampled.id] != [*item.draft[n : n + 1]]:
                break
        steps.outcomes.deliver(sequence)
    return True
