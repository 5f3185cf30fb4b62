"""One kind of text of a turn (thoughts, or answer) on its way out: bytes in, characters out, newlines held back.

The template puts newlines around a block and before a tool call that are not part of the text. Whether a
newline is one of them is known only when the next thing comes, so trailing newlines wait.
"""

from collections.abc import Callable

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
        self.push(self._utf8.feed(data))

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
        """The bytes end here: an incomplete character becomes U+FFFD."""
        self.push(self._utf8.flush())

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

    def before_call(self) -> None:
        """What follows is a call, or text that looks like one: the last newline waits until that is known."""
        held = "".join(self._held)
        if held and not self.after_call:
            self._held = [held[:-1]]
            self.release()
            self._held = [held[-1:]]

    def drop_call_newline(self) -> None:
        """A tool call follows: the one newline before it, or the white space between two calls, is the template's."""
        held = "".join(self._held)
        self._held = [held[:-1]] if held and not self.after_call else []
        self.release()
        self.after_call = True
        self.skip_newlines = False
