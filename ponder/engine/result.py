"""What a finished request gives back: one `Choice` per answer, gathered from its events."""

from collections.abc import Iterable
from dataclasses import dataclass

from ponder.core.event import Event, Finish, TokenLogprob, message_of
from ponder.core.message import Message, Text, ToolCall


@dataclass(frozen=True)
class Choice:
    """message: with the exact ids of the turn, for `history="exact"`. ids: the generated ones alone."""

    message: Message
    ids: tuple[int, ...]
    finish: Finish
    logprobs: tuple[TokenLogprob, ...] = ()

    @property
    def text(self) -> str:
        return "".join(p.text for p in self.message.parts if isinstance(p, Text))

    @property
    def reasoning(self) -> str | None:
        return self.message.reasoning

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return self.message.tool_calls


@dataclass(frozen=True)
class Result:
    """A chat reply or a completion. The properties speak of the first choice, which is the only one unless n > 1."""

    choices: tuple[Choice, ...]
    prompt_ids: tuple[int, ...]

    @property
    def message(self) -> Message:
        return self.choices[0].message

    @property
    def text(self) -> str:
        return self.choices[0].text

    @property
    def reasoning(self) -> str | None:
        return self.choices[0].reasoning

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return self.choices[0].tool_calls

    @property
    def ids(self) -> tuple[int, ...]:
        return self.choices[0].ids

    @property
    def finish(self) -> Finish:
        return self.choices[0].finish

    @property
    def logprobs(self) -> tuple[TokenLogprob, ...]:
        return self.choices[0].logprobs


def choice_of(events: Iterable[Event], turn_ids: tuple[int, ...] | None, ids: tuple[int, ...]) -> Choice:
    """turn_ids: of the whole turn, see `Handle.turn_ids`; None when they are not known. ids: the generated ones."""
    events = list(events)
    message = message_of(e for e in events if not isinstance(e, Finish | TokenLogprob))
    finish = events[-1]
    assert isinstance(finish, Finish), "a stream ends with Finish"
    logprobs = tuple(e for e in events if isinstance(e, TokenLogprob))
    return Choice(Message("assistant", message.parts, turn_ids), ids, finish, logprobs)
