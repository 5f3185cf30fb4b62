"""Where a text has mathematics: `$x$`, `$$x$$`, `\\(x\\)`, `\\[x\\]` and `\\begin{align}`. The page has KaTeX.

Two prices in a sentence are none: "$5 or $10" and "$5 per day, 30$" have no sign that only formulas have.
"""

import re
from collections.abc import Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

MAX_MATH = 4_000  # characters of a formula; bounded, or each sign that opens one would look through the whole text
CLOSING = {"$$": "$$", "\\[": "\\]", "\\(": "\\)"}
ENVIRONMENT = re.compile(r"\\begin\{((?:equation|align|alignat|gather)\*?)\}")
DOLLARS = re.compile(r"\$(?![\s$])((?:\\.|[^\\$]){1,1000}?)(?<!\s)\$", re.DOTALL)
TEX = re.compile(r"[\\^_={}<>+]")
PRICE = re.compile(r"\d[\d.,]*(?:.*[^\W\d_]{2,}.+|.*[\u3041-\u9fff\uac00-\ud7ff].*|.*[/–—-])", re.DOTALL)


def math_plugin(parser: MarkdownIt) -> None:
    parser.inline.ruler.before("escape", "math_inline", _inline)
    ends = ["paragraph", "reference", "blockquote", "list"]
    parser.block.ruler.before("fence", "math_block", _block, {"alt": ends})
    parser.add_render_rule("math_inline", _span)
    parser.add_render_rule("math_block", _div)


def _inline(state: StateInline, silent: bool) -> bool:
    src, at = state.src, state.pos
    opening = src[at : at + 2]
    if opening in CLOSING:
        end = src.find(CLOSING[opening], at + 2, at + MAX_MATH)
        found = None if end < 0 else (src[at + 2 : end], end + 2)
    else:
        dollars = DOLLARS.match(src, at)
        found = (
            (dollars[1], dollars.end())
            if dollars and not _prices(dollars[1], src[dollars.end() : dollars.end() + 1])
            else None
        )
    if found is None or not found[0].strip():
        return False
    if not silent:
        token = state.push("math_inline", "span", 0)
        token.content, token.meta = found[0].strip(), {"display": opening in ("$$", "\\[")}
    state.pos = found[1]
    return True


def _prices(inside: str, behind: str) -> bool:
    return not TEX.search(inside) and (behind.isdigit() or PRICE.fullmatch(inside) is not None)


def _block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Lines of a formula, which may begin like a list or a heading. Text after its end leaves it to the sentence."""
    if state.is_code_block(start):
        return False
    lines = [_line(state, start)]
    environment = ENVIRONMENT.match(lines[0])
    closing = f"\\end{{{environment[1]}}}" if environment else CLOSING.get(lines[0][:2], "")
    if not closing or closing == "\\)":
        return False
    lines[0] = lines[0] if environment else lines[0][2:]
    last, size = start, 0
    while closing not in lines[-1]:
        last, size = last + 1, size + len(lines[-1])
        if last >= end or size > MAX_MATH or (state.sCount[last] < state.blkIndent and _line(state, last)):
            return False
        lines.append(_line(state, last))
    inside, _, behind = lines[-1].partition(closing)
    source = "\n".join([*lines[:-1], inside + closing if environment else inside]).strip()
    if behind.strip() or not source:
        return False
    if not silent:
        token = state.push("math_block", "div", 0)
        token.content, token.block, token.map = source, True, [start, last + 1]
        state.line = last + 1
    return True


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]


def _span(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    token = tokens[index]
    return f'<span class="math{" display" if token.meta["display"] else ""}">{escape(token.content)}</span>'


def _div(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    return f'<div class="math display">{escape(tokens[index].content)}</div>\n'
