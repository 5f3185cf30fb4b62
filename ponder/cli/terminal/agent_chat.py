"""A conversation with an agent in a terminal: the chat's commands, runs that Ctrl-C stops, questions about calls."""

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ponder.cli.terminal.agent_show import AgentPrinter
from ponder.cli.terminal.chat import change_model, prompt_session, unquote
from ponder.cli.terminal.chat_commands import CommandResult, is_command, run_command
from ponder.cli.terminal.printer import note, rate, wrapped
from ponder.cli.terminal.session import ChatSession
from ponder.core.errors import UserError
from ponder.core.message import Message

if TYPE_CHECKING:
    from ponder.agent.loop.agent import Agent
    from ponder.agent.loop.event import Decision, RunDone
    from ponder.agent.loop.run import Run
    from ponder.agent.loop.session import Session
    from ponder.agent.tools.tool import Tool
    from ponder.core.message import ToolCall
    from ponder.core.protocol import ChatModel
    from ponder.engine.decoding.settings import ModelProfile

Change = Callable[[str], tuple["ChatModel", "ModelProfile"]]


class Asker:
    """Asks the person at the terminal, when the question is what comes next there."""

    def __init__(self) -> None:
        self._open: dict[str, asyncio.Future[Decision]] = {}

    async def approve(self, call: "ToolCall", tool: "Tool") -> "Decision":
        self._open[call.id] = asyncio.get_running_loop().create_future()
        return await self._open[call.id]

    async def ask(self, call: "ToolCall") -> None:
        """The run stands at this call; everything before it has been shown."""
        self._open.pop(call.id).set_result(await _decide())


@dataclass
class AgentChat:
    """log: of an agent's session. once: one run, and no conversation. change: another model by its name."""

    agent: "Agent"
    session: ChatSession
    asker: Asker | None
    change: Change
    log: "Session | None" = None
    once: bool = False
    thoughts: bool = True
    history: Path = field(default_factory=lambda: Path("history"))

    async def talk(self) -> int:
        """Until the user leaves. -> exit code"""
        lines = prompt_session(self.history, self.session.models)
        while True:
            try:
                text = unquote(await lines.prompt_async(">>> "))
            except EOFError:
                return 0
            before = list(self.session.messages)
            try:
                outcome = run_command(self.session, text.rstrip()) if is_command(text) else CommandResult(ask=text)
                if outcome.note:
                    note(wrapped(outcome.note))
                if outcome.leave:
                    return 0
                if outcome.model:
                    self.agent.model, profile = self.change(outcome.model)
                    change_model(self.session, profile)
                if outcome.ask and outcome.ask.strip():
                    await self.ask(outcome.ask)
            except UserError as e:
                self.session.messages = before
                print(f"ponder: {e}", file=sys.stderr)

    async def ask(self, text: str) -> "RunDone":
        self.session.messages.append(Message.user(self.session.question(text)))
        return await self.run()

    async def run(self) -> "RunDone":
        """Over the conversation as it is; what comes of it belongs to it."""
        from ponder.agent.loop.event import ApprovalRequested

        agent, session = self.agent, self.session
        agent.system, agent.sampling, agent.thinking = session.system or "", session.sampling, session.thinking
        conversation = self.log.conversation if self.log else "terminal"
        run = agent.start(session.messages, session=self.log, conversation=conversation)
        printer, clock = AgentPrinter(agent.workspace(run.conversation), thoughts=self.thoughts), Clock()
        try:
            with nullcontext() if self.once else _stopped_by_ctrl_c(run):
                async for event in run:
                    printer.show(event)
                    clock.see(event)
                    if isinstance(event, ApprovalRequested) and self.asker is not None:
                        await self.asker.ask(event.call)
        finally:
            await run.cancel()
        assert run.end is not None
        session.messages = [m for n, m in enumerate(run.messages) if n or m.role != "system"]
        if session.stats:
            note(clock.line())
        if trouble := session.keep():
            note(trouble)
        return run.end


class Clock:
    """How fast the model wrote, its waiting for tools not counted."""

    def __init__(self) -> None:
        self._asked = self._since = time.perf_counter()
        self._tokens, self._writing = 0, 0.0
        self._first: float | None = None

    def see(self, event: object) -> None:
        from ponder.core.event import Finish, ReasoningDelta, TextDelta

        now = time.perf_counter()
        if isinstance(event, ReasoningDelta | TextDelta) and not self._since:
            self._since = now
        if isinstance(event, ReasoningDelta | TextDelta) and self._first is None:
            self._first, self._since = now - self._asked, now
        if isinstance(event, Finish):
            self._tokens += event.usage.completion_tokens
            self._writing += now - self._since if self._since else 0.0
            self._since = 0.0

    def line(self) -> str:
        first = self._first or 0.0
        return rate(self._tokens, first, first + self._writing)


@contextmanager
def _stopped_by_ctrl_c(run: "Run") -> Iterator[None]:
    """In a conversation Ctrl-C ends the run and not the program; a second one does."""
    loop, before = asyncio.get_running_loop(), signal.getsignal(signal.SIGINT)
    stopping: list[asyncio.Task[None]] = []

    def on_interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        loop.call_soon_threadsafe(lambda: stopping.append(loop.create_task(run.cancel())))

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def allow(call: "ToolCall", tool: "Tool") -> "Decision":
    return "once"


def approver(asker: Asker | None, *, all_allowed: bool) -> "Callable[[ToolCall, Tool], Awaitable[Decision]] | None":
    if all_allowed:
        return allow
    return asker.approve if asker else None


async def _decide() -> "Decision":
    from prompt_toolkit import PromptSession

    decisions: dict[str, Decision] = {"y": "once", "a": "always", "n": "deny", "l": "later"}
    while True:
        try:
            said = await PromptSession[str]().prompt_async("  run it? [y]es once, [a]lways, [n]o, [l]ater: ")
        except EOFError:
            return "later"
        if said.strip().lower()[:1] in decisions:
            return decisions[said.strip().lower()[:1]]
