"""A small model drafts for a large one. It samples with the same random numbers, so it often says the same word.

A further id is drafted only while its expected worth exceeds the time of another pass through the small model. Where
its drafts turn out wrong it rests, and looks again after longer and longer pauses.
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
from ponder.engine.speculation.acceptance import AcceptanceRate
from ponder.engine.speculation.draft import LONGEST_DRAFT, MARGIN, Draft
from ponder.engine.speculation.draft_sequence import DraftSequence
from ponder.engine.speculation.step_time import StepTimeModel
from ponder.kernels.sampling import Floats, sample

CONFIDENCE = (0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 0.95, 0.98)  # the draft model's own probability is the evidence
FIRST = (0.05, 0.2, 0.3, 0.45, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
HOPELESS = 0.15  # chance of a whole draft below which it is not continued
SLICE = 256  # ids of prompts that are caught up in one step
WEIGHT = 0.08  # of a new id in the mean
PAUSE, LONGEST_PAUSE = 8, 512  # steps


@dataclass
class _Record:
    """mean: share of the drafted ids that were right, lately. rested: steps since it was last asked."""

    draft_sequence: DraftSequence
    acceptance: AcceptanceRate
    mean: float = 0.7
    rested: int = 0
    pause: int = PAUSE


@dataclass
class DraftModel:
    """runner: of the small model, with a cache of its own. passes: their cost by the number of sequences."""

    runner: Runner
    passes: StepTimeModel = field(default_factory=StepTimeModel)
    pool: BlockPool = field(init=False)
    _records: dict[Sequence, _Record] = field(default_factory=dict)
    _shared: AcceptanceRate = field(default_factory=lambda: AcceptanceRate(FIRST))

    def __post_init__(self) -> None:
        self.pool = BlockPool(self.runner.blocks, self.runner.block_size, self.runner.copy_block)

    def draft(self, sequences: list[Sequence], step_times: StepTimeModel, rate: float) -> list[Draft]:
        """A draft for every sequence, empty ones where no more than `rate` ids a second are to be expected."""
        drafts = {sequence: Draft() for sequence in sequences}
        live = self._caught_up([r for r in self._worthwhile(sequences, step_times, rate) if self._ready(r)])
        while live:
            self._pass(live, drafts)
            live = [r for r in live if _may_go_on(r, drafts[r.draft_sequence.of])]
            rows = len(sequences) + sum(len(draft.ids) for draft in drafts.values())
            worth = sum(r.mean * drafts[r.draft_sequence.of].chance for r in live)
            if not live or worth < rate * self._seconds_more(step_times, rows, len(live)):
                break
        return list(drafts.values())

    def learn(self, sequence: Sequence, draft: Draft, sampled: list[int]) -> None:
        record = self._records[sequence]
        for id_, evidence, came in zip(draft.ids, draft.evidence, sampled):
            record.acceptance.note(evidence, id_ == came)
            record.mean += WEIGHT * ((id_ == came) - record.mean)
            if id_ != came:
                break

    def forget(self, sequence: Sequence) -> None:
        if (record := self._records.pop(sequence, None)) is not None:
            record.draft_sequence.release()

    def _worthwhile(self, sequences: list[Sequence], step_times: StepTimeModel, rate: float) -> list[_Record]:
        """Those that a first id is drafted for: the most promising ones, and who has rested long enough."""
        records = sorted((self._record(s) for s in sequences), key=lambda r: r.mean, reverse=True)
        seconds, ids, best, count = step_times.seconds(len(records)), float(len(records)), MARGIN * rate, 0
        for n, record in enumerate(records, 1):
            ids += record.mean
            if (now := ids / (seconds + self._seconds_more(step_times, len(records), n))) > best:
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
            draft_sequence = DraftSequence(sequence, self.pool, self.runner.rope_factor(len(sequence.ids)))
            record = self._records[sequence] = _Record(draft_sequence, AcceptanceRate(self._shared))
        return record

    def _seconds_more(self, step_times: StepTimeModel, rows: int, count: int) -> float:
        """What one id more for `count` sequences costs: a pass here, and rows that the large model computes."""
        return self.passes.seconds(count) + step_times.seconds(rows + count) - step_times.seconds(rows)

    def _ready(self, record: _Record) -> bool:
        """There is room for drafts, in its cache and in its context."""
        length = len(record.draft_sequence.of.ids)
        same_factor = self.runner.rope_factor(length) == record.draft_sequence.shadow.rope_factor
        record.draft_sequence.follow()
        return (
            record.draft_sequence.of.state.remaining > 1
            and same_factor
            and length + LONGEST_DRAFT < self.runner.context
            and record.draft_sequence.reserve(LONGEST_DRAFT)
        )

    def _caught_up(self, records: list[_Record]) -> list[_Record]:
        """Those that miss a few ids only; of the others a slice is computed, for a later step."""
        late = [r for r in records if r.draft_sequence.missing > 2 * LONGEST_DRAFT]
        if late:
            self._run([r.draft_sequence.catch_up(SLICE // len(late)) for r in late])
        return [r for r in records if r not in late]

    def _pass(self, live: list[_Record], drafts: dict[Sequence, Draft]) -> None:
        """One more id for each."""
        started = time.perf_counter()
        work = [r.draft_sequence.last() for r in live]
        logits = self._run(work)
        shadows = [r.draft_sequence.shadow for r in live]
        sampled = sample(logits, [s.state.draft_rule for s in shadows], [len(s.ids) for s in shadows])
        for record, row, shadow, id_ in zip(live, logits, shadows, [s.id for s in sampled]):
            evidence = bisect_right(CONFIDENCE, _probability(row, id_))
            drafts[record.draft_sequence.of].add(id_, evidence, record.acceptance.of(evidence))
            shadow.ids.append(id_)
        if sum(item.end - item.start for item in work) <= 2 * len(work):  # one that catches up is no measure of others
            self.passes.note(len(live), time.perf_counter() - started)

    def _run(self, work: list[Work]) -> NDArray[np.float32]:
        logits = self.runner.run(work)
        for item in work:
            item.sequence.computed = item.end
        return logits


def _may_go_on(record: _Record, draft: Draft) -> bool:
    most = min(LONGEST_DRAFT, record.draft_sequence.of.state.remaining - 1)
    return len(draft.ids) < most and draft.chance > HOPELESS


def _probability(logits: Floats, id_: int) -> float:
    """Of this id under the draft model itself. logits: [V]"""
    return float(1 / np.exp(logits - logits[id_]).sum(dtype=np.float64))
