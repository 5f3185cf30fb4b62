"""An agent: a model, its tools, and the limits of a run.

    from ponder import LLM
    from ponder.agent.loop.agent import Agent

    print(Agent("qwen3:0.6b", tools=[add]).run_sync("What is 17 + 25?").text)

    async with Agent(LLM("qwen3:0.6b"), tools=[add]) as agent:
        run = agent.start("What is 17 + 25?")
        async for event in run: ...
        print(run.end.text)

The model is a name, or anything with `core.protocol.ChatModel`: the engine in this process, or a server.
"""

import asyncio
import json
import os
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, overload
from uuid import uuid4

from ponder.agent.loop.event import Decision, Note
from ponder.agent.loop.limits import Limits
from ponder.agent.loop.models import chat_model
from ponder.agent.loop.run import AgentResult, Run
from ponder.agent.loop.session import Session
from ponder.agent.tools.function_tool import function_tool
from ponder.agent.tools.tool import Opened, Tool, Toolset
from ponder.core.errors import UserError
from ponder.core.message import Message, ToolCall, messages_from_dicts
from ponder.core.params import Grammar, SamplingParams, Thinking
from ponder.core.protocol import ChatModel
from ponder.sandbox.workspace import copy_in, parts
from ponder.text.typed_output import output_form

Approver = Callable[[ToolCall, Tool], Awaitable[Decision]]
Value = TypeVar("Value")
Messages = str | Sequence[Message | dict[str, Any]]


