"""Conversations to learn from: one JSON object a line, as Hugging Face's data sets have them.

    {"messages": [{"role": "user", "content": "2 + 2?"},
                  {"role": "assistant", "reasoning_content": "2 and 2 are 4.", "content": "4"}]}

`tools` beside `messages` are the tools that were offered. Thoughts stand in `reasoning_content` or in the content's own
`<think>` tags; an answer without any is learned after the empty block of the template, which is read and not learned,
so that it teaches what to answer when thoughts are switched off, and never to leave them out. An empty
`reasoning_content` is an empty block that the model writes itself, as after `/no_think`.

Every answer of the assistant is a sample of its own: what came before it is read as inference renders it, where the
thoughts of earlier turns are gone, and the answer alone is learned.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.core.message import Message, messages_from_dicts
from ponder.text.chat.render import render
from ponder.text.tokenizer.tokenizer import Tokenizer

CONVERSATIONS = "conversations.jsonl"
_SHOWN = 5  # bad lines that are told


class Conversation(Struct, frozen=True):
    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        tools = {"tools": list(self.tools)} if self.tools else {}
        return {"messages": [message.to_dict() for message in self.messages]} | tools


def read(path: Path) -> list[Conversation]:
    """Raises UserError that names the bad lines and what is wrong with each."""
    found, bad = [], []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as e:
        raise UserError(f"{path}: {e.strerror}", param="data") from e
    for n, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(conversation_of(json.loads(line)))
        except (UserError, json.JSONDecodeError, UnicodeDecodeError) as e:
            bad.append(f"line {n}: {e}")
    if bad:
        more = f"\n... and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        told = "\n".join(bad[:_SHOWN])
        raise UserError(f"{path}: {len(bad)} of its lines are no conversations:\n{told}{more}", param="data")
    if not found:
        raise UserError(f"{path}: no conversations there", param="data")
    return found


def write(path: Path, conversations: Iterable[Conversation]) -> int:
    """How many."""
    lines = [json.dumps(each.to_dict(), ensure_ascii=False) for each in conversations]
    with replacing(path) as file:
        file.write("\n".join([*lines, ""]).encode())
    return len(lines)


def conversation_of(raw: Any) -> Conversation:
    if not isinstance(raw, dict) or not isinstance(raw.get("messages"), list):
        raise UserError('an object with "messages", a list, was expected')
    messages, tools = messages_from_dicts(raw["messages"]), raw.get("tools") or ()
    if not any(m.role == "assistant" for m in messages):
        raise UserError("no message is the assistant's: there is nothing to learn")
    if messages[0].role == "assistant":
        raise UserError("it begins with the assistant: there is nothing to answer")
    if not isinstance(tools, list | tuple) or not all(isinstance(tool, dict) for tool in tools):
        raise UserError('"tools" must be a list of objects')
    return Conversation(messages, tuple(tools))


def samples(conversation: Conversation, tokenizer: Tokenizer) -> Iterator[tuple[list[int], list[bool]]]:
    """For each answer: ids, and which of them are learned."""
    messages = conversation.messages
    for n, message in enumerate(messages):
        if message.role != "assistant":
            continue
        rendered = render(
            messages[: n + 1], tokenizer, tools=conversation.tools, add_generation_prompt=False,
            history="exact" if message.ids is not None else "strip",
        )  # fmt: skip
        counts = [span.trainable and span.message == n for span in rendered.spans for _ in range(span.start, span.end)]
        if any(counts[1:]):
            yield rendered.ids, counts
