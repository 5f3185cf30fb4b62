"""What a stream is made of. Concatenated deltas equal the non-streamed result byte for byte (RS-1)."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct
from msgspec.structs import astuple

from ponder.core.message import Message, Part, Reasoning, Text, ToolCall

FinishReason = Literal["stop", "length", "tool_calls", "cancelled"]
Handover = Literal["budget", "max_tokens", "eos", "loop", "answer_now"]


class ReasoningDelta(Struct, frozen=True, tag="reasoning"):
    """More of the thoughts."""

    text: str


class TextDelta(Struct, frozen=True, tag="text"):
    """More of the answer."""

    text: str


class ToolCallDelta(Struct, frozen=True, tag="tool_call_delta"):
    """A piece of the arguments of a call that is being written, for who asked for them (`ChatRequest.call_deltas`).

    Together with the rest of its arguments it comes again as a `ToolCallDone` of the same index. If anything else comes
    first, it was broken or cut off: its text follows as text (TC-5), its index is not used again, and the pieces lack
    the end of the JSON object."""

    index: int
    id: str
    name: str
    text: str


class ToolCallDone(Struct, frozen=True, tag="tool_call"):
    """One complete, well-formed call. A broken one stays text (TC-5)."""

    index: int
    call: ToolCall


class TokenLogprob(Struct, frozen=True, tag="logprob"):
    """One generated id. `top` are the most likely alternatives as (id, logprob), best first."""

    id: int
    bytes: bytes
    logprob: float
    top: tuple[tuple[int, float], ...] = ()
    reasoning: bool = False


class Usage(Struct, frozen=True):
    """prompt_tokens = ids computed + cached_tokens, always (LC-2). completion_tokens counts every id after the
    prompt, the hand-over (handover_tokens) included; reasoning_tokens those between <think> and </think>."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    handover_tokens: int = 0
    cached_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


class Effective(Struct, frozen=True):
    """The settings that really held, after defaults, ceilings and switches (TH-5, RL-1). None, except for the budget:
    a remote engine's own default, which it does not report. truncated_tokens: what was left out of the prompt
    (LC-1)."""

    thinking: bool
    thinking_source: Literal["request", "soft switch", "default", "model"]
    budget: int | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    seed: int | None
    max_tokens: int | None
    truncated_tokens: int = 0


class ResolvedSettings(Effective, frozen=True):
    """The same of the local engine, which knows everything."""

    temperature: float
    top_p: float
    top_k: int
    min_p: float
    seed: int
    max_tokens: int


class Finish(Struct, frozen=True, tag="finish"):
    """The last event of every stream.

    stop_reason: the stop string that matched, "repetition", or None. handover: why thinking was cut, if it was.
    malformed_calls: how many tool calls were broken and stayed text; `warnings` says so too.
    """

    reason: FinishReason
    usage: Usage
    effective: Effective
    stop_reason: str | None = None
    handover: Handover | None = None
    malformed_calls: int = 0
    warnings: tuple[str, ...] = ()


def malformed_warning(malformed_calls: int) -> tuple[str, ...]:
    """What a reply says about calls that stayed text."""
    if not malformed_calls:
        return ()
    calls = "a tool call was" if malformed_calls == 1 else f"{malformed_calls} tool calls were"
    return (f"{calls} broken or cut off, stayed text and did not count as a call",)


Event = ReasoningDelta | TextDelta | ToolCallDelta | ToolCallDone | TokenLogprob | Finish


def message_of(events: Iterable[Event]) -> Message:
    """The assistant message that a stream of events adds up to."""
    parts: list[Part] = []
    run: list[str] = []
    kind: type[Reasoning] | type[Text] = Text
    for event in events:
        if isinstance(event, ReasoningDelta | TextDelta):
            wanted = Reasoning if isinstance(event, ReasoningDelta) else Text
            if wanted is not kind:
                _close(parts, kind, run)
                kind = wanted
            run.append(event.text)
        elif isinstance(event, ToolCallDone):
            _close(parts, kind, run)
            parts.append(event.call)
    _close(parts, kind, run)
    message = Message("assistant", tuple(parts))
    if message.reasoning is None and "</think>" in message.text:
        return Message("assistant", (Reasoning(""), *parts))
    return message


def _close(parts: list[Part], kind: type[Reasoning] | type[Text], run: list[str]) -> None:
    if run:
        parts.append(kind("".join(run)))
        run.clear()
