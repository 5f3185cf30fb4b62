"""The chat template of Qwen3-Coder: tools as XML, calls as `<function=...>`, no thoughts.

It was published in several forms, which models in use carry; what differs between them is a `CoderForm`. Each renders
byte for byte as the official Jinja text does for input which that takes.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from ponder.core.message import Message, ToolCall
from ponder.core.request import History
from ponder.text.calls.xml_calls import END_FUNCTION, END_PARAMETER
from ponder.text.chat.spans import Writer

SYSTEM = "You are Qwen, a helpful AI assistant that can interact with a computer to solve tasks."
_FUNCTIONS = "\n\nYou have access to the following functions:\n\n<tools>"
_EXAMPLE = (
    "\n</tools>\n\nIf you choose to call a {thing} ONLY reply in the following format with NO suffix:\n\n"
    "<tool_call>\n<function=example_function_name>\n<parameter=example_parameter_1>\nvalue_1\n</parameter>\n"
    "<parameter=example_parameter_2>\n{value}\n</parameter>\n</function>\n</tool_call>\n\n<IMPORTANT>\nReminder:\n"
    "- Function calls MUST follow the specified format: {form}\n"
    "- Required parameters MUST be specified\n- You may provide optional reasoning for your function call in natural "
    "language BEFORE the function call, but NOT after\n- If there is no function call available, answer the question "
    "like normal with your current knowledge and do not tell the user about function calls\n</IMPORTANT>"
)
_NESTED = _EXAMPLE.format(
    thing="function",
    value="This is the value for the second parameter\nthat can span\nmultiple lines",
    form="an inner <function=...></function> block must be nested within <tool_call></tool_call> XML tags",
)
_TAGGED = _EXAMPLE.format(
    thing="tool",
    value="value_2",
    form="the tool calling block MUST begin with an opening <tool_call> tag and end with a closing </tool_call> tag.",
)
_TAGS = re.compile(r"(</?tool_call>)")


class CoderForm(Struct, frozen=True):
    """before, after: what stands around the tools. tool: one of them. value: what no string is, of an argument.
    joined: a run of results is written as in the other templates, without a line break at its end."""

    before: str
    after: str
    tool: Callable[[Any], str]
    value: Callable[[Any], str]
    joined: bool = False


def render_coder(
    writer: Writer, messages: Sequence[Message], tools: Sequence[dict[str, Any]], history: History, form: CoderForm
) -> None:
    first = 1 if messages and messages[0].role == "system" else 0
    if first or tools:
        _header(writer, messages[0].text if first else None, tools, form)
    for n, message in enumerate(messages[first:], first):
        writer.at(n, message.role)
        if message.role == "assistant" and history == "exact" and message.ids is not None:
            writer.exact_turn(message.ids)
        elif message.role == "assistant" and message.tool_calls:
            _calls(writer, message, form)
        elif message.role == "tool":
            _result(writer, messages, n, first, form)
        else:
            writer.open_turn(message.role)
            writer.text(message.text, "text", trainable=message.role == "assistant")
            writer.end_turn(trainable=message.role == "assistant")
        if message.role == "assistant" and message.reasoning:
            writer.warn(f"message {n}: its reasoning is left out, the Qwen3-Coder template has none")


def _header(writer: Writer, system: str | None, tools: Sequence[dict[str, Any]], form: CoderForm) -> None:
    writer.at(-1 if system is None else 0, "system")
    writer.open_turn("system")
    writer.text(SYSTEM if system is None else system, "header" if system is None else "text")
    if tools:
        writer.at(-1, "system")
        writer.text(form.before, "header")
        for tool in tools:
            writer.text(form.tool(tool), "header")
        for piece in _TAGS.split(form.after):  # Hugging Face turns the tags of this text into control ids, too
            if _TAGS.fullmatch(piece):
                writer.control(piece, "header")
            else:
                writer.text(piece, "header")
    writer.end_turn()


def _calls(writer: Writer, message: Message, form: CoderForm) -> None:
    writer.open_turn("assistant")
    text = message.text.strip()
    if text:
        writer.text(text, "text", trainable=True)
        writer.text("\n\n", "tool_call", trainable=True)
    for n, call in enumerate(message.tool_calls):
        if n:
            writer.text("\n", "tool_call", trainable=True)
        writer.control("<tool_call>", "tool_call", trainable=True)
        writer.text(f"\n{format_xml(call, form.value)}\n", "tool_call", trainable=True)
        writer.control("</tool_call>", "tool_call", trainable=True)
    writer.end_turn(trainable=True)


def format_xml(call: ToolCall, value: Callable[[Any], str]) -> str:
    """The body of a call. What is no JSON object stands in it as it is: such a call was never run."""
    try:
        arguments = json.loads(call.arguments)
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        return f"<function={call.name}>\n{call.arguments}\n{END_FUNCTION}"
    texts = {k: v if isinstance(v, str) else value(v) for k, v in arguments.items()}
    written = "".join(f"<parameter={k}>\n{text}\n{END_PARAMETER}\n" for k, text in texts.items())
    return f"<function={call.name}>\n{written}{END_FUNCTION}"


def _result(writer: Writer, messages: Sequence[Message], n: int, first: int, form: CoderForm) -> None:
    """A run of results shares one user turn. The official text forgets to open it where a conversation begins with a
    result."""
    begins = n > first and messages[n - 1].role != "tool"
    if begins:
        writer.control("<|im_start|>", "header")
        writer.text("user" if form.joined else "user\n", "header")
    if form.joined:
        writer.text("\n", "tool_result")
    writer.control("<tool_response>", "tool_result")
    writer.text("\n" + messages[n].text + "\n", "tool_result")
    writer.control("</tool_response>", "tool_result")
    if not form.joined:
        writer.text("\n", "tool_result")
    if n == len(messages) - 1 or messages[n + 1].role != "tool":
        writer.end_turn()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _python(value: Any) -> str:
    """Jinja's `string` for what holds nothing, JSON for the rest."""
    return _json(value) if isinstance(value, dict | list) else str(value)


