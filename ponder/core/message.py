"""Messages of a conversation, as pure values. `message_from_dict` reads the OpenAI / Hugging Face dict form.

A message is a role and a tuple of parts in the order they were produced. Two details carry information:
* a `Reasoning` part that is present but empty is not the same as none (the official template leaves content alone
  when `reasoning_content` is any string);
* `ids` are the exact token ids of an assistant turn as the model saw and produced them, everything after
  `<|im_start|>assistant\\n`. The renderer's history mode "exact" re-uses them so that a tool loop extends the
  previous prompt id by id (HC-2).
"""

import json
from collections.abc import Iterable
from typing import Any, Literal

from msgspec import Struct

from ponder.core.errors import UserError


class Text(Struct, frozen=True, tag="text"):
    """What is visible of a message."""

    text: str


class Reasoning(Struct, frozen=True, tag="reasoning"):
    """Thoughts: what stood between `<think>` and `</think>`."""

    text: str


class ToolCall(Struct, frozen=True, tag="tool_call"):
    """A call the model made. `arguments` is JSON text exactly as written: re-serialising would change the bytes.

    >>> from ponder import Message, ToolCall
    >>> Message.assistant(tool_calls=(ToolCall("add", '{"a": 17, "b": 25}', id="call_1"),)).tool_calls[0].name
    'add'
    """

    name: str
    arguments: str = "{}"
    id: str = ""


class ToolResult(Struct, frozen=True, tag="tool_result"):
    """What a call gave, for the model to read."""

    text: str
    call_id: str = ""
    name: str = ""


Part = Text | Reasoning | ToolCall | ToolResult


class Message(Struct, frozen=True):
    """What somebody said in a conversation.

    >>> from ponder import Message
    >>> said = Message.assistant("Four.", reasoning="2 and 2.")
    >>> said.text, said.reasoning
    ('Four.', '2 and 2.')
    >>> [message.role for message in (Message.system("Be brief."), Message.user("2 + 2?"), said)]
    ['system', 'user', 'assistant']
    """

    role: str
    """"system", "user", "assistant" or "tool"."""
    parts: tuple[Part, ...] = ()
    """In the order in which they were produced."""
    ids: tuple[int, ...] | None = None
    """The exact token ids of an assistant's turn, all after `<|im_start|>assistant` and its newline; None where they
    are not known."""

    @classmethod
    def system(cls, text: str) -> "Message":
        """Instructions for the whole conversation."""
        return cls("system", (Text(text),))

    @classmethod
    def user(cls, text: str) -> "Message":
        """A question."""
        return cls("user", (Text(text),))

    @classmethod
    def assistant(
        cls,
        text: str = "",
        *,
        reasoning: str | None = None,
        tool_calls: tuple[ToolCall, ...] = (),
        ids: tuple[int, ...] | None = None,
    ) -> "Message":
        """A reply. reasoning: "" is an empty block of thoughts, None no block at all."""
        head: tuple[Part, ...] = () if reasoning is None else (Reasoning(reasoning),)
        body: tuple[Part, ...] = (Text(text),) if text else ()
        return cls("assistant", (*head, *body, *tool_calls), ids)

    @classmethod
    def tool(cls, text: str, *, call_id: str = "", name: str = "") -> "Message":
        """What a call gave. call_id: of the `ToolCall` that it answers."""
        return cls("tool", (ToolResult(text, call_id, name),))

    @property
    def text(self) -> str:
        """The visible text: every text and tool-result part joined."""
        return "".join(p.text for p in self.parts if isinstance(p, Text | ToolResult))

    @property
    def reasoning(self) -> str | None:
        """The thoughts, or None when the message has no reasoning part at all."""
        found = [p.text for p in self.parts if isinstance(p, Reasoning)]
        return "".join(found) if found else None

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """In the order in which the model made them."""
        return tuple(p for p in self.parts if isinstance(p, ToolCall))

    @property
    def is_beginning(self) -> bool:
        """Whether it is an assistant's message that can go on, where it is the last one."""
        return self.role == "assistant" and not self.tool_calls

    def to_dict(self) -> dict[str, Any]:
        """The OpenAI dict form, with `reasoning_content`; `message_from_dict` reads it back to an equal message."""
        empty = not self.parts and self.role not in ("assistant", "tool")
        out: dict[str, Any] = {"role": self.role, "content": None if empty else self.text}
        if self.reasoning is not None:
            out["reasoning_content"] = self.reasoning
        if self.tool_calls:
            out["tool_calls"] = [
                {
                    "type": "function",
                    "function": {"name": c.name, "arguments": c.arguments},
                    **({"id": c.id} if c.id else {}),
                }
                for c in self.tool_calls
            ]
        for part in self.parts:
            if isinstance(part, ToolResult):
                out.update({k: v for k, v in (("tool_call_id", part.call_id), ("name", part.name)) if v})
        if self.ids is not None:
            out["ids"] = list(self.ids)
        return out


