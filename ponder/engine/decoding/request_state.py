"""Everything that decides about ONE running sequence (one choice of one request).

The engine computes logits and asks; RequestState answers. Per step, in the engine's thread:

    while control.finish_reason is None:
        if ids := control.forced():            # the hand-over: feed them all, nothing is sampled
            for id_ in ids: control.accept(id_, sampled=False)
        else:
            rule = control.rule()
            control.fill_mask()                # the part of the rule that changes with every id
            [s] = sample(logits, [rule], [position])
            keep = control.accept(s.id, sampled=True, logprob=s.logprob, top=s.top)
            # keep False: the id is dropped (an end token inside the thoughts), do not append or feed it
        deliver(control.events())
    finish = control.finish(cached_tokens=n); deliver(control.events()); deliver(finish)

`finish_reason` may be set before the first step (no room for anything): look first. To cancel: `finish("cancelled")`.
One phase machine, started from the prompt's ids (inside the parser), is read by all rules: budget, grammar, penalties,
stop strings (RS-1). What holds in which phase is one table in docs/thinking.md.
"""

from collections.abc import Sequence

from ponder.core.event import Event, Finish, FinishReason, Handover, TokenLogprob, Usage, malformed_warning
from ponder.engine.decoding.answer_constraint import AnswerRules
from ponder.engine.decoding.loop_guard import LoopGuard
from ponder.engine.decoding.reply_reader import ReplyReader
from ponder.engine.decoding.sampling_rules import SamplingRules
from ponder.engine.decoding.settings import RequestSettings
from ponder.engine.decoding.thinking_budget import ThinkingBudget, handover_ids
from ponder.kernels.sampling import SamplingRule
from ponder.text.chat.phase import Phase, turn_start
from ponder.text.tokenizer.tokenizer import Tokenizer


