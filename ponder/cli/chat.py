"""The chat loop in a terminal: read a message or a slash command, stream the reply.

Thoughts stay in the session (for /save) but are not sent back: history "strip", as the model was trained.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ponder.cli.chat_commands import is_command, run_command
from ponder.cli.controls import HINT, controls
from ponder.cli.printer import Printer, note, stats
from ponder.cli.session import Session
from ponder.core.errors import UserError

if TYPE_CHECKING:
    from ponder.engine.llm import LLM

QUOTES = '"""'


def chat(llm: "LLM", session: Session, *, history: Path, thoughts: bool = True, verbose: bool = False) -> int:
    """Talk until the user leaves. history: file of typed lines. Returns the exit code."""
    note("Type a message. /help lists the commands, Ctrl-D leaves.")
    prompt = reader(history)
    while True:
        try:
            text = unquote(prompt())
        except (EOFError, KeyboardInterrupt):
            return 0
        try:
            question: str | None = text
            if is_command(text):
                outcome = run_command(session, text.rstrip())
                if outcome.note:
                    note(outcome.note)
                if outcome.leave:
                    return 0
                question = outcome.ask
            if question is not None and question.strip():
                ask(llm, session, question, thoughts=thoughts, verbose=verbose)
        except UserError as e:
            print(f"ponder: {e}", file=sys.stderr)


def ask(llm: "LLM", session: Session, text: str, *, thoughts: bool, verbose: bool) -> None:
    """One turn. Stopped with an answer begun: the part stays. Stopped before: the turn did not happen."""
    stream = llm.stream(session.request(text))
    printer = Printer(thoughts=thoughts, on_thinking=lambda: note(HINT))
    with controls(stream, keys=True):
        finish = printer.show(stream)
    if finish.reason == "cancelled" and not printer.text:
        note("stopped; the question is not kept")
        return
    session.answered(text, printer.text, printer.reasoning)
    if finish.reason == "length":
        note("cut off: the token limit is reached")
    for warning in finish.warnings:
        note(f"warning: {warning}")
    if verbose:
        note(stats(printer))


def unquote(text: str) -> str:
    """The text inside a block of triple quotes, or the text itself."""
    stripped = text.strip()
    if len(stripped) >= 6 and stripped.startswith(QUOTES) and stripped.endswith(QUOTES):
        return stripped[3:-3].strip("\n")
    return text


def reader(history: Path) -> "Any":
    """A function that reads one message: Enter sends, Alt-Enter or an open block of quotes begins a new line."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.output import create_output

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
    session: PromptSession[str] = PromptSession(
        history=FileHistory(history),
        key_bindings=keys,
        multiline=True,
        prompt_continuation="... ",
        # With stdout in a pipe the prompt goes to the terminal through stderr, and only answers into the pipe.
        output=create_output(always_prefer_tty=True),
    )
    return lambda: session.prompt(">>> ")
