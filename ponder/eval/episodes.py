"""Plays a task with tools through the product's own agent loop: what is left behind is graded.

    with Player() as player:
        episode = player.start(model, task, problem, sampling, thinking).result()
        episode.outcome, episode.cut, episode.lost

Tools are those of the task's world, or of the MCP servers that it names. Each attempt has servers of its own, so that
no state is carried over, unless the task says that its servers keep none: then one set is opened for all. All episodes
run in one event loop, in a thread of its own. This is the one module of evaluation that knows the agent
(docs/decisions.md).
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, NamedTuple, Self

from ponder.agent.loop.agent import Agent
from ponder.agent.loop.event import CallDone, RunDone
from ponder.agent.loop.limits import Limits
from ponder.agent.loop.run import Run
from ponder.agent.mcp.servers import McpServers
from ponder.agent.tools.tool import Output as ToolOutput
from ponder.agent.tools.tool import Tool, ToolContext, Toolset
from ponder.core.errors import UpstreamError
from ponder.core.event import Effective, Event, Finish, FinishReason, ReasoningDelta, TextDelta
from ponder.core.message import Message
from ponder.core.params import SamplingParams, Thinking
from ponder.core.protocol import ChatModel
from ponder.core.request import ChatRequest
from ponder.core.sample import Problem
from ponder.tasks.tools.world import PlayedTask, World


class Episode(NamedTuple):
    messages: tuple[Message, ...]
    """The whole history."""
    tools: tuple[dict[str, Any], ...]
    """That could be called."""
    end: RunDone
    outcome: str
    """What is graded."""
    cut: bool
    """It was ended by a limit, or the last words were: whatever is left behind does not count."""
    lost: str
    """Why its tools were gone before it had ended; the model could not help it."""
    counts: Counter[str]
    """turns, calls, errors (calls that failed), unknown (of a tool that there is not), malformed (no readable call)."""

    @property
    def thoughts(self) -> str:
        return "\n\n".join(m.reasoning for m in self.messages if m.role == "assistant" and m.reasoning)


class Player:
    """Starts its thread with the first episode; servers are closed and episodes cancelled when it is left."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._shared: dict[str, asyncio.Task[McpServers]] = {}  # by task
        self._playing: set[asyncio.Task[Any]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(
        self, model: ChatModel, task: PlayedTask, problem: Problem, sampling: SamplingParams, thinking: Thinking,
        limits: Limits | None = None,
    ) -> "Future[Episode]":  # fmt: skip
        """limits: the task's own steps where nothing is said."""
        limits = limits or Limits(steps=task.steps)
        played = self._play(model, task, problem, sampling, thinking, limits)
        return asyncio.run_coroutine_threadsafe(played, self._running())

    def close(self) -> None:
        """Cancel what runs, close the servers, end the thread. Idempotent."""
        with self._starting:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="episodes", daemon=True)
                self._thread.start()
            return self._loop

    async def _end(self) -> None:
        opened, self._shared = list(self._shared.values()), {}
        for task in self._playing:
            task.cancel()
        await asyncio.gather(*self._playing, return_exceptions=True)
        for servers in await asyncio.gather(*opened, return_exceptions=True):
            if isinstance(servers, McpServers):
                await servers.close()
        loop = asyncio.get_running_loop()
        await loop.shutdown_asyncgens()
        await loop.shutdown_default_executor()

    async def _play(
        self, model: ChatModel, task: PlayedTask, problem: Problem, sampling: SamplingParams, thinking: Thinking,
        limits: Limits,
    ) -> Episode:  # fmt: skip
        playing = asyncio.current_task()
        assert playing is not None, "it runs in a task"
        self._playing.add(playing)
        playing.add_done_callback(self._playing.discard)
        world, servers = task.open(problem), await self._servers(task)
        tools: list[Tool | Toolset] = [_WorldTool(world, tool["function"]) for tool in task.tools(problem.id)]
        if servers is not None:
            tools.append(_Held(servers) if task.shared else servers)
        async with Agent(model, tools=tools, sampling=sampling, thinking=thinking, limits=limits) as agent:
            down = {} if servers is None else servers.down()
            lost = "; ".join(f"MCP server {name!r}: {why}" for name, why in down.items())
            offered = tuple(tool.schema() for tool in agent.tools())
            run = agent.start(list(problem.messages))
            return await _followed(run, world, offered, lost)

    async def _servers(self, task: PlayedTask) -> McpServers | None:
        if not task.servers:
            return None
        if not task.shared:
            return McpServers({"mcpServers": dict(task.servers)}, approval="auto")
        if task.name not in self._shared:
            self._shared[task.name] = asyncio.create_task(_opened(task), name=f"mcp servers of {task.name}")
        return await asyncio.shield(self._shared[task.name])


