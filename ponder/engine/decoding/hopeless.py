"""What cannot fit into the context is refused before it is turned into ids: that takes seconds and gigabytes, which
anybody could ask a server for."""

from collections.abc import Iterable, Iterator
from typing import Any

from ponder.core.errors import ContextLengthExceeded
from ponder.core.request import ChatRequest
from ponder.engine.decoding.settings import ModelProfile

LONGEST_TOKEN = 128  # bytes, of Qwen's vocabularies: as many blanks
NFC_JOINS = 4  # characters that become one at most, such as a Greek letter with three marks


def refuse_hopeless(texts: Iterable[str], profile: ModelProfile) -> None:
    """Raises ContextLengthExceeded for texts that no tokenisation could make short enough."""
    least = 0
    for text in texts:
        least += len(text) // (1 if text.isascii() else NFC_JOINS)
    if least // LONGEST_TOKEN > profile.context:
        raise ContextLengthExceeded(least // LONGEST_TOKEN, profile.context, at_least=True)


def refuse_hopeless_request(request: ChatRequest, profile: ModelProfile) -> None:
    refuse_hopeless(_certain(request), profile)


def _certain(request: ChatRequest) -> Iterator[str]:
    """Texts that the prompt will hold, whatever a template leaves out of an assistant's turns. Truncation leaves out
    all turns but the last one."""
    messages, last = request.messages, 0
    if request.truncation == "auto":
        last = max((n for n, message in enumerate(messages) if message.role == "user"), default=0)
    for n, message in enumerate(messages):
        if message.role == "system" or (n >= last and message.role in ("user", "tool")):
            yield message.text
    for tool in request.tools:
        yield from _strings(tool)


def _strings(value: Any) -> Iterator[str]:
    """All texts of a JSON value, however deep."""
    todo = [value]
    while todo:
        match todo.pop():
            case str(text):
                yield text
            case dict(found):
                todo += [*found, *found.values()]
            case list(found):
                todo += found
