"""Which reader a file gets, by the format that its source names or by its suffix."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from ponder.data.document import Unreadable
from ponder.data.read.lines import jsonl
from ponder.data.read.messages import gettext_catalog, json_messages
from ponder.data.read.plain import plain

Format = Literal["auto", "text", "jsonl", "messages", "gettext"]
Reader = Callable[[Path], Iterator[str]]

READERS: dict[str, Reader] = {
    "text": plain,
    "jsonl": jsonl,
    "messages": json_messages,
    "gettext": gettext_catalog,
}
SUFFIXES = {".jsonl": "jsonl", ".json": "messages", ".mo": "gettext"}
"""All others are text, source code too."""


def texts_of(path: Path, format: Format) -> Iterator[str]:
    """The texts of a file. Raises Unreadable where it is not what it is taken for; what came before is fine."""
    kind = SUFFIXES.get(path.suffix.lower(), "text") if format == "auto" else format
    try:
        yield from READERS[kind](path)
    except OSError as e:
        raise Unreadable(e.strerror or str(e)) from e