def messages_from_dicts(
    raw: "Iterable[Message | dict[str, Any]]", *, content_parts: Literal["join", "official"] = "join"
) -> tuple[Message, ...]:
    """Read a conversation; what is a `Message` already stays as it is. An error names the message by its place."""
    messages = []
    for n, item in enumerate(raw):
        try:
            message = item if isinstance(item, Message) else message_from_dict(item, content_parts=content_parts)
        except UserError as e:
            raise UserError(f"message {n}: {e}", param=e.param) from e
        messages.append(message)
    return tuple(messages)


def message_from_dict(raw: dict[str, Any], *, content_parts: Literal["join", "official"] = "join") -> Message:
    """Read one message dict: {"role", "content"?, "reasoning_content"? | "reasoning"?, "tool_calls"?, ...}.

    content_parts: what a content that is no string becomes. "join" keeps it (the text parts of a list joined, an
    object as JSON): what a user of an API expects. "official" drops it, as the official template does: what a
    comparison with that template needs.

    Raises UserError when the shape is not a message at all.
    """
    if not isinstance(raw, dict) or not isinstance(raw.get("role"), str):
        raise UserError(f'a message must be an object with a string "role", got {_short(raw)}', param="messages")
    role: str = raw["role"]
    content = _content_text(raw.get("content"), content_parts)
    if role == "tool":
        return Message.tool(content, call_id=raw.get("tool_call_id") or "", name=raw.get("name") or "")
    if role != "assistant":
        # No part at all: the official template does not take a message without a string for a query.
        dropped = raw.get("content") is None or (content_parts == "official" and not isinstance(raw["content"], str))
        return Message(role, () if dropped else (Text(content),))
    reasoning = next((raw[k] for k in ("reasoning_content", "reasoning") if isinstance(raw.get(k), str)), None)
    if reasoning is None and "</think>" in content:
        reasoning, content = split_thinking(content)
    calls, ids = raw.get("tool_calls") or [], raw.get("ids")
    if not isinstance(calls, list | tuple):
        raise UserError(f'"tool_calls" must be a list, got {_short(calls)}', param="messages")
    if ids is not None and not (isinstance(ids, list | tuple) and all(isinstance(i, int) for i in ids)):
        raise UserError(f'"ids" must be a list of token ids, got {_short(ids)}', param="messages")
    parsed = tuple(_tool_call(c) for c in calls)
    return Message.assistant(content, reasoning=reasoning, tool_calls=parsed, ids=None if ids is None else tuple(ids))


def split_thinking(content: str) -> tuple[str, str]:
    """(reasoning, content) of raw assistant text with a `</think>`, as the official template splits it."""
    reasoning = content.split("</think>")[0].rstrip("\n").split("<think>")[-1].lstrip("\n")
    return reasoning, content.split("</think>")[-1].lstrip("\n")


def _content_text(content: Any, content_parts: str) -> str:
    if isinstance(content, str):
        return content
    if content is None or content_parts == "official":
        return ""
    if isinstance(content, list):
        return "".join(_part_text(p) for p in content)
    if isinstance(content, dict):
        return json.dumps(content, ensure_ascii=False)
    raise UserError(f"content is a text, a list of parts or null, got {_short(content)}", param="messages")


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return str(part["text"])
    raise UserError(
        f"this model reads text only: a content part must be a string or have a text, got {_short(part)}",
        param="messages",
    )


def _tool_call(raw: Any) -> ToolCall:
    body = raw.get("function") or raw if isinstance(raw, dict) else None
    if not isinstance(body, dict) or not isinstance(body.get("name"), str):
        raise UserError(f'a tool call needs a string "name", got {_short(raw)}', param="messages")
    arguments = body.get("arguments", {})
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return ToolCall(body["name"], text, raw.get("id") or "")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
