"""The slash commands of chat and agent, one table: what each does to the session. The loops that read them are chat.py
and agent_chat.py."""

import difflib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ponder.cli.documents import document
from ponder.cli.options import SAMPLING
from ponder.cli.terminal.effective import in_force
from ponder.cli.terminal.kept import KeptChat, listed
from ponder.cli.terminal.session import ChatSession
from ponder.core.errors import UserError


class CommandResult(NamedTuple):
    """note: a remark for the user; ask: a question to ask the model now; leave: the user wants to go; model: another
    one to talk to."""

    note: str = ""
    ask: str | None = None
    leave: bool = False
    model: str | None = None


def model(session: ChatSession, rest: str) -> CommandResult:
    if rest:
        return CommandResult(model=rest)
    others = [name for name in session.models() if name != session.profile.name]
    return CommandResult("\n".join([f"model: {session.profile.name}", *(f"  /model {name}" for name in others)]))


def think(session: ChatSession, rest: str) -> CommandResult:
    session.set_thinking("enabled", True, "/think")
    return CommandResult("thinking on")


def no_think(session: ChatSession, rest: str) -> CommandResult:
    session.set_thinking("enabled", False, "/no_think")
    return CommandResult("thinking off")


def budget(session: ChatSession, rest: str) -> CommandResult:
    if rest == "off":
        session.set_thinking("budget", None, "/budget")
        return CommandResult("no budget")
    if not rest.isascii() or not rest.isdigit():
        raise UserError("/budget N (tokens) or /budget off")
    session.set_thinking("budget", int(rest), "/budget")
    return CommandResult(f"at most {rest} tokens of thought")


def system(session: ChatSession, rest: str) -> CommandResult:
    if rest:
        session.system = None if rest == "off" else rest
    return CommandResult(f"system: {session.system}" if session.system is not None else "no system text")


def set_(session: ChatSession, rest: str) -> CommandResult:
    name, _, raw = rest.partition(" ")
    name, raw = name.replace("-", "_"), raw.strip()
    if name not in SAMPLING or not raw:
        raise UserError(f"/set NAME VALUE or /set NAME default; names: {', '.join(SAMPLING)}")
    if raw == "default":
        session.set_sampling(name, None, "/set")
        return CommandResult(f"{name}: the model's default")
    kind = SAMPLING[name][0]
    try:
        value = kind(raw)
    except ValueError as e:
        raise UserError(f"{name} takes {'a whole number' if kind is int else 'a number'}, got {raw!r}") from e
    session.set_sampling(name, value, "/set")
    return CommandResult(f"{name} {value}")


def save(session: ChatSession, rest: str) -> CommandResult:
    path = _path(rest, "/save FILE")
    session.save(path)
    return CommandResult(f"saved {len(session.messages)} messages to {path}")


def load(session: ChatSession, rest: str) -> CommandResult:
    path = _path(rest, "/load FILE")
    session.load(path)
    return CommandResult(f"loaded {len(session.messages)} messages from {path}")


def _path(rest: str, usage: str) -> Path:
    if not rest:
        raise UserError(usage)
    try:
        return Path(rest).expanduser()
    except RuntimeError as e:
        raise UserError(f"{rest}: there is no such user") from e


def attach(session: ChatSession, rest: str) -> CommandResult:
    path = _path(rest, "/file FILE")
    session.attached.append(document(path))
    return CommandResult(f"{path.name}: {len(session.attached[-1]):,} characters go before the next question")


def chats(session: ChatSession, rest: str) -> CommandResult:
    kept = _kept(session)
    return CommandResult("\n".join(listed(kept.all(rest), kept.all())[:SHOWN]) or "no chat yet")


def open_(session: ChatSession, rest: str) -> CommandResult:
    kept = _kept(session)
    if not rest:
        raise UserError("/open N, a number of /chats")
    session.go_on(kept.named(rest))
    return CommandResult(in_short(session))


def in_short(session: ChatSession) -> str:
    """Where a chat that goes on had ended."""
    said = [f"{m.role}: {' '.join(m.text.split())[:200]}" for m in session.messages if m.text.strip()]
    return "\n".join([f"going on after {len(session.messages)} messages", *said[-2:]])


def new(session: ChatSession, rest: str) -> CommandResult:
    session.messages.clear()
    if session.kept is not None:
        session.kept.forget()
    return CommandResult("a new chat (the system text stays)")


def _kept(session: ChatSession) -> KeptChat:
    if session.kept is None:
        raise UserError("this chat is not kept (--no-log or --session), so there is no list of others")
    return session.kept


