"""Calls as XML that lack their `<tool_call>`: `<function=NAME>` at the beginning of a line, NAME an offered tool.

Qwen3-Coder leaves the opening tag out every now and then, and such text is nothing else. Inside a code fence it is an
example.
"""

from collections.abc import Collection

from ponder.text.calls.xml_calls import FUNCTION

_FENCE = "```"
_LONGEST = 200  # characters of a name


class BareCalls:
    """Watches the text of an answer. `feed` gives what is certainly text, and all from the beginning of a call on."""

    def __init__(self, offered: Collection[str]) -> None:
        self._offered = offered
        self._held = ""
        self._line_start = True
        self._fenced = False

    def feed(self, text: str) -> tuple[str, str]:
        """(text, beginning of a call; "" when none begins). What is after that beginning belongs to the call's reader,
        which gives back what is text after all."""
        text = self._held + text
        self._held = ""
        at = 0
        while True:
            if self._line_start:
                rest = text[at : at + _LONGEST]
                if self._undecided(rest):
                    self._held = text[at:]
                    return text[:at], ""
                if self._begins(rest):
                    return text[:at], text[at:]
                if rest.startswith(_FENCE):
                    self._fenced = not self._fenced
            line_end = text.find("\n", at)
            self._line_start = line_end >= 0
            if line_end < 0:
                return text, ""
            at = line_end + 1

    def flush(self) -> str:
        """What is held is text: something else comes. A call may begin after that."""
        held, self._held, self._line_start = self._held, "", True
        return held

    def _undecided(self, rest: str) -> bool:
        """Whether more text may make a fence or a call of this beginning of a line."""
        if _FENCE.startswith(rest) or FUNCTION.startswith(rest):
            return True
        named = rest.startswith(FUNCTION) and not self._fenced and ">" not in rest and len(rest) < _LONGEST
        return named and any(name.startswith(rest[len(FUNCTION) :]) for name in self._offered)

    def _begins(self, rest: str) -> bool:
        name, end, _ = rest[len(FUNCTION) :].partition(">")
        return rest.startswith(FUNCTION) and bool(end) and name in self._offered and not self._fenced
