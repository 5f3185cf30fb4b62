"""Asking a model: the part of an `LLM` that takes messages.

>>> from dataclasses import dataclass
>>> from ponder import LLM
>>> @dataclass
... class Colour:
...     red: bool
>>> with LLM("ponder-mini") as llm:
...     whole = llm.chat("Hello", temperature=0).text
...     pieces = list(llm.stream("Hello", temperature=0))
...     colour = llm.chat("Is the sky red?", output=Colour, thinking=False).parsed
>>> "".join(pieces) == whole
True
>>> type(colour.red)
<class 'bool'>
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, Unpack, overload

from ponder.core.errors import UserError
from ponder.core.event import Event
from ponder.core.params import Grammar, SamplingParams, Thinking
from ponder.core.request import ChatRequest, History, Truncation
from ponder.engine.options import (
    ChatFields,
    Messages,
    SamplingFields,
    checked,
    grammar_of,
    messages_of,
    sampling_of,
    thinking_of,
    tools_of,
)
from ponder.engine.reply_stream import AsyncReplyStream, ReplyStream
from ponder.engine.result import Parsed, Result, choice_of
from ponder.engine.scheduling.handle import Handle
from ponder.engine.tool_rounds import ToolRounds
from ponder.text.typed_output import OutputForm, output_form

Value = TypeVar("Value")


class Chat(ABC):
    """What an `LLM` does with messages; whoever has `begin` has the rest."""

    @abstractmethod
    def begin(self, request: ChatRequest) -> Handle:
        """Start a chat request. Raises UserError when it cannot hold; nothing has run then."""

    @overload
    def chat(
        self, messages: Messages, *, output: type[Value], run_tools: bool = False, **options: Unpack[ChatFields]
    ) -> Parsed[Value]: ...
    @overload
    def chat(self, messages: Messages, *, run_tools: bool = False, **options: Unpack[ChatFields]) -> Result: ...
    def chat(
        self,
        messages: Messages,
        *,
        output: type[Any] | None = None,
        run_tools: bool = False,
        **options: Unpack[ChatFields],
    ) -> Result:
        """Ask and wait.

        messages: a text, or messages as `Message` or dicts.
        output: a dataclass, a TypedDict or a pydantic model; the answer is JSON of its form, `.parsed` the value.
        run_tools: the functions among `tools` are run when the model calls them, and it is asked again with what they
        gave; else its calls are in `.tool_calls`.
        options: see `request`.
        """
        form = _form(output, options)
        reply = self._answered(messages, options, run_tools=run_tools)
        return reply if form is None else _typed(reply, form)

    @overload
    async def achat(
        self, messages: Messages, *, output: type[Value], run_tools: bool = False, **options: Unpack[ChatFields]
    ) -> Parsed[Value]: ...
    @overload
    async def achat(self, messages: Messages, *, run_tools: bool = False, **options: Unpack[ChatFields]) -> Result: ...
    async def achat(
        self,
        messages: Messages,
        *,
        output: type[Any] | None = None,
        run_tools: bool = False,
        **options: Unpack[ChatFields],
    ) -> Result:
        """`chat` for a coroutine; its functions run in a thread."""
        form = _form(output, options)
        reply = await self._aanswered(messages, options, run_tools=run_tools)
        return reply if form is None else _typed(reply, form)

    @overload
    def stream(self, messages: ChatRequest) -> Handle: ...
    @overload
    def stream(self, messages: Messages, **options: Unpack[ChatFields]) -> ReplyStream: ...
    def stream(self, messages: Messages | ChatRequest, **options: Unpack[ChatFields]) -> Handle | ReplyStream:
        """The answer's text as it is written: `for piece in llm.stream("...")`, then `.result()` for the whole reply.
        Of a `ChatRequest` the events, as `ponder.core.protocol.ChatModel` has it."""
        if isinstance(messages, ChatRequest):
            return self.begin(messages)
        return ReplyStream(self.chat_stream(messages, **options), self.result)

    def astream(self, messages: Messages, **options: Unpack[ChatFields]) -> AsyncReplyStream:
        """`async for piece in llm.astream("...")`, then `await .result()`."""
        return AsyncReplyStream(lambda: self.chat_stream(messages, **options), self.result)

    def chat_stream(self, messages: Messages, **options: Unpack[ChatFields]) -> Handle:
        """Ask and follow the events: `for event in llm.chat_stream(...)`, or `async for`."""
        return self.begin(self.request(messages, **options))

    async def achat_stream(self, messages: Messages, **options: Unpack[ChatFields]) -> Handle:
        """Like `chat_stream`, with the work before the first step (rendering, grammar) kept off the event loop."""
        from asyncio import to_thread

        return await to_thread(self.chat_stream, messages, **options)

    def request(
        self,
        messages: Messages,
        *,
        tools: Sequence[dict[str, Any] | Callable[..., Any]] | None = None,
        tool_choice: str = "auto",
        parallel_tool_calls: bool = True,
        thinking: bool | int | Thinking | None = None,
        budget: int | None = None,
        sampling: SamplingParams | None = None,
        grammar: Grammar | None = None,
        json_schema: dict[str, Any] | str | None = None,
        history: History = "strip",
        truncation: Truncation = "disabled",
        continue_final_message: bool = False,
        **shorthand: Unpack[SamplingFields],
    ) -> ChatRequest:
        """The request that these options mean; `stream` takes it, here or from any other model.

        tools: OpenAI's tool objects, or typed functions with a docstring, which are described to the model.
        thinking: True / False is the hard switch, a number the budget in ids, None what the text says, default on.
        history: "strip" drops earlier thoughts as the official template does, "keep" leaves them in, "exact" re-uses
        the ids of earlier replies, so that a tool loop computes new ids only (HC-2).
        truncation: "auto" leaves out the oldest turns of a conversation that does not fit, with a warning (LC-1).
        continue_final_message: the last message, which is the assistant's, is the beginning of the reply.
        shorthand: any field of SamplingParams, temperature=0.2 for example. Raises UserError for an unknown name.
        """
        values = {
            "messages": messages_of(messages),
            "tools": tools_of(tools),
            "tool_choice": tool_choice,
            "parallel_tool_calls": parallel_tool_calls,
            "sampling": sampling_of(sampling, {**shorthand}),
            "thinking": thinking_of(thinking, budget),
            "grammar": grammar_of(grammar, json_schema),
            "history": history,
            "truncation": truncation,
            "continue_final_message": continue_final_message,
        }
        return checked(values, ChatRequest)

    def result(self, handle: Handle, events: list[list[Event]]) -> Result:
        """What a stream said, gathered: events[i] are those of choice i, `Finish` included."""
        choices = (choice_of(found, handle.turn_ids(c), handle.ids(c)) for c, found in enumerate(events))
        return Result(tuple(choices), handle.prompt_ids())

    def _answered(self, messages: Messages, options: ChatFields, *, run_tools: bool) -> Result:
        rounds = ToolRounds(messages_of(messages), options.get("tools") or ()) if run_tools else None
        while True:
            reply = self._gather(self.chat_stream(rounds.messages if rounds else messages, **options))
            if rounds is None or not rounds.take(reply):
                return reply if rounds is None else rounds.result(reply)

    async def _aanswered(self, messages: Messages, options: ChatFields, *, run_tools: bool) -> Result:
        from asyncio import to_thread  # only for who is async: a tenth of the imports

        rounds = ToolRounds(messages_of(messages), options.get("tools") or ()) if run_tools else None
        while True:
            reply = await self._agather(await self.achat_stream(rounds.messages if rounds else messages, **options))
            if rounds is None or not await to_thread(rounds.take, reply):
                return reply if rounds is None else rounds.result(reply)

    def _gather(self, handle: Handle) -> Result:
        events: list[list[Event]] = [[] for _ in range(len(handle))]
        for choice, event in handle.merged():
            events[choice].append(event)
        return self.result(handle, events)

    async def _agather(self, handle: Handle) -> Result:
        events: list[list[Event]] = [[] for _ in range(len(handle))]
        async for choice, event in handle.amerged():
            events[choice].append(event)
        return self.result(handle, events)


def _form(output: type[Value] | None, options: ChatFields) -> OutputForm[Value] | None:
    """The form of a typed answer, put into the options as a schema."""
    if output is None:
        return None
    if options.get("json_schema") is not None or options.get("grammar") is not None:
        raise UserError("give one of output, json_schema and grammar", param="output")
    form = output_form(output)
    options["json_schema"] = form.schema
    return form


def _typed(reply: Result, form: OutputForm[Value]) -> Parsed[Value]:
    return Parsed(reply.choices, reply.prompt_ids, reply.between, form=form)
