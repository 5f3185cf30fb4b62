"""The replies as /openapi.json describes them. Handlers write plain dicts; a fuzzer (tests/server/test_openapi.py)
holds every reply against these, and a field that is not listed here fails it."""

from typing import Any, Literal

from msgspec import Struct, field

from ponder.core.event import Effective

FinishReason = Literal["stop", "length", "tool_calls"]


class Reply(Struct, kw_only=True, forbid_unknown_fields=True):
    pass


class CachedTokens(Reply):
    cached_tokens: int


class CompletionTokens(Reply):
    reasoning_tokens: int
    handover_tokens: int


class ChatUsage(Reply):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens
    completion_tokens_details: CompletionTokens


class FunctionOfCall(Reply):
    name: str
    arguments: str


class ToolCallReply(Reply):
    id: str
    type: Literal["function"]
    function: FunctionOfCall


class ChatMessage(Reply):
    """reasoning_content and reasoning are the same thoughts under both names that clients know."""

    role: Literal["assistant"]
    content: str | None
    reasoning_content: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCallReply] = field(default_factory=list)


class TokenAlternative(Reply):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprobReply(Reply):
    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[TokenAlternative]


class ChatLogprobs(Reply):
    """content: of the answer. reasoning_content: of the thoughts."""

    content: list[TokenLogprobReply]
    refusal: None
    reasoning_content: list[TokenLogprobReply] = field(default_factory=list)


class ChatChoice(Reply):
    index: int
    message: ChatMessage
    finish_reason: FinishReason
    logprobs: ChatLogprobs | None
    stop_reason: str = ""


class ChatCompletion(Reply):
    """effective: the settings that held. warnings: what was ignored or lowered."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: ChatUsage
    effective: Effective
    thinking_truncated: bool
    warnings: list[str] = field(default_factory=list)


class CompletionLogprobs(Reply):
    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float | None] | None]
    text_offset: list[int]


class CompletionChoice(Reply):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason


class CompletionUsage(Reply):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens


class Completion(Reply):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: CompletionUsage
    warnings: list[str] = field(default_factory=list)


class ResponseReply(Struct, kw_only=True):
    """The request's own fields come back as well."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["completed", "incomplete"]
    model: str
    output: list[dict[str, Any]]
    usage: dict[str, Any]
    effective: Effective
    warnings: list[str] = field(default_factory=list)


class ResponseDeleted(Reply):
    id: str
    object: Literal["response"]
    deleted: bool


class InputItems(Reply):
    object: Literal["list"]
    data: list[dict[str, Any]]
    has_more: bool
    first_id: str | None
    last_id: str | None


class EmbeddingItem(Reply):
    """embedding: numbers, or base64 of float32."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Reply):
    prompt_tokens: int
    total_tokens: int


class Embeddings(Reply):
    object: Literal["list"]
    data: list[EmbeddingItem]
    model: str
    usage: EmbeddingUsage


class RerankedDocument(Reply):
    text: str


class RerankedItem(Reply):
    """index: the place in the request. document: with return_documents."""

    index: int
    relevance_score: float
    document: RerankedDocument | None = None


class Reranked(Reply):
    id: str
    model: str
    scoring: Literal["cosine", "yes_no"]
    results: list[RerankedItem]
    usage: EmbeddingUsage
    warnings: list[str] = field(default_factory=list)


class ModelCard(Reply):
    """capability and lengths are known once the model is loaded."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    loaded: bool
    capability: Literal["hybrid", "thinking", "instruct", "base"] = "hybrid"
    context_length: int = 0
    max_model_len: int = 0


class ModelList(Reply):
    object: Literal["list"]
    data: list[ModelCard]


class MessageUsage(Reply):
    input_tokens: int
    cache_read_input_tokens: int
    cache_creation_input_tokens: int
    output_tokens: int


class MessageReply(Reply):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[dict[str, Any]]
    stop_reason: Literal["end_turn", "max_tokens", "tool_use", "stop_sequence"]
    stop_sequence: str | None
    usage: MessageUsage
    effective: Effective
    warnings: list[str] = field(default_factory=list)


class TokenCount(Reply):
    input_tokens: int


class OllamaLine(Struct, kw_only=True):
    """The last line has done true, why it ended, the counts, and durations in nanoseconds."""

    model: str
    created_at: str
    done: bool
    done_reason: Literal["stop", "length", "load", "unload"]


class OllamaChat(OllamaLine, kw_only=True):
    message: dict[str, Any]


class OllamaGenerate(OllamaLine, kw_only=True):
    response: str


class OllamaEmbeddings(Reply):
    model: str
    embeddings: list[list[float]]
    prompt_eval_count: int


class OllamaOldEmbedding(Reply):
    embedding: list[float]


class OllamaModels(Reply):
    models: list[dict[str, Any]]


class OllamaShow(Struct, kw_only=True):
    details: dict[str, Any]
    model_info: dict[str, Any]
    capabilities: list[str]


class OllamaVersion(Reply):
    version: str
    ponder: str


class OllamaStatus(Struct, kw_only=True):
    status: str


class Tokens(Reply):
    """tokens: ids, or ids with their pieces."""

    tokens: list[int | dict[str, Any]]
    count: int
    max_model_len: int
    warnings: list[str] = field(default_factory=list)


class Text(Reply):
    content: str
    prompt: str


class Props(Struct, kw_only=True):
    model_alias: str
    total_slots: int
    is_sleeping: bool


class Health(Reply):
    status: str
    in_flight: int


class RunningReply(Reply):
    id: str
    object: Literal["request"]
    answer_now: bool = True
    cancelled: bool = True


class ErrorText(Reply):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(Reply):
    error: ErrorText


class AnthropicErrorText(Reply):
    type: str
    message: str


class AnthropicError(Reply):
    type: Literal["error"]
    error: AnthropicErrorText


class OllamaError(Reply):
    error: str
