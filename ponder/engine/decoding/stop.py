"""Stop strings on decoded text, whatever the pieces it comes in.

One automaton per string (Knuth-Morris-Pratt) steps over the characters, so the result cannot depend on chunking and
the cost is linear. Text that may be the beginning of a stop string is held back until it is decided (RS-5).
"""

from collections.abc import Sequence


class StopMatcher:
    """`feed` text, get what may be delivered; after a match `matched` is the string and nothing more comes out.

    The first string to be complete wins; of those complete at the same character, the longest.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self.matched: str | None = None
        self._stops = tuple(stops)
        self._fails = [_failure(s) for s in stops]
        self._states = [0] * len(self._stops)
        self._held = ""

    def feed(self, text: str) -> str:
        """The text that is certainly before any stop string."""
        if self.matched is not None:
            return ""
        if not self._stops:
            return text
        pending = self._held + text
        for at, char in enumerate(text, start=len(self._held) + 1):
            found = self._step(char)
            if found:
                self.matched, self._held = found, ""
                return pending[: at - len(found)]
        keep = max(self._states)
        self._held = pending[len(pending) - keep :] if keep else ""
        return pending[: len(pending) - keep]

    def flush(self) -> str:
        """Give out what was held: the text ends here, or a control token cuts it."""
        held, self._held = self._held, ""
        self._states = [0] * len(self._stops)
        return held

    def _step(self, char: str) -> str:
        """Advance every automaton by one character; the longest string that is now complete, or ""."""
        found = ""
        for i, stop in enumerate(self._stops):
            state, fail = self._states[i], self._fails[i]
            while state and stop[state] != char:
                state = fail[state - 1]
            state += stop[state] == char
            self._states[i] = state
            if state == len(stop) and len(stop) > len(found):
                found = stop
        return found


def _failure(stop: str) -> list[int]:
    """KMP table: for each prefix, the length of its longest proper prefix that is also its suffix."""
    table = [0] * len(stop)
    k = 0
    for i in range(1, len(stop)):
        while k and stop[i] != stop[k]:
            k = table[k - 1]
        k += stop[i] == stop[k]
        table[i] = k
    return table
