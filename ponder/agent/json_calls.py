"""Calls from models that write them as plain JSON: `{"name": ..., "arguments": {...}}`, in a code fence or bare.

    agent = Agent(JsonCallModel(LLM("qwen2.5-coder:1.5b")), tools=[...])

Qwen2.5-Coder was trained on little else: it takes the official prompt and leaves out the `<tool_call>` tags. The engine
keeps such text as text (TC-5); this `ChatModel` around another reads it as calls, if the reply begins with JSON of that
form and names an offered tool, or a part of its name. Nothing but the name says that such JSON is a call. JSON of that
form with another name means that no tool fits: the model is asked again, without tools, and that is the reply. Words
behind a call end the turn: they are about results that nobody has yet. What begins as a call of an offered tool and
cannot be read is a malformed one, which the loop asks for again.

After code failed in the interpreter, small models explain what to change and show the new code in a Python fence, for
somebody else to run. There, and only there, the last such fence is the next call.

In the next prompt a turn with such calls stands in the template's own form, with tags: what a model was trained on
keeps it from saying the same again. (Ids of its own form would save a few dozen ids of computing.)
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import structs

from ponder.agent.calls import letters
from ponder.core.event import Event, Finish, TextDelta, ToolCallDone, Usage
from ponder.core.message import Message, ToolCall, ToolResult
from ponder.core.protocol import ChatModel, ChatStream, Progress
from ponder.core.request import ChatRequest

INTERPRETER = "code_interpreter"
PYTHON = re.compile(r"^[ \t]*```(?:python|py)[ \t]*\n(.*?)^[ \t]*```[ \t]*$", re.M | re.S)
FENCE = re.compile(r"^[ \t]*```(?:json|xml|tool_call)?[ \t]*$", re.M)
BEHIND = re.compile(r"^[ \t]*```[^\n]*\n.*?\n[ \t]*```[ \t]*\n\s*[^\s`]", re.S)  # words behind a fence
LIKE = re.compile(r'\s*(?:```\w*\s*)?\[?\s*\{\s*"name"\s*:\s*"([^"]+)"\s*,\s*"arguments"\s*:')  # begins as a call does
# A value between Python's quotes, which JSON does not know; code may hold such quotes itself.
TRIPLE = re.compile(r'(?<=:)\s*"""\n?(.*?)"""(?=\s*(?:[}\]]|,\s*"\w+"\s*:))', re.S)
TAGS = re.compile(r"</?(?:tools?|tool_calls?|function_call)>")
# A call whose only argument is a text with quotes that are not escaped, such as code; where it ends is plain.
ONLY = re.compile(
    r'\s*(?:```\w*\s*)?(\{\s*"name"\s*:\s*"[^"]+"\s*,\s*"arguments"\s*:\s*\{\s*"\w+"\s*:\s*")(.*)("\s*\}\s*\})\s*(?:```\s*)?',
    re.S,
)
NEXT = re.compile(r'"\s*,\s*"\w+"\s*:')  # another argument
ESCAPE = re.compile(r"\\(.)", re.S)
DECODER = json.JSONDecoder(strict=False)  # code with true line ends in it is understood as well


class JsonCallModel:
    """See `core.protocol.ChatModel`. Text is held back while it may still become a call."""

    def __init__(self, model: ChatModel) -> None:
        self.model = model

    def stream(self, request: ChatRequest) -> ChatStream:
        inner = self.model.stream(request)
        if not request.tools:
            return inner
        names = {tool["function"]["name"] for tool in request.tools}
        mends = INTERPRETER in names and code_failed(request.messages)
        words = structs.replace(request, tools=(), tool_choice="auto")
        return JsonCallStream(
            inner, names, allowed=request.tool_choice != "none", mends=mends, in_words=lambda: self.model.stream(words)
        )


class JsonCallStream:
    """allowed: where calls are not, what reads as one is left out, as the engine leaves out calls in tags. mends: code
    of the interpreter has just failed. in_words: asks the same without tools."""

    def __init__(
        self,
        inner: ChatStream,
        names: set[str],
        *,
        allowed: bool,
        mends: bool,
        in_words: Callable[[], ChatStream],
    ) -> None:
        self._inner, self._names, self._allowed, self._mends = inner, names, allowed, mends
        self._in_words = in_words
        self._read = self._cancelled = False  # _read: calls were read out of the text

    def __iter__(self) -> Iterator[Event]:
        held = passed = ""
        free = False  # the reply is not JSON: text passes as it comes
        called = False
        calls: list[ToolCall] = []
        for event in self._inner:
            if isinstance(event, TextDelta) and calls:
                continue  # said before the end was noticed
            if isinstance(event, TextDelta) and not free:
                held += event.text
                behind = BEHIND.match(held) is not None
                if behind and (calls := read_calls(held, self._names)):
                    self._inner.cancel()
                elif free := behind or not _may_be_json(held):
                    yield TextDelta(held)
                    passed = held
            elif isinstance(event, TextDelta):
                passed += event.text
                yield event
            elif isinstance(event, Finish):
                calls = [] if called else calls or ([] if free else read_calls(held, self._names))
                if self._mends and free and not called:
                    calls = [ToolCall(INTERPRETER, json.dumps({"code": code})) for code in PYTHON.findall(passed)[-1:]]
                self._read = bool(calls) and self._allowed
                like = None if calls or called or not self._allowed else LIKE.match(held)
                if like and not free and not _offered(like[1], self._names) and event.reason == "stop":
                    yield from self._again(event.usage)
                    return
                if held and not free and not calls:
                    yield TextDelta(held)
                if like and _offered(like[1], self._names):
                    event = structs.replace(event, malformed_calls=1)
                if calls and self._allowed:
                    yield from (ToolCallDone(n, call) for n, call in enumerate(calls))
                    event = structs.replace(event, reason="tool_calls")
                yield event
            else:
                called = called or isinstance(event, ToolCallDone)
                yield event

    def _again(self, used: Usage) -> Iterator[Event]:
        self._inner = self._in_words()
        if self._cancelled:
            self._inner.cancel()
        for event in self._inner:
            yield structs.replace(event, usage=used + event.usage) if isinstance(event, Finish) else event

    def cancel(self) -> None:
        self._cancelled = True
        self._inner.cancel()

    def answer_now(self) -> None:
        self._inner.answer_now()

    def progress(self) -> Progress | None:
        return self._inner.progress()

    def turn_ids(self) -> tuple[int, ...] | None:
        return None if self._read else self._inner.turn_ids()


def code_failed(messages: Sequence[Message]) -> bool:
    """One of the results at the end is an error of the interpreter: it quotes a line of the code."""
    for message in reversed(messages):
        if message.role != "tool":
            return False
        for part in message.parts:
            if isinstance(part, ToolResult) and part.name == INTERPRETER and 'File "Cell' in part.text:
                return True
    return False


def _may_be_json(text: str) -> bool:
    start = text.lstrip()
    line, end, _ = start.partition("\n")
    if start.startswith("```") and end:
        return FENCE.match(line) is not None
    return not start or start[0] in "{[`<"


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
    before, value, behind = found.groups()
    if NEXT.search(value):
        return ""
    value = re.sub(r'\\.|"', lambda m: m[0] if len(m[0]) > 1 else '\\"', value, flags=re.S)
    return f"{before}{value}{behind}"


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