class RequestState:
    """ids: what was generated so far, hand-over included. finish_reason: None while running. handover: why the
    thoughts were cut, None when they were not."""

    def __init__(
        self,
        settings: RequestSettings,
        tokenizer: Tokenizer,
        prompt_ids: Sequence[int],
        *,
        rules: AnswerRules | None = None,
        choice: int = 0,
        raw: bool = False,
        silent: bool = False,
    ) -> None:
        """rules: of `answer_rules`, shared by the choices of a request. choice: its index, for the random numbers.
        raw: all that is generated is one text, and all of it the answer, unless a budget for thoughts is set.
        silent: nobody reads text; there is one event, the last, and log-probs are in `logprobs`."""
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self.finish_reason: FinishReason | None = None
        self.handover: Handover | None = None
        self._settings, self._tokenizer = settings, tokenizer
        self._rules = rules or AnswerRules()
        self._prompt_tokens = len(prompt_ids)
        self._raw, self._silent = raw, silent
        self._reader = ReplyReader(settings, tokenizer, prompt_ids, self._rules, raw=raw, silent=silent)
        self._output = self._reader.output
        self._sampling = SamplingRules(
            settings, tokenizer, prompt_ids, self._rules, choice, has_phases=self._reader.has_phases
        )
        self._guard = LoopGuard(tokenizer.decode) if settings.thinking.loop_guard else None
        has_block = tokenizer.end_think is not None  # a prompt may open a block whatever the model was made for
        self._handover_ids = handover_ids(tokenizer, settings.thinking.handover) if has_block else ()
        self._pending: list[int] = []
        self._budget: ThinkingBudget | None = None
        self._answer_now = False
        self._reasoning_ids = 0
        self._handover_count = 0
        self._stop_reason: str | None = None
        self._warnings = [*settings.warnings, *self._rules.warnings]
        if self.phase == "reasoning":
            self._open_block()

    @property
    def phase(self) -> Phase:
        """The phase of the next id."""
        return self._reader.phase

    def request_answer_now(self) -> None:
        """Hand over at the next id, if thoughts are open then or open later; nothing happens in the answer. The only
        method that any thread may call."""
        self._answer_now = True

    def turn_start(self, prompt_ids: Sequence[int]) -> int:
        return turn_start(self._tokenizer, prompt_ids)

    @property
    def in_template_form(self) -> bool:
        """Whether the ids are what the template would write."""
        return self._reader.in_template_form

    def forced(self) -> tuple[int, ...]:
        """Ids to append next without sampling: feed them all through the model. () means sample."""
        if self._answer_now and self.phase == "reasoning" and not self._pending and self.finish_reason is None:
            assert self._budget is not None
            if self._budget.room:
                self._end_block("answer_now")
            else:
                self._answer_now = False
                self._warnings.append("answer now: max_tokens leaves no room for the hand-over and an answer")
        return tuple(self._pending)

    def rule(self) -> SamplingRule:
        """How the next id is sampled: the same object as long as the same rule holds."""
        return self._sampling.rule(self.phase, len(self.ids))

    def fill_mask(self) -> None:
        """Say in the rule's mask what the grammar allows now; nothing to do without a grammar, or in the thoughts. May
        run in any thread, while nothing else of this RequestState does."""
        self._sampling.fill_mask(self.phase)

    @property
    def remaining(self) -> int:
        """How many ids may still be sampled at most, before the sequence ends or a hand-over is fed."""
        left = self._settings.effective.max_tokens - len(self.ids)
        return left if self._budget is None else min(left, self._budget.left)

    @property
    def horizon(self) -> int:
        """How many ids the present rule holds for, if none of its `ends` comes."""
        if self.phase == "start" or not self.rule().steady:
            return 1
        until_free = self._settings.sampling.min_tokens - len(self.ids)
        return min(self.remaining, until_free) if until_free > 0 else self.remaining

    @property
    def draft_rule(self) -> SamplingRule:
        """How a draft is sampled: with the random numbers of the real ones, without the answer's rules."""
        return self._sampling.plain

    def accept(
        self, id_: int, *, sampled: bool, logprob: float | None = None, top: tuple[tuple[int, float], ...] = ()
    ) -> bool:
        """Move on over one id. False: the id does not belong to the sequence, forget it (TB-5)."""
        assert self.finish_reason is None, "the sequence has ended"
        if not sampled:
            self._accept_forced(id_)
            return True
        phase = self.phase
        ends = id_ in self._settings.eos_ids or (id_ in self._settings.sampling.stop_token_ids and phase != "reasoning")
        if ends and phase == "reasoning" and not self._take_draft():
            self._end_block("eos")
            return False
        self.ids.append(id_)
        if logprob is not None and self._silent:
            self.logprobs.append(logprob)
        elif logprob is not None:
            data = self._tokenizer.token_bytes(id_)
            self._output.note(TokenLogprob(id_, data, logprob, top, reasoning=phase == "reasoning" and not ends))
        if ends:
            self._close("stop", ended=True)
            return True
        self._reader.feed(id_)
        if phase == "reasoning":
            self._think(id_)
        elif id_ == self._tokenizer.think and self._reader.has_phases:
            self._open_block()
        else:
            self._answer(id_)
        if self.finish_reason is None:
            self._check_end()
        return True

    def forced_tokens(self) -> list[int]:
        """What the grammar leaves no choice about: a good draft of what will be sampled, no more than that."""
        return self._sampling.forced_tokens(self.phase)

    def events(self) -> list[Event]:
        """What is new since the last call."""
        return self._output.take()

    def finish(self, reason: FinishReason | None = None, *, cached_tokens: int = 0) -> Finish:
        """The last event. reason: end it here for this reason ("cancelled"), if it has not ended by itself. What was
        held back becomes an event, so call `events` once more."""
        if self.finish_reason is None:
            assert reason is not None, "the sequence has not ended"
            self._close(reason)
        assert self.finish_reason is not None
        usage = Usage(
            prompt_tokens=self._prompt_tokens,
            completion_tokens=len(self.ids),
            reasoning_tokens=self._reasoning_ids,
            handover_tokens=self._handover_count,
            cached_tokens=cached_tokens,
        )
        malformed = self._reader.malformed_calls
        return Finish(
            self.finish_reason,
            usage,
            self._settings.effective,
            self._stop_reason,
            self.handover,
            malformed,
            (*self._warnings, *malformed_warning(malformed)),
        )

    def _open_block(self) -> None:
        """`<think>` was sampled, or the prompt ends inside a block: from here on ids count."""
        s = self._settings.effective
        self._budget = ThinkingBudget(s.budget, s.max_tokens, len(self.ids), len(self._handover_ids))
        if self._budget.left <= 0:
            self._end_block(self._budget.reason)

    def _think(self, id_: int) -> None:
        """One sampled id that came in the reasoning phase."""
        assert self._budget is not None
        if id_ == self._tokenizer.end_think:
            self._leave_block()
            self._sampling.thoughts_closed()
            return
        self._reasoning_ids += 1
        self._budget.spend()
        if self._output.matched:
            return
        if self._budget.left <= 0:
            self._end_block(self._budget.reason)
        elif self._guard is not None and self._guard.feed(id_) and self._budget.room:
            self._end_block("loop")

    def _take_draft(self) -> bool:
        """The thoughts end here. Whether they end with calls that count: the request asks for it, and the answer could
        hold these very calls (TC-3)."""
        drafted, calls = self._reader.pending, self._rules.calls
        if not drafted or (self._rules.single_call and len(drafted) > 1):
            return False
        if calls is not None and not all(map(calls.fits, drafted)):
            return False
        self._reader.accept_pending()
        self._leave_block()
        self._warnings.append('the thoughts ended with a call and no </think>: it counts (tool_in_thinking: "close")')
        return True

    def _end_block(self, why: Handover) -> None:
        """Begin the hand-over. Where max_tokens cannot hold it, the sequence ends, with its thoughts and no answer."""
        assert self._budget is not None
        self._reader.release_pending()
        if self._output.matched:  # a stop string in thoughts that were held back
            self._close("stop")
        elif self._budget.room:
            self._pending, self.handover = list(self._handover_ids), why
        else:
            self._close("length")

    def _accept_forced(self, id_: int) -> None:
        assert self._pending and self._pending[0] == id_, "forced ids are fed in order"
        self._pending.pop(0)
        self.ids.append(id_)
        self._handover_count += 1
        inside = self.phase == "reasoning"
        if id_ == self._tokenizer.end_think:
            self._reader.feed(id_)
            self._leave_block()
        else:
            self._reasoning_ids += inside
            # what follows the tag is layout, not text: the parser need not see it
            if self._raw or (inside and self._settings.thinking.show_handover):
                self._reader.feed_verbatim(id_)

    def _leave_block(self) -> None:
        self._budget = None
        self._output.flush()
        if self._guard is not None:
            self._guard = LoopGuard(self._tokenizer.decode)

    def _answer(self, id_: int) -> None:
        """One sampled id of the answer."""
        if self._sampling.separates(id_):
            return
        if error := self._sampling.answered(id_):
            self._warnings.append(f"the grammar could not be followed to its end: {error}")
            self._close("length")
        if self.finish_reason is None and self._guard is not None and self._guard.feed(id_):
            self._close("stop" if self._sampling.complete else "length")  # half a JSON text must not look complete
            self._stop_reason = self._stop_reason or "repetition"

    def _check_end(self) -> None:
        if self._output.matched:
            self._close("stop")
        elif self._output.calls_over or (self._output.calls and self._rules.single_call):
            self._close("tool_calls")
        elif len(self.ids) >= self._settings.effective.max_tokens:
            self._close("length")

    def _close(self, reason: FinishReason, *, ended: bool = False) -> None:
        """End the sequence. ended: by the model."""
        self._reader.close(ended=ended)
        self._stop_reason = self._output.matched
        if reason != "cancelled" and self._output.untagged_calls:
            reason = "tool_calls"
        elif reason != "cancelled" and self._output.matched:
            reason = "stop"
        elif ended and self._output.calls:
            reason = "tool_calls"
        self.finish_reason = reason
