"""What a reader is told beside the path, and what it gives."""

from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from ponder.data.document import Left

Texts = Iterator[str | Left]
ReadPage = Callable[[bytes], str | None]
"""The text on a picture of a page, a PNG file; None where nothing could be made of it."""


class Reading(Struct, frozen=True):
    field: str = "text"
    """Where the text stands in a line of JSON or a row of a table."""
    read_page: ReadPage | None = None
    """For pages of a PDF without text; None leaves them out."""


Reader = Callable[[Path, Reading], Texts]
