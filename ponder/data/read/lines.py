"""JSON lines: one document a line, its text under `text`."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from ponder.data.document import Unreadable
from ponder.data.read.plain import LARGEST


class Line(Struct):
    text: str


def jsonl(path: Path) -> Iterator[str]:
    decoder = msgspec.json.Decoder(Line)
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(LARGEST + 1):
            number += 1
            if len(raw) > LARGEST:
                raise Unreadable(f"line {number} is longer than {LARGEST >> 20} MB")
            if raw.isspace():
                continue
            try:
                yield decoder.decode(raw).text
            except (msgspec.DecodeError, UnicodeDecodeError) as e:
                raise Unreadable(f"line {number}: {e}") from e