def tools(session: ChatSession, rest: str) -> CommandResult:
    return CommandResult("\n".join(session.tools()) or "no tools here; `ponder agent` has them")


def stats(session: ChatSession, rest: str) -> CommandResult:
    if rest not in ("on", "off", ""):
        raise UserError("/stats on or /stats off")
    session.stats = rest != "off"
    return CommandResult(f"a line on speed after each answer: {'yes' if session.stats else 'no'}")


def retry(session: ChatSession, rest: str) -> CommandResult:
    question = session.undo()
    if question is None:
        raise UserError("there is nothing to ask again")
    return CommandResult(ask=question)


def undo(session: ChatSession, rest: str) -> CommandResult:
    question = session.undo()
    return CommandResult("nothing to undo" if question is None else f"forgot: {question[:60]!r}")


def leave(session: ChatSession, rest: str) -> CommandResult:
    return CommandResult(leave=True)


def show(session: ChatSession, rest: str) -> CommandResult:
    rows = [f"{name:20} {value:24} {source}" for name, value, source in in_force(session)]
    return CommandResult("\n".join(rows))


def help_(session: ChatSession, rest: str) -> CommandResult:
    return CommandResult(help_text())


def help_text() -> str:
    return "\n".join([*(f"{usage:20} {text}" for _, usage, text in COMMANDS.values()), KEYS])


COMMANDS: dict[str, tuple[Callable[[ChatSession, str], CommandResult], str, str]] = {
    "model": (model, "/model [NAME]", "the models that are here, or talk to another one"),
    "think": (think, "/think", "think before answering"),
    "no_think": (no_think, "/no_think", "answer at once"),
    "budget": (budget, "/budget N|off", "think for at most N tokens"),
    "system": (system, "/system [TEXT|off]", "show, set or remove the system text"),
    "set": (set_, "/set NAME VALUE", "a sampling setting, such as temperature 0.7; VALUE default undoes it"),
    "show": (show, "/show", "the settings in force, and where each comes from"),
    "file": (attach, "/file FILE", "a document that goes before the next question"),
    "stats": (stats, "/stats on|off", "a line with tokens a second after each answer"),
    "tools": (tools, "/tools", "what an agent may use"),
    "retry": (retry, "/retry", "ask the last question again"),
    "undo": (undo, "/undo", "forget the last question and its answer"),
    "new": (new, "/new", "begin another chat (or /clear); this one stays in /chats"),
    "chats": (chats, "/chats [WORDS]", "earlier chats, of the page, too; those that hold the words"),
    "open": (open_, "/open N", "go on with one of them"),
    "save": (save, "/save FILE", "write the conversation as JSON; a file that holds something else is kept"),
    "load": (load, "/load FILE", "read one back"),
    "help": (help_, "/help", "this list"),
    "exit": (leave, "/exit", "leave (or /bye, exit, Ctrl-D)"),
}
ALIASES = {"?": "help", "bye": "exit", "quit": "exit", "clear": "new"}
TAKES_AWAY = ("system", "load", "retry", "undo", "new", "open")  # what the log of a session cannot follow
SHOWN = 20  # chats
LEAVING = ("exit", "quit", "bye")  # a line of nothing else is no question
KEYS = """\
Enter sends; Alt-Enter (or Esc, then Enter) begins a new line; \"\"\" opens and closes a block of lines.
While the model works: Enter makes it stop thinking and answer now, Ctrl-C stops it."""


def is_command(text: str) -> bool:
    """Whether a line is for us. `/no_think Why?` is for the model: Qwen's soft switch inside a message."""
    if text.strip().lower() in LEAVING:
        return True
    return text.startswith("/") and not (len(words := text.split(None, 1)) == 2 and words[0] in ("/think", "/no_think"))


def run_command(session: ChatSession, text: str) -> CommandResult:
    """Do what a slash line says. Raises UserError for a line that makes no sense."""
    word, rest = (*text.removeprefix("/").strip().split(None, 1), "", "")[:2]
    word = ALIASES.get(word.lower(), word.lower())
    if word not in COMMANDS:
        close = difflib.get_close_matches(word, COMMANDS, n=1)
        hint = f"Did you mean /{close[0]}?" if close else "/help lists them."
        if os.path.isfile(text.split()[0]):
            hint = f"To ask about that file: /file {text.split()[0]}."
        raise UserError(f"no command /{word}. {hint} To send a line that begins with a slash, put a space before it.")
    if session.log is not None and word in TAKES_AWAY and (rest or word != "system"):
        raise UserError(f"{session.log} holds this conversation as it was; --branch FILE@N begins another from it")
    return COMMANDS[word][0](session, rest.strip())
