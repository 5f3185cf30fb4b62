"""The body of POST /v1/messages -> `ChatRequest`. Content is a text or a list of blocks, in both directions."""

import json
from typing import Any

from msgspec import field

from ponder.core.errors import UserError
from ponder.core.message import Message, Reasoning, Text, ToolCall, ToolResult
from ponder.core.params import Grammar, SamplingParams, Thinking
from ponder.core.request import ChatRequest
from ponder.server.api.billing_header import without_billing_header
from ponder.server.api.left_out import question_begins, summary, text_of, text_or_note
from ponder.server.api.thinking_params import ThinkingBody, thinking_of

Block = dict[str, Any]


SEARCH: dict[str, Any] = {
    "description": "Search the web.",
    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
}


class MessagesBody(ThinkingBody, frozen=True, kw_only=True):
    messages: list[dict[str, Any]]
    model: str = ""
    max_tokens: int | None = None
    system: str | list[Block] = ""
    stream: bool = False
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] = field(default_factory=list)
    tools: list[Block] = field(default_factory=list)
    tool_choice: Block = field(default_factory=dict)
    output_config: Block = field(default_factory=dict)
    metadata: Block = field(default_factory=dict)
    service_tier: str | None = None


def messages_request(body: MessagesBody) -> tuple[ChatRequest, tuple[str, ...]]:
    """-> the request, and a warning for every tool of the vendor's own kinds, which only the vendor can run."""
    if not body.messages:
        raise UserError("messages is empty: give at least one", param="messages")
    tools, warnings = tools_of(body.tools, offered_search(body.tools, body.tool_choice))
    choice, parallel = _tool_choice(body.tool_choice)
    messages = messages_of(body.system, body.messages)
    return ChatRequest(
        messages=messages,
        continue_final_message=messages[-1].is_beginning,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        sampling=_sampling(body),
        thinking=_thinking(body),
        grammar=_grammar(body.output_config),
        call_deltas=True,
    ), warnings


def _sampling(body: MessagesBody) -> SamplingParams:
    """Errors name the fields as this dialect does."""
    try:
        return SamplingParams(
            temperature=body.temperature,
            top_p=body.top_p,
            top_k=body.top_k,
            max_tokens=body.max_tokens,
            stop=tuple(body.stop_sequences),
        )
    except UserError as e:
        if e.param != "stop":
            raise
        raise UserError(str(e).replace("stop", "stop_sequences", 1), param="stop_sequences") from None


def messages_of(system: str | list[Block], raw: list[dict[str, Any]]) -> tuple[Message, ...]:
    """A user message with tool results becomes one `tool` message a result, then what else it says."""
    out = []
    if text := _text(system, "system", asked=True):
        out.append(Message.system(text))
    turns = [_blocks(message, f"messages.{n}") for n, message in enumerate(raw)]
    begins = question_begins([_whose(role, blocks) for role, blocks in turns])
    for n, (role, blocks) in enumerate(turns):
        where = f"messages.{n}"
        if role == "assistant":
            out.append(Message("assistant", tuple(p for b in blocks if (p := _assistant_part(b, where)) is not None)))
            continue
        results = [b for b in blocks if b.get("type") == "tool_result"]
        out += [Message("tool", (_result(b, where),)) for b in results]
        rest = [b for b in blocks if b.get("type") != "tool_result"]
        if rest or not results:
            out.append(Message(role, (Text(_text(rest, where, asked=n >= begins)),)))
    return without_billing_header(tuple(out))


def _blocks(message: dict[str, Any], where: str) -> tuple[str, list[Block]]:
    """(role, blocks)"""
    role, content = message.get("role"), message.get("content", "")
    if role not in ("user", "assistant", "system"):
        raise UserError(f"{where}: role must be user or assistant, got {role!r}", param="messages")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(blocks, list) or not all(isinstance(b, dict) for b in blocks):
        raise UserError(f"{where}: content is a text or a list of blocks", param="messages")
    return role, blocks


def _whose(role: str, blocks: list[Block]) -> str:
    return "tool" if any(b.get("type") == "tool_result" for b in blocks) else role


