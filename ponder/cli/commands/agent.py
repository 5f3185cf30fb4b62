"""`ponder agent [MODEL] [PROMPT...]`: a model that acts through tools.

ponder agent --tool calculator "What is 17.5 % of 2,340?"
ponder agent --tool code_interpreter --mcp servers.json --session trip.jsonl
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from ponder.cli import options
from ponder.cli.agent_tools import add_tool_flags, tools_of
from ponder.cli.terminal.printer import note, visible
from ponder.core.errors import UserError

if TYPE_CHECKING:
    from ponder.agent.loop.agent import Agent, Approver
    from ponder.agent.loop.event import Decision, RunDone
    from ponder.agent.loop.limits import Limits
    from ponder.agent.loop.run import Run
    from ponder.agent.loop.session import Session
    from ponder.agent.tools.tool import Tool
    from ponder.core.message import Message, ToolCall
    from ponder.core.protocol import ChatModel

DESCRIPTION = "Let a model act: run code, read pages and files, use MCP servers, and answer."
NOTES = """\
Tools. --tool NAME, as often as you like: code_interpreter, shell, files (in a sandbox, with a workspace of their own),
web_fetch, doc_search, calculator, current_time. --file adds a document to search; code finds it in the workspace, too.
--mcp FILE reads MCP servers in the common form {"mcpServers": {"name": {"command": ..., "args": [...]}}}; "url" instead
of "command" for a remote one.
Without any of these the tools are calculator and current_time.

Approval. A tool of an MCP server that may change something asks first: once, always, no, or later. Later, and where
there is no terminal, the run ends with exit code 3; with --session the same command asks again another day. --yes
allows every call.

Sessions. --session FILE keeps a log of everything that happens. The same command goes on where it ended, also after a
crash or Ctrl-C. --branch FILE@N begins a new --session with the first N messages of FILE. --replay FILE runs a log
again without model and tools, checks that the same transcript comes out, and prints it as Markdown.

The model runs here, or on a server: --url URL of anything that speaks the OpenAI API.

In a terminal without PROMPT it is a conversation: Ctrl-C stops the run, /bye or Ctrl-D leaves.

Exit codes: 0 an answer was given, 1 there is none, 2 the input was wrong, 3 a call waits for approval, 130 Ctrl-C.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "ponder agent [options] [MODEL] [PROMPT ...]"
    parser.add_argument("words", nargs="*", metavar="MODEL PROMPT", help="as for ponder run")
    parser.add_argument("--model", metavar="NAME", help="the model; every other word belongs to the prompt")
    parser.add_argument("--url", help="use the model of a server with the OpenAI API, http://localhost:11435/v1 say")
    parser.add_argument("--api-key", metavar="KEY", help="its key")
    parser.add_argument("--system", default="", metavar="TEXT", help="instructions that come before the conversation")
    tools = parser.add_argument_group("tools")
    add_tool_flags(tools)
    tools.add_argument("--file", action="append", default=[], metavar="FILE", help="a document or folder to search")
    tools.add_argument(
        "--workspace", type=Path, metavar="DIR", help="where files are kept (default: Ponder's data folder)"
    )
    tools.add_argument("--yes", action="store_true", help="allow every call without asking")
    limits = parser.add_argument_group("limits; past one of them the model must answer")
    limits.add_argument("--steps", type=int, default=24, metavar="N", help="turns with tools (default: 24)")
    limits.add_argument("--seconds", type=float, metavar="S", help="time until the answer must begin")
    limits.add_argument("--thinking-tokens", type=int, metavar="N", help="thoughts of all steps together")
    sessions = parser.add_argument_group("sessions")
    sessions.add_argument("--session", type=Path, metavar="FILE", help="keep a log here, or go on with it")
    sessions.add_argument("--branch", metavar="FILE@N", help="begin --session with the first N messages of FILE")
    sessions.add_argument("--replay", type=Path, metavar="FILE", help="run a log again, without a model")
    options.add_generation_flags(parser)
    options.add_load_flags(parser)


def run(args: argparse.Namespace) -> int:
    if args.replay:
        return _replay(args)
    from ponder.cli.commands.run import read_stdin, split_words

    model, prompt = (args.model, " ".join(args.words) or None) if args.url else split_words(args.model, args.words)
    session = _session(args)
    if prompt is None and not sys.stdin.isatty():
        prompt = read_stdin().strip() or None
    if prompt is None and not sys.stdin.isatty() and not (session and session.messages):
        raise UserError("there is no PROMPT; say what the agent shall do", param="prompt")
    generation = options.generation_options(args)
    if generation.grammar is not None:
        raise UserError("an agent's answers have no grammar; use ponder run for those", param="json_schema")
    if args.url:
        from ponder.agent.loop.models import chat_model

        return asyncio.run(_talk(chat_model(_server(args, model)), args, generation, session, prompt))
    from ponder.agent.loop.models import for_tools
    from ponder.cli.loading import open_llm

    with open_llm(model, args) as llm:
        return asyncio.run(_talk(for_tools(llm), args, generation, session, prompt))


def _server(args: argparse.Namespace, model: str | None) -> dict[str, str | None]:
    return {"model": model, "model_server": args.url, "api_key": args.api_key}


