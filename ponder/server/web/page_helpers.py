"""What the page has done in helper processes: Markdown as HTML, the text of an attached file."""

import time
from collections.abc import Sequence

from ponder.server.http.errors import ApiError
from ponder.server.runtime.helpers import Helpers
from ponder.server.web.markdown.html import plain

RENDERING = 5.0  # seconds for one text; then it is shown as it is
RENDERING_ALL = 20.0  # for those of one request
READING = 60.0  # for a file


class PageHelpers:
    """Two kinds of processes: nobody waits for HTML because a long document is read."""

    def __init__(self) -> None:
        self._renderers = Helpers(2, RENDERING)
        self._readers = Helpers(2, READING)

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

    async def text_of(self, name: str, raw: bytes) -> str:
        """Raises ApiError 415 for a file without text, 400 for one that is damaged, 422 for one that takes too long."""
        return str(await self._readers.run("text_of", name, raw))

    async def close(self) -> None:
        await self._renderers.close()
        await self._readers.close()
