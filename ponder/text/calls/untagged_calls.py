"""Calls that a model writes as plain JSON: `{"name": ..., "arguments": {...}}`, in a code fence or bare.

Qwen2.5-Coder was trained on little else: it takes the official prompt and leaves out the `<tool_call>` tags. The parser
keeps such text as text (TC-5); here it is read as calls, if the reply begins with JSON of that form and names an
offered tool, or a part of its name. Nothing but the name says that such JSON is a call. Words after a call end the
turn: they are about results that nobody has yet.

    reader = UntaggedCalls({"add"})
    shown = reader.feed(text)          # what is certainly text; the rest waits
    shown = reader.finish()            # the rest, if it was text after all; else `reader.calls`

Small models write JSON that JSON does not know. `FORMS` is what is understood beyond it; each form has its test.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from msgspec import structs

from ponder.core.message import ToolCall
from ponder.text.calls.tool_calls import are_arguments
from ponder.text.tokenizer.utf8 import well_formed

_FENCE = re.compile(r"^[ \t]*```(?:json|xml|tool_call)?[ \t]*$", re.M)
_WORDS_AFTER = re.compile(r"^[ \t]*```[^\n]*\n.*?\n[ \t]*```[ \t]*\n\s*[^\s`]", re.S)  # words after a fence
_ARGUMENTS = r'"(?:arguments|parameters)"\s*:'
_CALL = re.compile(r'\s*(?:```\w*\s*)?\[?\s*\{\s*"name"\s*:\s*"([^"]+)"\s*,\s*' + _ARGUMENTS)  # begins as a call does
_TAGS = ("<tool>", "<tools>", "<tool_call>", "<tool_calls>", "<function_call>")
# A call whose only argument is a text with quotes that are not escaped, such as code; where it ends is plain.
_ONE_ARGUMENT = re.compile(
    r'\s*(?:```\w*\s*)?(\{\s*"name"\s*:\s*"[^"]+"\s*,\s*'
    + _ARGUMENTS
    + r'\s*\{\s*"\w+"\s*:\s*")(.*)("\s*\}\s*\})\s*(?:```\s*)?',
    re.S,
)
_NEXT_ARGUMENT = re.compile(r'"\s*,\s*"\w+"\s*:')
_DECODER = json.JSONDecoder(strict=False)  # code with true line ends in it is understood as well


class Form(NamedTuple):
    """Something that small models write in the place of JSON, and the JSON that they mean."""

    name: str
    pattern: re.Pattern[str]
    json: Callable[[re.Match[str]], str]


def _escaped(found: re.Match[str]) -> str:
    if found[1] == "'":
        return "'"
    return found[0] if found[1] in '"\\/bfnrtu' else f"\\{found[0]}"


FORMS = (  # applied in this order
    Form(  # which code may hold itself: the value ends where the next argument or the end of the object follows
        "a text between Python's quotes",
        re.compile(r'(?<=:)\s*"""\n?(.*?)"""(?=\s*(?:[}\]]|,\s*"\w+"\s*:))', re.S),
        lambda found: json.dumps(found[1]),
    ),
    Form("a code fence", _FENCE, lambda found: ""),
    Form("other tags", re.compile(r"</?(?:tools?|tool_calls?|function_call)>"), lambda found: "\n"),
    # \d of a pattern in code is meant as it stands; \' is JavaScript's quote
    Form("escapes that JSON does not know", re.compile(r"\\(.)", re.S), _escaped),
)


class UntaggedCalls:
    """Reads the text of one reply, piece by piece. Text is held back while it may still become a call.

    offered: the names of the tools. allowed: whether calls may be made; where they may not, what reads as one is text,
    which comes out whole at the end. single: at most one call.
    """

    def __init__(self, offered: Collection[str], *, allowed: bool = True, single: bool = False) -> None:
        self.calls: list[ToolCall] = []
        """Those that were read."""
        self.over = False
        """There are calls and words after them: the rest of the reply is of no use."""
        self.malformed = 0
        """How many began as a call of an offered tool and cannot be read."""
        self._offered, self._allowed, self._single = offered, allowed, single
        self._held = ""
        self._is_text = False  # the reply is not JSON: text passes as it comes

    def feed(self, text: str) -> str:
        """What may be delivered."""
        if self._is_text:
            return text
        self._held += text
        if self.over:
            return ""
        words = _WORDS_AFTER.match(self._held) is not None
        if words and (calls := read_calls(self._held, self._offered)):
            self.over = True
            self._take(calls)
            return ""
        return self.release() if words or not _may_be_json(self._held) else ""

    def release(self) -> str:
        """It is text from here on: what was held back."""
        self._is_text = True
        held, self._held = self._held, ""
        return held

    def finish(self) -> str:
        """The reply ends."""
        if self.calls or self._is_text:
            return ""
        self._take(read_calls(self._held, self._offered))
        if self.calls:
            return ""
        begun = _CALL.match(self._held) if self._allowed else None
        self.malformed = int(begun is not None and _fits(begun[1], self._offered))
        return self.release()

    def _take(self, calls: list[ToolCall]) -> None:
        if not self._allowed:
            return
        calls = calls[:1] if self._single else calls
        self.calls = [structs.replace(c, name=full_name(c.name, self._offered)) for c in calls]


def names_no_tool(text: str, offered: Collection[str]) -> bool:
    """The reply is JSON as of a call, of a tool that was not offered."""
    begun = _CALL.match(text)
    return begun is not None and not _fits(begun[1], offered) and not read_calls(text, offered)


def read_calls(text: str, offered: Collection[str]) -> list[ToolCall]:
    """The calls that a reply consists of, or begins with; none if it begins with anything else."""
    one = _ONE_ARGUMENT.match(text)
    return _read(text, offered) or (_read(_quotes_escaped(one), offered) if one else [])


def full_name(name: str, offered: Collection[str]) -> str:
    """The offered name that a model meant, where only one can be: other signs and capitals, or the end of it."""
    if name in offered:
        return name
    found = [n for n in offered if letters(n) == letters(name)] or [
        n for n in offered if letters(n).endswith(letters(name))
    ]
    return found[0] if len(found) == 1 else name


def letters(name: str) -> str:
    """What two spellings of a name have in common."""
    return re.sub(r"[\W_]", "", name).casefold()


def _may_be_json(text: str) -> bool:
    start = text.lstrip()
    line, end, _ = start.partition("\n")
    if start.startswith("```") and end:
        return _FENCE.match(line) is not None
    if start.startswith("<"):
        return any(tag.startswith(start) or start.startswith(tag) for tag in _TAGS)
    return not start or start[0] in "{[`"


def _read(text: str, offered: Collection[str]) -> list[ToolCall]:
    for form in FORMS:
        text = form.pattern.sub(form.json, text)
    calls: list[ToolCall] = []
    for value in _values(text):
        if value is None:
            return calls if all(_fits(call.name, offered) for call in calls) else []
        for item in value if isinstance(value, list) else [value]:
            call = _call(item, offered)
            if call is None:
                return []
            calls.append(call)
    return calls if any(_fits(call.name, offered) for call in calls) else []


def _quotes_escaped(found: re.Match[str]) -> str:
    before, value, after = found.groups()
    if _NEXT_ARGUMENT.search(value):
        return ""
    value = re.sub(r'\\.|"', lambda m: m[0] if len(m[0]) > 1 else '\\"', value, flags=re.S)
    return f"{before}{value}{after}"


def _call(value: Any, offered: Collection[str]) -> ToolCall | None:
    if not isinstance(value, dict) or "name" not in value:
        return None
    name, arguments = value["name"], value.get("arguments") or value.get("parameters", value.get("arguments"))
    if not isinstance(name, str) or not letters(name):
        return None
    if isinstance(arguments, str) and _fits(name, offered):
        text = _object(arguments)
    elif isinstance(arguments, dict) and (_fits(name, offered) or len(value) == 2):
        text = json.dumps(arguments, ensure_ascii=False)
        text = text if are_arguments(text) else ""
    else:
        return None
    return ToolCall(name, text) if text and well_formed(name + text) == name + text else None


def _fits(name: str, offered: Collection[str]) -> bool:
    return any(letters(name) in letters(other) for other in offered)


def _object(text: str) -> str:
    """Arguments as a text: of an object, as OpenAI's form has it, or for the only parameter there is."""
    try:
        found = _DECODER.decode(text)
    except (ValueError, RecursionError):
        found = text
    whole = json.dumps(found, ensure_ascii=False) if isinstance(found, dict) else ""
    return whole if are_arguments(whole) else json.dumps(text, ensure_ascii=False)


def _values(text: str) -> Iterator[Any]:
    """JSON values one after another, with nothing but space and commas between them; None for anything else."""
    at = 0
    while at < len(text):
        if text[at] in " \t\r\n,;":
            at += 1
            continue
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            yield None
            return
        yield value
