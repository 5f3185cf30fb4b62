"""A model that writes its calls as plain JSON (`text/chat/untagged_calls.py`), as agents want it.

    agent = Agent(JsonCallModel(LLM("qwen2.5-coder:1.5b")), tools=[...])

JSON as of a call with a name that was not offered means that no tool fits: the model is asked again, without tools, and
that is the reply. What begins as a call of an offered tool and cannot be read is a malformed one, which the loop asks
for again.

After code failed in the interpreter, small models explain what to change and show the new code in a Python fence, for
somebody else to run. There, and only there, the last such fence is the next call.

In the next prompt a turn with such calls stands in the template's own form, with tags: what a model was trained on
keeps it from saying the same again. (Ids of its own form would save a few dozen ids of computing.)
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence

from msgspec import structs

from ponder.core.event import Event, Finish, Usage
from ponder.core.message import Message, ToolCall, ToolResult
from ponder.core.protocol import ChatModel, ChatStream, PromptProgress
from ponder.core.request import ChatRequest
from ponder.text.chat.untagged_calls import UntaggedCalls

INTERPRETER = "code_interpreter"
PYTHON = re.compile(r"^[ \t]*```(?:python|py)[ \t]*\n(.*?)^[ \t]*```[ \t]*$", re.M | re.S)


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
        self._inner, self._reader, self._mends = inner, UntaggedCalls(names, allowed=allowed), mends
        self._allowed, self._in_words = allowed, in_words
        self._cancelled = False

    def __iter__(self) -> Iterator[Event]:
        reader = self._reader
        for event in self._inner:
            if isinstance(event, Finish):
                if self._mends and reader.in_words:
                    shown = PYTHON.findall(reader.passed)[-1:]
                    reader.calls = [ToolCall(INTERPRETER, json.dumps({"code": code})) for code in shown]
                if event.reason == "stop" and reader.strange():
                    yield from self._again(event.usage)
                    return
            yield from reader.feed(event)
            if reader.over:
                self._inner.cancel()

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

    def progress(self) -> PromptProgress | None:
        return self._inner.progress()

    def turn_ids(self) -> tuple[int, ...] | None:
        return None if self._reader.calls and self._allowed else self._inner.turn_ids()


def code_failed(messages: Sequence[Message]) -> bool:
    """One of the results at the end is an error of the interpreter: it quotes a line of the code."""
    for message in reversed(messages):
        if message.role != "tool":
            return False
        for part in message.parts:
            if isinstance(part, ToolResult) and part.name == INTERPRETER and 'File "Cell' in part.text:
                return True
    return False
