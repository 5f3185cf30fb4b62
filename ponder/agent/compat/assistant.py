"""Qwen-Agent's `Assistant`, nearly word for word, over Ponder's loop.

    bot = Assistant(
        llm={"model": "qwen3:8b", "model_server": "http://localhost:8000/v1", "api_key": "EMPTY"},
        function_list=[
            {"mcpServers": {"time": {"command": "mcp-server-time", "args": ["--local-timezone=Asia/Shanghai"]}}},
            "code_interpreter",
        ],
    )
    for responses in bot.run(messages=[{"role": "user", "content": "What time is it?"}]):
        ...
    print(responses)

`run` yields the list of new messages as it grows, in Qwen-Agent's form; `events` is the native stream. What differs is
listed in docs/qwen-agent.md.
"""

import weakref
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ponder.agent.compat.background import Background
from ponder.agent.compat.qwen_agent import BaseTool, Registered, Wrapped, from_qwen, qwen_message, settings, to_qwen
from ponder.agent.loop.agent import Agent, Approver
from ponder.agent.loop.event import MessageAdded, RunEvent
from ponder.agent.loop.limits import Limits
from ponder.agent.loop.models import chat_model
from ponder.agent.loop.run import Run
from ponder.agent.tools.builtin import builtin_tool
from ponder.agent.tools.tool import Approval, Tool, Toolset
from ponder.core.errors import UserError
from ponder.core.event import ReasoningDelta, TextDelta
from ponder.core.message import Message
from ponder.core.protocol import ChatModel


class Assistant:
    """Qwen-Agent's `Assistant` over Ponder's loop. Tool sets stay open from the first run to `close()`, which also
    happens when the object or the program ends.

    >>> from ponder.agent import Assistant
    >>> bot = Assistant(llm={"model": "ponder-mini", "generate_cfg": {"temperature": 0}})
    >>> *_, replies = bot.run(messages=[{"role": "user", "content": "Who are you?"}])
    >>> replies[-1]["role"], replies[-1]["content"]
    ('assistant', 'I am Ponder mini...')
    >>> bot.close()
    """

    def __init__(
        self,
        function_list: Sequence[Any] | None = None,
        llm: "str | dict[str, Any] | ChatModel | None" = None,
        system_message: str | None = "You are a helpful assistant.",
        name: str | None = None,
        description: str | None = None,
        files: Sequence[str] | None = None,
        *,
        limits: Limits | None = None,
        approve: Approver | None = None,
        workspace: Path | str | None = None,
        unsafe_host_exec: bool = False,
    ) -> None:
        """function_list: names of built-in or registered tools, {"name": ..., options}, {"mcpServers": {...}}, tool
        objects, typed functions. llm: see `models.chat_model`; its "generate_cfg" holds sampling and thinking. files:
        documents that the assistant can search, and that code finds in its workspace. approve: asked for calls of MCP
        tools that may change something; without it they run, as in Qwen-Agent. The other arguments are Ponder's own,
        see `Agent`."""
        cfg = dict(llm.get("generate_cfg") or {}) if isinstance(llm, dict) else {}
        sampling, thinking, loop = settings(cfg)
        asks: Approval = "auto" if approve is None else "ask"
        tools = [_tool(item, asks, unsafe_host_exec) for item in function_list or ()]
        if files:
            tools.append(builtin_tool("doc_search", {"files": list(files)}))
        self.llm = chat_model(llm if llm is not None else "")
        self.name, self.description = name or "assistant", description or ""
        self.agent = Agent(
            self.llm, tools=tools, system=system_message or "", name=self.name, description=self.description,
            sampling=sampling, thinking=thinking, approve=approve, workspace=workspace,
            limits=limits or Limits(**loop), files=[file for file in files or () if not Path(file).is_dir()],
        )  # fmt: skip
        self.last: Run | None = None
        self._background: Background | None = None
        self._finalize: Callable[[], object] = lambda: None  # runs of itself, too, when nobody has the object any more

    def run(self, messages: Sequence[Message | dict[str, Any]], **kwargs: Any) -> Iterator[list[dict[str, Any]]]:
        """Yields the new messages so far, again and again; the last yield is complete."""
        done: list[dict[str, Any]] = []
        reasoning = text = ""
        for event in self.events(messages, **kwargs):
            if isinstance(event, ReasoningDelta):
                reasoning += event.text
            elif isinstance(event, TextDelta):
                text += event.text
            elif isinstance(event, MessageAdded):
                done += to_qwen(event.message, self.name)
                reasoning = text = ""
            else:
                continue
            open_ = [qwen_message("assistant", text, self.name, reasoning)] if reasoning or text else []
            yield [*done, *open_]

    def run_nonstream(self, messages: Sequence[Message | dict[str, Any]], **kwargs: Any) -> list[dict[str, Any]]:
        """The new messages of a finished run."""
        *_, last = self.run(messages, **kwargs)
        return last

    def events(self, messages: Sequence[Message | dict[str, Any]], **kwargs: Any) -> Iterator[RunEvent]:
        """The native stream. kwargs: conversation, session, decisions, as in `Agent.start`."""
        background = self._opened()
        asked = from_qwen(messages)

        async def watch() -> AsyncGenerator[RunEvent, None]:
            self.last = run = self.agent.start(asked, **kwargs)
            async for event in run:
                yield event

        yield from background.iterate(watch())

    def close(self) -> None:
        """Close the tool sets. Safe to call twice."""
        self._finalize()
        self._background = None

    def __enter__(self) -> "Assistant":
        return self

    def __exit__(self, *args: Any) -> None:
        self.close()

    def _opened(self) -> Background:
        if self._background is None:
            self._background = Background()
            self._finalize = weakref.finalize(self, _shut, self.agent, self._background)
            self._background.call(self.agent.open())
        return self._background


def _shut(agent: Agent, background: Background) -> None:
    background.call(agent.close())
    background.close()


def _tool(item: Any, asks: Approval, unsafe: bool) -> Any:
    if isinstance(item, str):
        item = {"name": item}
    if isinstance(item, dict):
        if "mcpServers" in item:
            from ponder.agent.mcp.servers import McpServers

            return McpServers(item, approval=asks)
        options = {k: v for k, v in item.items() if k != "name"}
        name = item.get("name")
        if name in Registered.tools:
            return Wrapped(Registered.tools[name](options))
        return builtin_tool(name, options, unsafe_host_exec=unsafe)
    if isinstance(item, BaseTool):
        return Wrapped(item)
    if isinstance(item, Tool | Toolset) or callable(item):
        return item
    raise UserError(f"function_list: {item!r} is no tool", param="function_list")
