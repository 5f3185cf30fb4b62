"""What the page has done in helper processes: Markdown as HTML, the text of an attached file, its passages."""

import time
from collections.abc import Sequence
from typing import Any

from ponder.server.http.errors import ApiError
from ponder.server.runtime.helpers import Helpers
from ponder.server.web.documents.passages import Passage
from ponder.server.web.markdown.html import plain

RENDERING = 5.0  # seconds for one text; then it is shown as it is
RENDERING_ALL = 20.0  # for those of one request
READING = 60.0  # for a file


class PageHelpers:
    """Two kinds of processes: nobody waits for HTML because a long document is read."""

    def __init__(self) -> None:
        self._renderers = Helpers(2, RENDERING)
        self._readers = Helpers(2, READING)
        self._catalogue: dict[str, Any] | None = None

    async def rendered(self, texts: Sequence[str]) -> list[str]:
        end, out = time.monotonic() + RENDERING_ALL, []
        for text in texts:
            try:
                html = plain(text) if time.monotonic() > end else str(await self._renderers.run("to_html", text))
            except ApiError as e:
                if e.status != 422:
                    raise
                html = plain(text)
            out.append(html)
        return out

    async def read(self, name: str, raw: bytes) -> tuple[str, int]:
        """-> a file's text, and its tokens. Raises ApiError 415 for a file without text, 400 for one that is damaged,
        422 for one that takes too long."""
        text, tokens = await self._readers.run("read", name, raw)
        return text, tokens

    async def passages(self, files: Sequence[tuple[str, str]], question: str, chars: int) -> list[Passage]:
        found = await self._readers.run("best_passages", files, question, chars)
        return [(name, where, text) for name, where, text in found]

    async def catalogue(self) -> dict[str, Any]:
        """The models that can be had (models/catalogue.py), computed when first asked for."""
        if self._catalogue is None:
            self._catalogue = await self._readers.run("catalogue")
        return self._catalogue

    async def close(self) -> None:
        await self._renderers.close()
        await self._readers.close()
