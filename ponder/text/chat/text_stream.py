"""One kind of text of a turn (thoughts, or answer) on its way out: bytes in, characters out, newlines held back.

The template puts newlines around a block and before a tool call that are not part of the text. Whether a
newline is one of them is known only when the next thing comes, so trailing newlines wait.
"""

from collections.abc import Callable

from ponder.core.event import Event, ReasoningDelta, TextDelta
from ponder.text.tokenizer.utf8 import Utf8Stream


class TextStream:
    """`emit` receives text as soon as it is certain. `skip_newlines`: drop newlines until the first other character.
    `after_call`: the next text follows a tool call, so all its leading white space waits, not only newlines."""

    def __init__(self, emit: Callable[[str], None]) -> None:
        self._emit = emit
        self._utf8 = Utf8Stream()
        self._held: list[str] = []
        self.skip_newlines = False
        self.after_call = False
        self.empty = True  # nothing emitted yet

    def feed(self, data: bytes) -> None:
        self.push(self.decode(data))

    def decode(self, data: bytes) -> str:
        """The characters that are complete, for who does not want them pushed yet."""
        return self._utf8.feed(data)

    def decode_rest(self) -> str:
        """The bytes end here: an incomplete character becomes U+FFFD."""
        return self._utf8.flush()

    def push(self, text: str) -> None:
        if self.skip_newlines:
            text = text.lstrip("\n")
        body = text.rstrip("\n")
        if not text or not body or (self.after_call and not text.strip()):
            if text:
                self._held.append(text)
            return
        self.skip_newlines = self.after_call = False
        self._emit("".join(self._held) + body)
        self._held = [text[len(body) :]] if len(body) < len(text) else []
        self.empty = False

    def flush_character(self) -> None:
        """The same as `decode_rest`, pushed."""
        self.push(self.decode_rest())

    def release(self) -> None:
        """Emit what is held: it was text after all. White space after a tool call is not."""
        held = "".join(self._held)
        self._held = []
        if held and not self.after_call:
            self._emit(held)
            self.empty = False

    def drop_held(self) -> None:
        """What is held belongs to the template."""
        self._held = []

    def before_call(self, most: int) -> None:
        """What follows is a call, or text that looks like one: so many newlines wait until that is known."""
        held = "".join(self._held)
        if held and not self.after_call:
            self._held = [held[:-most]]
            self.release()
            self._held = [held[-most:]]

    def drop_call_newlines(self, most: int) -> None:
        """A tool call follows: the newlines before it, so many at most, or the white space between two calls, are the
        template's."""
        held = "".join(self._held)
        self._held = [held[:-most]] if held and not self.after_call else []
        self.release()
        self.after_call = True
        self.skip_newlines = False


class DeltaRun:
    """Events in order, deltas of one kind that follow one another joined."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._run: list[str] = []
        self._kind: type[ReasoningDelta] | type[TextDelta] = TextDelta

    def delta(self, kind: type[ReasoningDelta] | type[TextDelta], text: str) -> None:
        if kind is not self._kind:
            self._close()
            self._kind = kind
        self._run.append(text)

    def event(self, event: Event) -> None:
        self._close()
        self._events.append(event)

    def take(self) -> list[Event]:
        self._close()
        events, self._events = self._events, []
        return events

    def _close(self) -> None:
        if self._run:
            self._events.append(self._kind("".join(self._run)))
            self._run = []
