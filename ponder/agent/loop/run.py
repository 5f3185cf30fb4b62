"""One run: think, call, observe, until there is an answer. A final answer always comes, or the run says why not.

The state is the list of messages alone. A run begins by answering calls that are still open at its end, so a run that
waited for a person, or was killed, goes on from its log like any other.

Who decides what: `RunBudget` when calls must end, `ModelTurns` what the model is asked and what it said, `ToolTurns`
what becomes of a call; here, whose turn it is and when the run is over.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from ponder.agent.loop.calls import CANCELLED, OVER, broken, failure
from ponder.agent.loop.event import CallDone, Decision, LoggedEvent, Note, RunDone, RunEvent, RunLog, StopReason
from ponder.agent.loop.history import unanswered
from ponder.agent.loop.limits import RunBudget
from ponder.agent.loop.model_turn import Mode, ModelTurns
from ponder.agent.loop.session import Session
from ponder.agent.loop.tool_turn import ToolTurns
from ponder.core.errors import UpstreamError, UserError
from ponder.core.event import Usage
from ponder.core.message import Message, ToolCall
from ponder.core.params import Grammar
from ponder.text.typed_output import OutputForm

if TYPE_CHECKING:
    from ponder.agent.loop.agent import Agent

Value = TypeVar("Value")
SHOWN = 60  # characters of an answer in a repr
NO_ANSWER = "(The model gave no answer.)"
ASKED_AGAIN = 2  # how often in a row for a call that cannot be read; after that for words alone


class Run:
    """Iterate it for the events, once."""

    def __init__(
        self, agent: "Agent", messages: list[Message], conversation: str, session: Session | None,
        decisions: dict[str, Decision], grammar: Grammar | None = None,
    ) -> None:  # fmt: skip
        self.messages = messages
        """The whole history, valid at any moment."""
        self.conversation = conversation
        self.end: RunDone | None = None
        """The last event."""
        self._agent, self._session = agent, session
        self._log = RunLog(messages, _forget if session is None else session.add)
        self._budget = RunBudget(agent.limits, self._log)
        self._model = ModelTurns(agent, self._budget, self._log, grammar)
        self._tools = ToolTurns(agent, conversation, session, decisions, self._budget, self._log)
        self._broken = 0  # how often in a row the model's calls could not be read
        self._task = asyncio.get_running_loop().create_task(self._guarded(), name=f"ponder-run-{conversation}")

    async def __aiter__(self) -> AsyncIterator[RunEvent]:
        try:
            while (event := await self._log.events.get()) is not None:
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
        self._model.answer_now()

    async def _guarded(self) -> None:
        try:
            await self._loop()
        except asyncio.CancelledError:
            self._settle()
            self._finish("cancelled")
        except (UserError, UpstreamError) as e:
            self._settle()
            self._log.add(Note(str(e)))
            self._finish("error", f"(No answer: {e})")
        finally:
            self._log.show(None)

    def _settle(self) -> None:
        """Leave a valid history: what the model had begun to say, and an answer to every open call."""
        self._model.broken_off()
        for call in unanswered(self.messages):
            self._tools.answer(call, CallDone(call.id, failure(CANCELLED)))

    async def _loop(self) -> None:
        if self._session is not None:
            self._session.begin(self.messages)
        await asyncio.to_thread(self._agent.copy_attachments, self.conversation)
        for note in self._agent.notes():
            self._log.add(note)
        while True:
            waiting = await self._tools.answer_open_calls()
            if waiting:
                return self._finish("waiting", waiting=waiting)
            self._budget.check()
            message, malformed = await self._model.speak()
            if message.tool_calls and self._budget.stop is None:
                self._broken = 0
                self._model.set_free()
                continue
            for call in message.tool_calls:  # of a server that does not keep to tool_choice
                self._tools.answer(call, CallDone(call.id, failure(OVER)))
            if malformed and self._budget.stop is None:
                self._log.say(Message.tool(broken(message.text)))
                self._broken += 1
                if self._broken > ASKED_AGAIN:
                    self._model.only_words()
                continue
            text = message.text.strip()
            if text or self._model.mode is Mode.WORDS:
                return self._finish(self._budget.stop or "answered", text or NO_ANSWER)
            self._model.fell_silent(message)

    def _finish(self, reason: StopReason, text: str = "", waiting: tuple[ToolCall, ...] = ()) -> None:
        self.end = RunDone(reason, text, self._budget.steps, self._budget.usage, waiting)
        self._log.add(self.end)


def _forget(event: LoggedEvent) -> None:
    """A run without a session."""


@dataclass(frozen=True, repr=False)
class AgentResult(Generic[Value]):
    """What a finished run gives back: `Agent.run` and `Agent.run_sync`.

    >>> from ponder import SamplingParams
    >>> from ponder.agent import Agent
    >>> result = Agent("ponder-mini", sampling=SamplingParams(temperature=0)).run_sync("Hello")
    >>> result.text, len(result.messages), result.tool_calls
    ('Hello...', 2, ())
    """

    end: RunDone
    """The last event: why it ended, steps, usage."""
    messages: tuple[Message, ...]
    """The whole history, the answer included; a further run takes it."""
    form: OutputForm[Value] | None = None
    """Of the value that was asked for."""

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= SHOWN else f"{self.text[:SHOWN]}..."
        return f"AgentResult({text!r}, {self.reason}, {self.end.steps} steps, {len(self.tool_calls)} calls)"

    def __str__(self) -> str:
        return self.text

    @property
    def text(self) -> str:
        """The answer, or why there is none."""
        return self.end.text

    @property
    def reason(self) -> StopReason:
        """Why the run ended: "answered", or the limit that was reached."""
        return self.end.reason

    @property
    def usage(self) -> Usage:
        """Tokens of all steps together."""
        return self.end.usage

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Every call of the history, in order."""
        return tuple(call for message in self.messages for call in message.tool_calls)

    @property
    def parsed(self) -> Value:
        """The answer as a value of the type that was asked for (`output=`), None without one. Raises UserError where it
        is none: the run ended before; `text` says what came."""
        if self.form is None:
            return None  # type: ignore[return-value]  # AgentResult[None]
        return self.form.value(self.text, f"the run ended with {self.reason!r}")
