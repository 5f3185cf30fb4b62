"""JSON lines: one document a line, its text under `text` or the name that the source gives."""

import os
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from ponder.data.document import UNREADABLE, Left
from ponder.data.read.plain import LARGEST
from ponder.data.read.reading import Reading, Texts

AT_ONCE = 1 << 20


def jsonl(path: Path, how: Reading) -> Texts:
    line: Any = msgspec.defstruct("Line", [("text", str)], rename={"text": how.field})
    decoder = msgspec.json.Decoder(line)
    with path.open("rb", AT_ONCE) as file:
        number = 0
        while raw := file.readline(LARGEST + 1):
            number += 1
            if len(raw) > LARGEST:
                yield Left(UNREADABLE, f"line {number} is longer than {LARGEST >> 20} MB")
                _skip_line(file, raw)
            elif not raw.isspace():
                try:
                    yield decoder.decode(raw).text
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
                    yield Left(UNREADABLE, f"line {number}: {e}")


def _skip_line(file: BinaryIO, part: bytes) -> None:
    end = -1
    while part and (end := part.find(b"\n")) < 0:
        part = file.read(AT_ONCE)
    file.seek(end + 1 - len(part), os.SEEK_CUR)
