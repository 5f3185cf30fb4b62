"""The messages of a run as the next prompt wants them: thoughts live inside a tool loop and end with it.

Inside the running turn every reply keeps its exact ids, so that a step computes only what is new (HC-2). Replies of
earlier turns lose thoughts and ids, as the official template drops them.
"""

from collections.abc import Sequence

from msgspec import structs

from ponder.agent.loop.limits import cut
from ponder.core.message import Message, Reasoning, ToolCall, ToolResult


def for_prompt(messages: Sequence[Message], result_chars: int | None = None, remark: str = "") -> tuple[Message, ...]:
    """To be rendered with history="exact". result_chars: most that is left of each tool result. remark: read by the
    model after the last result, if one is the last message. What the model said nothing with is left out."""
    last = max((n for n, m in enumerate(messages) if m.role == "user"), default=-1)
    prompt = [m if n > last else _settled(m) for n, m in enumerate(messages)]
    prompt = [m for m in prompt if m.role != "assistant" or m.tool_calls or m.reasoning or m.text.strip()]
    if result_chars is not None:
        prompt = [_result(m, cut(m.text, result_chars)) if m.role == "tool" else m for m in prompt]
    if remark and prompt[-1].role == "tool":
        prompt[-1] = _result(prompt[-1], f"{prompt[-1].text}\n\n{remark}")
    return tuple(prompt)


def _result(message: Message, text: str) -> Message:
    (part,) = message.parts
    assert isinstance(part, ToolResult)
    return Message.tool(text, call_id=part.call_id, name=part.name)


def _settled(message: Message) -> Message:
    if message.role != "assistant":
        return message
    parts = tuple(p for p in message.parts if not isinstance(p, Reasoning))
    return structs.replace(message, parts=parts, ids=None)


def unanswered(messages: Sequence[Message]) -> tuple[ToolCall, ...]:
    """Calls of the last assistant message that no tool message has answered."""
    last = max((n for n, m in enumerate(messages) if m.role == "assistant"), default=None)
    if last is None:
        return ()
    answered = {p.call_id for m in messages[last + 1 :] for p in m.parts if isinstance(p, ToolResult)}
    return tuple(c for c in messages[last].tool_calls if c.id not in answered)
