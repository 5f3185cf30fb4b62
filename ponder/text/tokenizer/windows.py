"""A long text without a sure place to cut (`cuts.py`), such as a million `!`, is encoded in windows: in linear time,
with a pause after each in which others work, or the caller gives up.

The ids are those of the whole. Byte pair encoding has two properties: a run of its ids is the encoding of the run's
own text, and ids of which any two neighbours are the encoding of their text are so together. So where a window begins
at the place of an id of the window before it, and with this very id, the ids before that place and those of the second
window are one encoding. Where they differ (its end decides how the last ids of a window fall), the first grows.

The split comes before the merges. A window may begin where a piece of the split does, or inside of one whose rest, seen
alone, is one piece again: after a letter or a number, within signs, within blanks.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

_BLANK = " \t"
_END_OF_LINE = re.compile(r"[\r\n]")
_SPACE = re.compile(r"\s*")
# what NFC joins to the character before, besides marks: vowels and last consonants of Hangul, vowels of Kirat Rai
_JOINS = re.compile("[\u1160-\u11ff\U00016d63-\U00016d6a]")


Encode = Callable[[str], tuple[list[int], Callable[[int], int]]]


class Encoded(NamedTuple):
    """size: characters. start_of: the character, from the beginning of these, in which the id at a place begins."""

    size: int
    ids: list[int]
    start_of: Callable[[int], int]


class _Window(NamedTuple):
    """start, size: of its text. kept: how many of its ids count; the next window begins with the one after them."""

    start: int
    size: int
    ids: list[int]
    start_of: Callable[[int], int]
    kept: int = 0

    def run(self) -> Encoded:
        return Encoded(self.start_of(self.kept), self.ids[: self.kept], self.start_of)


def windows(text: str, encode: Encode, size: int, enough: int | None = None) -> list[Encoded]:
    """The encoding of a text in runs that follow each other. size: characters of a window.
    enough: whoever has more ids than this wants none of the rest, and what is made then ends somewhere."""
    places, before, count = _Places(text), list[_Window](), 0
    last = _Window(0, size, *encode(text[:size]))
    while last.start + last.size < len(text) and (enough is None or count + len(last.ids) <= enough):
        if at := _last_place(places, last):
            start = last.start + last.start_of(at)
            after = _Window(start, size, *encode(text[start : start + size]))
            if after.ids[0] == last.ids[at]:
                before.append(last._replace(kept=at))
                last, count = after, count + at
                continue
        last = _grown(text, encode, last)
        while before and last.ids[0] != before[-1].ids[before[-1].kept]:  # the join no longer holds
            count -= before[-1].kept
            last = _grown(text, encode, before.pop())
    rest = min(last.size, len(text) - last.start)
    return [*(window.run() for window in before), Encoded(rest, last.ids, last.start_of)]


def _grown(text: str, encode: Encode, window: _Window) -> _Window:
    return _Window(window.start, 2 * window.size, *encode(text[window.start : window.start + 2 * window.size]))


def _last_place(places: "_Places", window: _Window) -> int:
    """The last id in the window's second half, and some way before its end, where the next may begin; 0 for none."""
    ids, start_of, size = window.ids, window.start_of, window.size
    at = bisect_left(range(len(ids)), size - max(1, size // 16), key=start_of) - 1
    while at > 0 and (cut := start_of(at)) >= size // 2:
        if start_of(at - 1) < cut and places.fit(window.start + cut, window.start):  # else it begins inside a character
            return at
        at -= 1
    return 0


class _Places:
    """Where a window may begin in a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._blanks = range(0)  # a run of them, that was looked at last
        self._first = self._last = 0  # the places of ends of lines in it

    def fit(self, at: int, begin: int) -> bool:
        """begin: of the window that `at` lies in."""
        if at < begin + 2 or at + 1 >= len(self._text):
            return False
        two, before, here, after = (self._text[n] for n in range(at - 2, at + 2))
        if unicodedata.category(here)[0] == "M" or _JOINS.match(here):
            return False
        match _class(before):
            case "L":  # the second letter of 're has no piece of its own
                return two != "'" or _class(here) != "L"
            case "N":
                return True
            case "S" if _class(here) == "L":
                return before != "'"
            case "S":
                return _class(here) == _class(after) == "S"
        return {before, here, after} <= {*_BLANK} and self._one_piece(at, begin)

    def _one_piece(self, at: int, begin: int) -> bool:
        """Blanks up to the last end of a line are one piece, those after it another. So a window that holds one end of
        a line, and may not hold the last, does not know which of them these belong to."""
        if at not in self._blanks:
            found = _SPACE.match(self._text, at)
            assert found is not None
            self._blanks = range(begin + len(self._text[begin:at].rstrip()), found.end())
            begun, ended = self._blanks.start, self._blanks.stop
            first = _END_OF_LINE.search(self._text, begun, ended)
            self._first = first.start() if first else ended
            self._last = max(self._text.rfind(end, begun, ended) for end in "\r\n")
        return self._last < at or self._first >= at


def _class(char: str) -> str:
    """L, N or S as the split sees letters, numbers and signs; else what it may see otherwise than Python does."""
    kind = unicodedata.category(char)[0]
    return "S" if kind in "PSM" or char == "\u200d" else kind
