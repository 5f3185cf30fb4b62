"""The body of POST /v1/responses -> `ChatRequest`. Input is a text or a list of items (responses_items.py).
Before it come the items of the reply that the request continues (response_store.py)."""

from typing import Any

from msgspec import field

from ponder.core.errors import UserError
from ponder.core.params import Grammar, SamplingParams
from ponder.core.request import ChatRequest, Truncation
from ponder.server.api.openai.responses_items import messages_of
from ponder.server.api.openai.tools import allowed_tools, flat_name, offered
from ponder.server.api.structured_output import schema_grammar
from ponder.server.api.thinking_params import ThinkingBody, thinking_of

Item = dict[str, Any]


class ResponsesBody(ThinkingBody, frozen=True, kw_only=True):
    input: str | list[Any]
    model: str = ""
    instructions: str | None = None
    stream: bool = False
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    tools: list[Item] = field(default_factory=list)
    tool_choice: str | Item = "auto"
    parallel_tool_calls: bool = True
    text: Item = field(default_factory=dict)
    previous_response_id: str | None = None
    store: bool | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    include: list[str] = field(default_factory=list)
    truncation: Truncation = "disabled"
    user: str | None = None


def responses_request(
    body: ResponsesBody, items: list[Any], earlier: list[Item]
) -> tuple[ChatRequest, tuple[str, ...]]:
    """items: of the input. earlier: those before it. -> the request, and a warning for every tool that nothing here can
    run, and for more."""
    if body.max_output_tokens is not None and not 1 <= body.max_output_tokens <= 1 << 31:
        raise UserError(f"max_output_tokens must be between 1 and {1 << 31}", param="max_output_tokens")
    choice, tools = _tool_choice(body.tool_choice, body.tools)
    tools_offered = offered(tools)
    not_kept = (f"include: {name!r} is not kept here and was left out" for name in body.include)
    warnings = (*tools_offered.warnings, *not_kept)
    return ChatRequest(
        messages=messages_of(body.instructions, items, earlier),
        tools=tools_offered.functions,
        tool_choice=choice,
        parallel_tool_calls=body.parallel_tool_calls,
        sampling=SamplingParams(
            temperature=body.temperature, top_p=body.top_p, top_k=body.top_k, seed=body.seed,
            max_tokens=body.max_output_tokens,
        ),
        thinking=thinking_of(body),
        grammar=_grammar(body.text.get("format")),
        truncation=body.truncation,
        call_deltas=True,
    ), warnings  # fmt: skip


def items_of(text: str | list[Any]) -> list[Any]:
    """The input as items."""
    if not text:
        raise UserError("input is empty: give a text or a list of items", param="input")
    return [{"role": "user", "content": text}] if isinstance(text, str) else text


def listed(items: list[Item], reply: str) -> list[Item]:
    """The input's items as they are kept: with ids and types, texts as parts. reply: what makes the ids unique."""
    out = []
    for n, item in enumerate(items):
        row: Item = {"id": f"in_{reply}_{n}", "type": "message"} | item
        if isinstance(text := row.get("content"), str):
            kind = "output_text" if row.get("role") == "assistant" else "input_text"
            row["content"] = [{"type": kind, "text": text}]
        out.append(row)
    return out


def _tool_choice(choice: str | Item, tools: list[Item]) -> tuple[str, list[Item]]:
    """("auto" | "none" | "required" | a tool's name, the tools that may be called)."""
    if isinstance(choice, str):
        return choice, tools
    kind, name = choice.get("type"), choice.get("name")
    if kind == "allowed_tools":
        mode, named = allowed_tools(choice)
        allowed = [t for t in named if isinstance(t, dict)]
        return mode, [t for t in tools if any(_same_tool(t, other) for other in allowed)]
    if kind in ("function", "custom") and isinstance(name, str):
        return flat_name(choice.get("namespace"), name), tools
    raise UserError("tool_choice is auto, none, required, allowed_tools, or a tool by name", param="tool_choice")


def _same_tool(tool: Item, named: Item) -> bool:
    """A tool without a name is the only one of its type."""
    return (tool.get("type"), tool.get("name")) == (named.get("type"), named.get("name"))


def _grammar(form: Any) -> Grammar | None:
    kind = (form.get("type") or "text") if isinstance(form, dict) else form
    if kind in (None, "text") and not isinstance(form, str):
        return None
    if kind == "json_object":
        return Grammar("json_object")
    if kind == "json_schema":
        return schema_grammar(form, "text.format")
    raise UserError("text.format is text, json_object or json_schema with a schema", param="text.format")
