"""A turn in which the model may act: the agent's loop as a source of steps, and the tools that a server offers.

A call that needs a person's approval waits in `WebRun.approvals` until the page decides, however long that takes.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from ponder.agent.loop.agent import Agent
from ponder.agent.loop.event import (
    ApprovalGiven,
    ApprovalRequested,
    CallDone,
    CallProgress,
    CallStarted,
    Decision,
    MessageAdded,
    Note,
    Reading,
    RunDone,
    RunEvent,
)
from ponder.agent.loop.limits import Limits
from ponder.agent.loop.models import for_tools
from ponder.agent.loop.run import Run
from ponder.agent.tools.tool import Output, Tool, Toolset
from ponder.core.errors import UserError
from ponder.core.event import Finish, Handover, ReasoningDelta, TextDelta, Usage
from ponder.core.message import ToolCall
from ponder.core.turn import TurnFacts, spoken
from ponder.server.http.log import log
from ponder.server.runtime.defaults import with_defaults
from ponder.server.runtime.service import Service
from ponder.server.web.plain_turn import CLOCK_SECONDS, PREFIX, ReplyBody, optional, request_of
from ponder.server.web.runs import Source, WebRun
from ponder.server.web.turn_steps import Row, Transcript, pictures


class Toolbox:
    """The tools of a server. workspace: a folder with one below it for each conversation. always: the tools that were
    allowed for good, by conversation."""

    def __init__(self, tools: Sequence[Tool | Toolset], workspace: Path) -> None:
        self._tools = [t for t in tools if isinstance(t, Tool)]
        self._sets = [t for t in tools if isinstance(t, Toolset)]
        self._failed: list[str] = []
        self.workspace = workspace
        self.always: dict[str, set[str]] = {}

    async def open(self) -> None:
        """What cannot start offers no tools; `warnings` says why. The server goes on without it."""
        for each in self._sets:
            try:
                await each.open()
            except UserError as e:
                self._failed.append(str(e))
        for text in self.warnings():
            log.warning("%s", text)

    async def close(self) -> None:
        for each in self._sets:
            await each.close()

    async def forget(self, conversation: str) -> None:
        """A conversation was deleted: so are its files."""
        self.always.pop(conversation, None)
        await asyncio.to_thread(shutil.rmtree, self.workspace / conversation, ignore_errors=True)

    def tools(self) -> list[Tool]:
        return [*self._tools, *(tool for each in self._sets for tool in each.tools())]

    def warnings(self) -> list[str]:
        return [*self._failed, *(text for each in self._sets for text in each.warnings())]


class _SharedTools(Toolset):
    """A server's tools as a run sees them: read again before each step, because MCP servers change theirs. Opening,
    closing and warnings are the server's."""

    def __init__(self, box: Toolbox) -> None:
        self._box = box

    def tools(self) -> Sequence[Tool]:
        return self._box.tools()

    async def open(self) -> None: ...

    async def close(self) -> None: ...


class _AgentControl:
    """Ends a run from a synchronous call; the task is held, or it could be collected before it ran."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._ending: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        self._ending = self._ending or asyncio.ensure_future(self._run.cancel())

    def answer_now(self) -> None:
        self._run.answer_now()


def agent_turn(service: Service, box: Toolbox, body: ReplyBody, path: list[Row], conversation: str) -> Source:
    """Raises UserError for settings that cannot hold."""
    asked = request_of(body, path)

    async def source(web_run: WebRun) -> AsyncGenerator[Row, None]:
        async def approve(call: ToolCall, tool: Tool) -> Decision:
            return await web_run.decision_on(call.id)

        async with service.admission.admit(PREFIX), service.pool.use(body.model) as llm:
            request, limits = with_defaults(asked, llm, service.thinking), Limits(seconds=service.config.timeout)
            agent = Agent(
                for_tools(llm), tools=[_SharedTools(box)], sampling=request.sampling, thinking=request.thinking,
                limits=limits, approve=approve, workspace=box.workspace,
            )  # fmt: skip
            agent.always = box.always.setdefault(conversation, set())
            run = agent.start(request.messages, conversation=conversation, decisions=body.decisions)
            steps = StepWriter(web_run.steps_so_far(request.thinking.budget), llm.profile.context)
            web_run.open(_AgentControl(run), steps.transcript)
            try:
                async for event in run:
                    for item in steps.take(event):
                        yield item
            finally:
                await run.cancel()

    return source


class StepWriter:
    """The events of a run -> the steps of a turn."""

    def __init__(self, transcript: Transcript, context: int) -> None:
        self.transcript = transcript
        self._context, self._used = context, 0
        self._began, self._first, self._clock = time.monotonic(), 0.0, 0.0
        self._handover: Handover | None = None
        self._warnings: dict[str, None] = {}  # in order, each once
        self._since = 0.0
        self._rate: float | None = None  # of the model's last turn: its first text, ids a second

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
            reason=end.reason, handover=self._handover, usage=end.usage, effective=None, used=self._used,
            warnings=[*self._warnings], first_s=round(self._first - self._began, 3) if self._first else None,
            per_s=self._rate, seconds=round(now - self._began, 2), context=self._context, steps=end.steps,
        )  # fmt: skip
        yield {"type": "finish", "facts": to_builtins(facts), "stopped": end.reason == "cancelled"}


def diff_of(output: Output) -> str:
    """The tools that run in the sandbox tell in `structured` what they changed (agent/tools/format_result.py)."""
    changes = output.structured.get("changes", []) if isinstance(output.structured, dict) else []
    diffs = [c["diff"] or f"{c['name']} ({c['kind']})" for c in changes if isinstance(c, dict) and "diff" in c]
    return "\n".join(text.rstrip("\n") for text in diffs)
