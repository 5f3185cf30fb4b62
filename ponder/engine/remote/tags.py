"""Thoughts and tool calls in the plain text of a server that does not take them apart itself.

The text is cut at the tags, each tag becomes an id, and the one parser of the project (text/chat/parse.py) does the
rest: newlines of the template, broken calls that stay text. Only a block that opens the answer counts, and calls only
where the request has tools, since in text a tag may also be just a word.
"""

from collections.abc import Iterator

from ponder.core.event import Event
from ponder.text.calls.xml_calls import Schemas
from ponder.text.chat.parse import StreamParser

THINK, END_THINK, CALL, END_CALL, TEXT = range(5)
NAMES = {"<think>": THINK, "</think>": END_THINK, "<tool_call>": CALL, "</tool_call>": END_CALL}
_TAGS = {id_: name for name, id_ in NAMES.items()}


class _OneText:
    """A "tokenizer" with the four tags and one id, which stands for whatever text is being fed."""

    think, end_think = THINK, END_THINK
    im_start = im_end = None
    eos_ids = ()

    def __init__(self, *, calls: bool) -> None:
        self.tool_call = CALL if calls else None
        self.end_tool_call = END_CALL if calls else None
        self.text = ""

    def text_bytes(self, id_: int) -> bytes:
        return (self.text if id_ == TEXT else _TAGS[id_]).encode("utf-8", "replace")

    def encode(self, text: str) -> list[int]:
        raise AssertionError("no prompt is parsed here")


class TagParser:
    """`feed` text as it comes, `finish` at its end. schemas: of the tools. calls: whether `<tool_call>` means
    something. call_deltas: of `StreamParser`."""

    def __init__(self, schemas: Schemas, *, calls: bool, call_deltas: bool = False) -> None:
        self._shim = _OneText(calls=calls)
        self._parser = StreamParser(self._shim, schemas=schemas, bare_calls=calls, call_deltas=call_deltas)
        self._held = ""
        self._calls = calls

    @property
    def malformed_calls(self) -> int:
        return self._parser.malformed_calls

    def feed(self, text: str) -> list[Event]:
        events = []
        self._held += text
        while (cut := self._cut()) is not None:
            at, tag = cut
            if tag != "<think>":  # before it there is white space of the template at most
                events += self._put(self._held[:at])
            self._held = self._held[at + len(tag) :]
            events += self._parser.feed([NAMES[tag]])
        keep = self._unsure()
        events += self._put(self._held[: len(self._held) - keep])
        self._held = self._held[len(self._held) - keep :]
        return events

    def finish(self, *, ended: bool = False) -> list[Event]:
        """ended: by the model, not by a limit."""
        events = self._put(self._held)
        self._held = ""
        return [*events, *self._parser.finish(ended=ended)]

    def _put(self, text: str) -> list[Event]:
        self._shim.text = text
        return self._parser.feed([TEXT]) if text else []

    def _expected(self) -> Iterator[str]:
        """The tags that would mean something here."""
        phase = self._parser.phase
        if phase == "reasoning":
            yield "</think>"
            return
        if phase == "start":
            yield "<think>"
        if self._calls:
            yield from ("<tool_call>", "</tool_call>")

    def _cut(self) -> tuple[int, str] | None:
        """Place and name of the first tag in what is held."""
        places = ((self._held.find(tag), tag) for tag in self._expected())
        return min(
            ((at, tag) for at, tag in places if at >= 0 and not (tag == "<think>" and self._held[:at].strip())),
            default=None,
        )

    def _unsure(self) -> int:
        """How many characters at the end may be the beginning of a tag."""
        if self._parser.phase == "start" and not self._held.strip():
            return len(self._held)
        tags = list(self._expected())
        return max((n for tag in tags for n in range(1, len(tag)) if self._held.endswith(tag[:n])), default=0)
