"""Run a session again without its model and without its tools: the recorded replies and results go through the same
loop, which must come to the same transcript. A difference means that the loop changed, and is an error.

    ponder agent --replay trip.jsonl
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from ponder.agent.loop.agent import Agent
from ponder.agent.loop.calls import BROKEN
from ponder.agent.loop.event import (
    ApprovalGiven,
    ApprovalRequested,
    CallDone,
    LoggedEvent,
    MessageAdded,
    RunDone,
    StepStarted,
)
from ponder.agent.loop.limits import Limits
from ponder.agent.loop.session_markdown import transcript
from ponder.agent.tools.tool import Output, Tool, ToolContext
from ponder.core.errors import UserError
from ponder.core.event import Effective, Event, Finish, ReasoningDelta, TextDelta, ToolCallDone, Usage
from ponder.core.message import Message, Reasoning, Text, ToolCall
from ponder.core.protocol import Abilities, Health
from ponder.core.request import ChatRequest

SETTINGS = Effective(False, "default", None, 0.0, 1.0, 0, 0.0, 0, 0)  # nobody looks at them here


async def replay(events: Sequence[LoggedEvent], limits: Limits | None = None) -> list[LoggedEvent]:
    """The events made again. limits: those the session ran under. Raises UserError where record and loop part."""
    made: list[LoggedEvent] = []
    history: list[Message] = []
    calls = {c.id: c for e in events if isinstance(e, MessageAdded) for c in e.message.tool_calls}
    for run in _runs(events):
        asked = _asked(run)
        made += [MessageAdded(m) for m in asked]
        agent = Agent(RecordedModel(run), tools=_tools(run, calls), limits=_limits(run, limits or Limits()))
        new = agent.start(
            [*history, *asked], decisions={e.call_id: e.decision for e in run if isinstance(e, ApprovalGiven)}
        )
        made += [event async for event in new if isinstance(event, LoggedEvent)]
        history = new.messages
    before, after = transcript(events), transcript(made)
    if before != after:
        raise UserError(f"the replay differs from the record: {_difference(before, after)}", param="session")
    return made


class RecordedModel:
    """Says what the record says, turn by turn."""

    def __init__(self, run: Sequence[LoggedEvent]) -> None:
        self._replies = iter(
            [(e, n + 1 < len(run) and _is_broken(run[n + 1])) for n, e in enumerate(run) if _from_model(e)]
        )

    @property
    def abilities(self) -> Abilities:
        return Abilities()

    def health(self) -> Health:
        return Health()

    def stream(self, request: ChatRequest) -> "RecordedStream":
        reply = next(self._replies, None)
        if reply is None:
            raise UserError("the record ends here")
        said, malformed = reply
        assert isinstance(said, MessageAdded)
        return RecordedStream(said.message, said.usage or Usage(), int(malformed))


class RecordedStream:
    def __init__(self, message: Message, usage: Usage, malformed: int) -> None:
        self._message, self._usage, self._malformed = message, usage, malformed

    def __iter__(self) -> Iterator[Event]:
        for n, part in enumerate(self._message.parts):
            if isinstance(part, Reasoning):
                yield ReasoningDelta(part.text)
            elif isinstance(part, Text):
                yield TextDelta(part.text)
            elif isinstance(part, ToolCall):
                yield ToolCallDone(n, part)
        yield Finish("stop", self._usage, SETTINGS, malformed_calls=self._malformed)

    async def __aiter__(self) -> AsyncIterator[Event]:
        for event in self:
            yield event

    def cancel(self) -> None: ...

    def answer_now(self) -> None: ...

    def progress(self) -> None: ...

    def turn_ids(self) -> tuple[int, ...] | None:
        return self._message.ids


class RecordedTool(Tool):
    """Gives what the record gives, call by call in order."""

    parameters: dict[str, Any]

    def __init__(self, name: str, outputs: list[Output], asks: bool) -> None:
        self.name, self.description, self.parameters = name, "recorded", {"type": "object"}
        self.approval = "ask" if asks else "auto"
        self.concurrent = False
        self._outputs = iter(outputs)

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Output:
        output = next(self._outputs, None)
        if output is None:
            raise UserError(f"the record has no further call of {self.name}")
        return output


def _runs(events: Sequence[LoggedEvent]) -> Iterator[list[LoggedEvent]]:
    """Split after every end. A run that was killed goes on in the next one: no end lies between them."""
    run: list[LoggedEvent] = []
    for event in events:
        run.append(event)
        if isinstance(event, RunDone):
            yield run
            run = []
    if run:
        yield run


def _asked(run: Sequence[LoggedEvent]) -> list[Message]:
    """What stood there before the model spoke: the messages of user and system at the head."""
    return [e.message for e in run if isinstance(e, MessageAdded) and e.message.role in ("user", "system")]


def _tools(run: Sequence[LoggedEvent], calls: dict[str, ToolCall]) -> list[Tool]:
    """A tool for every name that was called. calls: of the whole session, by id."""
    asked = {e.call.name for e in run if isinstance(e, ApprovalRequested)}
    asked |= {calls[e.call_id].name for e in run if isinstance(e, ApprovalGiven)}
    outputs: dict[str, list[Output]] = {call.name: [] for call in calls.values()}
    for event in run:
        if isinstance(event, CallDone):
            outputs[calls[event.call_id].name].append(event.output)
    return [RecordedTool(name, found, name in asked) for name, found in outputs.items()]


def _limits(run: Sequence[LoggedEvent], limits: Limits) -> Limits:
    """Time does not repeat: a run that it ended is ended after as many steps."""
    from msgspec import structs

    end = run[-1]
    if isinstance(end, RunDone) and end.reason == "max_time":
        steps = sum(isinstance(e, StepStarted) for e in run) - 1
        return structs.replace(limits, seconds=None, steps=max(1, steps))
    return structs.replace(limits, seconds=None)


def _from_model(event: LoggedEvent) -> bool:
    return isinstance(event, MessageAdded) and event.message.role == "assistant"


def _is_broken(event: LoggedEvent) -> bool:
    return isinstance(event, MessageAdded) and event.message.role == "tool" and event.message.text.startswith(BROKEN)


def _difference(before: str, after: str) -> str:
    pairs = zip(before.split("\n"), after.split("\n"), strict=False)
    line, (old, new) = next(((n, p) for n, p in enumerate(pairs, 1) if p[0] != p[1]), (0, ("its length", "")))
    return f"line {line}, recorded {old[:80]!r}, now {new[:80]!r}"
