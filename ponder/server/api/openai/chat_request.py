"""The body of POST /v1/chat/completions -> `ChatRequest`. Fields: OpenAI's, and those that vLLM, SGLang, Qwen's own
API and llama.cpp added for these models."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from ponder.core.errors import UserError
from ponder.core.message import Message, messages_from_dicts
from ponder.core.params import RANGES, SamplingParams
from ponder.core.request import ChatRequest, Truncation
from ponder.server.api.billing_header import without_billing_header
from ponder.server.api.left_out import question_begins, readable
from ponder.server.api.openai.tools import allowed_tools, chat_function, chat_function_call
from ponder.server.api.structured_output import StructuredBody, grammar_of
from ponder.server.api.thinking_params import thinking_of

Count = Annotated[int, Meta(ge=1)]
HISTORY = {"auto": "strip", "last": "strip", "none": "strip", "all": "keep"}

NEVER = -100.0  # what a token is not sampled with, as the range of OpenAI's API ends there


class StreamOptions(Struct, frozen=True):
    include_usage: bool = False
    continuous_usage_stats: bool = False


class SamplingBody(StructuredBody, frozen=True, kw_only=True):
    """How ids are drawn, in the spelling that chat and completions share, of what form, and how much to think."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] = field(default_factory=list)
    min_tokens: int = 0
    ignore_eos: bool = False
    stop_token_ids: list[int] = field(default_factory=list)
    logit_bias: dict[str, float] | list[tuple[int | str, float | bool]] = field(default_factory=dict)
    """By token id; or pairs, as llama.cpp's clients write them: [[15043, 1.5], [11, false]]."""
    n: int = 1


SHARED = frozenset(SamplingBody.__struct_fields__)


class ChatBody(SamplingBody, frozen=True, kw_only=True):
    """Only what is listed here is understood; anything else becomes a warning, or a 400 on a strict server."""

    messages: list[dict[str, Any]]
    model: str = ""
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    return_progress: bool = False  # as llama.cpp has it
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop_in_reasoning: bool = False
    logprobs: bool = False
    top_logprobs: int | None = None
    tools: list[dict[str, Any]] = field(default_factory=list)
    tool_choice: str | dict[str, Any] = "auto"
    parallel_tool_calls: bool = True
    truncation: Truncation = "disabled"
    continue_final_message: bool = False
    add_generation_prompt: bool | None = None
    preserve_thinking: Literal["auto", "all", "last", "none"] = "auto"
    # accepted because every client library sends them; they change nothing that could be observed here
    user: str | None = None
    store: bool | None = None
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None


def chat_request(body: ChatBody) -> ChatRequest:
    """Raises UserError naming the field that cannot be."""
    choice, tools = tool_choice_of(body.tool_choice, body.tools)
    return ChatRequest(
        messages=messages_of(body.messages),
        tools=tuple(map(chat_function, tools)),
        tool_choice=choice,
        parallel_tool_calls=body.parallel_tool_calls,
        sampling=_sampling(body),
        thinking=thinking_of(body),
        grammar=grammar_of(body),
        history=HISTORY[body.preserve_thinking],  # type: ignore[arg-type]
        truncation=body.truncation,
        continue_final_message=continued(body.continue_final_message, body.add_generation_prompt),
        call_deltas=True,
    )


def continued(continue_final_message: bool, add_generation_prompt: bool | None) -> bool:
    """vLLM's two fields, of which the second is the opposite of the first. Raises UserError where they disagree."""
    if add_generation_prompt is not None and add_generation_prompt is continue_final_message:
        raise UserError(
            "add_generation_prompt is the opposite of continue_final_message: a new turn, or the last one goes on",
            param="add_generation_prompt",
        )
    return continue_final_message


def messages_of(raw: list[dict[str, Any]]) -> tuple[Message, ...]:
    """`developer` is a system message. Recorded ids are never taken from a client: they could hold control ids."""
    if not raw:
        raise UserError("messages is empty: give at least one", param="messages")
    begins = question_begins([str(m.get("role")) for m in raw])
    plain = []
    for n, message in enumerate(raw):
        item = {k: v for k, v in message.items() if k != "ids"}
        item |= {"role": "system"} if item.get("role") == "developer" else {}
        item["content"] = readable(item.get("content"), asked=n >= begins)
        if isinstance(calls := item.get("tool_calls"), list):
            item["tool_calls"] = [chat_function_call(call) for call in calls]
        plain.append(item)
    return without_billing_header(messages_from_dicts(plain))


def _sampling(body: ChatBody) -> SamplingParams:
    if body.top_logprobs is not None and not body.logprobs:
        raise UserError("top_logprobs needs logprobs: true", param="top_logprobs")
    low, high = RANGES["logprobs"]
    if not low <= (body.top_logprobs or 0) <= high:
        raise UserError(f"top_logprobs must be between {low} and {high}, got {body.top_logprobs}", param="top_logprobs")
    return sampling_of(
        body,
        max_tokens=_max_tokens(body),
        stop_in_reasoning=body.stop_in_reasoning,
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
    )


def sampling_of(body: SamplingBody, **others: Any) -> SamplingParams:
    """others: fields that are spelt differently in each API."""
    values = {name: getattr(body, name) for name in SamplingParams.__struct_fields__ if name in SHARED}
    values["top_k"] = 0 if body.top_k == -1 else body.top_k  # -1 is vLLM's "all"
    values["stop"] = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop)
    values["stop_token_ids"] = tuple(body.stop_token_ids)
    values["logit_bias"] = logit_bias_of(body.logit_bias)
    return SamplingParams(**values, **others)


def _max_tokens(body: ChatBody) -> int | None:
    spellings = {"max_tokens": body.max_tokens, "max_completion_tokens": body.max_completion_tokens}
    limits = [(name, value) for name, value in spellings.items() if value is not None]
    for name, value in limits:
        if value < 1:
            raise UserError(f"{name} must be 1 or more, got {value}", param=name)
    if len({value for _, value in limits}) > 1:
        text = " and ".join(f"{name} is {value}" for name, value in limits)
        raise UserError(f"{text}: give one of them", param="max_tokens")
    return limits[0][1] if limits else None


def logit_bias_of(raw: dict[str, float] | list[tuple[int | str, float | bool]]) -> dict[int, float]:
    """false in a pair: never."""
    bias = {}
    for id_, value in raw.items() if isinstance(raw, dict) else raw:
        key = str(id_)
        if not key.isascii() or not key.isdigit() or len(key) > 9:
            raise UserError(
                f"logit_bias: {key[:40]!r} is not a token id; /tokenize tells those of a text", param="logit_bias"
            )
        if value is True:
            raise UserError("logit_bias: a pair is a token id with a number, or with false", param="logit_bias")
        bias[int(key)] = NEVER if value is False else value
    return bias


def tool_choice_of(choice: Any, tools: list[dict[str, Any]]) -> tuple[str, tuple[dict[str, Any], ...]]:
    """("auto" | "none" | "required" | a tool's name, the tools that may be called)."""
    if isinstance(choice, dict):
        if choice.get("type") == "allowed_tools":
            mode, allowed = allowed_tools(choice.get("allowed_tools", choice))
            names = {_name(t) for t in allowed}
            return mode, tuple(t for t in tools if _name(t) in names)
        name = _name(choice)
        if not name:
            raise UserError("tool_choice names no function", param="tool_choice")
        return name, tuple(tools)
    return choice, tuple(tools)


def _name(tool: Any) -> str:
    inner = tool.get("function", tool.get("custom", tool)) if isinstance(tool, dict) else {}
    return str(inner.get("name", "")) if isinstance(inner, dict) else ""
