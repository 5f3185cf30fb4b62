"""The items of a /v1/responses input -> messages. What the model did in one turn is several items in a row and one
message here.

No kind of item ends a session: agents send the history again each time, with items that only their vendor's models or
servers can do something with. What is a call or a result in whatever form is one here; of the rest a short text says
that it was left out.
"""

import json
from typing import Any

from ponder.core.errors import UserError
from ponder.core.message import Message, Part, Reasoning, Text, ToolCall
from ponder.server.api.billing_header import without_billing_header
from ponder.server.api.left_out import question_begins, summary, text_of, text_or_note
from ponder.server.api.openai.tools import custom_arguments, flat_name

Item = dict[str, Any]
_INPUTS = ("arguments", "action", "operation")  # where the kinds of calls have what they are called with


def messages_of(instructions: str | None, items: list[Any], earlier: list[Item]) -> tuple[Message, ...]:
    """earlier: what the request continues."""
    everything = [*earlier, *items]
    for n, item in enumerate(everything, -len(earlier)):
        if not isinstance(item, dict):
            raise UserError(f"input[{n}] must be an object", param="input")
    out = [Message.system(instructions)] if instructions else []
    parts: list[Part] = []  # what the model did in the turn that is being read
    begins = question_begins([_whose(item) for item in everything])
    for n, item in enumerate(everything):
        where = f"input[{n - len(earlier)}]"
        if _whose(item) == "assistant":
            parts.append(_model_part(item, where))
            continue
        if parts:
            out.append(Message("assistant", tuple(parts)))
            parts = []
        out.append(_other_message(item, where, asked=n >= begins))
    if parts:
        out.append(Message("assistant", tuple(parts)))
    return without_billing_header(tuple(out))


def _kind(item: Item) -> str:
    return str(item.get("type") or "message")


def _whose(item: Item) -> str:
    """assistant, tool, or somebody else"""
    kind = _kind(item)
    if kind == "reasoning" or kind.endswith("_call") or (kind == "message" and item.get("role") == "assistant"):
        return "assistant"
    return "tool" if kind.endswith("_output") else "user"


def _model_part(item: Item, where: str) -> Part:
    kind = _kind(item)
    if kind == "reasoning":
        return Reasoning(_text(item.get("content") or item.get("summary") or "", where))
    if kind == "message":
        return Text(_text(item.get("content", ""), where))
    if kind == "function_call":
        if not isinstance(item.get("name"), str) or not isinstance(item.get("arguments"), str | dict | None):
            raise UserError(f"{where}: a function_call has a name and arguments", param="input")
        name = flat_name(item.get("namespace"), item["name"])
        return ToolCall(name, _json(item.get("arguments") or "{}"), str(item.get("call_id", "")))
    if "call_id" not in item:
        return Text(summary(item))  # what its own server did
    name = flat_name(item.get("namespace"), str(item.get("name") or kind.removesuffix("_call")))
    if kind == "custom_tool_call":
        return ToolCall(name, custom_arguments(str(item.get("input", ""))), str(item["call_id"]))
    given: Any = next((item[key] for key in _INPUTS if item.get(key) is not None), {})
    return ToolCall(name, _json(given), str(item["call_id"]))


def _json(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _other_message(item: Item, where: str, *, asked: bool) -> Message:
    kind, role = _kind(item), item.get("role")
    if kind.endswith("_output"):
        output = item.get("output")
        text = _text(output, where) if "output" in item else summary(item)
        return Message.tool(text, call_id=str(item.get("call_id", "")))
    if kind != "message":
        return Message.user(summary(item))
    if role not in ("user", "system", "developer"):
        text = f"{where}: a message's role is user, system, developer or assistant, not {role!r}"
        raise UserError(text, param="input")
    text = _text(item.get("content", ""), where, asked=asked)
    return Message("system" if role == "developer" else role, (Text(text),))


def _text(content: Any, where: str, *, asked: bool = False) -> str:
    """asked: every part must be one that can be read."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, dict):
        text = text_of(content)
        return text if text is not None else text_or_note(content) if "type" in content else _json(content)
    if not isinstance(content, list):
        raise UserError(f"{where}: content is a text or a list of parts", param="input")
    if asked and any(text_of(part) is None for part in content):
        raise UserError(f"{where}: this model reads text parts only", param="input")
    return "".join(map(text_or_note, content))
