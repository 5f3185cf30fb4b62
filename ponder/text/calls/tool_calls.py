"""The tool-call codec: one call as the JSON text between `<tool_call>` and `</tool_call>`.

Arguments stay JSON text, byte for byte: serialising them again would change what the model wrote. A call is either
well formed or it is not; nothing is repaired (TC-5).
"""

import re
from typing import Any

import msgspec
from msgspec import Raw, Struct

from ponder.core.message import ToolCall

_NO_ARGUMENTS = (b"{}", b"null")
_TAGGED = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.S)
MOST_NESTED = 256  # objects and lists in each other, of arguments
_BESIDE = ("name", "arguments", "parameters", "id", "type", "index")  # what may stand in a call


class _Call(Struct):
    name: str
    arguments: Raw = Raw(b"null")
    parameters: Raw = Raw(b"null")


def format_call(call: ToolCall) -> str:
    """The body of a call as the official template writes it: the name unescaped, the arguments verbatim."""
    return f'{{"name": "{call.name}", "arguments": {call.arguments}}}'


def tagged(call: ToolCall) -> str:
    """A whole call with its tags, after what was said before it."""
    return f"\n<tool_call>\n{format_call(call)}\n</tool_call>"


def tagged_calls(text: str) -> tuple[str, list[ToolCall | None]]:
    """(what stands outside of the tags, each call; None for one that is broken)."""
    bodies = _TAGGED.findall(text)
    return _TAGGED.sub("", text).strip(), [parse_call(body.strip()) for body in bodies]


def parse_call(body: str) -> ToolCall | None:
    """A call from its body, or None when it is not a JSON object with a "name" and object "arguments".

    "parameters" are arguments under another name. None or null mean none: `{}` (TC-2); but what has arguments in some
    other place is no call, for a tool that is run without those it needs is worse than one that is not run. Beside
    arguments, other keys are allowed and dropped, as in the servers that models are trained against.
    """
    try:
        call = msgspec.json.decode(body, type=_Call)
        arguments = bytes(call.arguments)
        if arguments in _NO_ARGUMENTS:
            arguments = bytes(call.parameters)
        if arguments in _NO_ARGUMENTS:
            arguments = b"{}"
            if not set(msgspec.json.decode(body, type=dict[str, Raw])) <= set(_BESIDE):
                return None
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    return ToolCall(call.name, arguments.decode()) if call.name and are_arguments(arguments) else None


def are_arguments(text: bytes | str) -> bool:
    """Whether this is a JSON object that every client can read: no NaN, no half of a surrogate pair, not nested so deep
    that reading it fails."""
    level: list[Any]
    try:
        level = [msgspec.json.decode(text, type=dict[str, Any])]
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    for _ in range(MOST_NESTED):
        level = [c for v in level for c in (v.values() if isinstance(v, dict) else v) if isinstance(c, dict | list)]
        if not level:
            return True
    return False


class StringScanner:
    """Follows JSON text that arrives in pieces: `inside` says whether a string is open, `broken` whether one held a
    control character, which JSON does not allow. Linear time."""

    _STOP = re.compile(r'["\\\x00-\x1f]')

    def __init__(self) -> None:
        self.inside = False
        self.broken = False
        self._escaped = False  # the previous character was a backslash in a string

    def feed(self, text: str) -> None:
        at = 0
        while at < len(text):
            if self._escaped:
                self._escaped = False
                at += 1
                continue
            found = self._STOP.search(text, at) if self.inside else None
            at = found.start() if found else (text.find('"', at) if not self.inside else -1)
            if at < 0:
                return
            if text[at] == '"':
                self.inside = not self.inside
            elif text[at] == "\\":
                self._escaped = True
            else:
                self.broken = True
            at += 1
