"""A model's Markdown -> HTML that cannot do anything: no raw HTML, no scripts, no foreign images, no odd links (SEC-7).

Rendered here, not in the browser, by markdown-it-py and pygments, so that one renderer makes it safe for every page.
"""

import re
from functools import cache
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.tasklists import tasklists_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from ponder.server.web.markdown.direction import direction_plugin
from ponder.server.web.markdown.emphasis import CjkInline
from ponder.server.web.markdown.folds import folds_plugin
from ponder.server.web.markdown.marks import marks_plugin
from ponder.server.web.markdown.math import math_plugin

MAX_TEXT = 400_000  # characters of one piece; more is shown as plain text
MAX_CELLS = 200_000  # lines times columns
MAX_CODE = 60_000  # characters of one code block that are coloured
SAFE_LINK = re.compile(r"^(https?:|mailto:|#)", re.IGNORECASE)


def to_html(text: str) -> str:
    """Safe whatever the text is."""
    if len(text) > MAX_TEXT or _cells(text) > MAX_CELLS:
        return plain(text)
    return str(_parser().render(text))


def plain(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def _cells(text: str) -> int:
    """As many as a table may get, of which a short line gets as many as a long one."""
    lines = text.split("\n")
    return len(lines) * max(line.count("|") for line in lines)


@cache
def _parser() -> MarkdownIt:
    options = {"html": False, "linkify": False, "highlight": _highlight, "maxNesting": 40, "breaks": True}
    parser = MarkdownIt()
    parser.inline = CjkInline()
    parser.configure("commonmark", options)
    parser.enable(["table", "strikethrough"])
    for plugin in (math_plugin, marks_plugin, folds_plugin, direction_plugin, deflist_plugin):
        parser.use(plugin)
    parser.use(tasklists_plugin, label=True)
    parser.validateLink = lambda url: SAFE_LINK.match(url) is not None  # type: ignore[method-assign]
    parser.add_render_rule("image", _image)
    parser.add_render_rule("link_open", _link)
    parser.add_render_rule("th_open", _cell)
    parser.add_render_rule("td_open", _cell)
    return parser


def _highlight(code: str, language: str, attributes: str) -> str:
    """The inside of <pre><code>; "" leaves it to markdown-it, which escapes it."""
    if len(code) > MAX_CODE or not re.fullmatch(r"[\w+#.-]{1,30}", language):
        return ""
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        return ""
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))


def _image(self: RendererHTML, tokens: list[Token], index: int, options: Any, env: Any) -> str:
    """Pictures are not fetched: an address could carry what was said to somebody else. A link is left."""
    token = tokens[index]
    source, label = str(token.attrs.get("src", "")), token.content or "image"
    if not SAFE_LINK.match(source):
        return escape(label)
    return f'<a href="{escape(source)}" rel="noopener noreferrer nofollow" target="_blank">🖼 {escape(label)}</a>'


def _link(self: RendererHTML, tokens: list[Token], index: int, options: Any, env: Any) -> str:
    tokens[index].attrs |= {"target": "_blank", "rel": "noopener noreferrer nofollow"}
    return self.renderToken(tokens, index, options, env)


def _cell(self: RendererHTML, tokens: list[Token], index: int, options: Any, env: Any) -> str:
    """The page's CSP takes no styles from attributes: an alignment is a class."""
    style = tokens[index].attrs.pop("style", None)
    if style is not None:
        tokens[index].attrs["class"] = str(style).removeprefix("text-align:")
    return self.renderToken(tokens, index, options, env)
