"""Calls that a model writes as plain JSON: `{"name": ..., "arguments": {...}}`, in a code fence or bare.

Qwen2.5-Coder was trained on little else: it takes the official prompt and leaves out the `<tool_call>` tags. The parser
keeps such text as text (TC-5); here it is read as calls, if the reply begins with JSON of that form and names an
offered tool, or a part of its name. Nothing but the name says that such JSON is a call. Words after a call end the
turn: they are about results that nobody has yet.

    reader = UntaggedCalls({"add"})
    events = [shown for event in stream for shown in reader.feed(event)]
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from msgspec import structs

from ponder.core.event import Event, Finish, TextDelta, ToolCallDone
from ponder.core.message import ToolCall

FENCE = re.compile(r"^[ \t]*```(?:json|xml|tool_call)?[ \t]*$", re.M)
AFTER_FENCE = re.compile(r"^[ \t]*```[^\n]*\n.*?\n[ \t]*```[ \t]*\n\s*[^\s`]", re.S)  # words after a fence
LIKE = re.compile(r'\s*(?:```\w*\s*)?\[?\s*\{\s*"name"\s*:\s*"([^"]+)"\s*,\s*"arguments"\s*:')  # begins as a call does
# A value between Python's quotes, which JSON does not know; code may hold such quotes itself.
TRIPLE = re.compile(r'(?<=:)\s*"""\n?(.*?)"""(?=\s*(?:[}\]]|,\s*"\w+"\s*:))', re.S)
OPENING = ("<tool>", "<tools>", "<tool_call>", "<tool_calls>", "<function_call>")
TAGS = re.compile(r"</?(?:tools?|tool_calls?|function_call)>")
# A call whose only argument is a text with quotes that are not escaped, such as code; where it ends is plain.
ONLY = re.compile(
    r'\s*(?:```\w*\s*)?(\{\s*"name"\s*:\s*"[^"]+"\s*,\s*"arguments"\s*:\s*\{\s*"\w+"\s*:\s*")(.*)("\s*\}\s*\})\s*(?:```\s*)?',
    re.S,
)
NEXT = re.compile(r'"\s*,\s*"\w+"\s*:')  # another argument
ESCAPE = re.compile(r"\\(.)", re.S)
DECODER = json.JSONDecoder(strict=False)  # code with true line ends in it is understood as well


class UntaggedCalls:
    """Reads one reply, event by event. Text is held back while it may still become a call.

    names: the offered tools. allowed: where calls are not, what reads as one is left out, as the engine leaves out
    calls in tags. single: at most one call. calls: those that were read. over: there are calls and words after them,
    so the rest of the reply is of no use. passed: the text that was let through.
    """

    def __init__(self, names: set[str], *, allowed: bool = True, single: bool = False) -> None:
        self.calls: list[ToolCall] = []
        self.over = False
        self.passed = ""
        self._names, self._allowed, self._single = names, allowed, single
        self._held = ""
        self._free = False  # the reply is not JSON: text passes as it comes
        self._tagged = False  # it had calls in tags, which the parser has read

    @property
    def in_words(self) -> bool:
        """The reply was text, not JSON, and had no call."""
        return self._free and not self._tagged

    def strange(self) -> bool:
        """At the end of a reply: it is JSON as of a call, of a tool that was not offered."""
        if self.calls or self._tagged or self._free or not self._allowed:
            return False
        like = LIKE.match(self._held)
        return like is not None and not _offered(like[1], self._names) and not read_calls(self._held, self._names)

    def feed(self, event: Event) -> Iterator[Event]:
        if isinstance(event, TextDelta):
            yield from self._text(event)
        elif isinstance(event, Finish):
            yield from self._finish(event)
        else:
            self._tagged = self._tagged or isinstance(event, ToolCallDone)
            yield event

    def _text(self, event: TextDelta) -> Iterator[Event]:
        if self.over:
            return  # said before the end was noticed
        if self._free:
            self.passed += event.text
            yield event
            return
        self._held += event.text
        after = AFTER_FENCE.match(self._held) is not None
        if after and (calls := read_calls(self._held, self._names)):
            self.calls, self.over = calls, True
        elif after or not _may_be_json(self._held):
            self._free, self.passed = True, self._held
            yield TextDelta(self._held)

    def _finish(self, event: Finish) -> Iterator[Event]:
        if self._tagged:
            self.calls = []
        elif not self.calls and not self._free:
            self.calls = read_calls(self._held, self._names)
        if self.calls and self._allowed:
            self.calls = [structs.replace(c, name=meant(c.name, self._names)) for c in self.calls]
            self.calls = self.calls[:1] if self._single else self.calls
            yield from (ToolCallDone(n, call) for n, call in enumerate(self.calls))
            event = structs.replace(event, reason="tool_calls")
        elif not self.calls:
            if self._held and not self._free:
                yield TextDelta(self._held)
            like = None if self._tagged or not self._allowed else LIKE.match(self._held)
            if like and _offered(like[1], self._names):  # what begins as a call and cannot be read
                event = structs.replace(event, malformed_calls=1)
        yield event


def meant(name: str, names: set[str]) -> str:
    """The offered name that a model meant, where only one can be: other signs and capitals, or the end of it."""
    if name in names:
        return name
    found = [n for n in names if letters(n) == letters(name)] or [
        n for n in names if letters(n).endswith(letters(name))
    ]
    return found[0] if len(found) == 1 else name


def letters(name: str) -> str:
    """What two spellings of a name have in common."""
    return re.sub(r"[\W_]", "", name).casefold()


def _may_be_json(text: str) -> bool:
    start = text.lstrip()
    line, end, _ = start.partition("\n")
    if start.startswith("```") and end:
        return FENCE.match(line) is not None
    if start.startswith("<"):
        return any(tag.startswith(start) or start.startswith(tag) for tag in OPENING)
    return not start or start[0] in "{[`"


def read_calls(text: str, names: set[str]) -> list[ToolCall]:
    """The calls that a reply consists of, or begins with; none if it begins with anything else."""
    only = ONLY.match(text)
    return _read(text, names) or (_read(_quoted(only), names) if only else [])


def _read(text: str, names: set[str]) -> list[ToolCall]:
    body = ESCAPE.sub(_escaped, TAGS.sub("\n", FENCE.sub("", TRIPLE.sub(lambda m: json.dumps(m[1]), text))))
    calls: list[ToolCall] = []
    for value in _values(body):
        if value is None:
            return calls if all(_offered(call.name, names) for call in calls) else []
        for item in value if isinstance(value, list) else [value]:
            call = _call(item, names)
            if call is None:
                return []
            calls.append(call)
    return calls if any(_offered(call.name, names) for call in calls) else []


def _quoted(found: re.Match[str]) -> str:
    before, value, after = found.groups()
    if NEXT.search(value):
        return ""
    value = re.sub(r'\\.|"', lambda m: m[0] if len(m[0]) > 1 else '\\"', value, flags=re.S)
    return f"{before}{value}{after}"


def _escaped(found: re.Match[str]) -> str:
    r"""What JSON does not know, as the \d of a pattern in code, is meant as it stands; \' is JavaScript's quote."""
    if found[1] == "'":
        return "'"
    return found[0] if found[1] in '"\\/bfnrtu' else f"\\{found[0]}"


def _call(value: Any, names: set[str]) -> ToolCall | None:
    if not isinstance(value, dict) or not value.keys() >= {"name", "arguments"}:
        return None
    name, arguments = value["name"], value["arguments"]
    if not isinstance(name, str) or not letters(name):
        return None
    if isinstance(arguments, str) and _offered(name, names):
        return ToolCall(name, _object(arguments))
    if not isinstance(arguments, dict) or not (_offered(name, names) or len(value) == 2):
        return None
    return ToolCall(name, json.dumps(arguments, ensure_ascii=False))


def _offered(name: str, names: set[str]) -> bool:
    return any(letters(name) in letters(other) for other in names)


def _object(text: str) -> str:
    """Arguments as a text: of an object, as OpenAI's form has it, or for the only parameter there is."""
    try:
        found = DECODER.decode(text)
    except (ValueError, RecursionError):
        found = text
    return json.dumps(found if isinstance(found, dict) else text, ensure_ascii=False)


def _values(text: str) -> Iterator[Any]:
    """JSON values one after another, with nothing but space and commas between them; None for anything else."""
    at = 0
    while at < len(text):
        if text[at] in " \t\r\n,;":
            at += 1
            continue
        try:
            value, at = DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            yield None
            return
        yield value