def _function(tool: Any) -> dict[str, Any]:
    function: dict[str, Any] = tool.get("function", tool)
    return function


def _parameters(function: dict[str, Any]) -> dict[str, Any]:
    """The parameters by name."""
    schema = function.get("parameters")
    found = schema.get("properties") if isinstance(schema, dict) else None
    return found if isinstance(found, dict) else {}


def _tool(tool: Any, value: Callable[[Any], str]) -> str:
    """Every key has its tag. value: what no string is."""

    def others(raw: Any, *told: str) -> str:
        keys = [k for k in raw if k not in told] if isinstance(raw, dict) else []
        return "".join(f"\n<{k}>{raw[k] if isinstance(raw[k], str) else value(raw[k])}</{k}>" for k in keys)

    function = _function(tool)
    out = f"\n<function>\n<name>{function.get('name', '')}</name>{_described(function)}\n<parameters>"
    for name, fields in _parameters(function).items():
        out += f"\n<parameter>\n<name>{name}</name>{_typed(fields)}{_described(fields)}"
        out += others(fields, "name", "type", "description") + "\n</parameter>"
    out += others(function.get("parameters"), "type", "properties") + "\n</parameters>"
    return out + others(function, "type", "name", "description", "parameters") + "\n</function>"


def _typed(fields: Any) -> str:
    return f"\n<type>{fields['type']}</type>" if isinstance(fields, dict) and "type" in fields else ""


def _described(fields: Any) -> str:
    return f"\n<description>{str(fields['description']).strip()}</description>" if _has(fields, "description") else ""


def _has(fields: Any, key: str) -> bool:
    return isinstance(fields, dict) and key in fields


def _first_tool(tool: Any) -> str:
    """As of July 2025: lists of names in backquotes, and only some keys of the schema."""
    function = _function(tool)
    out = f"\n<function>\n<name>{function.get('name', '')}</name>"
    out += f"\n<description>{str(function.get('description', '')).strip()}</description>\n<parameters>"
    for name, fields in _parameters(function).items():
        out += f"\n<parameter>\n<name>{name}</name>{_typed(fields)}{_described(fields)}"
        if isinstance(fields, dict):
            out += _listed(fields.get("enum"), "enum")
            for key in (k for k in fields if k not in ("type", "description", "enum", "required")):
                plain = key.replace("-", "_").replace(" ", "_").replace("$", "")
                text = _json(fields[key]) if isinstance(fields[key], dict) else str(fields[key])
                out += f"\n<{plain}>{text}</{plain}>"
            out += _listed(fields.get("required"), "required")
        out += "\n</parameter>"
    schema = function.get("parameters")
    out += _listed(schema.get("required") if isinstance(schema, dict) else None, "required") + "\n</parameters>"
    if "return" in function:
        returned = function["return"]
        out += f"\n<return>{_json(returned) if isinstance(returned, dict) else returned}</return>"
    return out + "\n</function>"


def _listed(items: Any, tag: str) -> str:
    if not isinstance(items, list | dict | str) or not items:
        return ""
    return f"\n<{tag}>[{', '.join(f'`{i}`' if isinstance(i, str) else str(i) for i in items)}]</{tag}>"


_HEADING = "\n\n# Tools"
FORMS = {
    "qwen3-coder": CoderForm(_HEADING + _FUNCTIONS, _NESTED, lambda t: _tool(t, _python), _python),
    "qwen3-coder-july": CoderForm(_FUNCTIONS, _NESTED, _first_tool, str),
    "qwen3-coder-tools": CoderForm(
        _HEADING + _FUNCTIONS.replace("functions", "tools"), _TAGGED, lambda t: _tool(t, _python), _python
    ),
    "qwen3-coder-next": CoderForm(_HEADING + _FUNCTIONS, _NESTED, lambda t: _tool(t, _json), _json, joined=True),
}
