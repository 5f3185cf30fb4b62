"""Emphasis in Chinese, Japanese and Korean: `**步骤一：**首先` is bold, as in English it would be.

CommonMark lets `**` close after punctuation only where a space or more punctuation follows, and these languages have
no spaces between words. The CJK-friendly amendments (github.com/tats-u/markdown-cjk-friendly) let a run of `*` or `~`
open and close wherever a CJK character is next to it and no space is. `_`, and text without CJK, stay as in CommonMark.
"""

import re
from collections.abc import MutableMapping
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import isWhiteSpace
from markdown_it.parser_inline import ParserInline
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Scanned
from markdown_it.token import Token

# East Asian Width W, F or H or the script Hangul, but no emoji; what is unassigned between two blocks is taken along
CJK = re.compile(
    "[\u1100-\u11ff\u20a9\u2329\u232a\u2630-\u2637\u268a-\u268f\u2e80-\u303e\u3041-\u3247\u3250-\ua4cf\ua960-\ua97f"
    "\uac00-\ud7ff\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uffdf\uffe0-\uffee\U00016fe0-\U00018dff"
    "\U0001aff0-\U0001b2ff\U0001d300-\U0001d376\U0001f200\U0001f202-\U0001f219\U0001f21b-\U0001f22e\U0001f230\U0001f231\U0001f237"
    "\U0001f23b-\U0001f248\U0001f260-\U0001f265\U00020000-\U0003fffd]"
)
WIDE_QUOTE = re.compile("[\u2018\u2019\u201c\u201d]\ufe01")  # the selector asks for the quotation mark's wide form


class CjkState(StateInline):
    def scanDelims(self, start: int, canSplitWord: bool) -> Scanned:  # both names are markdown-it's
        found = super().scanDelims(start, canSplitWord)
        end = start + found.length
        if not canSplitWord or start == 0 or end >= self.posMax:
            return found
        before, after = self.src[max(0, start - 2) : start], self.src[end]
        if isWhiteSpace(ord(before[-1])) or isWhiteSpace(ord(after)):
            return found
        return Scanned(True, True, found.length) if CJK.match(after) or _ends_in_cjk(before) else found


def _ends_in_cjk(before: str) -> bool:
    """A variation selector belongs to the character before it; the ideographic ones follow nothing but CJK."""
    if "\ufe00" <= before[-1] <= "\ufe0e":
        return bool(CJK.match(before) or WIDE_QUOTE.match(before)) and not isWhiteSpace(ord(before[0]))
    return bool(CJK.match(before[-1])) or "\U000e0100" <= before[-1] <= "\U000e01ef"


class CjkInline(ParserInline):
    def parse(self, src: str, md: MarkdownIt, env: MutableMapping[str, Any], tokens: list[Token]) -> list[Token]:
        state = CjkState(src, md, env, tokens)
        self.tokenize(state)
        for rule in self.ruler2.getRules(""):
            rule(state)
        return state.tokens
