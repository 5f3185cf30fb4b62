"""Claude Code's billing header: the first line of its system prompt, written for its vendor's own servers.

Its numbers change with the session or with every request, and it stands in front of all tools and instructions: with
it, none of them would ever come from the cache, which holds for ids after equal ids only. It says nothing to a model,
so it is not shown to one, whichever dialect a proxy made of the request.
"""

import re

from msgspec import structs

from ponder.core.message import Message, Text

_HEADER = re.compile(r"^x-anthropic-billing-header:(?:[ \t]*[\w.-]+=[^;\n]*(?:;|$))*[ \t]*\n?", re.M)


def without_billing_header(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """A system message that says nothing else goes, too."""
    cleaned = [_without(m) if m.role == "system" else m for m in messages]
    return tuple(m for m in cleaned if m is not None)


def _without(message: Message) -> Message | None:
    parts = tuple(Text(_HEADER.sub("", p.text)) if isinstance(p, Text) else p for p in message.parts)
    if parts == message.parts:
        return message
    return structs.replace(message, parts=parts) if any(p.text for p in parts if isinstance(p, Text)) else None
