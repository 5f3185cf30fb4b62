"""A turn in which the model may act: the agent's loop as a source of steps, and the tools that a server offers.

A call that needs a person's approval waits in `WebRun.approvals` until the page decides, as long as the server's time
limit allows.
"""

import asyncio
import math
import shutil
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from ponder.agent.loop.agent import Agent
from ponder.agent.loop.calls import CANCELLED
from ponder.agent.loop.event import (
    Decision,
)
from ponder.agent.loop.limits import Limits
from ponder.agent.loop.models import for_tools
from ponder.agent.loop.run import Run
from ponder.agent.tools.tool import Tool, Toolset
from ponder.core.errors import UserError
from ponder.core.message import ToolCall
from ponder.server.http.log import log
from ponder.server.runtime.defaults import with_defaults
from ponder.server.runtime.service import Service
from ponder.server.web.plain_turn import PREFIX, Files, ReplyBody, request_of
from ponder.server.web.runs import Source, WebRun
from ponder.server.web.step_writer import StepWriter
from ponder.server.web.turn_steps import Row

OUT_OF_TIME = "Error: nobody decided on this call within the server's time limit; it was not made."


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


class _WaitingControl:
    """Of a turn that waits for a person."""

    def __init__(self, run: WebRun) -> None:
        self._run = run

    def cancel(self) -> None:
        self._run.stop_waiting()

    def answer_now(self) -> None:
        """There are no thoughts to end."""


def agent_turn(
    service: Service, box: Toolbox, body: ReplyBody, path: list[Row], conversation: str, files: Files
) -> Source:
    """While it waits for a person it has no place and no model: both are taken again after the decision. Raises
    UserError for settings that cannot hold."""
    asked = request_of(body, path)

    async def source(web_run: WebRun) -> AsyncGenerator[Row, None]:
        fitting, told = await files(path)
        request = request_of(body, fitting) if told else asked
        messages, decisions, steps = list(request.messages), body.decisions, StepWriter()
        end = time.monotonic() + (math.inf if service.config.timeout is None else service.config.timeout)
        while True:
            async with (
                service.admission.admit(PREFIX, patient=web_run.opened.done()),
                service.pool.use(body.model) as llm,
            ):
                request = with_defaults(asked, llm, service.thinking)
                agent = Agent(
                    for_tools(llm), tools=[_SharedTools(box)], sampling=request.sampling, thinking=request.thinking,
                    limits=_limits(end), workspace=box.workspace,
                )  # fmt: skip
                agent.always = box.always.setdefault(conversation, set())
                run = agent.start(messages, conversation=conversation, decisions=decisions)
                if not web_run.opened.done():
                    steps.begin(web_run.steps_so_far(request.thinking.budget), llm.profile.context)
                await web_run.open(_AgentControl(run), steps.transcript)
                if told and body.message is None:
                    yield steps.transcript.note(told)
                told = ""
                try:
                    async for event in run:
                        for item in steps.take(event):
                            yield item
                finally:
                    await run.cancel()
            assert run.end is not None, "a run that is over has an end"
            if not run.end.waiting:
                return
            await web_run.open(_WaitingControl(web_run), steps.transcript)
            messages = run.messages
            try:
                async with asyncio.timeout_at(_loop_time(end)):
                    decided = await _decided(web_run, run.end.waiting)
            except TimeoutError:
                for item in steps.give_up(run.end.waiting, OUT_OF_TIME, "max_time"):
                    yield item
                return
            if decided is None:
                for item in steps.give_up(run.end.waiting, CANCELLED, "cancelled"):
                    yield item
                return
            decisions = decided

    return source


def _limits(end: float) -> Limits:
    left = end - time.monotonic()
    return Limits(seconds=None if math.isinf(left) else max(0.01, left))


def _loop_time(end: float) -> float | None:
    loop = asyncio.get_running_loop()
    return None if math.isinf(end) else loop.time() + end - time.monotonic()


async def _decided(run: WebRun, calls: Sequence[ToolCall]) -> dict[str, Decision] | None:
    """A person's decisions; None: the turn was stopped meanwhile. "always" is for all calls of that tool."""
    found: dict[str, Decision] = {}

    async def one(call: ToolCall) -> bool:
        decision = await run.decision_on(call.id)
        if decision is None:
            return False
        found[call.id] = decision
        for other in calls if decision == "always" else ():
            if other.name == call.name and not run.is_decided(other.id):
                run.decide(other.id, "once")
        return True

    return found if all(await asyncio.gather(*map(one, calls))) else None
