"""Guess ahead where it pays: how many ids of a draft to compute, for every sequence of a step.

A step that computes more rows takes longer (`StepCosts`) and gives more ids, if the draft is right (`Chances`). On text
that cannot be foreseen, or with so many streams that rows cost what they cost, nothing is drafted. What a lookup would
have said is compared with what came in any case, so nothing needs to be tried to notice that a text begins to repeat.
"""

from dataclasses import dataclass, field

from ponder.engine.scheduling.sequence import Sequence
from ponder.engine.speculation.acceptance import Chances
from ponder.engine.speculation.draft import LONGEST_DRAFT, Guess, best_lengths
from ponder.engine.speculation.draft_model import DraftModel
from ponder.engine.speculation.prompt_lookup import Lookup
from ponder.engine.speculation.step_time import StepCosts

FORCED = 0  # evidence: the grammar allows only this text; the others are how many ids of a copy agree
AGREE = (2, 3, 4, 6, 8, 12, 16, 24, 32)  # the least of each class
FIRST = (0.9, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93)  # chances before anything is known


@dataclass
class _State:
    """guess: what the text says. modelled: what the draft model said, if it was asked."""

    lookup: Lookup
    chances: Chances
    guess: Guess = field(default_factory=Guess)
    modelled: Guess = field(default_factory=Guess)


@dataclass
class Speculation:
    """A `Drafter`. It guesses copies of what the text already holds, what a grammar leaves no choice about, and what a
    draft model says, if there is one."""

    model: DraftModel | None = None
    costs: StepCosts = field(default_factory=StepCosts)
    _shared: Chances = field(default_factory=lambda: Chances(FIRST))
    _states: dict[Sequence, _State] = field(default_factory=dict)

    def draft(self, sequences: list[Sequence]) -> list[list[int]]:
        guesses = [self._guess(sequence) for sequence in sequences]
        if not self.costs.knows(len(sequences)):
            return [[] for _ in sequences]  # the cost of a plain step comes first: all others are compared with it
        lengths, rate = best_lengths(guesses, self.costs)
        if self.model is not None:
            for n, (sequence, guess) in enumerate(zip(sequences, self.model.draft(sequences, self.costs, rate))):
                self._states[sequence].modelled = guess
                guesses[n] = max(guesses[n], guess, key=lambda g: sum(g.chances))
            lengths, _ = best_lengths(guesses, self.costs)
        return [guess.ids[:length] for guess, length in zip(guesses, lengths)]

    def learn(self, sequence: Sequence, drawn: list[int]) -> None:
        state = self._states[sequence]
        for id_, evidence, came in zip(state.guess.ids, state.guess.evidence, drawn):
            state.chances.note(evidence, id_ == came)
            if id_ != came:
                break
        if self.model is not None and state.modelled.ids:
            self.model.learn(sequence, state.modelled, drawn)
            state.modelled = Guess()

    def measured(self, rows: int, seconds: float) -> None:
        self.costs.note(rows, seconds)

    def forget(self, sequence: Sequence) -> None:
        self._states.pop(sequence, None)
        if self.model is not None:
            self.model.forget(sequence)

    def _guess(self, sequence: Sequence) -> Guess:
        state = self._states.get(sequence)
        if state is None:
            state = self._states[sequence] = _State(Lookup(), Chances(self._shared))
        most = max(0, min(LONGEST_DRAFT, sequence.control.drawable - 1))
        state.guess = Guess()
        for id_ in sequence.control.foreseen()[:most]:
            state.guess.add(id_, FORCED, state.chances.of(FORCED))
        if most and not state.guess.ids:
            found, agree = state.lookup.find(sequence.ids, most)
            for n, id_ in enumerate(found):
                evidence = sum(agree + n >= least for least in AGREE)
                state.guess.add(id_, evidence, state.chances.of(evidence))
        return state.guess
