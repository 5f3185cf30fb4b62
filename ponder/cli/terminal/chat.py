"""The chat loop in a terminal: read a message or a slash command, stream the reply.

Thoughts stay in the session (for /save) but are not sent back: history "strip", as the model was trained.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ponder.cli.documents import remark_on_files
from ponder.cli.terminal.chat_commands import CommandResult, is_command, run_command
from ponder.cli.terminal.keys import HINT, watch_keys
from ponder.cli.terminal.printer import Printer, note, rate, remarks, stats, wrapped
from ponder.cli.terminal.reading import reading
from ponder.cli.terminal.session import ChatSession
from ponder.core.errors import UserError

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

    from ponder.engine.decoding.settings import ModelProfile
    from ponder.engine.llm import LLM


class Slot(Protocol):
    """The model of a terminal, which another one may replace."""

    model: "LLM"

    def change(self, name: str) -> "LLM": ...


QUOTES = '"""'


def chat(
    slot: Slot, session: ChatSession, first: str | None = None, *,
    history: Path, thoughts: bool = True, verbose: bool = False,
) -> int:  # fmt: skip
    """Talk until the user leaves. first: a question to begin with. history: file of typed lines. -> exit code."""
    note("Type a message. /help lists the commands, Ctrl-D leaves.")
    speak = partial(ask, slot, session, thoughts=thoughts, verbose=verbose)
    prompt, ahead = prompt_session(history, session.models), list[str]()
    if first is not None:
        note(f">>> {first}")
        speak(first, ahead)
    while True:
        try:
            text = unquote(prompt.prompt(">>> ", default="".join(ahead)))
        except (EOFError, KeyboardInterrupt):
            return 0
        ahead.clear()
        before = list(session.messages)
        try:
            outcome = run_command(session, text.rstrip()) if is_command(text) else CommandResult(ask=text)
            if outcome.note:
                note(wrapped(outcome.note))
            if outcome.leave:
                return 0
            if outcome.model:
                change_model(session, slot.change(outcome.model).profile)
            if outcome.ask and outcome.ask.strip() and not speak(outcome.ask, ahead):
                session.messages = before  # a /retry that was stopped leaves the old answer
        except UserError as e:
            session.messages = before
            print(f"ponder: {e}", file=sys.stderr)


def change_model(session: ChatSession, profile: "ModelProfile") -> None:
    if remark := session.change_model(profile):
        note(remark)
    note(f"model: {profile.name}")


def ask(slot: Slot, session: ChatSession, text: str, ahead: list[str], *, thoughts: bool, verbose: bool) -> bool:
    """One turn; what the user types meanwhile goes to `ahead`.

    Stopped with an answer begun: the part stays. Stopped before: returns False, the turn did not happen.
    """
    if remark := remark_on_files(text, "/file {}"):
        note(remark)
    text = session.question(text)
    stream = slot.model.stream(session.request(text))
    printer = Printer(thoughts=thoughts, on_thinking=lambda: note(HINT))
    with watch_keys(stream, keys=True) as typed:
        finish = printer.show(reading(stream))
    ahead.append("".join(typed))
    if finish.reason == "cancelled" and not printer.text:
        note("stopped; the question is not kept")
        return False
    session.answered(text, printer.text, printer.reasoning)
    for remark in remarks(finish):
        note(remark)
    if verbose:
        note(stats(printer))
    elif session.stats:
        note(rate(finish.usage.completion_tokens, printer.first_token, printer.seconds))
    if trouble := session.keep():
        note(trouble)
    return True


def unquote(text: str) -> str:
    """The text inside a block of triple quotes, or the text itself."""
    stripped = text.strip()
    if len(stripped) >= 6 and stripped.startswith(QUOTES) and stripped.endswith(QUOTES):
        return stripped[3:-3].strip("\n")
    return text


def prompt_session(history: Path, models: Callable[[], Sequence[str]]) -> "PromptSession[str]":
    """Reads messages. Enter sends; Alt-Enter, or Enter in an open block of quotes, begins a new line."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.output import create_output

    from ponder.cli.terminal.completion import Commands

    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        text = buffer.text.strip()
        if text.startswith(QUOTES) and (len(text) < 6 or not text.endswith(QUOTES)):
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    history.parent.mkdir(parents=True, exist_ok=True)
    history.touch(mode=0o600)  # what people ask is private
    return PromptSession(
        history=FileHistory(history),
        key_bindings=keys,
        multiline=True,
        prompt_continuation="... ",
        completer=Commands(models),
        complete_while_typing=False,
        # With stdout in a pipe the prompt goes to the terminal through stderr, and only answers into the pipe.
        output=create_output(always_prefer_tty=True),
    )
