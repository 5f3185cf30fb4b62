"""What Tab completes in the chat: commands, their settings, and the files that /save and /load take."""

from collections.abc import Iterator

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

from ponder.cli.options import SAMPLING
from ponder.cli.terminal.chat_commands import COMMANDS

WORDS = {"set": tuple(SAMPLING), "budget": ("off",), "system": ("off",)}
FILES = ("save", "load")


class Commands(Completer):
    def __init__(self) -> None:
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        word, blank, rest = text[1:].partition(" ")
        if not blank:
            yield from (Completion(name, -len(word)) for name in COMMANDS if name.startswith(word))
        elif word in FILES:
            yield from self._paths.get_completions(Document(rest), complete_event)
        else:
            yield from (Completion(name, -len(rest)) for name in WORDS.get(word, ()) if name.startswith(rest))
