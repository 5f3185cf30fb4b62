"""A tool call that is being written: what came of it, until it is known whether it is one (TC-1, TC-5).

call = OpenCall(); call.feed(b'{"name": "add"}'); call.parsed()
"""

from ponder.core.message import ToolCall
from ponder.text.chat.begun_call import BegunCall
from ponder.text.chat.tool_calls import StringScanner, parse_call
from ponder.text.tokenizer.utf8 import Utf8Stream

OPEN, CLOSE = "<tool_call>", "</tool_call>"


class Tag:
    """A tool-call tag inside an open JSON string: text for now, a tag again if the string never ends."""

    def __init__(self, text: str) -> None:
        self.text = text


class OpenCall:
    """A call being buffered: pieces of text, tags inside strings, and None for an id that has no text."""

    def __init__(self, begun: BegunCall | None = None) -> None:
        """begun: follows it."""
        self.begun = begun
        self.pieces: list[str | Tag | None] = []
        self._utf8 = Utf8Stream()
        self._strings = StringScanner()

    def feed(self, data: bytes) -> None:
        if data:
            self._append(self._utf8.feed(data))
        else:
            self.pieces.append(None)
            if self.begun is not None:
                self.begun.stop()

    def flush_character(self) -> None:
        self._append(self._utf8.flush())

    def absorb_tag(self, tag: str) -> bool:
        """Whether the tag falls into an open string, and so belongs to the call's text."""
        self.flush_character()
        if self._strings.inside:
            self._strings.feed(tag)
            self.pieces.append(Tag(tag))
            if self.begun is not None:
                self.begun.feed(tag)
        return self._strings.inside

    @property
    def hopeless(self) -> bool:
        """Whether no text after this could make it a call."""
        return self._strings.broken or (bool(self.pieces) and self.pieces[-1] is None)

    @property
    def body(self) -> str:
        return "".join(p.text if isinstance(p, Tag) else p or "" for p in self.pieces)

    def parsed(self) -> ToolCall | None:
        """The call, None when it is not well formed. An id that has no text makes it malformed."""
        return None if None in self.pieces else parse_call(self.body)

    def _append(self, text: str) -> None:
        if text:
            self._strings.feed(text)
            self.pieces.append(text)
            if self.begun is not None:
                self.begun.feed(text)
