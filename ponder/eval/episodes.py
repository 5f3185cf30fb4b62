"""Plays a task with tools through the product's own agent loop, and gives what was left behind to the verifier.

Tools are those of the task's world, or of the MCP servers that it names; each attempt has servers of its own, so that
no state is carried over. This is the one module of evaluation that knows the agent (docs/decisions.md).
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from ponder.agent.loop.agent import Agent
from ponder.agent.loop.event import RunDone
from ponder.agent.loop.limits import Limits
from ponder.agent.mcp.servers import McpServers
from ponder.agent.tools.tool import Output as ToolOutput
from ponder.agent.tools.tool import Tool, ToolContext, Toolset
from ponder.core.event import Effective, Event, Finish, FinishReason, ReasoningDelta, TextDelta
from ponder.core.protocol import ChatModel
from ponder.core.request import ChatRequest
from ponder.core.sample import Problem
from ponder.tasks.tools.goals import Goals
from ponder.tasks.tools.world import PlayedTask, World


def play(model: ChatModel, task: PlayedTask, problem: Problem, request: ChatRequest) -> list[Event]:
    """The events of a stream that says, instead of the last words, what is graded."""
    return asyncio.run(_played(model, task, problem, request))


async def _played(model: ChatModel, task: PlayedTask, problem: Problem, request: ChatRequest) -> list[Event]:
    world = task.open(problem)
    tools: list[Tool | Toolset] = [_WorldTool(world, tool["function"]) for tool in task.tools(problem.id)]
    if isinstance(task, Goals):
        tools.append(McpServers({"mcpServers": dict(task.servers)}, approval="auto"))
    agent = Agent(
        model, tools=tools, sampling=request.sampling, thinking=request.thinking, limits=Limits(steps=task.steps)
    )
    async with agent:
        run = agent.start(list(problem.messages))
        end = await run.wait()
    thoughts = "\n\n".join(m.reasoning for m in run.messages if m.role == "assistant" and m.reasoning)
    said = world.outcome(end.text)
    return [*([ReasoningDelta(thoughts)] if thoughts else []), TextDelta(said), _finish(end, request)]


class _WorldTool(Tool):
    concurrent = False

    def __init__(self, world: World, function: Mapping[str, Any]) -> None:
        self._world = world
        self.name, self.description = function["name"], function["description"]
        self.parameters = function["parameters"]

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> ToolOutput:
        return ToolOutput(self._world.call(self.name, arguments))


def _finish(end: RunDone, request: ChatRequest) -> Finish:
    """A run that ended by itself has stopped; one that was ended (steps, time) was cut, whatever it left behind."""
    reason: FinishReason = "stop" if end.reason == "answered" else "length"
    sampling = request.sampling
    effective = Effective(
        thinking=bool(request.thinking.enabled),
        thinking_source="request",
        budget=request.thinking.budget,
        seed=None,
        **{name: getattr(sampling, name) for name in ("temperature", "top_p", "top_k", "min_p", "max_tokens")},
    )
    return Finish(reason, end.usage, effective)
