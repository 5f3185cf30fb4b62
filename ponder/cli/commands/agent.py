"""`ponder agent [MODEL] [PROMPT...]`: a model that acts through tools.

ponder agent --tool calculator "What is 17.5 % of 2,340?"
ponder agent --tool code_interpreter --mcp servers.json --session trip.jsonl
"""

import argparse
import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ponder.cli import options
from ponder.cli.agent_tools import add_tool_flags, tools_of
from ponder.cli.terminal.printer import note, visible
from ponder.core.errors import UserError

if TYPE_CHECKING:
    from ponder.agent.loop.agent import Agent, Approver
    from ponder.agent.loop.event import RunDone
    from ponder.agent.loop.session import Session
    from ponder.cli.chats import WantedChat
    from ponder.cli.terminal.agent_chat import Change
    from ponder.cli.terminal.session import ChatSession
    from ponder.core.protocol import ChatModel
    from ponder.engine.decoding.settings import ModelProfile

    Talk = Callable[[ChatModel, ModelProfile, Change], int]

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

In a terminal without PROMPT it is a conversation with the commands of the chat: Ctrl-C stops the run, /bye leaves. Like
a chat it is kept for --continue, /chats and the page, unless --session names a log.

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
    options.add_chat_flags(parser)
    options.add_generation_flags(parser)
    options.add_load_flags(parser)


def run(args: argparse.Namespace) -> int:
    if args.replay:
        return _replay(args)
    from ponder.cli.commands.run import new_session, read_stdin, split_words

    model, prompt = (args.model, " ".join(args.words) or None) if args.url else split_words(args.model, args.words)
    log = _session(args)
    if prompt is None and not sys.stdin.isatty():
        prompt = read_stdin().strip() or None
    if prompt is None and not sys.stdin.isatty() and not (log and log.messages):
        raise UserError("there is no PROMPT; say what the agent shall do", param="prompt")
    generation = options.generation_options(args)
    if generation.grammar is not None:
        raise UserError("an agent's answers have no grammar; use ponder run for those", param="json_schema")
    wanted = _wanted(args, always=prompt is None)

    def talk(model: "ChatModel", profile: "ModelProfile", change: "Change") -> int:
        chat = new_session(profile, generation, args.system or None)
        chat.stats = args.stats
        if log is not None:
            chat.log, chat.messages = log.path, list(log.messages)
            if chat.messages and chat.messages[0].role == "system":
                chat.system = chat.system or chat.messages[0].text
                del chat.messages[0]
        elif wanted is not None:
            wanted.begin(chat)
        return asyncio.run(_talk(model, args, chat, log, prompt, change))

    return _on_a_server(args, model, talk) if args.url else _here(args, model, talk)


def _on_a_server(args: argparse.Namespace, name: str | None, talk: "Talk") -> int:
    from ponder.engine.remote import RemoteModel

    def served(name: str | None) -> "tuple[ChatModel, ModelProfile]":
        remote = RemoteModel(args.url, model=name, api_key=args.api_key)
        return remote, remote.profile

    return talk(*served(name), served)


def _here(args: argparse.Namespace, name: str | None, talk: "Talk") -> int:
    from ponder.agent.loop.models import for_tools
    from ponder.cli.loading import ModelSlot

    with ModelSlot(name, args) as slot:

        def changed(name: str) -> "tuple[ChatModel, ModelProfile]":
            llm = slot.change(name)
            return for_tools(llm), llm.profile

        return talk(for_tools(slot.model), slot.model.profile, changed)


def _wanted(args: argparse.Namespace, *, always: bool) -> "WantedChat | None":
    """A log of its own, or the store of all chats."""
    from ponder.cli.chats import WantedChat

    if args.session is None:
        return WantedChat(args, always=always)
    if args.go_on or args.chat:
        raise UserError("--session goes on with its own log, --continue with a chat: take one", param="session")
    return None


def _session(args: argparse.Namespace) -> "Session | None":
    from ponder.agent.loop.session import Session, branch

    if args.branch:
        source, _, count = args.branch.rpartition("@")
        if not source or not count.isdigit() or args.session is None:
            raise UserError("--branch wants FILE@N, and --session a new file", param="branch")
        return branch(source, args.session, int(count))
    return Session(args.session) if args.session else None


async def _talk(
    model: "ChatModel",
    args: argparse.Namespace,
    session: "ChatSession",
    log: "Session | None",
    prompt: str | None,
    change: "Change",
) -> int:
    from ponder.agent.loop.history import unanswered
    from ponder.cli.terminal.agent_chat import AgentChat, Asker, approver
    from ponder.model.hub.data_folder import typed_lines

    asker = Asker() if sys.stdin.isatty() and not args.yes else None
    agent = _agent(model, args, approver(asker, all_allowed=args.yes))
    session.tools = lambda: [f"{t.name:20} {t.description.strip().splitlines()[0]}" for t in agent.tools()]
    once = prompt is not None or not sys.stdin.isatty()
    history = Path() if once else typed_lines(note)
    talk = AgentChat(agent, session, asker, change, log, once, not args.hide_thinking, history)
    messages = session.messages
    async with agent:
        if not once:
            note(_greeting(agent, args, len(messages)))
        if messages and (messages[-1].role != "assistant" or unanswered(messages)):
            asked = next((m.text for m in reversed(messages) if m.role == "user"), None)
            end = await talk.run()  # what was begun comes first
            if once and prompt in (None, asked):
                return _code(end, args)
            prompt = None if prompt == asked else prompt
        return _code(await talk.ask(prompt), args) if prompt is not None else await talk.talk()


def _greeting(agent: "Agent", args: argparse.Namespace, messages: int) -> str:
    tools = ", ".join(tool.name for tool in agent.tools()) or "none"
    before = f"\nGoing on after {messages} messages; --replay {args.session} prints them." if args.session else ""
    return f"Tools: {tools}. Type what to do; /help lists the commands, Ctrl-C stops a run, Ctrl-D leaves." + (
        before if messages else ""
    )


def _agent(model: "ChatModel", args: argparse.Namespace, approve: "Approver | None") -> "Agent":
    from ponder.agent.loop.agent import Agent
    from ponder.agent.loop.limits import Limits
    from ponder.agent.tools.builtin import builtin_tool
    from ponder.model.hub.data_folder import workspaces

    tools = tools_of(args, default=() if args.file else ("calculator", "current_time"))
    if args.file:
        tools.append(builtin_tool("doc_search", {"files": args.file}))
    return Agent(
        model, tools=tools, limits=Limits(steps=args.steps, seconds=args.seconds, thinking_tokens=args.thinking_tokens),
        approve=approve, workspace=args.workspace or workspaces(note),
        files=[file for file in args.file if not Path(file).is_dir()],
    )  # fmt: skip


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
