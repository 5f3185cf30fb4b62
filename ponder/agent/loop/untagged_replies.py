"""What an agent does more for a model that writes its calls without tags (the engine reads them, `text/chat/
untagged_calls.py`). `models.for_tools` puts this around such a model.

JSON as of a call with a name that was not offered means that no tool fits: the model is asked again, without tools, and
that is the reply. Where no more calls are possible, a call is no answer: the reply counts as empty.

After code failed in the interpreter, small models explain what to change and show the new code in a Python fence, for
somebody else to run. There, and only there, the last such fence is the next call.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence

from msgspec import structs

from ponder.core.event import Event, Finish, TextDelta, TokenLogprob, ToolCallDone, Usage
from ponder.core.message import Message, ToolCall, ToolResult
from ponder.core.protocol import Abilities, ChatModel, ChatStream, Health
from ponder.core.request import ChatRequest
from ponder.core.stream import WrappedStream
from ponder.text.calls.untagged_calls import names_no_tool, read_calls

INTERPRETER = "code_interpreter"
PYTHON = re.compile(r"^[ \t]*```(?:python|py)[ \t]*\n(.*?)^[ \t]*```[ \t]*$", re.M | re.S)


class UntaggedReplies:
    """See `core.protocol.ChatModel`."""

    def __init__(self, model: ChatModel) -> None:
        self.model = model

    @property
    def abilities(self) -> Abilities:
        return self.model.abilities

    def health(self) -> Health:
        return self.model.health()

    def stream(self, request: ChatRequest) -> ChatStream:
        inner = self.model.stream(request)
        if not request.tools:
            return inner
        offered = {tool["function"]["name"] for tool in request.tools}
        allowed = request.tool_choice != "none"
        repairs = allowed and INTERPRETER in offered and code_failed(request.messages)
        words = structs.replace(request, tools=(), tool_choice="auto")
        return _Reply(inner, offered, allowed=allowed, repairs=repairs, in_words=lambda: self.model.stream(words))


class _Reply(WrappedStream):
    """allowed: calls may be made. repairs: code of the interpreter has just failed. in_words: asks the same without
    tools.

    What the engine held back as a possible call comes in one piece at the end, so one event is waited for."""

    def __init__(
        self,
        inner: ChatStream,
        offered: Collection[str],
        *,
        allowed: bool,
        repairs: bool,
        in_words: Callable[[], ChatStream],
    ) -> None:
        super().__init__(inner)
        self._offered, self._allowed, self._repairs, self._in_words = offered, allowed, repairs, in_words
        self._text = ""
        self._first: TextDelta | None = None  # may be the whole text of the reply
        self._called = self._repaired = False
        self._used: Usage | None = None  # by the first reply, when the model was asked again

    def feed(self, event: Event) -> Iterator[Event]:
        if self._used is not None:
            yield structs.replace(event, usage=self._used + event.usage) if isinstance(event, Finish) else event
        elif isinstance(event, Finish):
            yield from self._end(event)
        elif isinstance(event, TextDelta) and not self._text:
            self._text, self._first = event.text, event
        else:
            if isinstance(event, TextDelta):
                self._text += event.text
            self._called = self._called or isinstance(event, ToolCallDone)
            if self._first is not None and not isinstance(event, TokenLogprob):
                yield self._first
                self._first = None
            yield event

    def _end(self, finish: Finish) -> Iterator[Event]:
        whole = self._first is not None and not self._called
        if whole and self._allowed and finish.reason == "stop" and names_no_tool(self._text, self._offered):
            self._used = finish.usage
            self.go_on(self._in_words)
            return
        if self._first is not None and (self._allowed or not (whole and read_calls(self._text, self._offered))):
            yield self._first
        shown = PYTHON.findall(self._text)[-1:]
        if self._repairs and shown and not self._called and not finish.malformed_calls:
            self._repaired = True
            yield ToolCallDone(0, ToolCall(INTERPRETER, json.dumps({"code": shown[0]})))
            finish = structs.replace(finish, reason="tool_calls")
        yield finish

    def turn_ids(self) -> tuple[int, ...] | None:
        return None if self._repaired else super().turn_ids()


def code_failed(messages: Sequence[Message]) -> bool:
    """One of the results at the end is an error of the interpreter: it quotes a line of the code."""
    for message in reversed(messages):
        if message.role != "tool":
            return False
        for part in message.parts:
            if isinstance(part, ToolResult) and part.name == INTERPRETER and 'File "Cell' in part.text:
                return True
    return False
