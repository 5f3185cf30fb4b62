"""What a finished request gives back: one `Choice` per answer, gathered from its events."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ponder.core.event import Event, Finish, TokenLogprob, message_of
from ponder.core.message import Message, Text, ToolCall
from ponder.text.typed_output import OutputForm

Value = TypeVar("Value")
SHOWN = 60  # characters of a text in a repr


@dataclass(frozen=True)
class Choice:
    """message: with the exact ids of the turn, for `history="exact"`. ids: the generated ones alone."""

    message: Message
    ids: tuple[int, ...]
    finish: Finish
    logprobs: tuple[TokenLogprob, ...] = ()

    @property
    def text(self) -> str:
        """The answer, without thoughts and calls."""
        return "".join(p.text for p in self.message.parts if isinstance(p, Text))

    @property
    def reasoning(self) -> str | None:
        """The thoughts; None when there was no block of them."""
        return self.message.reasoning

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that the model made, whole ones only."""
        return self.message.tool_calls


@dataclass(frozen=True, repr=False)
class Result:
    """A chat reply or a completion. The properties speak of the first choice, which is the only one unless n > 1."""

    choices: tuple[Choice, ...]
    prompt_ids: tuple[int, ...]
    between: tuple[Message, ...] = ()
    """Calls and what they gave, between the question and this reply, where `chat` ran the functions itself."""

    def __repr__(self) -> str:
        usage, text = self.finish.usage, self.text
        shown = repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")
        more = "".join(f", {call.name}(...)" for call in self.tool_calls)
        count = f", {len(self.choices)} choices" if len(self.choices) > 1 else ""
        return f"{type(self).__name__}({shown}{more}{count}, {self.finish.reason}, {usage.completion_tokens} tokens)"

    def __str__(self) -> str:
        return self.text

    @property
    def message(self) -> Message:
        """The reply as a message of the history."""
        return self.choices[0].message

    @property
    def text(self) -> str:
        """The answer, without thoughts and calls."""
        return self.choices[0].text

    @property
    def reasoning(self) -> str | None:
        """The thoughts; None when there was no block of them."""
        return self.choices[0].reasoning

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that the model made, whole ones only."""
        return self.choices[0].tool_calls

    @property
    def ids(self) -> tuple[int, ...]:
        """The generated ids."""
        return self.choices[0].ids

    @property
    def finish(self) -> Finish:
        """Why it ended, what it used, the settings that held."""
        return self.choices[0].finish

    @property
    def logprobs(self) -> tuple[TokenLogprob, ...]:
        """Of each generated id, where they were asked for."""
        return self.choices[0].logprobs


@dataclass(frozen=True, repr=False)
class Parsed(Result, Generic[Value]):
    """A reply that was asked for as a value of a type (`output=`)."""

    form: OutputForm[Value] = field(kw_only=True)

    @property
    def parsed(self) -> Value:
        """The answer as that value. Raises UserError where it ended before its JSON did; `text` has what came."""
        reason = self.finish.reason
        ended = "it was cut off: allow more max_tokens" if reason == "length" else f"it ended with {reason!r}"
        return self.form.value(self.text, ended)


def choice_of(events: Iterable[Event], turn_ids: tuple[int, ...] | None, ids: tuple[int, ...]) -> Choice:
    """turn_ids: of the whole turn, see `Handle.turn_ids`; None when they are not known. ids: the generated ones."""
    events = list(events)
    message = message_of(e for e in events if not isinstance(e, Finish | TokenLogprob))
    finish = events[-1]
    assert isinstance(finish, Finish), "a stream ends with Finish"
    logprobs = tuple(e for e in events if isinstance(e, TokenLogprob))
    return Choice(Message("assistant", message.parts, turn_ids), ids, finish, logprobs)