def _assistant_part(block: Block, where: str) -> Text | Reasoning | ToolCall | None:
    kind = block.get("type")
    if kind == "thinking":
        return Reasoning(str(thoughts)) if (thoughts := block.get("thinking")) else None
    if kind == "redacted_thinking":
        return None  # nobody but its vendor can read it
    if kind == "tool_use":
        if not isinstance(block.get("name"), str):
            raise UserError(f"{where}: a tool_use block has a name", param="messages")
        arguments = json.dumps(block.get("input", {}), ensure_ascii=False)
        return ToolCall(block["name"], arguments, str(block.get("id", "")))
    return Text(summary(block, ("name", "input")) if (text := text_of(block)) is None else text)


def _result(block: Block, where: str) -> ToolResult:
    text = _text(block.get("content", ""), where, asked=False)
    return ToolResult(f"Error: {text}" if block.get("is_error") else text, str(block.get("tool_use_id", "")))


def _text(content: Any, where: str, *, asked: bool) -> str:
    """asked: every block must be one that can be read."""
    if isinstance(content, str):
        return content
    content = [] if content is None else content
    if not isinstance(content, list):
        text = f"{where}: content is a text or a list of blocks, not {type(content).__name__}"
        raise UserError(text, param=where.split(".")[0])
    parts = []
    for block in content:
        if asked and text_of(block) is None:
            kind = block.get("type") if isinstance(block, dict) else type(block).__name__
            raise UserError(f"{where}: this model reads text only, not {kind!r} blocks", param=where.split(".")[0])
        parts.append(text_or_note(block))
    return "\n".join(parts) if where == "system" else "".join(parts)


def is_web_search(tool: Block) -> bool:
    """The vendor's own search, of any version."""
    return str(tool.get("type", "")).startswith("web_search")


def offered_search(tools: list[Block], choice: Block) -> str | None:
    """The name of the web search that the model is told of. There is none here, and a call of it is answered so; where
    it is one tool of several, it is better left out."""
    found = [str(t.get("name")) for t in tools if is_web_search(t)]
    chosen = [name for name in found if choice.get("type") == "tool" and choice.get("name") == name]
    return next(iter(chosen or (found if len(tools) == 1 else [])), None)


def tools_of(tools: list[Block], search: str | None = None) -> tuple[tuple[dict[str, Any], ...], tuple[str, ...]]:
    """search: of `offered_search`."""
    out, warnings = [], []
    for tool in tools:
        if is_web_search(tool) and tool.get("name") == search:
            out.append({"type": "function", "function": SEARCH | {"name": search}})
            continue
        if (tool.get("type") or "custom") != "custom":
            warnings.append(f"tool {tool.get('name')!r} of type {tool['type']!r} was left out: nothing here can run it")
            continue
        if not isinstance(tool.get("name"), str):
            raise UserError("every tool needs a name", param="tools")
        function: dict[str, Any] = {"name": tool["name"]}
        function |= {"description": tool["description"]} if "description" in tool else {}
        function |= {"parameters": tool.get("input_schema", {})}
        function |= {"strict": tool["strict"]} if tool.get("strict") else {}
        out.append({"type": "function", "function": function})
    return tuple(out), tuple(warnings)


def _tool_choice(raw: Block) -> tuple[str, bool]:
    kinds = {"auto": "auto", "any": "required", "none": "none", "tool": str(raw.get("name") or "")}
    kind = raw.get("type", "auto")
    if not isinstance(kind, str) or not kinds.get(kind):
        raise UserError("tool_choice.type is auto, any, none, or tool with a name", param="tool_choice")
    return kinds[kind], not raw.get("disable_parallel_tool_use", False)


def _thinking(body: MessagesBody) -> Thinking:
    """Anthropic's models do not think unless asked to; a body without `thinking` leaves it to the server's default."""
    word = body.output_config.get("effort")
    return thinking_of(body, None if word is None else ("output_config.effort", word))


def _grammar(config: Block) -> Grammar | None:
    form = config.get("format")
    if form is None:
        return None
    if not isinstance(form, dict) or form.get("type") != "json_schema" or not isinstance(form.get("schema"), dict):
        raise UserError('output_config.format is {"type": "json_schema", "schema": {...}}', param="output_config")
    return Grammar("json_schema", json.dumps(form["schema"], ensure_ascii=False))
