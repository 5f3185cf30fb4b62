"""What Tab completes in the chat: commands, their settings, models, and the files that some take."""

from collections.abc import Callable, Iterator, Sequence

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

from ponder.cli.options import SAMPLING
from ponder.cli.terminal.chat_commands import COMMANDS

WORDS = {"set": tuple(SAMPLING), "budget": ("off",), "system": ("off",), "stats": ("on", "off")}
FILES = ("save", "load", "file")


class Commands(Completer):
    def __init__(self, models: Callable[[], Sequence[str]]) -> None:
        self._models = models
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
            words = self._models() if word == "model" else WORDS.get(word, ())
            yield from (Completion(name, -len(rest)) for name in words if name.startswith(rest))