def _session(args: argparse.Namespace) -> "Session | None":
    from ponder.agent.loop.session import Session, branch

    if args.branch:
        source, _, count = args.branch.rpartition("@")
        if not source or not count.isdigit() or args.session is None:
            raise UserError("--branch wants FILE@N, and --session a new file", param="branch")
        return branch(source, args.session, int(count))
    return Session(args.session) if args.session else None


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


async def _talk(
    model: "ChatModel",
    args: argparse.Namespace,
    generation: options.GenerationOptions,
    session: "Session | None",
    prompt: str | None,
) -> int:
    from ponder.agent.loop.history import unanswered
    from ponder.agent.loop.limits import Limits
    from ponder.core.message import Message

    limits = Limits(steps=args.steps, seconds=args.seconds, thinking_tokens=args.thinking_tokens)
    asker = Asker() if sys.stdin.isatty() and not args.yes else None
    approve = _allow if args.yes else asker.approve if asker else None
    agent = _agent(model, args, generation, limits, approve)
    messages = list(session.messages) if session else []
    once = prompt is not None or not sys.stdin.isatty()
    async with agent:
        if not once:
            note(_greeting(agent, args, len(messages)))
        if messages and (messages[-1].role != "assistant" or unanswered(messages)):
            asked = next((m.text for m in reversed(messages) if m.role == "user"), None)
            end = await _run(agent, asker, messages, session, args, once)  # what was begun comes first
            if once and prompt in (None, asked):
                return _code(end, args)
            prompt = None if prompt == asked else prompt
        while True:
            prompt = prompt or await _read_line()
            if prompt is None:
                return 0
            messages.append(Message.user(prompt))
            end = await _run(agent, asker, messages, session, args, once)
            if once:
                return _code(end, args)
            prompt = None


def _greeting(agent: "Agent", args: argparse.Namespace, messages: int) -> str:
    tools = ", ".join(tool.name for tool in agent.tools()) or "none"
    before = f"\nGoing on after {messages} messages; --replay {args.session} prints them." if messages else ""
    return f"Tools: {tools}. Type what to do; Ctrl-C stops a run, Ctrl-D leaves.{before}"


def _agent(
    model: "ChatModel",
    args: argparse.Namespace,
    generation: options.GenerationOptions,
    limits: "Limits",
    approve: "Approver | None",
) -> "Agent":
    from ponder.agent.loop.agent import Agent
    from ponder.agent.tools.builtin import builtin_tool
    from ponder.model.hub.data_folder import workspaces

    tools = tools_of(args, default=() if args.file else ("calculator", "current_time"))
    if args.file:
        tools.append(builtin_tool("doc_search", {"files": args.file}))
    return Agent(
        model, tools=tools, system=args.system, sampling=generation.sampling, thinking=generation.thinking,
        limits=limits, approve=approve, workspace=args.workspace or workspaces(note),
        files=[file for file in args.file if not Path(file).is_dir()],
    )  # fmt: skip


async def _run(
    agent: "Agent",
    asker: Asker | None,
    messages: "list[Message]",
    session: "Session | None",
    args: argparse.Namespace,
    once: bool,
) -> "RunDone":
    from ponder.agent.loop.event import ApprovalRequested
    from ponder.cli.terminal.agent_show import AgentPrinter

    run = agent.start(messages, session=session, conversation=session.conversation if session else "terminal")
    printer = AgentPrinter(agent.workspace(run.conversation), thoughts=not args.hide_thinking)
    try:
        with nullcontext() if once else _stopped_by_ctrl_c(run):
            async for event in run:
                printer.show(event)
                if isinstance(event, ApprovalRequested) and asker is not None:
                    await asker.ask(event.call)
    finally:
        await run.cancel()
    messages[:] = run.messages
    assert run.end is not None
    return run.end


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


async def _allow(call: "ToolCall", tool: "Tool") -> "Decision":
    return "once"


async def _decide() -> "Decision":
    decisions: dict[str, Decision] = {"y": "once", "a": "always", "n": "deny", "l": "later"}
    while True:
        said = await _read_line("  run it? [y]es once, [a]lways, [n]o, [l]ater: ")
        if said is None:
            return "later"
        if said.lower()[:1] in decisions:
            return decisions[said.lower()[:1]]


async def _read_line(prompt: str = ">>> ") -> str | None:
    """None at the end. Ctrl-C raises KeyboardInterrupt here, where a thread with input() would not let go."""
    from prompt_toolkit import PromptSession

    while True:
        try:
            said = (await PromptSession[str]().prompt_async(prompt)).strip()
        except EOFError:
            return None
        if said in ("/bye", "/quit", "/exit"):
            return None
        if said:
            return said


def _code(end: "RunDone", args: argparse.Namespace) -> int:
    if end.reason == "waiting":
        names = ", ".join(call.name for call in end.waiting)
        again = "the same command asks again" if args.session else "nothing is kept without --session"
        note(f"{names}: waits for approval; {again}, or say --yes")
        return 3
    return 1 if end.reason in ("error", "cancelled") else 0


def _replay(args: argparse.Namespace) -> int:
    from ponder.agent.loop.limits import Limits
    from ponder.agent.loop.replay import replay
    from ponder.agent.loop.session import read_session
    from ponder.agent.loop.session_markdown import transcript

    events = read_session(args.replay)
    limits = Limits(steps=args.steps, thinking_tokens=args.thinking_tokens)
    text = transcript(asyncio.run(replay(events, limits)))
    print(visible(text) if sys.stdout.isatty() else text, end="")
    return 0
