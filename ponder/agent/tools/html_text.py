"""The readable text of an HTML page."""

from html.parser import HTMLParser

SKIPPED = frozenset({"script", "style", "noscript", "template", "svg", "head"})
BLOCKS = frozenset({
    "p", "div", "section", "article", "header", "footer", "main", "nav", "aside", "ul", "ol", "li", "table", "tr",
    "pre", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "br", "hr",
})  # fmt: skip


class _Reader(HTMLParser):
    """Text with line breaks where blocks end, links kept as [text](URL), nothing of scripts and styles."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self._skip = 0
        self._title = False
        self._href: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "title":
            self._title = True
        elif tag in SKIPPED:
            self._skip += 1
        elif tag in BLOCKS:
            self.out.append("\n")
            self.out.append("#" * int(tag[1]) + " " if tag[0] == "h" and tag[1:].isdigit() else "- " * (tag == "li"))
        elif tag == "td" or tag == "th":
            self.out.append(" | ")
        elif tag == "a":
            self._href.append(dict(attrs).get("href") or "")
            self.out.append("[" if self._href[-1] else "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._title = False
        elif tag in SKIPPED:
            self._skip = max(0, self._skip - 1)
        elif tag in BLOCKS:
            self.out.append("\n")
        elif tag == "a" and self._href:
            href = self._href.pop()
            self.out.append(f"]({href})" if href else "")

    def handle_data(self, data: str) -> None:
        if self._title:
            self.out.append(f"# {' '.join(data.split())}\n")
        elif not self._skip:
            self.out.append(data)


def html_text(page: str) -> str:
    """The readable text of an HTML page; broken markup is read as far as it goes."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.out).splitlines())
    kept: list[str] = []
    for line in lines:
        if line or (kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept).strip()
