"""Drive a RequestState as the engine does, with a script for a model: no weights, real masks and sampler."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ponder.core.event import Event, Finish, ReasoningDelta, TextDelta, ToolCallDone
from ponder.core.message import Message, ToolCall
from ponder.core.params import SamplingParams, Thinking
from ponder.engine.decoding.answer_constraint import AnswerRules
from ponder.engine.decoding.request_state import RequestState
from ponder.engine.decoding.settings import Ceiling, ModelProfile, RequestSettings, choose_mode, resolve
from ponder.kernels.sampling import sample
from ponder.text.tokenizer.tokenizer import Tokenizer

ROWS = 151_936
THINK, END_THINK, TOOL_CALL, END_TOOL_CALL, IM_END = 151667, 151668, 151657, 151658, 151645
HEADER = (151644, 77091, 198)  # <|im_start|>assistant\n
CLOSED = (*HEADER, THINK, 271, END_THINK, 271)


@cache
def tokenizer() -> Tokenizer:
    return Tokenizer.packaged()


def profile(**changes: Any) -> ModelProfile:
    fields = {"name": "qwen3:test", "capability": "hybrid", "eos_ids": (151645, 151643), "context": 40960}
    return ModelProfile(**{**fields, "vocab": 151_669, **changes})


def make_settings(
    thinking: Thinking | None = None, text: str = "hi", *, ceiling: Ceiling | None = None, **sampling: Any
) -> tuple[RequestSettings, tuple[int, ...]]:
    """(settings, prompt ids) of a hybrid model for one user message."""
    thinking = thinking or Thinking()
    params = SamplingParams(**{"seed": 1, "temperature": 0.0, **sampling})
    mode = choose_mode(thinking, [Message.user(text)], profile())
    prompt = (151644, 872, 198, *tokenizer().encode(text), IM_END, 198, *(CLOSED if mode.prefill_empty else HEADER))
    return resolve(params, thinking, mode, profile(), len(prompt), ceiling), prompt


@dataclass
class Outcome:
    ids: list[int]
    sampled: list[int]
    events: list[Event]
    finish: Finish
    inside: int = 0  # sampled ids that came while a block was open, the closing tag not counted

    @property
    def reasoning(self) -> str:
        return "".join(e.text for e in self.events if isinstance(e, ReasoningDelta))

    @property
    def content(self) -> str:
        return "".join(e.text for e in self.events if isinstance(e, TextDelta))

    @property
    def calls(self) -> list[ToolCall]:
        return [e.call for e in self.events if isinstance(e, ToolCallDone)]


class Script:
    """Says `before`; once a hand-over was fed, says `after`. After the last id it repeats `loop`, or ends."""

    def __init__(self, before: Sequence[int], after: Sequence[int] = (), loop: Sequence[int] = (IM_END,)) -> None:
        self.before, self.after, self.loop = list(before), list(after), list(loop)
        self._at = 0
        self._handed_over = False

    def next(self, handed_over: bool) -> int:
        if handed_over and not self._handed_over:
            self._handed_over, self._at = True, 0
        ids, loop = (self.after, [IM_END]) if handed_over else (self.before, self.loop)
        at, self._at = self._at, self._at + 1
        return ids[at] if at < len(ids) else loop[(at - len(ids)) % len(loop)]


_NOISE = np.random.default_rng(0).normal(size=ROWS).astype(np.float32)


def drive(
    settings: RequestSettings,
    prompt: Sequence[int],
    script: Script,
    *,
    rules: AnswerRules | None = None,
    answer_now_at: int | None = None,
    logits: np.ndarray | None = None,
) -> Outcome:
    """Run to the end as the engine loop does. answer_now_at: call request_answer_now before that step."""
    state = RequestState(settings, tokenizer(), prompt, rules=rules)
    events: list[Event] = []
    sampled: list[int] = []
    ids: list[int] = []
    inside = step = 0
    while state.finish_reason is None:
        if step == answer_now_at:
            state.request_answer_now()
        step += 1
        forced = state.forced()
        for id_ in forced:
            ids.append(id_)
            assert state.accept(id_, sampled=False)
        if not forced:
            row = _NOISE.copy()
            row[script.next(state.handover is not None)] = 100
            rule = state.rule()
            state.fill_mask()
            [s] = sample(row[None], [rule], [len(prompt) + len(ids)])
            assert s.id < settings.vocab, "a padding row was sampled"
            open_block = state.phase == "reasoning"
            if state.accept(s.id, sampled=True, logprob=s.logprob, top=s.top):
                ids.append(s.id)
                sampled.append(s.id)
                inside += open_block and s.id != END_THINK
        events += state.events()
    finish = state.finish()
    events += state.events()
    assert ids == state.ids
    return Outcome(ids, sampled, events, finish, inside)
