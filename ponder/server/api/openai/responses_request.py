"""The body of POST /v1/responses -> `ChatRequest` (T17). Input is a text or a list of items: messages, reasoning,
function calls and their outputs. What the model did in one turn is several items in a row and one message here. Before
the input come the items of the reply that the request continues (response_store.py)."""

from typing import Any

from msgspec import field

from ponder.core.errors import UserError
from ponder.core.message import Message, Part, Reasoning, Text, ToolCall
from ponder.core.params import Grammar, SamplingParams
from ponder.core.request import ChatRequest, Truncation
from ponder.server.api.openai.chat_request import schema_grammar
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
    run."""
    if body.max_output_tokens is not None and not 1 <= body.max_output_tokens <= 1 << 31:
        raise UserError(f"max_output_tokens must be between 1 and {1 << 31}", param="max_output_tokens")
    tools, warnings = tools_of(body.tools)
    warnings = (*warnings, *(f"include: {name!r} is not kept here and was left out" for name in body.include))
    return ChatRequest(
        messages=messages_of(body.instructions, items, earlier),
        tools=tools,
        tool_choice=_tool_choice(body.tool_choice),
        parallel_tool_calls=body.parallel_tool_calls,
        sampling=SamplingParams(
            temperature=body.temperature, top_p=body.top_p, top_k=body.top_k, seed=body.seed,
            max_tokens=body.max_output_tokens,
        ),
        thinking=thinking_of(body),
        grammar=_grammar(body.text.get("format")),
        truncation=body.truncation,
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


def messages_of(instructions: str | None, items: list[Any], earlier: list[Item]) -> tuple[Message, ...]:
    out = [Message.system(instructions)] if instructions else []
    parts: list[Part] = []  # what the model did in the turn that is being read
    for n, item in enumerate([*earlier, *items], -len(earlier)):
        where = f"input[{n}]"
        if not isinstance(item, dict):
            raise UserError(f"{where} must be an object", param="input")
        part = _model_parts(item, where)
        if part is not None:
            parts += part
            continue
        if parts:
            out.append(Message("assistant", tuple(parts)))
            parts = []
        out.append(_other_message(item, where))
    if parts:
        out.append(Message("assistant", tuple(parts)))
    return tuple(out)


def _model_parts(item: Item, where: str) -> list[Part] | None:
    """The parts of an item of the model's, None for one of somebody else's."""
    kind = item.get("type", "message")
    if kind == "reasoning":
        return [Reasoning(_text(item.get("content") or item.get("summary") or "", where))]
    if kind == "function_call":
        if not isinstance(item.get("name"), str) or not isinstance(item.get("arguments", ""), str):
            raise UserError(f"{where}: a function_call has a name and arguments, both strings", param="input")
        return [ToolCall(item["name"], item.get("arguments") or "{}", str(item.get("call_id", "")))]
    if kind == "message" and item.get("role") == "assistant":
        return [Text(_text(item.get("content", ""), where))]
    return None


def _other_message(item: Item, where: str) -> Message:
    kind = item.get("type", "message")
    if kind == "function_call_output":
        return Message.tool(_text(item.get("output", ""), where), call_id=str(item.get("call_id", "")))
    role = item.get("role")
    if kind != "message" or role not in ("user", "system", "developer"):
        raise UserError(
            f"{where}: type {kind!r} with role {role!r}; there are message (user, system, developer, assistant), "
            "reasoning, function_call and function_call_output",
            param="input",
        )
    return Message("system" if role == "developer" else role, (Text(_text(item.get("content", ""), where)),))


def _text(content: Any, where: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise UserError(f"{where}: content is a text or a list of parts", param="input")
    for part in content:
        if not isinstance(part, dict) or not isinstance(part.get("text"), str):
            raise UserError(f"{where}: this model reads text parts only", param="input")
    return "".join(part["text"] for part in content)


def tools_of(tools: list[Item]) -> tuple[tuple[dict[str, Any], ...], tuple[str, ...]]:
    """Function tools are flat in this dialect. Others are left out with a warning, as agents list them by habit."""
    out, warnings = [], []
    for tool in tools:
        if tool.get("type") != "function":
            warnings.append(f"tool of type {tool.get('type')!r} was left out: nothing here can run it")
            continue
        if not isinstance(tool.get("name"), str):
            raise UserError("every function tool needs a name", param="tools")
        known = ("name", "description", "parameters", "strict")
        function = {k: tool[k] for k in known if tool.get(k) not in (None, False)}
        out.append({"type": "function", "function": function})
    return tuple(out), tuple(warnings)


def _tool_choice(choice: str | Item) -> str:
    if isinstance(choice, str):
        return choice
    if choice.get("type") == "function" and isinstance(choice.get("name"), str):
        return str(choice["name"])
    raise UserError("tool_choice is auto, none, required or a function by name", param="tool_choice")


def _grammar(form: Any) -> Grammar | None:
    kind = form.get("type", "text") if isinstance(form, dict) else "text"
    if kind == "text":
        return None
    if kind == "json_object":
        return Grammar("json_object")
    if kind == "json_schema":
        return schema_grammar(form, "text.format")
    raise UserError("text.format is text, json_object or json_schema with a schema", param="text.format")