async def _opened(task: PlayedTask) -> McpServers:
    """Raises UserError when one of them does not start."""
    required = {name: {**server, "required": True} for name, server in task.servers.items()}
    servers = McpServers({"mcpServers": required}, approval="auto")
    await servers.open()
    return servers


async def _followed(run: Run, world: World, tools: tuple[dict[str, Any], ...], lost: str) -> Episode:
    counts: Counter[str] = Counter()
    finish: Finish | None = None
    try:
        async for event in run:
            if isinstance(event, CallDone):
                counts["calls"] += 1
                counts["errors"] += event.output.error
                lost = lost or (event.output.text if event.output.lost else "")
            elif isinstance(event, Finish):
                finish = event
                counts["malformed"] += event.malformed_calls
            if lost:  # nothing that follows says anything of the model
                break
    finally:
        await run.cancel()
    assert run.end is not None, "a run ends with RunDone"
    names = {tool["function"]["name"] for tool in tools}
    called = [call.name for message in run.messages for call in message.tool_calls]
    counts["unknown"], counts["turns"] = sum(name not in names for name in called), run.end.steps
    cut = run.end.reason != "answered" or (finish is not None and finish.reason == "length")
    return Episode(tuple(run.messages), tools, run.end, world.outcome(run.end.text), cut, lost, counts)


def play(player: Player, model: ChatModel, task: PlayedTask, problem: Problem, request: ChatRequest) -> list[Event]:
    """The events of a stream that says, instead of the last words, what is graded. Raises UpstreamError when the tools
    went away: it may be played again."""
    episode = player.start(model, task, problem, request.sampling, request.thinking).result()
    if episode.lost:
        raise UpstreamError(f"{task.name} cannot be played: {episode.lost}")
    thoughts = episode.thoughts
    said = [ReasoningDelta(thoughts)] if thoughts else []
    return [*said, TextDelta(episode.outcome), _finish(episode, request)]


class _Held(Toolset):
    """Servers that somebody else opens and closes."""

    def __init__(self, servers: McpServers) -> None:
        self._servers = servers

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def tools(self) -> Sequence[Tool]:
        return self._servers.tools()


class _WorldTool(Tool):
    concurrent = False

    def __init__(self, world: World, function: Mapping[str, Any]) -> None:
        self._world = world
        self.name, self.description = function["name"], function["description"]
        self.parameters = function["parameters"]

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> ToolOutput:
        return ToolOutput(self._world.call(self.name, arguments))


def _finish(episode: Episode, request: ChatRequest) -> Finish:
    """A run that ended by itself has stopped; one that was ended (steps, time) was cut, whatever it left behind."""
    reason: FinishReason = "length" if episode.cut else "stop"
    sampling = request.sampling
    effective = Effective(
        thinking=bool(request.thinking.enabled),
        thinking_source="request",
        budget=request.thinking.budget,
        seed=None,
        **{name: getattr(sampling, name) for name in ("temperature", "top_p", "top_k", "min_p", "max_tokens")},
    )
    return Finish(reason, episode.end.usage, effective)
