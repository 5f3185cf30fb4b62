"""The soft switch: `/think` and `/no_think` in user or system text of Qwen3. The newest one wins.

The model reads the words itself; this function tells the engine which sampling defaults and which report fit.
"""

import re
from collections.abc import Sequence

from ponder.core.message import Message, Text

# Written after a query with or without a space ("hi/no_think", "你好/no_think"), so any character may come before,
# except another slash (a path), and no ASCII word, dash or slash may follow ("/thinking", "/think/more").
_SWITCH = re.compile(r"(?<!/)/(no_)?think(?![A-Za-z0-9_/-])")


def soft_switch(messages: Sequence[Message]) -> bool | None:
    """True for /think, False for /no_think, None when no switch was given. Tool results never switch (TH-3)."""
    for message in reversed(messages):
        if message.role not in ("user", "system") or is_tool_response(message.text):
            continue
        text = "".join(p.text for p in message.parts if isinstance(p, Text))
        if (found := _last(text)) is not None:
            return found
    return None


def _last(text: str) -> bool | None:
    """From the end: the pattern over a long text would hold up everybody."""
    end = len(text)
    while (at := text.rfind("think", 0, end)) >= 0:
        for start in (at - 1, at - 4):
            if start >= 0 and (found := _SWITCH.match(text, start)):
                return not found[1]
        end = at
    return None


def is_tool_response(text: str) -> bool:
    """A tool's result that came as a user message, which is how the official template writes it."""
    return text.startswith("<tool_response>") and text.endswith("</tool_response>")
