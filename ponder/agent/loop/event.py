"""What a run tells whoever watches: the model's own deltas (`core.event`) and what the loop does around them.

Kept events are lines of a session's log; deltas are not, for the finished message holds them. A Finish ends each
turn of the model: why, and what a user should be told.
"""

import asyncio
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from ponder.agent.tools.tool import Output
from ponder.core.event import Finish, ReasoningDelta, TextDelta, Usage
from ponder.core.message import Message, ToolCall

StopReason = Literal["answered", "max_steps", "max_time", "max_thinking", "max_output", "repetition", "waiting",
                     "cancelled", "error"]  # fmt: skip
Decision = Literal["once", "always", "deny", "later"]


class StepStarted(Struct, frozen=True, tag="step"):
    """The model begins to speak. agent: whose turn it is, where several talk. step: counted from 1."""

    agent: str
    step: int


class MessageAdded(Struct, frozen=True, tag="said"):
    """A finished message of the history: what the user asked, what the model said, what a tool gave."""

    message: Message
    usage: Usage | None = None


class CallStarted(Struct, frozen=True, tag="call"):
    call: ToolCall


class CallProgress(Struct, frozen=True, tag="progress"):
    call_id: str
    text: str


class CallDone(Struct, frozen=True, tag="done"):
    """seconds: how long it took, waiting for a person not counted."""

    call_id: str
    output: Output
    seconds: float = 0.0


class ApprovalRequested(Struct, frozen=True, tag="asked"):
    """A call waits for a person. why: what the tool would do, in its own description."""

    call: ToolCall
    why: str = ""


class ApprovalGiven(Struct, frozen=True, tag="decided"):
    call_id: str
    decision: Decision


class Note(Struct, frozen=True, tag="note"):
    """Something the user should know: a server that did not start, a guard that stepped in."""

    text: str


class Reading(Struct, frozen=True, tag="reading"):
    """How many ids of a long prompt have been read, before the model speaks."""

    processed: int
    total: int


class RunDone(Struct, frozen=True, tag="end"):
    """The last event. text: the final answer, never empty unless the run waits or was cancelled. steps: model turns.
    usage: of all steps together. waiting: calls that need a decision before the run can go on."""

    reason: StopReason
    text: str = ""
    steps: int = 0
    usage: Usage = Usage()
    waiting: tuple[ToolCall, ...] = ()


LoggedEvent = StepStarted | MessageAdded | CallStarted | CallDone | ApprovalRequested | ApprovalGiven | Note | RunDone
RunEvent = LoggedEvent | CallProgress | Reading | ReasoningDelta | TextDelta | Finish


class RunLog:
    """Where a run tells what happens: in its history, in the log of its session, and to whoever watches."""

    def __init__(self, messages: list[Message], keep: Callable[[LoggedEvent], None]) -> None:
        """keep: writes an event into the session's log."""
        self.messages = messages
        self.events: asyncio.Queue[RunEvent | None] = asyncio.Queue()
        self._keep = keep

    def show(self, event: RunEvent | None) -> None:
        """To those who watch alone. None: there is no more."""
        self.events.put_nowait(event)

    def add(self, event: LoggedEvent) -> None:
        self._keep(event)
        self.show(event)

    def say(self, message: Message, usage: Usage | None = None) -> None:
        self.messages.append(message)
        self.add(MessageAdded(message, usage))
