"""What /v1/chat/completions gives, as structs: the reply, and the chunks of a stream."""

from typing import Any, Literal

from msgspec import UNSET, UnsetType, field

from ponder.core.event import Effective
from ponder.server.api.llamacpp.timings import Timings
from ponder.server.api.openai.tools import CustomCallReply, ToolCallReply
from ponder.server.http.reply import JsonReply

FinishReason = Literal["stop", "length", "tool_calls"]


class CachedTokens(JsonReply):
    cached_tokens: int


class CompletionTokens(JsonReply):
    reasoning_tokens: int
    handover_tokens: int


class ChatUsage(JsonReply):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens
    completion_tokens_details: CompletionTokens


class ChatMessage(JsonReply):
    """reasoning_content and reasoning are the same thoughts under both names that clients know."""

    role: Literal["assistant"]
    content: str | None
    reasoning_content: str | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET
    tool_calls: list[ToolCallReply | CustomCallReply] = field(default_factory=list)


class TokenAlternative(JsonReply):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprobReply(JsonReply):
    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[TokenAlternative]


class ChatLogprobs(JsonReply):
    """content: of the answer. reasoning_content: of the thoughts."""

    content: list[TokenLogprobReply]
    refusal: None
    reasoning_content: list[TokenLogprobReply] = field(default_factory=list)


class ChatChoice(JsonReply):
    index: int
    message: ChatMessage
    finish_reason: FinishReason
    logprobs: ChatLogprobs | None
    stop_reason: str = ""


class ChatCompletion(JsonReply):
    """effective: the settings that held. malformed_tool_calls: how many calls were broken and stayed text. warnings:
    what was ignored, lowered or broken."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: ChatUsage
    effective: Effective
    thinking_truncated: bool
    timings: Timings
    malformed_tool_calls: int = 0
    warnings: list[str] = field(default_factory=list)


class ChunkChoice(JsonReply):
    """delta: what is new of the message."""

    index: int
    delta: dict[str, Any]
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason | None
    stop_reason: str | UnsetType = UNSET


class UsageSoFar(JsonReply):
    """vLLM's continuous_usage_stats: the counts at each chunk."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ReadingProgress(JsonReply):
    """llama.cpp's form. time_ms: since the prompt's turn came; 0 while it waits."""

    total: int
    cache: int
    processed: int
    time_ms: int


class ChatChunk(JsonReply):
    """The fields of a whole reply come with the end of a choice; usage with the last chunk or, if asked for, all."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChunkChoice]
    usage: ChatUsage | UsageSoFar | UnsetType = UNSET
    prompt_progress: ReadingProgress | UnsetType = UNSET
    effective: Effective | UnsetType = UNSET
    thinking_truncated: bool | UnsetType = UNSET
    timings: Timings | UnsetType = UNSET
    malformed_tool_calls: int = 0
    warnings: list[str] = field(default_factory=list)
