"""Calls from models that write them as plain JSON: `{"name": ..., "arguments": {...}}`, in a code fence or bare.

    agent = Agent(JsonCallModel(LLM("qwen2.5-coder:1.5b")), tools=[...])

Qwen2.5-Coder was trained on little else: it takes the official prompt and leaves out the `<tool_call>` tags. The engine
keeps such text as text (TC-5); this `ChatModel` around another reads it as calls, if the whole reply is JSON objects of
that form, with these two keys and no other. The name is that of an offered tool, or a part of it ("fetch" for
"fetch-fetch"): then the loop tells the model which there are.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from msgspec import structs

from ponder.core.event import Event, Finish, TextDelta, ToolCallDone
from ponder.core.message import ToolCall
from ponder.core.protocol import ChatModel, ChatStream
from ponder.core.request import ChatRequest

FENCE = re.compile(r"```(?:json|xml|tool_call)?\s*\n(.*?)```", re.S)
TRIPLE = re.compile(r'"""\n?(.*?)"""', re.S)  # code between Python's quotes, which JSON does not know
TAGS = re.compile(r"</?(?:tools?|tool_calls?|function_call)>")


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
    if FENCE.sub("", text).strip() and "```" in text:
        return []
    body = "\n".join(FENCE.findall(text)) if "```" in text else TAGS.sub("\n", text)
    body = TRIPLE.sub(lambda m: json.dumps(m[1]), body)
    calls: list[ToolCall] = []
    for value in _values(body):
        found = value if isinstance(value, list) else [value]
        for call in found:
            if not _is_call(call, names):
                return []
            calls.append(ToolCall(call["name"], json.dumps(call["arguments"], ensure_ascii=False)))
    return calls


def _is_call(value: Any, names: set[str]) -> bool:
    if not isinstance(value, dict) or value.keys() != {"name", "arguments"} or not isinstance(value["arguments"], dict):
        return False
    name = value["name"]
    return isinstance(name, str) and bool(name) and any(name in offered for offered in names)


def _values(text: str) -> Iterator[Any]:
    """JSON values one after another, with nothing but space and commas between them; None for anything else."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        if text[at] in " \t\r\n,;":
            at += 1
            continue
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            yield None
            return
        yield value
