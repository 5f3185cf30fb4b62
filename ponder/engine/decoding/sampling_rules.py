"""How the next id of a sequence is sampled: by phase, and in the answer by grammar, penalties and bias.

The thoughts are free: nothing of the request's form, bias or penalties acts on them (RS-5).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ponder.core.params import SamplingParams
from ponder.engine.decoding.answer_constraint import AnswerRules
from ponder.engine.decoding.settings import RequestSettings
from ponder.kernels.sampling import Penalties, SamplingRule
from ponder.text.chat.phase import Phase
from ponder.text.tokenizer.tokenizer import Tokenizer

if TYPE_CHECKING:
    from ponder.engine.decoding.matcher import Matcher


class SamplingRules:
    """plain: how a draft is sampled: with the random numbers of the real ids, without the answer's rules."""

    def __init__(
        self,
        settings: RequestSettings,
        tokenizer: Tokenizer,
        prompt_ids: Sequence[int],
        rules: AnswerRules,
        choice: int,
        *,
        has_phases: bool,
    ) -> None:
        """has_phases: thoughts and calls are told apart from the answer."""
        self._settings, self._tokenizer, self._rules = settings, tokenizer, rules
        self._has_phases = has_phases
        self._matcher: Matcher | None = rules.grammar.start() if rules.grammar else None
        self._penalties = _penalties(settings.sampling, prompt_ids)
        self._newlines = tokenizer.newlines
        self._made: dict[tuple[Phase, Matcher | None, bool], SamplingRule] = {}
        self._answer_begun = False
        self._after_close = False  # the next id is the first after a `</think>` that the model wrote
        s = settings.effective
        self.plain = SamplingRule(
            vocab=settings.vocab,
            temperature=s.temperature,
            top_k=s.top_k,
            top_p=s.top_p,
            min_p=s.min_p,
            seed=s.seed,
            choice=choice,
        )

    def rule(self, phase: Phase, length: int) -> SamplingRule:
        """The same object as long as the same rule holds. length: ids of the reply so far."""
        if phase == "tool_call" or (phase == "start" and not self._settings.can_think):
            phase = "answer"
        held = length < self._settings.sampling.min_tokens
        key = (phase, self._matcher, held)
        rule = self._made.get(key)
        if rule is None:
            rule = self._made[key] = self._make_rule(phase, held)
        return rule

    def fill_mask(self, phase: Phase) -> None:
        """Say in the rule's mask what the grammar allows now; nothing to do without a grammar, or in the thoughts."""
        if self._matcher is None or phase == "reasoning":
            return
        self._matcher.fill_mask()
        if self._after_close:
            self._matcher.allow(self._newlines)
        if self._rules.free_calls and not self._answer_begun and self._tokenizer.tool_call is not None:
            self._matcher.allow((self._tokenizer.tool_call,))

    def forced_tokens(self, phase: Phase) -> list[int]:
        """What the grammar leaves no choice about."""
        return self._matcher.forced_tokens() if self._matcher is not None and phase == "answer" else []

    def thoughts_closed(self) -> None:
        """By the model: newlines may follow before the answer begins."""
        self._after_close = True

    def separates(self, id_: int) -> bool:
        """Whether this id after the thoughts is layout, and not yet the answer."""
        separator = self._after_close and id_ in self._newlines
        self._after_close = False
        return separator

    def answered(self, id_: int) -> str:
        """One id of the answer came. Returns why the grammar can no longer be followed, "" when it can."""
        calls = self._rules.free_calls
        if calls and id_ == self._tokenizer.tool_call:  # the answer is a call instead
            self._matcher = self._rules.calls.start() if self._rules.calls is not None else None
        self._answer_begun = True
        if self._penalties is not None:
            self._penalties.add(id_)
        error = ""
        if self._matcher is not None:
            self._matcher.accept(id_)
            error = self._matcher.error
        if calls and id_ == self._tokenizer.end_tool_call:
            self._matcher = None
        return error

    @property
    def complete(self) -> bool:
        """The answer so far is a whole one."""
        return self._matcher is None or self._matcher.complete

    def _make_rule(self, phase: Phase, held: bool) -> SamplingRule:
        """held: the reply is too short to end."""
        tok = self._tokenizer
        opens = tok.think if phase == "start" else None
        forbidden = [] if opens is not None or not self._has_phases else [tok.think]
        if phase != "reasoning" and self._has_phases:
            forbidden += [tok.end_think]
            forbidden += [tok.tool_call, tok.end_tool_call] if self._rules.no_calls else []
        sampling, eos_ids = self._settings.sampling, self._settings.eos_ids
        forbidden += eos_ids if sampling.ignore_eos or held else ()
        forbidden += sampling.stop_token_ids if held else ()
        masked = self._matcher is not None and phase != "reasoning"
        ends = (*eos_ids, *sampling.stop_token_ids, tok.think, tok.end_think, tok.tool_call)
        return replace(
            self.plain,
            logprobs=sampling.logprobs,
            forbidden=tuple(i for i in forbidden if i is not None),
            bias=sampling.logit_bias if phase != "reasoning" else {},
            penalties=self._penalties if phase != "reasoning" else None,
            mask=self._matcher.mask if self._matcher is not None and masked else None,
            fallback=eos_ids if masked else (),  # never an empty mask (SO-2)
            exempt=opens,  # the model may want to think: rules of the answer must not talk it out of that
            ends=frozenset(i for i in ends if i is not None),
        )


def _penalties(sampling: SamplingParams, prompt_ids: Sequence[int]) -> Penalties | None:
    repetition, presence, frequency = sampling.repetition_penalty, sampling.presence_penalty, sampling.frequency_penalty
    assert repetition is not None and presence is not None and frequency is not None
    if repetition == 1 and not presence and not frequency:
        return None
    return Penalties(repetition, presence, frequency, list(prompt_ids))
