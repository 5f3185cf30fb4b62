"""What models write and CommonMark does not know: `<br>` in a cell and a few tags, footnotes, bare addresses."""

import re
from html import escape

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

TAG = re.compile(r"<(br\s*/?|/?(?:sub|sup|u|mark|kbd|small))>", re.IGNORECASE)  # without attributes they can do nothing
FOOTNOTE = re.compile(r"\[\^(\d{1,3}|[^\W\d][\w-]{0,30})\](:?)[ \t]*")
ADDRESS = re.compile(r"(?:https?://|(?<![\w.-])www\.)[A-Za-z0-9][A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*", re.IGNORECASE)
TRAILING = ".,;:!?'*"  # ends a sentence, not an address


def marks_plugin(parser: MarkdownIt) -> None:
    parser.inline.ruler.before("autolink", "tag", _tag)
    parser.inline.ruler.before("link", "footnote", _footnote)
    parser.block.ruler.before("reference", "footnote_text", _footnote_text, {"alt": ["paragraph", "reference"]})
    parser.core.ruler.after("inline", "addresses", _addresses)


def _tag(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] != "<" or (found := TAG.match(state.src, state.pos)) is None:
        return False
    if not silent:
        name = found[1].lower()
        if name.startswith("br"):
            state.push("hardbreak", "br", 0)
        else:
            state.push("html_inline", "", 0).content = f"<{name}>"
    state.pos = found.end()
    return True


def _footnote(state: StateInline, silent: bool) -> bool:
    """The number of a note, in the text (`[^1]`) and before the note itself (`[^1]: ...`)."""
    if state.src[state.pos] != "[" or (found := FOOTNOTE.match(state.src, state.pos)) is None:
        return False
    if not (found[1].isdigit() or found[1] in state.env.get("notes", ())):
        return False  # a set of characters, as in regular expressions
    own = found[2] and state.pos == 0
    if not silent:
        state.push("html_inline", "", 0).content = f'<sup class="footnote">{escape(found[1])}</sup>{" " if own else ""}'
    state.pos = found.end() if own else found.end(1) + 1
    return True


def _footnote_text(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """`[^1]: ...` is a paragraph, where CommonMark would read the definition of a link."""
    begin = state.bMarks[start] + state.tShift[start]
    found = None if state.is_code_block(start) else FOOTNOTE.match(state.src, begin, state.eMarks[start])
    if found is None or not found[2]:
        return False
    if silent:
        return True
    state.env.setdefault("notes", set()).add(found[1])
    last = start + 1
    while last < end and not state.isEmpty(last) and state.sCount[last] >= state.blkIndent:
        if FOOTNOTE.match(state.src, state.bMarks[last] + state.tShift[last], state.eMarks[last]):
            break
        last += 1
    token = state.push("paragraph_open", "p", 1)
    token.map, token.attrs = [start, last], {"class": "footnote"}
    inline = state.push("inline", "", 0)
    inline.content, inline.map, inline.children = (
        state.getLines(start, last, state.blkIndent, False).strip(),
        [start, last],
        [],
    )
    state.push("paragraph_close", "p", -1)
    state.line = last
    return True


def _addresses(state: StateCore) -> None:
    for block in state.tokens:
        if block.children and ("://" in block.content or "www." in block.content.lower()):
            block.children = _linked(block.children)


def _linked(tokens: list[Token]) -> list[Token]:
    out: list[Token] = []
    depth = 0  # inside of links
    for token in tokens:
        depth += {"link_open": 1, "link_close": -1}.get(token.type, 0)
        out += [token] if depth or token.type != "text" else _pieces(token)
    return out


def _pieces(token: Token) -> list[Token]:
    out, at = [], 0
    for found in ADDRESS.finditer(token.content):
        address = _trimmed(found[0])
        if found.start() > at:
            out.append(_text(token, token.content[at : found.start()]))
        href = address if "://" in address else f"https://{address}"
        out += [Token("link_open", "a", 1, attrs={"href": href}), _text(token, address), Token("link_close", "a", -1)]
        at = found.start() + len(address)
    return [*out, _text(token, token.content[at:])] if at < len(token.content) or not out else out


def _trimmed(address: str) -> str:
    """Without the full stop of its sentence, and the bracket that it stands in."""
    while address[-1] in TRAILING or (address[-1] == ")" and address.count(")") > address.count("(")):
        address = address[:-1]
    return address


def _text(token: Token, content: str) -> Token:
    return Token("text", "", 0, content=content, level=token.level)
