"""A tool call while it is written: its name, and as much of its arguments as is certain.

    call = BegunCall()
    call.feed('{"name": "write", "arguments": {"text": "and so on, for a while')
    call.name, call.take()                                  # "write", '{"text": "and so on, for a while'

What is said is a beginning of the arguments as they stand in the text, and of some JSON object; where the text stops
being one, nothing more is said. The last bracket is left out: whether this is a call is known when it is complete, and
arguments that lack their end are no JSON, so that nobody can run what turns out not to be a call (TC-5). Short
arguments are said at once, in the end: nobody waits long for them, and most calls that break off do so early.
"""

import json
import re
from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2s

from msgspec import structs

from ponder.core.event import ToolCallDelta, ToolCallDone
from ponder.core.message import ToolCall

_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\\x00-\x1f]|\\.)*")\s*,\s*"arguments"\s*:\s*(?=\{)')
SHORT = 64  # characters
LONGEST_HEAD = 1000  # characters: what has none by then is not followed
_SPACE = re.compile(r"[ \t\r\n]*")
_CHARACTERS = re.compile(r'(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*')
_HALF_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_SCALAR = re.compile(r"(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)(?=[ \t\r\n,\]}])")
_HALF_SCALAR = re.compile(r"[-+.\w]*\Z")


class Begun:
    """name: None until it is known that arguments follow it. over: nothing more is certain before the end."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.over = False
        self._said: list[str] = []
        self._news: list[str] = []
        self._certain = 0  # characters

    def feed(self, text: str) -> None:
        raise NotImplementedError

    def say(self, text: str) -> None:
        self._certain += len(text)
        self._news.append(text)

    def take(self) -> str:
        """What has become certain since the last time."""
        if self._certain < SHORT:
            return ""
        news, self._news = "".join(self._news), []
        self._said.append(news)
        return news

    def agrees(self, call: ToolCall | None) -> bool:
        """Whether what was taken is true of the call that came of it."""
        return call is not None and call.name == self.name and call.arguments.startswith("".join(self._said))


class BegunCall(Begun):
    """As JSON."""

    def __init__(self) -> None:
        super().__init__()
        self._head = ""
        self._arguments = ObjectPrefix()

    def feed(self, text: str) -> None:
        if self.over:
            return
        if self.name is None:
            self._head += text
            begun = _HEAD.match(self._head)
            if begun is None:
                self.over = len(self._head) > LONGEST_HEAD
                return
            try:
                self.name = json.loads(begun[1])
            except ValueError:  # an escape that is none
                self.over = True
                return
            text, self._head = self._head[begun.end() :], ""
        self.say(self._arguments.feed(text))
        self.over = self._arguments.over


class TurnCalls:
    """The calls of one turn: their numbers and ids, and what was told of the one that is open."""

    def __init__(self, prompt_ids: Sequence[int]) -> None:
        self._prompt_ids = prompt_ids
        self._number = 0
        self._told: Begun | None = None

    @property
    def open_is_told(self) -> bool:
        return self._told is not None

    def tell(self, begun: Begun) -> ToolCallDelta | None:
        """What has become certain of the open call."""
        if begun.name is None or not (text := begun.take()):
            return None
        self._told = begun
        return ToolCallDelta(self._number, self._id, begun.name, text)

    def ended(self, call: ToolCall | None) -> None:
        """The open call turned out to be this one, or none. What was told under its number stays what it was."""
        if self._told is not None and not self._told.agrees(call):
            self._number += 1
        self._told = None

    def done(self, call: ToolCall) -> ToolCallDone:
        done = ToolCallDone(self._number, structs.replace(call, id=self._id))
        self._number += 1
        return done

    @property
    def _id(self) -> str:
        return f"call_{self._digest}_{self._number}"

    @cached_property
    def _digest(self) -> str:
        return blake2s(repr(tuple(self._prompt_ids)).encode(), digest_size=6).hexdigest()


class ObjectPrefix:
    """Follows a JSON object that comes in pieces. over: it is complete but for its last bracket, or broken."""

    def __init__(self) -> None:
        self.over = False
        self._rest = ""
        self._closers: list[str] = []  # of what is open, innermost last
        self._expects = "value"  # or "key", ":", ","; with "/end" where a bracket may come instead
        self._in_string = self._is_key = False

    def feed(self, text: str) -> str:
        """What is certainly a part of the object, in its order."""
        self._rest += text
        at = 0
        while not self.over and (end := self._step(at)) > at:
            at = end
        certain, self._rest = self._rest[:at], self._rest[at:]
        return certain

    def _step(self, at: int) -> int:
        """How far the text is good after one more element."""
        if self._in_string:
            return self._string(at)
        at = _end(_SPACE, self._rest, at)
        if at == len(self._rest):
            return at
        sign, expects = self._rest[at], self._expects.removesuffix("/end")
        if sign == '"' and expects in ("key", "value"):
            self._in_string, self._is_key = True, expects == "key"
        elif sign in "{[" and expects == "value":
            self._closers.append("}" if sign == "{" else "]")
            self._expects = "key/end" if sign == "{" else "value/end"
        elif self._closers and sign == self._closers[-1] and (expects == "," or expects != self._expects):
            if len(self._closers) == 1:
                self.over = True
                return at
            self._closers.pop()
            self._expects = ","
        elif sign == ":" and expects == ":":
            self._expects = "value"
        elif sign == "," and expects == ",":
            self._expects = "key" if self._closers[-1] == "}" else "value"
        else:
            return self._scalar(at, allowed=expects == "value")
        return at + 1

    def _string(self, at: int) -> int:
        at = _end(_CHARACTERS, self._rest, at)
        if at < len(self._rest) and self._rest[at] == '"':
            self._in_string, self._expects = False, ":" if self._is_key else ","
            return at + 1
        self.over = at < len(self._rest) and not _HALF_ESCAPE.match(self._rest, at)
        return at

    def _scalar(self, at: int, *, allowed: bool) -> int:
        if allowed and (found := _SCALAR.match(self._rest, at)):
            self._expects = ","
            return found.end()
        self.over = not allowed or not _HALF_SCALAR.match(self._rest, at)
        return at


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    assert found is not None, "it matches nothing, too"
    return found.end()
