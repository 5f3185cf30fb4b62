"""A small model drafts for a large one. It draws with the same random numbers, so it often says the same word.

A further id is drafted only while its expected worth exceeds the time of another pass through the small model. Where
its guesses turn out wrong it rests, and looks again after longer and longer pauses.
"""

import time
from bisect import bisect_right
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ponder.engine.scheduling.block_pool import BlockPool
from ponder.engine.scheduling.runner import Runner
from ponder.engine.scheduling.scheduler import Work
from ponder.engine.scheduling.sequence import Sequence
from ponder.engine.speculation.acceptance import Chances
from ponder.engine.speculation.draft import LONGEST_DRAFT, MARGIN, Guess
from ponder.engine.speculation.draft_sequence import Mirror
from ponder.engine.speculation.step_time import StepCosts
from ponder.kernels.sampling import Floats, draw

CONFIDENCE = (0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 0.95, 0.98)  # the draft model's own probability is the evidence
FIRST = (0.05, 0.2, 0.3, 0.45, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
HOPELESS = 0.15  # chance of a whole draft below which it is not continued
SLICE = 256  # ids of prompts that are caught up in one step
WEIGHT = 0.08  # of a new id in the mean
PAUSE, LONGEST_PAUSE = 8, 512  # steps


@dataclass
class _Record:
    """mean: share of the drafted ids that were right, lately. rested: steps since it was last asked."""

    mirror: Mirror
    chances: Chances
    mean: float = 0.7
    rested: int = 0
    pause: int = PAUSE


@dataclass
class DraftModel:
    """runner: of the small model, with a cache of its own. passes: their cost by the number of sequences."""

    runner: Runner
    passes: StepCosts = field(default_factory=StepCosts)
    pool: BlockPool = field(init=False)
    _records: dict[Sequence, _Record] = field(default_factory=dict)
    _shared: Chances = field(default_factory=lambda: Chances(FIRST))

    def __post_init__(self) -> None:
        self.pool = BlockPool(self.runner.blocks, self.runner.block_size, self.runner.copy_block)

    def draft(self, sequences: list[Sequence], costs: StepCosts, rate: float) -> list[Guess]:
        """A guess for every sequence, empty ones where no more than `rate` ids a second are to be expected."""
        guesses = {sequence: Guess() for sequence in sequences}
        live = self._caught_up([r for r in self._worthwhile(sequences, costs, rate) if self._ready(r)])
        while live:
            self._pass(live, guesses)
            live = [r for r in live if _may_go_on(r, guesses[r.mirror.of])]
            rows = len(sequences) + sum(len(guess.ids) for guess in guesses.values())
            worth = sum(r.mean * guesses[r.mirror.of].chance for r in live)
            if not live or worth < rate * self._seconds_more(costs, rows, len(live)):
                break
        return list(guesses.values())

    def learn(self, sequence: Sequence, guess: Guess, drawn: list[int]) -> None:
        record = self._records[sequence]
        for id_, evidence, came in zip(guess.ids, guess.evidence, drawn):
            record.chances.note(evidence, id_ == came)
            record.mean += WEIGHT * ((id_ == came) - record.mean)
            if id_ != came:
                break

    def forget(self, sequence: Sequence) -> None:
        if (record := self._records.pop(sequence, None)) is not None:
            record.mirror.release()

    def _worthwhile(self, sequences: list[Sequence], costs: StepCosts, rate: float) -> list[_Record]:
        """Those that a first id is drafted for: the most promising ones, and who has rested long enough."""
        records = sorted((self._record(s) for s in sequences), key=lambda r: r.mean, reverse=True)
        seconds, ids, best, count = costs.seconds(len(records)), float(len(records)), MARGIN * rate, 0
        for n, record in enumerate(records, 1):
            ids += record.mean
            if (now := ids / (seconds + self._seconds_more(costs, len(records), n))) > best:
                best, count = now, n
        for record in records[:count]:
            record.pause = PAUSE
        chosen = records[:count]
        for record in records[count:]:
            record.rested += 1
            if record.rested >= record.pause:
                record.rested, record.pause = 0, min(2 * record.pause, LONGEST_PAUSE)
                chosen.append(record)
        return chosen

    def _record(self, sequence: Sequence) -> _Record:
        record = self._records.get(sequence)
        if record is None:
            mirror = Mirror(sequence, self.pool, self.runner.rope_factor(len(sequence.ids)))
            record = self._records[sequence] = _Record(mirror, Chances(self._shared))
        return record

    def _seconds_more(self, costs: StepCosts, rows: int, count: int) -> float:
        """What one id more for `count` sequences costs: a pass here, and rows that the large model computes."""
        return self.passes.seconds(count) + costs.seconds(rows + count) - costs.seconds(rows)

    def _ready(self, record: _Record) -> bool:
        """There is room for drafts, in its cache and in its context."""
        length = len(record.mirror.of.ids)
        same_factor = self.runner.rope_factor(length) == record.mirror.shadow.rope_factor
        record.mirror.follow()
        return (
            record.mirror.of.control.drawable > 1
            and same_factor
            and length + LONGEST_DRAFT < self.runner.context
            and record.mirror.reserve(LONGEST_DRAFT)
        )

    def _caught_up(self, records: list[_Record]) -> list[_Record]:
        """Those that miss a few ids only; of the others a slice is computed, for a later step."""
        behind = [r for r in records if r.mirror.missing > 2 * LONGEST_DRAFT]
        if behind:
            self._run([r.mirror.catch_up(SLICE // len(behind)) for r in behind])
        return [r for r in records if r not in behind]

    def _pass(self, live: list[_Record], guesses: dict[Sequence, Guess]) -> None:
        """One more id for each."""
        started = time.perf_counter()
        work = [r.mirror.last() for r in live]
        logits = self._run(work)
        shadows = [r.mirror.shadow for r in live]
        drawn = draw(logits, [s.control.guess_rule for s in shadows], [len(s.ids) for s in shadows])
        for record, row, shadow, id_ in zip(live, logits, shadows, [s.id for s in drawn]):
            evidence = bisect_right(CONFIDENCE, _probability(row, id_))
            guesses[record.mirror.of].add(id_, evidence, record.chances.of(evidence))
            shadow.ids.append(id_)
        if sum(item.end - item.start for item in work) <= 2 * len(work):  # one that catches up is no measure of others
            self.passes.note(len(live), time.perf_counter() - started)

    def _run(self, work: list[Work]) -> NDArray[np.float32]:
        logits = self.runner.run(work)
        for item in work:
            item.sequence.computed = item.end
        return logits


def _may_go_on(record: _Record, guess: Guess) -> bool:
    most = min(LONGEST_DRAFT, record.mirror.of.control.drawable - 1)
    return len(guess.ids) < most and guess.chance > HOPELESS


def _probability(logits: Floats, id_: int) -> float:
    """Of this id under the draft model itself. logits: [V]"""
    return float(1 / np.exp(logits - logits[id_]).sum(dtype=np.float64))
