"""Calls from models that write them as plain JSON: `{"name": ..., "arguments": {...}}`, in a code fence or bare.

    agent = Agent(JsonCallModel(LLM("qwen2.5-coder:1.5b")), tools=[...])

Qwen2.5-Coder was trained on little else: it takes the official prompt and leaves out the `<tool_call>` tags. The engine
keeps such text as text (TC-5); this `ChatModel` around another reads it as calls, if the whole reply is JSON objects of
that form. With exactly these two keys it is a call whatever its name: of a tool that does not exist the loop says so,
which helps more than JSON for an answer. With more keys the name must be, or be a part of, that of an offered tool.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from msgspec import structs

from ponder.agent.calls import letters
from ponder.core.event import Event, Finish, TextDelta, ToolCallDone
from ponder.core.message import ToolCall
from ponder.core.protocol import ChatModel, ChatStream
from ponder.core.request import ChatRequest

FENCE = re.compile(r"^[ \t]*```(?:json|xml|tool_call)?[ \t]*$", re.M)
TRIPLE = re.compile(r'"""\n?(.*?)"""', re.S)  # code between Python's quotes, which JSON does not know
TAGS = re.compile(r"</?(?:tools?|tool_calls?|function_call)>")
DECODER = json.JSONDecoder(strict=False)  # code with true line ends in it is understood as well


class JsonCallModel:
    """See `core.protocol.ChatModel`. Text is held back while it may still become a call."""

    def __init__(self, model: ChatModel) -> None:
        self.model = model

    def stream(self, request: ChatRequest) -> ChatStream:
        inner = self.model.stream(request)
        if not request.tools or request.tool_choice == "none":
            return inner
        return JsonCallStream(inner, {tool["function"]["name"] for tool in request.tools})


class JsonCallStream:
    def __init__(self, inner: ChatStream, names: set[str]) -> None:
        self._inner, self._names = inner, names

    def __iter__(self) -> Iterator[Event]:
        held = ""
        free = False  # the reply is not JSON: text passes as it comes
        called = False
        for event in self._inner:
            if isinstance(event, TextDelta) and not free:
                held += event.text
                free = not _may_be_json(held)
                if free:
                    yield TextDelta(held)
            elif isinstance(event, Finish):
                calls = [] if free or called else read_calls(held, self._names)
                if held and not free and not calls:
                    yield TextDelta(held)
                yield from (ToolCallDone(n, call) for n, call in enumerate(calls))
                yield structs.replace(event, reason="tool_calls") if calls else event
            else:
                called = called or isinstance(event, ToolCallDone)
                yield event

    def cancel(self) -> None:
        self._inner.cancel()

    def answer_now(self) -> None:
        self._inner.answer_now()

    def turn_ids(self) -> tuple[int, ...] | None:
        return self._inner.turn_ids()


def _may_be_json(text: str) -> bool:
    start = text.lstrip()
    return not start or start[0] in "{[`<"


def read_calls(text: str, names: set[str]) -> list[ToolCall]:
    """The calls that a reply consists of; none if it is anything else as well."""
    body = TAGS.sub("\n", FENCE.sub("", TRIPLE.sub(lambda m: json.dumps(m[1]), text)))
    calls: list[ToolCall] = []
    for value in _values(body):
        for item in value if isinstance(value, list) else [value]:
            call = _call(item, names)
            if call is None:
                return []
            calls.append(call)
    return calls


def _call(value: Any, names: set[str]) -> ToolCall | None:
    if not isinstance(value, dict) or not value.keys() >= {"name", "arguments"}:
        return None
    name, arguments = value["name"], value["arguments"]
    if not isinstance(name, str) or not name:
        return None
    offered = any(letters(name) in letters(other) for other in names)
    if isinstance(arguments, str) and offered:
        return ToolCall(name, _object(arguments))
    if not isinstance(arguments, dict) or not (offered or len(value) == 2):
        return None
    return ToolCall(name, json.dumps(arguments, ensure_ascii=False))


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
