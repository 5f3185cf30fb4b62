"""Draft ahead where it pays: how many ids of a draft to compute, for every sequence of a step.

A step that computes more rows takes longer (`StepTimeModel`) and gives more ids, if the draft is right
(`AcceptanceRate`). On text that nobody can foresee, or with so many streams that rows cost what they cost, nothing is
drafted. What a lookup would have said is compared with what came in any case, so nothing needs to be tried to notice
that a text begins to repeat.
"""

from dataclasses import dataclass, field

from ponder.engine.scheduling.sequence import Sequence
from ponder.engine.speculation.acceptance import AcceptanceRate
from ponder.engine.speculation.draft import LONGEST_DRAFT, Draft, best_lengths
from ponder.engine.speculation.draft_model import DraftModel
from ponder.engine.speculation.prompt_lookup import PromptLookup
from ponder.engine.speculation.step_time import StepTimeModel

FORCED = 0  # evidence: the grammar allows only this text; the others are how many ids of a copy agree
AGREE = (2, 3, 4, 6, 8, 12, 16, 24, 32)  # the least of each class
FIRST = (0.9, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93)  # chances before anything is known


@dataclass
class _History:
    """draft: what the text says. modelled: what the draft model said, if it was asked."""

    lookup: PromptLookup
    acceptance: AcceptanceRate
    draft: Draft = field(default_factory=Draft)
    modelled: Draft = field(default_factory=Draft)


@dataclass
class Speculation:
    """A `Drafter`. It drafts copies of what the text already holds, what a grammar leaves no choice about, and what a
    draft model says, if there is one."""

    model: DraftModel | None = None
    step_times: StepTimeModel = field(default_factory=StepTimeModel)
    _shared: AcceptanceRate = field(default_factory=lambda: AcceptanceRate(FIRST))
    _histories: dict[Sequence, _History] = field(default_factory=dict)

    def draft(self, sequences: list[Sequence]) -> list[list[int]]:
        drafts = [self._draft(sequence) for sequence in sequences]
        if not self.step_times.knows(len(sequences)):
            return [[] for _ in sequences]  # the cost of a plain step comes first: all others are compared with it
        lengths, rate = best_lengths(drafts, self.step_times)
        if self.model is not None:
            for n, (sequence, draft) in enumerate(zip(sequences, self.model.draft(sequences, self.step_times, rate))):
                self._histories[sequence].modelled = draft
                drafts[n] = max(drafts[n], draft, key=lambda g: sum(g.chances))
            lengths, _ = best_lengths(drafts, self.step_times)
        return [draft.ids[:length] for draft, length in zip(drafts, lengths)]

    def learn(self, sequence: Sequence, sampled: list[int]) -> None:
        history = self._histories[sequence]
        for id_, evidence, came in zip(history.draft.ids, history.draft.evidence, sampled):
            history.acceptance.note(evidence, id_ == came)
            if id_ != came:
                break
        if self.model is not None and history.modelled.ids:
            self.model.learn(sequence, history.modelled, sampled)
            history.modelled = Draft()

    def measured(self, rows: int, seconds: float) -> None:
        self.step_times.note(rows, seconds)

    def forget(self, sequence: Sequence) -> None:
        self._histories.pop(sequence, None)
        if self.model is not None:
            self.model.forget(sequence)

    def _draft(self, sequence: Sequence) -> Draft:
        history = self._histories.get(sequence)
        if history is None:
            history = self._histories[sequence] = _History(PromptLookup(), AcceptanceRate(self._shared))
        most = max(0, min(LONGEST_DRAFT, sequence.state.remaining - 1))
        history.draft = Draft()
        for id_ in sequence.state.forced_tokens()[:most]:
            history.draft.add(id_, FORCED, history.acceptance.of(FORCED))
        if most and not history.draft.ids:
            found, agree = history.lookup.find(sequence.ids, most)
            for n, id_ in enumerate(found):
                evidence = sum(agree + n >= least for least in AGREE)
                history.draft.add(id_, evidence, history.acceptance.of(evidence))
        return history.draft