class Agent(Opened):
    """A model with tools. Open it (`async with`, or `open` and `close`) before the first run; runs of different
    conversations may go on side by side.

    >>> from ponder import SamplingParams
    >>> from ponder.agent import Agent
    >>> def add(a: int, b: int) -> int:
    ...     "Add two numbers."
    ...     return a + b
    >>> agent = Agent("ponder-mini", tools=[add], sampling=SamplingParams(temperature=0))
    >>> agent.run_sync("Hello").reason
    'answered'
    """

    def __init__(
        self,
        model: ChatModel | str,
        *,
        tools: Sequence[Tool | Toolset | Callable[..., Any]] = (),
        system: str = "",
        name: str = "agent",
        description: str = "",
        sampling: SamplingParams | None = None,
        thinking: Thinking | None = None,
        parallel_tool_calls: bool = True,
        limits: Limits | None = None,
        approve: Approver | None = None,
        workspace: Path | str | None = None,
        files: Sequence[Path | str] = (),
    ) -> None:
        """model: a name is opened here and now, and stays open with the agent. tools: `Tool`s, `Toolset`s, and plain
        typed functions with a docstring. approve: asked for every call of a tool that wants a person's word; without it
        such a call makes the run wait (`RunDone.waiting`). workspace: folder of the files, one below it for each
        conversation; None is a temporary one. files: copied into the workspace of each conversation, for the tools that
        work there.
        """
        self.model = chat_model(model) if isinstance(model, str) else model
        self.system, self.name, self.description = system, name, description
        self.sampling, self.thinking = sampling or SamplingParams(), thinking or Thinking()
        self.parallel_tool_calls, self.limits, self.approve = parallel_tool_calls, limits or Limits(), approve
        self.always: set[str] = set()  # tools that somebody allowed for good
        self._own: list[Tool] = []
        self._sets: list[Toolset] = []
        for tool in tools:
            if isinstance(tool, Toolset):
                self._sets.append(tool)
            else:
                self._own.append(tool if isinstance(tool, Tool) else function_tool(tool))
        self._files = [Path(file) for file in files]
        self._workspace = None if workspace is None else Path(workspace)
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._opened = False

    def tools(self) -> list[Tool]:
        """Those of this moment. Raises UserError for two of one name."""
        found = [*self._own, *(tool for each in self._sets for tool in each.tools())]
        names = [tool.name for tool in found]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise UserError(f"two tools are called {twice[0]}; rename one", param="tools")
        return found

    def notes(self) -> list[Note]:
        """What the tool sets want a user to know."""
        return [Note(text) for each in self._sets for text in each.warnings()]

    def workspace(self, conversation: str) -> Path:
        """The folder of its files, made if it is not there. Raises UserError for a name that is no folder's."""
        if parts(conversation) != [conversation]:
            raise UserError(f"{conversation!r} cannot name a conversation: its folder would lie elsewhere.")
        folder = self._base() / conversation
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def copy_attachments(self, conversation: str) -> None:
        """Put the attached files into its workspace. What is there stays: the model may have worked on it."""
        for file in self._files:
            folder = self.workspace(conversation)
            if not os.path.lexists(folder / file.name):
                copy_in(folder, file.resolve(), file.name)

    def _base(self) -> Path:
        if self._workspace is not None:
            return self._workspace
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="ponder-", ignore_cleanup_errors=True)
        return Path(self._temporary.name)

    def start(
        self,
        messages: Messages,
        *,
        conversation: str | None = None,
        session: Session | None = None,
        decisions: dict[str, Decision] | None = None,
        grammar: Grammar | None = None,
    ) -> Run:
        """A run over a conversation: its first prompt, or all messages so far. Ends a waiting run's calls first, as
        `decisions` (call id -> decision) tell. conversation: names the workspace and the interpreter's state.
        session: keeps a log of it. grammar: what an answer must be; calls are free. Must be called where an event loop
        runs."""
        if isinstance(messages, str):
            messages = [Message.user(messages)]
        history = list(messages_from_dicts(messages))
        if self.system:
            history = _instructed(self.system, history)
        return Run(self, history, conversation or uuid4().hex[:12], session, dict(decisions or {}), grammar)

    @overload
    async def run(
        self, messages: Messages, *, output: type[Value], conversation: str | None = None
    ) -> AgentResult[Value]: ...
    @overload
    async def run(self, messages: Messages, *, conversation: str | None = None) -> AgentResult[None]: ...
    async def run(
        self, messages: Messages, *, output: type[Any] | None = None, conversation: str | None = None
    ) -> AgentResult[Any]:
        """A whole run. output: a dataclass, a TypedDict or a pydantic model, which `.parsed` of the result then is.
        An agent that is not open is opened for it."""
        form = None if output is None else output_form(output)
        grammar = None if form is None else Grammar("json_schema", json.dumps(form.schema, ensure_ascii=False))
        opened_here = not self._opened
        await self.open()
        try:
            run = self.start(messages, conversation=conversation, grammar=grammar)
            return AgentResult(await run.wait(), tuple(run.messages), form)
        finally:
            if opened_here:
                await self.close()

    @overload
    def run_sync(
        self, messages: Messages, *, output: type[Value], conversation: str | None = None
    ) -> AgentResult[Value]: ...
    @overload
    def run_sync(self, messages: Messages, *, conversation: str | None = None) -> AgentResult[None]: ...
    def run_sync(
        self, messages: Messages, *, output: type[Any] | None = None, conversation: str | None = None
    ) -> AgentResult[Any]:
        """`run` for where no event loop runs."""
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            raise UserError("an event loop runs here: `await agent.run(...)` instead of run_sync")
        if output is None:
            return asyncio.run(self.run(messages, conversation=conversation))
        return asyncio.run(self.run(messages, output=output, conversation=conversation))

    async def open(self) -> None:
        """Start the tool sets. Raises what the first of them raised, with the others closed."""
        if self._opened:
            return
        self._opened = True
        results = await asyncio.gather(*(each.open() for each in self._sets), return_exceptions=True)
        errors = [r for r in results if isinstance(r, BaseException)]
        if errors:
            await self.close()
            raise errors[0]

    async def close(self) -> None:
        """Close the tool sets and let a temporary workspace go. The model is the caller's."""
        await asyncio.gather(*(each.close() for each in self._sets))
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None
        self._opened = False


def _instructed(system: str, history: list[Message]) -> list[Message]:
    """The agent's own instructions first, then the caller's; once only, for a history comes back with them."""
    if not history or history[0].role != "system":
        return [Message.system(system), *history]
    given = history[0].text
    if given == system or given.startswith(f"{system}\n\n"):
        return history
    return [Message.system(f"{system}\n\n{given}"), *history[1:]]
