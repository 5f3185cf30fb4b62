"""`<details>` and `<summary>`, as models fold solutions away: a fold with Markdown inside, which always ends."""

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock

OPEN = re.compile(r"<details(?: open)?>\s*(<summary>.*)?$", re.IGNORECASE)
CLOSE = re.compile(r"</details>\s*$", re.IGNORECASE)
SUMMARY = re.compile(r"<summary>(.*?)(?:</summary>)?\s*$", re.IGNORECASE)


def folds_plugin(parser: MarkdownIt) -> None:
    parser.block.ruler.before("html_block", "fold", _fold, {"alt": ["paragraph", "reference", "blockquote", "list"]})


def _fold(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    found = None if state.is_code_block(start) else OPEN.match(_line(state, start))
    if found is None:
        return False
    if silent:
        return True
    last = _end(state, start, end)
    inside = start + 1
    summary = SUMMARY.match(found[1] or "")
    if summary is None and inside < last and (summary := SUMMARY.match(_line(state, inside))) is not None:
        inside += 1
    parent, limit = state.parentType, state.lineMax
    state.parentType, state.lineMax = "container", last
    state.push("fold_open", "details", 1).block = True
    if summary is not None:
        state.push("summary_open", "summary", 1).block = True
        inline = state.push("inline", "", 0)
        inline.content, inline.map, inline.children = summary[1].strip(), [start, inside], []
        state.push("summary_close", "summary", -1).block = True
    state.md.block.tokenize(state, inside, last)
    state.push("fold_close", "details", -1).block = True
    state.parentType, state.lineMax = parent, limit
    state.line = min(last + 1, end)
    return True


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]


def _end(state: StateBlock, start: int, end: int) -> int:
    """The line of its `</details>`, or the end: a reply may have been cut."""
    depth = 0
    for line in range(start, end):
        text = _line(state, line)
        depth += OPEN.match(text) is not None
        depth -= CLOSE.match(text) is not None
        if not depth:
            return line
    return end
