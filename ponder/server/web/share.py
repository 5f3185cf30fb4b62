"""A conversation as one HTML file that needs no server: the branch that is shown, as the page draws it.

Formulas take KaTeX and its fonts along (0.7 MB). The file's own policy lets nothing else run, and nothing be fetched.
"""

import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator, Sequence
from hashlib import sha256
from html import escape

from ponder.core.turn import CallStep, NoteStep, Step, TextStep, ThoughtStep
from ponder.server.web.export import shown_branch
from ponder.server.web.page_files import PAGE
from ponder.server.web.turn_steps import PICTURES, Row

Render = Callable[[Sequence[str]], Awaitable[list[str]]]
DRAW = """for (const node of document.querySelectorAll(".math")) {
  const safe = { throwOnError: false, strict: "ignore", trust: false, maxExpand: 1000 };
  katex.render(node.textContent, node, { displayMode: node.classList.contains("display"), ...safe });
  node.classList.add("drawn");
}"""
ALONE = """html, body { display: block; height: auto; }
#messages { padding: 2rem 1rem; height: auto; display: block; }
.thoughts { max-height: none; }"""
HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">"""


async def as_html(conversation: Row, render: Render) -> str:
    """render: Markdown texts as HTML that can do nothing."""
    branch = shown_branch(conversation)
    texts = [step.text for _, steps in branch for step in steps if isinstance(step, TextStep | ThoughtStep)]
    html = iter(await render(texts))
    messages = "".join(_message(row, steps, html) for row, steps in branch)
    title = escape(conversation["title"] or "Conversation")
    styles = [(PAGE / "style.css").read_text("utf-8"), ALONE]
    scripts: list[str] = []
    if 'class="math' in messages:
        styles.append(_katex_style())
        scripts = [(PAGE / "katex" / name).read_text("utf-8") for name in ("katex.min.js", "mhchem.min.js")] + [DRAW]
    return (
        f'{HEAD}<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">\n<title>{title}</title>'
        f"{''.join(f'<style>{text}</style>' for text in styles)}</head>\n"
        f'<body><main id="messages"><h1>{title}</h1>{messages}</main>'
        f"{''.join(f'<script>{text}</script>' for text in scripts)}</body></html>\n"
    )


def _policy(scripts: Sequence[str]) -> str:
    hashes = [f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in scripts]
    run = " ".join(hashes or ["'none'"])
    return f"default-src 'none'; style-src 'unsafe-inline'; font-src data:; img-src data:; script-src {run}"


def _message(row: Row, steps: Sequence[Step], html: Iterator[str]) -> str:
    if row["role"] == "user":
        next(html)  # what people type is no Markdown
        files = "".join(f"<p>📄 {escape(file['name'])}</p>" for file in row.get("attachments", []))
        body = f'{files}<div class="said" dir="auto">{escape(row["content"])}</div>'
    else:
        body = "".join(_step(step, html) for step in steps)
    model = f'<div class="facts">{escape(row["model"])}</div>' if row.get("model") else ""
    return f'<article class="message {escape(row["role"])}"><div class="body">{body}</div>{model}</article>'


def _step(step: Step, html: Iterator[str]) -> str:
    match step:
        case ThoughtStep():
            inside = f'<div class="thoughts"><div class="piece">{next(html)}</div></div>'
            return _fold("Thoughts", inside) if step.text.strip() else ""
        case TextStep():
            return f'<div class="answer"><div class="piece">{next(html)}</div></div>'
        case NoteStep():
            return f'<p class="remark">{escape(step.text)}</p>'
        case CallStep():
            texts = "".join(f"<pre>{escape(text)}</pre>" for text in (step.arguments, step.output, step.diff) if text)
            pictures = "".join(
                f'<img alt="{escape(image.name)}" src="data:{image.media_type};base64,{escape(image.data)}">'
                for image in step.images
                if image.media_type in PICTURES and image.data
            )
            return _fold(f"{escape(step.name)} ({step.state})", texts + pictures)


def _fold(title: str, inside: str) -> str:
    return f'<details class="step"><summary>{title}</summary>{inside}</details>'


def _katex_style() -> str:
    def embedded(found: re.Match[str]) -> str:
        return f"url(data:font/woff2;base64,{b64encode((PAGE / 'katex' / found[1]).read_bytes()).decode()})"

    return re.sub(r"url\((fonts/[\w-]+\.woff2)\)", embedded, (PAGE / "katex" / "katex.min.css").read_text("utf-8"))
