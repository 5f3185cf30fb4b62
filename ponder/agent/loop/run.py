"""One run: think, call, observe, until there is an answer. A final answer always comes, or the run says why not.

The state is the list of messages alone. A run begins by answering calls that are still open at its end, so a run that
waited for a person, or was killed, goes on from its log like any other.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import structs

from ponder.agent.loop.calls import (
    CANCELLED,
    DENIED,
    OVER,
    broken,
    execute_all,
    failure,
    find,
    resolve_name,
    text_for_model,
)
from ponder.agent.loop.event import (
    ApprovalGiven,
    ApprovalRequested,
    CallDone,
    CallProgress,
    CallStarted,
    Decision,
    LoggedEvent,
    MessageAdded,
    Note,
    Reading,
    RunDone,
    RunEvent,
    StepStarted,
    StopReason,
)
from ponder.agent.loop.follow import follow
from ponder.agent.loop.history import for_prompt, unanswered
from ponder.agent.loop.limits import cut
from ponder.agent.loop.repetition_guard import RepeatGuard
from ponder.agent.loop.session import Session
from ponder.agent.tools.tool import Output, Tool, ToolContext
from ponder.core.errors import ContextLengthExceeded, UpstreamError, UserError
from ponder.core.event import Event, Finish, ReasoningDelta, TextDelta, ToolCallDone, Usage
from ponder.core.message import Message, Part, ToolCall
from ponder.core.protocol import ChatStream, PromptProgress
from ponder.core.request import ChatRequest
from ponder.text.chat.parse import message_of

if TYPE_CHECKING:
    from ponder.agent.loop.agent import Agent

NO_ANSWER = "(The model gave no answer.)"
ASKED_AGAIN = 2  # how often in a row for a call that cannot be read; after that for words alone
QUESTION_CHARS = 400  # of the user's words that are said again
STOPPED: dict[StopReason, str] = {
    "max_steps": "the limit of steps is reached",
    "max_time": "the time is over",
    "max_thinking": "the limit of thinking tokens is reached",
    "max_output": "the limit of tool output is reached",
    "repetition": "the same call gave the same result again and again",
}


class Run:
    """Iterate it for the events, once. `messages`: the whole history, valid at any moment; `end`: the last event."""

    def __init__(
        self, agent: "Agent", messages: list[Message], conversation: str, session: Session | None,
        decisions: dict[str, Decision],
    ) -> None:  # fmt: skip
        self.messages, self.conversation = messages, conversation
        self.end: RunDone | None = None
        self._agent, self._session, self._decisions = agent, session, decisions
        self._limits, self._began = agent.limits, time.monotonic()
        self._guard = RepeatGuard(self._limits.same_note, self._limits.same_stop)
        self._stop: StopReason | None = None
        self._output_left = self._limits.outputs_chars
        self._steps, self._usage = 0, Usage()
        self._silent = 0  # how often in a row the model said nothing
        self._broken = 0  # how often in a row its calls could not be read
        self._think = True
        self._events: asyncio.Queue[RunEvent | None] = asyncio.Queue()
        self._stream: ChatStream | None = None
        self._heard: list[Event] = []  # of the model's running turn
        self._result_chars: int | None = None  # of each result in a prompt, once the context was full
        self._task = asyncio.get_running_loop().create_task(self._guarded(), name=f"ponder-run-{conversation}")

    async def __aiter__(self) -> AsyncIterator[RunEvent]:
        try:
            while (event := await self._events.get()) is not None:
                yield event
            await self._task
        finally:
            await self.cancel()

    async def wait(self) -> RunDone:
        async for _ in self:
            pass
        assert self.end is not None
        return self.end

    async def cancel(self) -> None:
        """Stop the model and every call; the history stays valid. Idempotent, returns when nothing runs any more."""
        if not self._task.done():
            self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def answer_now(self) -> None:
        """End the thoughts of this step."""
        if self._stream is not None:
            self._stream.answer_now()

    # -- the loop ---------------------------------------------------------------------------------------------------

    async def _guarded(self) -> None:
        try:
            await self._loop()
        except asyncio.CancelledError:
            self._settle()
            self._finish("cancelled")
        except (UserError, UpstreamError) as e:
            self._settle()
            self._emit(Note(str(e)))
            self._finish("error", f"(No answer: {e})")
        finally:
            self._events.put_nowait(None)

    def _settle(self) -> None:
        """Leave a valid history behind: what the model had begun to say, and an answer to every open call."""
        if self._heard:
            self._say(self._gather())
        for call in unanswered(self.messages):
            self._answer_call(call, CallDone(call.id, failure(CANCELLED)))

    async def _loop(self) -> None:
        if self._session is not None:
            self._session.begin(self.messages)
        await asyncio.to_thread(self._agent.copy_attachments, self.conversation)
        for note in self._agent.notes():
            self._emit(note)
        while True:
            waiting = await self._answer_calls()
            if waiting:
                return self._finish("waiting", waiting=waiting)
            self._check_limits()
            message, finish = await self._step()
            if message.tool_calls and self._stop is None:
                self._silent, self._broken, self._think = 0, 0, True
                continue
            for call in message.tool_calls:  # of a server that does not keep to tool_choice
                self._answer_call(call, CallDone(call.id, failure(OVER)))
            if finish.malformed_calls and self._stop is None:
                self._say(Message.tool(broken(message.text)))
                self._broken += 1
                if self._broken > ASKED_AGAIN:
                    self._silent, self._stop = 2, "answered"
                continue
            text = message.text.strip()
            if text or self._silent == 2:
                return self._finish(self._stop or "answered", text or NO_ANSWER)
            self._fell_silent(message)

    def _fell_silent(self, message: Message) -> None:
        """It said nothing, or called where it could not. Once more, without thoughts if it had some; and then for words
        alone, without tools."""
        self._emit(Note("The model said nothing; asked once more."))
        self._silent = 1 if self._stop is None and not self._silent else 2
        self._think = self._think and message.reasoning is None
        if self._silent == 2:
            self._stop = self._stop or "answered"

    def _check_limits(self) -> None:
        limits = self._limits
        thought = self._usage.reasoning_tokens
        reasons: list[tuple[StopReason, bool]] = [
            ("max_steps", self._steps >= limits.steps),
            ("max_time", self._left() <= 0),
            ("max_thinking", limits.thinking_tokens is not None and thought >= limits.thinking_tokens),
            ("max_output", self._output_left is not None and self._output_left <= 0),
        ]
        for reason, reached in reasons:
            if reached and self._stop is None:
                self._stop_for(reason)

    def _stop_for(self, reason: StopReason) -> None:
        """From here on the model may only answer."""
        self._stop = reason
        self._emit(Note(f"No more calls: {STOPPED[reason]}."))

    def _remark(self) -> str:
        """What the model reads behind the last result, in the prompt only. A small one has lost sight of the question
        by then."""
        asked = next((m.text for m in reversed(self.messages) if m.role == "user"), "")
        asked = f"The user's words were: {cut(asked, QUESTION_CHARS)}"
        if self._stop in STOPPED:
            why = STOPPED[self._stop]
            return f"[No more tool calls are possible: {why}. Answer now, from the results above. {asked}]"
        if self._silent == 2:
            return f"[Answer now, in words, from the results above. {asked}]"
        return f"[Go on: make the next call, or answer. {asked}]" if self._silent else ""

    def _left(self) -> float:
        """Seconds until the answer must begin."""
        return float("inf") if self._limits.seconds is None else self._began + self._limits.seconds - time.monotonic()

    # -- the model's turn -------------------------------------------------------------------------------------------

    async def _step(self) -> tuple[Message, Finish]:
        self._steps += 1
        self._emit(StepStarted(self._agent.name, self._steps))
        await self._converse()
        finish = self._heard[-1]
        assert isinstance(finish, Finish), "a stream ends with Finish"
        assert self._stream is not None
        message = structs.replace(self._gather(), ids=self._stream.turn_ids())
        self._usage += finish.usage
        self._say(message, finish.usage)
        return message, finish

    def _gather(self) -> Message:
        """What the stream said so far. Every call gets an id of its own in the conversation, and its tool's full name
        (the exact ids keep what the model wrote)."""
        said = message_of(e for e in self._heard if isinstance(e, ReasoningDelta | TextDelta | ToolCallDone))
        self._heard = []
        tools = self._agent.tools()
        used = {c.id for m in self.messages for c in m.tool_calls}
        parts: list[Part] = []
        for part in said.parts:
            if isinstance(part, ToolCall):
                part = part if part.id and part.id not in used else structs.replace(part, id=self._new_id(len(used)))
                used.add(part.id)
                part = structs.replace(part, name=resolve_name(tools, part.name))
            parts.append(part)
        return Message("assistant", tuple(parts))

    def _new_id(self, n: int) -> str:
        return f"call_{len(self.messages)}_{n}"

    async def _converse(self) -> None:
        self._stream = await self._submit()
        async for event in follow(self._stream):
            if isinstance(event, PromptProgress):
                self._events.put_nowait(Reading(event.processed, event.total))
                continue
            self._heard.append(event)
            if isinstance(event, ReasoningDelta | TextDelta | Finish):
                self._events.put_nowait(event)
            if isinstance(event, ReasoningDelta | TextDelta) and self._left() <= 0:
                self._stream.answer_now()

    async def _submit(self) -> ChatStream:
        """Start the model's turn. As long as the prompt does not fit, the longest results are halved in it."""
        while True:
            try:
                return await asyncio.to_thread(self._agent.model.stream, self._request())
            except ContextLengthExceeded as e:
                prompt = for_prompt(self.messages, self._result_chars)
                longest = max((len(m.text) for m in prompt if m.role == "tool"), default=0)
                if longest < 200:
                    raise
                self._result_chars = longest // 2
                self._emit(Note(f"The context is full ({e.prompt_tokens} of {e.limit} tokens): long results are cut."))

    def _request(self) -> ChatRequest:
        agent, limit = self._agent, self._limits.thinking_tokens
        thinking = agent.thinking
        if not self._think:
            thinking = structs.replace(thinking, budget=0)
        elif limit is not None:
            left = max(0, limit - self._usage.reasoning_tokens)
            thinking = structs.replace(thinking, budget=left if thinking.budget is None else min(left, thinking.budget))
        return ChatRequest(
            messages=for_prompt(self.messages, self._result_chars, self._remark()),
            tools=() if self._silent == 2 else tuple(t.schema() for t in agent.tools() if t.approval != "deny"),
            tool_choice="auto" if self._stop is None else "none",
            parallel_tool_calls=agent.parallel_tool_calls,
            sampling=agent.sampling,
            thinking=thinking,
            history="exact",
        )

    # -- the tools' turn --------------------------------------------------------------------------------------------

    async def _answer_calls(self) -> tuple[ToolCall, ...]:
        """Carries out every open call; returns those that must wait for a person."""
        tools = self._agent.tools()
        ready: list[tuple[ToolCall, Tool]] = []
        waiting: list[ToolCall] = []
        results: dict[str, CallDone] = {}
        calls = unanswered(self.messages)
        for call in calls:
            tool = find(tools, call.name)
            if isinstance(tool, Output):
                results[call.id] = CallDone(call.id, tool)
                continue
            decision = await self._decide(call, tool)
            if decision == "later":
                waiting.append(call)
            elif decision == "deny":
                results[call.id] = CallDone(call.id, failure(DENIED))
            else:
                ready.append((call, tool))
        if self._session is not None:
            results.update(self._session.interrupted(ready))
        ready = [(call, tool) for call, tool in ready if call.id not in results]
        for call, _ in ready:
            self._emit(CallStarted(call))

        def done(event: CallDone) -> None:
            results[event.call_id] = event
            self._emit(event)

        await execute_all(ready, self._context, self._seconds, done)
        for call in calls:
            if call not in waiting:
                self._answer_call(call, results[call.id], told=any(call is c for c, _ in ready))
        return tuple(waiting)

    async def _decide(self, call: ToolCall, tool: Tool) -> Decision:
        if tool.approval == "deny":
            return "deny"
        if tool.approval == "auto" or tool.name in self._agent.always:
            return "once"
        decision = self._decisions.pop(call.id, None)
        if decision is None:
            self._emit(ApprovalRequested(call, tool.description))
            decision = "later" if self._agent.approve is None else await self._agent.approve(call, tool)
        if decision != "later":
            self._emit(ApprovalGiven(call.id, decision))
        if decision == "always":
            self._agent.always.add(tool.name)
        return decision

    def _context(self, call: ToolCall) -> ToolContext:
        def progress(text: str) -> None:
            self._events.put_nowait(CallProgress(call.id, text))

        return ToolContext(self.conversation, self._agent.workspace(self.conversation), progress)

    def _seconds(self, tool: Tool) -> float:
        own = tool.timeout if tool.timeout is not None else self._limits.call_seconds
        return max(0.01, min(own, self._left()))

    def _answer_call(self, call: ToolCall, done: CallDone, *, told: bool = False) -> None:
        if not told:
            self._emit(done)
        limit = self._limits.output_chars
        if self._output_left is not None:
            limit = max(0, min(limit, self._output_left))
        text = text_for_model(done.output, limit)
        if self._output_left is not None:
            self._output_left -= len(text)
        verdict = self._guard.saw(call, done.output)
        if verdict:
            text += f"\n\n{self._guard.remark(done.output)}"
        self._say(Message.tool(text, call_id=call.id, name=call.name))
        if verdict == "stop" and self._stop is None:
            self._stop_for("repetition")

    # -- telling ----------------------------------------------------------------------------------------------------

    def _say(self, message: Message, usage: Usage | None = None) -> None:
        self.messages.append(message)
        self._emit(MessageAdded(message, usage))

    def _emit(self, event: LoggedEvent) -> None:
        if self._session is not None:
            self._session.add(event)
        self._events.put_nowait(event)

    def _finish(self, reason: StopReason, text: str = "", waiting: tuple[ToolCall, ...] = ()) -> None:
        self.end = RunDone(reason, text, self._steps, self._usage, waiting)
        self._emit(self.end)
