"""A tool call that is being written: what came of it, until it is known whether it is one (TC-1, TC-5).

call = OpenCall(); call.feed(b'{"name": "add"}'); call.parsed(closed=True)
"""

from ponder.core.message import ToolCall
from ponder.text.calls.begun_call import Begun, BegunCall
from ponder.text.calls.begun_xml import BegunXml
from ponder.text.calls.tool_calls import StringScanner, parse_call
from ponder.text.calls.xml_calls import NO_SCHEMAS, Schemas, ValueScanner, parse_xml
from ponder.text.tokenizer.utf8 import Utf8Stream

OPEN, CLOSE = "<tool_call>", "</tool_call>"


class Tag:
    """A tool-call tag inside an open value: text for now, a tag again if the value never ends."""

    def __init__(self, text: str) -> None:
        self.text = text


class OpenCall:
    """A call being buffered, as JSON or as XML: pieces of text, tags inside values, None for an id that has no text."""

    def __init__(self, schemas: Schemas = NO_SCHEMAS, *, tells: bool = False, bare: bool = False) -> None:
        """schemas: of the tools, which say what a value of XML is. tells: `begun` follows it. bare: without
        `<tool_call>`."""
        self.begun: Begun | None = None
        self._tells = tells
        self.bare = bare
        self.pieces: list[str | Tag | None] = []
        self._schemas = schemas
        self._utf8 = Utf8Stream()
        self._scanner: StringScanner | ValueScanner | None = None  # None: nothing but white space yet

    def feed(self, data: bytes) -> None:
        if data:
            self.push(self._utf8.feed(data))
        else:
            self.add(None)

    def flush_character(self) -> None:
        self.push(self._utf8.flush())

    def add(self, piece: str | None) -> None:
        """A piece of text, or one that has none."""
        if piece is not None:
            self.push(piece)
            return
        self.pieces.append(None)
        if self.begun is not None:
            self.begun.over = True

    def push(self, text: str) -> None:
        if not text:
            return
        self.pieces.append(text)
        if self._scanner is None and (start := text.lstrip()):
            self._scanner = ValueScanner() if start[0] == "<" else StringScanner()
            if self._tells:
                self.begun = BegunXml(self._schemas) if self.is_xml else BegunCall()
        if self._scanner is not None:
            self._scanner.feed(text)
        if self.begun is not None:
            self.begun.feed(text)

    def absorb_tag(self, tag: str) -> bool:
        """Whether the tag falls into an open value, and so belongs to the call's text."""
        self.flush_character()
        if self._scanner is None or not self._scanner.inside:
            return False
        self._scanner.feed(tag)
        self.pieces.append(Tag(tag))
        if self.begun is not None:
            self.begun.feed(tag)
        return True

    @property
    def is_xml(self) -> bool:
        return isinstance(self._scanner, ValueScanner)

    @property
    def hopeless(self) -> bool:
        """Whether no text after this could make it a call."""
        broken = isinstance(self._scanner, StringScanner) and self._scanner.broken
        return broken or (bool(self.pieces) and self.pieces[-1] is None)

    @property
    def body(self) -> str:
        return "".join(p.text if isinstance(p, Tag) else p or "" for p in self.pieces)

    def cut(self) -> str | None:
        """The text after `</function>`, which is taken out of the call; None as long as that tag has not come."""
        if not isinstance(self._scanner, ValueScanner) or not self._scanner.done:
            return None
        rest, body = self._scanner.rest, self.body
        self.pieces = [body[: len(body) - len(rest)], *(p for p in self.pieces if p is None)]
        return rest

    def parsed(self, *, closed: bool) -> ToolCall | None:
        """The call, None when it is not well formed. An id that has no text makes it malformed. closed: its closing tag
        has come."""
        if None in self.pieces:
            return None
        return parse_xml(self.body, self._schemas, closed=closed) if self.is_xml else parse_call(self.body)
