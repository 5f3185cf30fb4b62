"""Markdown in colours while it streams: headings, code, emphasis, and words that are never cut at the edge.

A writer gets pieces of text as they come and gives what to write now. It holds back what cannot be decided yet: a word
that may not fit its line, a line that may be a fence, a line of code until it is whole. Nothing is changed but by
colours and line ends: the words are the model's.
"""

import re
import unicodedata
from typing import Any

BOLD, ITALIC, CODE, HEADING, PLAIN = "\x1b[1m", "\x1b[3m", "\x1b[36m", "\x1b[1;35m", "\x1b[0m"
FENCE = re.compile(r"\s{0,3}(```+|~~~+)\s*([\w+#.-]*)\s*$")
INLINE = re.compile(r"(`+)(.+?)\1|\*\*(?=\S)(.+?)(?<=\S)\*\*|(?<![\w*])\*(?=\S)([^*]+?)(?<=\S)\*(?![\w*])")
# Between words, and between Chinese or Japanese characters but before what closes and after what opens
WIDE = "\u2e80-\u2fff\u3040-\ua4cf\uac00-\ud7a3\uf900-\ufaff"
CLOSING, OPENING = "、。，．！？；：）】」』》〉…—", "（【「『《〈"
BREAK = re.compile(
    rf"(?<=\s)(?=\S)|(?<=[{WIDE}{CLOSING}])(?=[^\s{CLOSING}\x1b])|(?<=[^\s{OPENING}])(?=[{WIDE}{OPENING}])"
)
PATIENCE = 200  # characters that wait for the end of a mark


class MarkdownWriter:
    """columns: width of the terminal. colours: without them only words are kept whole."""

    def __init__(self, columns: int, *, colours: bool = True) -> None:
        self._columns, self._colours = max(20, columns), colours
        self._line = ""  # of the text, as far as it has come
        self._shown = 0  # characters of it that were written
        self._column = 0
        self._fence = ""
        self._lexer: Any = None

    def feed(self, text: str) -> str:
        out = []
        for piece in re.split(r"(\n)", text):
            if piece == "\n":
                out.append(self._end_of_line())
            elif piece:
                self._line += piece
                out.append(self._so_far())
        return "".join(out)

    def close(self) -> str:
        """What was held back."""
        return self._rest() if self._line else ""

    def _so_far(self) -> str:
        """Of a line that goes on, the words that are whole; nothing where the line may turn out to be marked."""
        if self._fence or (re.match(r"\s{0,3}([`~#*+|>-]|\d{1,3}[.)]?\s*$|$)", self._line) and len(self._line) < 4):
            return ""
        if self._fence or self._line.lstrip().startswith(("#", "```", "~~~", "|")):
            return ""
        return self._words(self._shown + self._whole(self._line[self._shown :]))

    def _whole(self, text: str) -> int:
        """Up to where words are whole: not inside a mark. What follows an open one waits for its end, for a while."""
        unmarked = INLINE.sub(lambda match: "x" * len(match[0]), text) if self._colours else text
        at = min((at for at in map(unmarked.find, "`*") if at >= 0 and self._colours), default=len(text))
        end = at if len(text) - at < PATIENCE else len(text)
        breaks = (match.end() for match in BREAK.finditer(unmarked, 0, end))
        return max(unmarked.rfind(" ", 0, end) + 1, *breaks, 0)

    def _end_of_line(self) -> str:
        out = self._rest() + "\n"
        self._line, self._shown, self._column = "", 0, 0
        return out

    def _rest(self) -> str:
        if fence := FENCE.match(self._line):
            if not self._fence:
                self._fence, self._lexer = fence[1], _lexer(fence[2])
            elif fence[1].startswith(self._fence) and not fence[2]:
                self._fence = ""
            return self._in(CODE)
        if self._fence:
            return _highlighted(self._line, self._lexer) if self._colours else self._line
        if not self._shown and re.match(r"#{1,6}\s", self._line):
            return self._in(HEADING)
        if not self._shown and self._line.lstrip().startswith("|"):  # a table keeps its columns
            return self._line
        return self._words(len(self._line))

    def _in(self, style: str) -> str:
        return f"{style}{self._line}{PLAIN}" if self._colours else self._line

    def _words(self, end: int) -> str:
        """The words up to there that were not written, in lines that fit."""
        text, out = self._line[self._shown : end], []
        self._shown = end
        for word in BREAK.split(INLINE.sub(_coloured, text) if self._colours else text):
            size = width(re.sub(r"\x1b\[[\d;]*m", "", word.rstrip()))
            if self._column and self._column + size > self._columns:
                out.append("\n")
                self._column = 0
            out.append(word)
            self._column += width(re.sub(r"\x1b\[[\d;]*m", "", word))
            if size > self._columns:  # an address, say, which the terminal cuts
                self._column %= self._columns
        return "".join(out)


def width(text: str) -> int:
    """Columns of a text: Chinese characters and most emoji take two, combining marks none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _coloured(match: re.Match[str]) -> str:
    style = CODE if match[1] else BOLD if match[3] else ITALIC
    return f"{style}{match[0]}{PLAIN}"


def _lexer(name: str) -> Any:
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(name, stripnl=False, ensurenl=False) if name else None
    except ClassNotFound:
        return None


def _highlighted(line: str, lexer: Any) -> str:
    if lexer is None:
        return f"{CODE}{line}{PLAIN}"
    from pygments import highlight
    from pygments.formatters import TerminalFormatter

    return str(highlight(line, lexer, TerminalFormatter())).rstrip("\n")
