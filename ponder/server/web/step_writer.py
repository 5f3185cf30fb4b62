"""The events of an agent's runs as the steps of one turn."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import to_builtins

from ponder.agent.loop.calls import failure
from ponder.agent.loop.event import (
    ApprovalGiven,
    ApprovalRequested,
    CallDone,
    CallProgress,
    CallStarted,
    MessageAdded,
    Note,
    Reading,
    RunDone,
    RunEvent,
    StopReason,
)
from ponder.agent.tools.tool import Output
from ponder.core.event import Finish, Handover, ReasoningDelta, TextDelta, Usage
from ponder.core.message import ToolCall
from ponder.core.turn import TurnFacts, spoken
from ponder.server.web.plain_turn import CLOCK_SECONDS, optional
from ponder.server.web.turn_steps import Row, Transcript, pictures


class StepWriter:
    """The events of the runs of a turn -> its steps. `begin` comes before the first event."""

    transcript: Transcript

    def __init__(self) -> None:
        self._context, self._used = 0, 0
        self._steps, self._usage = 0, Usage()  # of the runs that ended because they wait
        self._began, self._first, self._clock = time.monotonic(), 0.0, 0.0
        self._handover: Handover | None = None
        self._warnings: dict[str, None] = {}  # in order, each once
        self._since = 0.0
        self._rate: float | None = None  # of the model's last turn: its first text, ids a second

    def begin(self, transcript: Transcript, context: int) -> None:
        self.transcript, self._context = transcript, context

    def give_up(self, calls: Sequence[ToolCall], why: str, reason: StopReason) -> Iterator[Row]:
        """The turn ends while these calls wait."""
        for call in calls:
            yield self._call_done(call.id, failure(why))
        yield from self._finish(RunDone(reason, "", 0, Usage()))

    def take(self, event: RunEvent) -> Iterator[Row]:
        steps = self.transcript
        if isinstance(event, ReasoningDelta | TextDelta):
            self._since = self._since or time.monotonic()
            self._first = self._first or self._since
        match event:
            case Finish():
                self._end_of_model_turn(event)
            case ReasoningDelta(text):
                yield steps.write("thought", text)
                yield from self._tick()
            case TextDelta(text):
                yield from optional(steps.thinking())
                yield steps.write("text", text)
            case MessageAdded(message, usage) if message.role == "assistant":
                yield from self._add_calls(message.tool_calls, usage or Usage())
            case MessageAdded(message) if message.role == "tool":
                yield from self._add_model_texts(message.parts)
            case Reading(processed, total):
                yield {"type": "reading", "processed": processed, "total": total}
            case ApprovalRequested(call, why):
                yield steps.change(call.id, state="waiting", note=why)
            case ApprovalGiven(id_, decision):
                yield steps.change(id_, state="denied" if decision == "deny" else "running", note="")
            case CallStarted(call):
                yield steps.change(call.id, state="running", note="")
            case CallProgress(id_, text):
                yield steps.change(id_, note=text)
            case CallDone(id_, output):
                yield self._call_done(id_, output)
            case Note(text):
                yield steps.note(text)
            case RunDone(waiting=calls) if calls:
                self._steps, self._usage = self._steps + event.steps, self._usage + event.usage
            case RunDone():
                yield from self._finish(event)

    def _end_of_model_turn(self, finish: Finish) -> None:
        """A turn of the model is over."""
        self._handover = finish.handover or self._handover
        self._warnings.update(dict.fromkeys(finish.warnings))
        if self._since and finish.usage.completion_tokens > 1:
            seconds = max(1e-6, time.monotonic() - self._since)
            self._rate = round((finish.usage.completion_tokens - 1) / seconds, 1)
        self._since = 0.0

    def _tick(self) -> Iterator[Row]:
        now = time.monotonic()
        if now - self._clock > CLOCK_SECONDS:
            self._clock = now
            yield from optional(self.transcript.thinking())

    def _add_calls(self, calls: Sequence[ToolCall], usage: Usage) -> Iterator[Row]:
        self._used = usage.prompt_tokens + usage.completion_tokens
        yield from optional(self.transcript.thinking())
        yield from optional(self.transcript.counted(usage.reasoning_tokens))
        for call in calls:
            yield self.transcript.call(call.id, call.name, call.arguments)

    def _add_model_texts(self, parts: Sequence[Any]) -> Iterator[Row]:
        """What the model reads of a result, where it differs from the output: it was cut, or has a remark."""
        for part in parts:
            if self.transcript.state(part.call_id) is not None:
                yield self.transcript.change(part.call_id, told=part.text)

    def _call_done(self, id_: str, output: Output) -> Row:
        denied = self.transcript.state(id_) == "denied"
        state = "denied" if denied else "failed" if output.error else "done"
        return self.transcript.change(
            id_, state=state, note="", output=output.text, images=pictures(output.images), diff=diff_of(output)
        )

    def _finish(self, end: RunDone) -> Iterator[Row]:
        if end.text and end.text not in spoken(self.transcript.steps()):
            yield self.transcript.write("text", end.text)
        now = time.monotonic()
        facts = TurnFacts(
            reason=end.reason, handover=self._handover, usage=self._usage + end.usage, effective=None, used=self._used,
            warnings=[*self._warnings], first_s=round(self._first - self._began, 3) if self._first else None,
            per_s=self._rate, seconds=round(now - self._began, 2), context=self._context,
            steps=self._steps + end.steps,
        )  # fmt: skip
        yield {"type": "finish", "facts": to_builtins(facts), "stopped": end.reason == "cancelled"}


def diff_of(output: Output) -> str:
    """The tools that run in the sandbox tell in `structured` what they changed (agent/tools/format_result.py)."""
    changes = output.structured.get("changes", []) if isinstance(output.structured, dict) else []
    diffs = [c["diff"] or f"{c['name']} ({c['kind']})" for c in changes if isinstance(c, dict) and "diff" in c]
    return "\n".join(text.rstrip("\n") for text in diffs)
