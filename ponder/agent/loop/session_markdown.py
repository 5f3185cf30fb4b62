"""A session as Markdown to read: who said what, each call with its id and what it gave (AG-3)."""

from collections.abc import Iterable

from ponder.agent.loop.event import CallDone, LoggedEvent, MessageAdded
from ponder.core.message import Reasoning, Text, ToolCall, ToolResult


def transcript(events: Iterable[LoggedEvent]) -> str:
    """Only what is in the history and what the calls gave: no times, no notes. Two runs of equal content are equal."""
    blocks: list[str] = []
    for event in events:
        if isinstance(event, MessageAdded):
            blocks += [_block(event.message.role, part) for part in event.message.parts]
        elif isinstance(event, CallDone):
            blocks += [f"*[{event.call_id}: picture {i.name}, {len(i.data):,} bytes]*" for i in event.output.images]
    return "\n\n".join(blocks) + "\n"


def _block(role: str, part: Text | Reasoning | ToolCall | ToolResult) -> str:
    match part:
        case Reasoning(text=text):
            return "\n".join(f"> {line}" for line in text.strip("\n").split("\n"))
        case ToolCall(name=name, arguments=arguments, id=id_):
            return f"**call {id_}** `{name}`\n{fenced(arguments)}"
        case ToolResult(text=text, call_id=id_):
            return f"**result {id_}**\n{fenced(text)}"
        case Text(text=text):
            return f"**{role}:** {text.strip()}"


def fenced(text: str, language: str = "") -> str:
    """In a fence that is longer than any inside."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"
