"""The model's turn in a run: what it is asked, and what it said."""

import asyncio
from enum import Enum
from typing import TYPE_CHECKING

from msgspec import structs

from ponder.agent.loop.calls import resolve_name
from ponder.agent.loop.event import Note, Reading, RunLog, StepStarted
from ponder.agent.loop.follow import follow
from ponder.agent.loop.history import for_prompt
from ponder.agent.loop.limits import STOPPED, RunBudget, cut
from ponder.core.errors import ContextLengthExceeded
from ponder.core.event import Event, Finish, ReasoningDelta, TextDelta, ToolCallDone, message_of
from ponder.core.message import Message, Part, ToolCall
from ponder.core.params import Grammar
from ponder.core.protocol import ChatStream, PromptProgress
from ponder.core.request import ChatRequest

if TYPE_CHECKING:
    from ponder.agent.loop.agent import Agent

QUESTION_CHARS = 400  # of the user's words that are said again
SHORTEST = 200  # characters of a result below which cutting it would not help


class Mode(Enum):
    """What is asked of the model."""

    FREE = "to call or to answer"
    URGED = "to go on: it said nothing"
    WORDS = "words alone, without tools"


class ModelTurns:
    def __init__(self, agent: "Agent", budget: RunBudget, log: RunLog, grammar: Grammar | None = None) -> None:
        """grammar: what an answer must be; a call may stand in its place."""
        self.mode, self._grammar = Mode.FREE, grammar
        self._agent, self._budget, self._log = agent, budget, log
        self._think = True
        self._stream: ChatStream | None = None
        self._heard: list[Event] = []  # of the running turn
        self._result_chars: int | None = None  # of each result in a prompt, once the context was full

    def answer_now(self) -> None:
        """End the thoughts of this turn."""
        if self._stream is not None:
            self._stream.answer_now()

    async def speak(self) -> tuple[Message, int]:
        """Its message, which is said, and how many calls in it could not be read."""
        self._budget.steps += 1
        self._log.add(StepStarted(self._agent.name, self._budget.steps))
        self._stream = await self._submit()
        await self._listen(self._stream)
        finish = self._heard[-1]
        assert isinstance(finish, Finish), "a stream ends with Finish"
        message = structs.replace(self._gather(), ids=self._stream.turn_ids())
        self._budget.usage += finish.usage
        self._log.say(message, finish.usage)
        return message, finish.malformed_calls

    def broken_off(self) -> None:
        """The run ends during the turn: what was heard is said."""
        if self._heard:
            self._log.say(self._gather())

    # -- how it is asked --------------------------------------------------------------------------------------------

    def set_free(self) -> None:
        self.mode, self._think = Mode.FREE, True

    def only_words(self) -> None:
        self.mode = Mode.WORDS
        self._budget.stop = self._budget.stop or "answered"

    def fell_silent(self, message: Message) -> None:
        """It said nothing, or called where it could not. Once more, without thoughts if it had some; and then for words
        alone, without tools."""
        self._log.add(Note("The model said nothing; asked once more."))
        self._think = self._think and message.reasoning is None
        if self._budget.stop is None and self.mode is Mode.FREE:
            self.mode = Mode.URGED
        else:
            self.only_words()

    def _request(self) -> ChatRequest:
        agent, thinking = self._agent, self._agent.thinking
        left = self._budget.thinking_left()
        if not self._think:
            thinking = structs.replace(thinking, budget=0)
        elif left is not None:
            thinking = structs.replace(thinking, budget=left if thinking.budget is None else min(left, thinking.budget))
        tools = () if self.mode is Mode.WORDS else tuple(t.schema() for t in agent.tools() if t.approval != "deny")
        return ChatRequest(
            messages=for_prompt(self._log.messages, self._result_chars, self._remark()),
            tools=tools,
            tool_choice="auto" if self._budget.stop is None else "none",
            parallel_tool_calls=agent.parallel_tool_calls,
            sampling=agent.sampling,
            thinking=thinking,
            grammar=self._grammar,
            history="exact",
        )

    def _remark(self) -> str:
        """What the model reads after the last result, in the prompt only. A small one has lost sight of the question
        by then."""
        asked = next((m.text for m in reversed(self._log.messages) if m.role == "user"), "")
        asked = f"The user's words were: {cut(asked, QUESTION_CHARS)}"
        if self._budget.stop in STOPPED:
            why = STOPPED[self._budget.stop]
            return f"[No more tool calls are possible: {why}. Answer now, from the results above. {asked}]"
        match self.mode:
            case Mode.WORDS:
                return f"[Answer now, in words, from the results above. {asked}]"
            case Mode.URGED:
                return f"[Go on: make the next call, or answer. {asked}]"
            case Mode.FREE:
                return ""

    # -- what it says -----------------------------------------------------------------------------------------------

    async def _submit(self) -> ChatStream:
        """Start the turn. As long as the prompt does not fit, the longest results are halved in it."""
        while True:
            try:
                return await asyncio.to_thread(self._agent.model.stream, self._request())
            except ContextLengthExceeded as e:
                prompt = for_prompt(self._log.messages, self._result_chars)
                longest = max((len(m.text) for m in prompt if m.role == "tool"), default=0)
                if longest < SHORTEST:
                    raise
                self._result_chars = longest // 2
                text = f"The context is full ({e.prompt_tokens} of {e.limit} tokens): long results are cut."
                self._log.add(Note(text))

    async def _listen(self, stream: ChatStream) -> None:
        async for event in follow(stream):
            if isinstance(event, PromptProgress):
                self._log.show(Reading(event.processed, event.total))
                continue
            self._heard.append(event)
            if isinstance(event, ReasoningDelta | TextDelta | Finish):
                self._log.show(event)
            if isinstance(event, ReasoningDelta | TextDelta) and self._budget.seconds_left() <= 0:
                stream.answer_now()

    def _gather(self) -> Message:
        """What the stream said so far. Every call gets an id of its own in the conversation, and its tool's full name
        (the exact ids keep what the model wrote)."""
        message = message_of(e for e in self._heard if isinstance(e, ReasoningDelta | TextDelta | ToolCallDone))
        self._heard = []
        messages, tools = self._log.messages, self._agent.tools()
        used = {c.id for m in messages for c in m.tool_calls}
        parts: list[Part] = []
        for part in message.parts:
            if isinstance(part, ToolCall):
                id_ = part.id if part.id and part.id not in used else f"call_{len(messages)}_{len(used)}"
                used.add(id_)
                part = structs.replace(part, id=id_, name=resolve_name(tools, part.name))
            parts.append(part)
        return Message("assistant", tuple(parts))
