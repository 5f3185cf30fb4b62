"""The slash commands of the chat: what each does to the session. The loop that reads them is chat.py."""

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ponder.cli.options import SAMPLING
from ponder.cli.terminal.effective import in_force
from ponder.cli.terminal.session import ChatSession
from ponder.core.errors import UserError


class CommandResult(NamedTuple):
    """note: a remark for the user; ask: a question to ask the model now; leave: the user wants to go."""

    note: str = ""
    ask: str | None = None
    leave: bool = False


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


def retry(session: ChatSession, rest: str) -> CommandResult:
    question = session.undo()
    if question is None:
        raise UserError("there is nothing to ask again")
    return CommandResult(ask=question)


def undo(session: ChatSession, rest: str) -> CommandResult:
    question = session.undo()
    return CommandResult("nothing to undo" if question is None else f"forgot: {question[:60]!r}")


def clear(session: ChatSession, rest: str) -> CommandResult:
    session.messages.clear()
    return CommandResult("forgot the conversation (the system text stays)")


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
    "think": (think, "/think", "think before answering"),
    "no_think": (no_think, "/no_think", "answer at once"),
    "budget": (budget, "/budget N|off", "think for at most N tokens"),
    "system": (system, "/system [TEXT|off]", "show, set or remove the system text"),
    "set": (set_, "/set NAME VALUE", "a sampling setting, such as temperature 0.7; VALUE default undoes it"),
    "show": (show, "/show", "the settings in force, and where each comes from"),
    "retry": (retry, "/retry", "ask the last question again"),
    "undo": (undo, "/undo", "forget the last question and its answer"),
    "clear": (clear, "/clear", "forget the conversation"),
    "save": (save, "/save FILE", "write the conversation as JSON; a file that holds something else is kept"),
    "load": (load, "/load FILE", "read one back"),
    "help": (help_, "/help", "this list"),
    "exit": (leave, "/exit", "leave (or /bye, exit, Ctrl-D)"),
}
ALIASES = {"?": "help", "bye": "exit", "quit": "exit"}
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
        raise UserError(f"no command /{word}. {hint} To send a line that begins with a slash, put a space before it.")
    return COMMANDS[word][0](session, rest.strip())
