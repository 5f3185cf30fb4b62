"""Where in its turn a model is: may still think, thinks, answers, or writes a tool call.

One machine a request, started from the prompt's ids (RS-1) and moved by ids alone (RS-2), so no way of cutting text
into pieces can fool it. Budget, stop strings, grammar, penalties, parser and renderer all read this one machine.

    id           start      reasoning  answer     tool_call
    <think>      reasoning  reasoning  reasoning  reasoning    (a call that is broken off stays text, see parse.py)
    </think>     answer     answer     answer     answer
    <tool_call>  tool_call  reasoning  tool_call  tool_call    (TC-3: inside thoughts it is text)
    </tool_call> answer     reasoning  answer     answer
    other        answer     reasoning  answer     tool_call
"""

from collections.abc import Sequence
from typing import Literal, Protocol

Phase = Literal["start", "reasoning", "answer", "tool_call"]


class ControlTokens(Protocol):
    """What phases and the parser need of a tokenizer: the ids that mean something, None where there is none, and the
    bytes of those that are text."""

    @property
    def think(self) -> int | None: ...
    @property
    def end_think(self) -> int | None: ...
    @property
    def tool_call(self) -> int | None: ...
    @property
    def end_tool_call(self) -> int | None: ...
    @property
    def im_start(self) -> int | None: ...
    @property
    def im_end(self) -> int | None: ...
    @property
    def eos_ids(self) -> tuple[int, ...]: ...
    def text_bytes(self, id_: int) -> bytes: ...
    def encode(self, text: str) -> list[int]: ...


class PhaseMachine:
    """`phase` is the phase of the id that comes next. "start": nothing generated yet, a block may still open."""

    def __init__(self, tokenizer: ControlTokens, prompt_ids: Sequence[int] = ()) -> None:
        self._think, self._end_think = tokenizer.think, tokenizer.end_think
        self._call, self._end_call = tokenizer.tool_call, tokenizer.end_tool_call
        self.tags = {i for i in (self._think, self._end_think, self._call, self._end_call) if i is not None}
        self.phase: Phase = "start"
        turn = turn_start(tokenizer, prompt_ids)
        # Only tags count here: the newline of the header, or a prefilled text, leaves the block free to open.
        for id_ in prompt_ids[turn:]:
            if id_ in self.tags:
                self.advance(id_)

    def advance(self, id_: int) -> Phase:
        """Move over one generated id; returns the phase of the id after it."""
        phase = self.phase
        if id_ not in self.tags:
            if phase == "start":
                self.phase = "answer"
        elif id_ == self._think:
            self.phase = "reasoning"
        elif id_ == self._end_think:
            self.phase = "answer"
        elif phase != "reasoning":
            self.phase = "tool_call" if id_ == self._call else "answer"
        return self.phase


def turn_start(tokenizer: ControlTokens, prompt_ids: Sequence[int]) -> int:
    """Index in a prompt's ids at which the open assistant turn begins (after `<|im_start|>assistant`), its length when
    the last turn is somebody else's or is closed, 0 for a prompt without any turn (plain completion)."""
    for at in range(len(prompt_ids) - 1, -1, -1):
        if prompt_ids[at] == tokenizer.im_end:
            return len(prompt_ids)
        if prompt_ids[at] == tokenizer.im_start:
            is_assistant = list(prompt_ids[at + 1 : at + 2]) == tokenizer.encode("assistant")
            return at + 2 if is_assistant else len(prompt_ids)
    return 0
