"""What /v1/responses gives, as structs: the reply, its items, and what is told of stored ones."""

from typing import Any, Literal

from msgspec import UNSET, UnsetType, field

from ponder.core.event import Effective
from ponder.core.request import Truncation
from ponder.server.api.openai.structs.chat import CachedTokens
from ponder.server.http.reply import JsonReply

ItemStatus = Literal["in_progress", "completed", "incomplete"]


class OutputText(JsonReply, tag_field="type", tag="output_text"):
    text: str
    annotations: list[Any]
    logprobs: list[Any]


class ReasoningText(JsonReply, tag_field="type", tag="reasoning_text"):
    text: str


class MessageItem(JsonReply, tag_field="type", tag="message"):
    id: str
    status: ItemStatus
    role: Literal["assistant"]
    content: list[OutputText]


class ReasoningItem(JsonReply, tag_field="type", tag="reasoning"):
    id: str
    status: ItemStatus
    summary: list[Any]
    content: list[ReasoningText]


class FunctionCallItem(JsonReply, tag_field="type", tag="function_call"):
    """namespace: of its tool, if that is in one."""

    id: str
    status: ItemStatus
    call_id: str
    name: str
    arguments: str
    namespace: str = ""


class CustomCallItem(JsonReply, tag_field="type", tag="custom_tool_call"):
    id: str
    status: ItemStatus
    call_id: str
    name: str
    input: str
    namespace: str = ""


OutputItem = MessageItem | ReasoningItem | FunctionCallItem | CustomCallItem


class ResponseUsage(JsonReply):
    input_tokens: int
    input_tokens_details: CachedTokens
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int


class ResponseError(JsonReply):
    code: str
    message: str


class IncompleteDetails(JsonReply):
    reason: Literal["max_output_tokens"]


class ResponseReply(JsonReply):
    """The request's own fields come back as well. effective and what follows it: of a reply that has ended."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    model: str
    output: list[OutputItem]
    instructions: str | None
    tools: list[dict[str, Any]]
    tool_choice: str | dict[str, Any]
    parallel_tool_calls: bool
    temperature: float | None
    top_p: float | None
    max_output_tokens: int | None
    reasoning: dict[str, Any] | None
    text: dict[str, Any]
    truncation: Truncation
    metadata: dict[str, Any]
    error: ResponseError | None
    incomplete_details: IncompleteDetails | None
    usage: ResponseUsage | None
    previous_response_id: str | None
    store: bool
    effective: Effective | UnsetType = UNSET
    malformed_tool_calls: int = 0
    warnings: list[str] = field(default_factory=list)


class ResponseDeleted(JsonReply):
    id: str
    object: Literal["response"]
    deleted: bool


class InputItems(JsonReply):
    object: Literal["list"]
    data: list[dict[str, Any]]
    has_more: bool
    first_id: str | None
    last_id: str | None
