"""Calls in a turn, and whether they are those that were asked for.

A turn is text with calls between `<tool_call>` and `</tool_call>`, as the model wrote it. Compared are names and
arguments as values: 3 and 3.0 are one number, "oslo" and " Oslo" one city; the order of calls is free. A call that is
broken, or one too many, is wrong.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ponder.core.message import ToolCall
from ponder.text.calls.tool_calls import tagged_calls


def wanted(calls: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """The form in which calls are compared: sorted, compact JSON."""
    return json.dumps(sorted(_written(name, arguments) for name, arguments in calls))


def found(text: str) -> str | None:
    """The same of what a turn calls; None for a broken call. A turn without calls has none: "[]"."""
    _, calls = tagged_calls(text)
    if any(call is None for call in calls):
        return None
    return wanted((call.name, json.loads(call.arguments)) for call in calls if call)


def call(name: str, arguments: Mapping[str, Any]) -> ToolCall:
    return ToolCall(name, json.dumps(arguments, ensure_ascii=False))


def _written(name: str, arguments: Mapping[str, Any]) -> str:
    return json.dumps([name, {key: _plain(value) for key, value in arguments.items()}], sort_keys=True)


def _plain(value: Any) -> Any:
    """Strings without case, blanks at the ends and a final stop, as BFCL compares them; whole floats as integers."""
    if isinstance(value, str):
        return value.strip().rstrip(".").lower()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value
