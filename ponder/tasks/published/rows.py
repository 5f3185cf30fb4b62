"""Rows of a benchmark's file: JSON lines, JSON, CSV or TSV, with or without gzip. And what file it was."""

import csv
import gzip
import hashlib
import io
import json
from pathlib import Path
from typing import Any

from ponder.core.errors import UserError

Row = dict[str, Any]
LARGEST = 1 << 30
KINDS = ".jsonl, .json, .csv, .tsv or one of these with .gz"


def rows_of(path: Path) -> list[Row]:
    """Raises UserError for a file that is missing, too large or no table."""
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path} is larger than {LARGEST >> 30} GiB: no benchmark is")
        raw = path.read_bytes()
        if path.suffix == ".gz":
            raw = gzip.decompress(raw)
        text = raw.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as e:
        raise UserError(f"{path}: {e}", param="data") from e
    kind = Path(path.stem if path.suffix == ".gz" else path.name).suffix
    try:
        rows = _read(text, kind)
    except (ValueError, csv.Error) as e:
        raise UserError(f"{path} is no {kind} file: {e}", param="data") from e
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} has no rows with named columns; a benchmark is {KINDS}", param="data")
    return rows


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(text: str, kind: str) -> list[Row]:
    if kind in (".csv", ".tsv"):
        return list(csv.DictReader(io.StringIO(text), delimiter="\t" if kind == ".tsv" else ","))
    if kind == ".json":
        found = json.loads(text)
        if isinstance(found, dict):  # {"data": [...]}, or items by name
            lists = [value for value in found.values() if isinstance(value, list)]
            found = lists[0] if len(lists) == 1 else [{"id": k, **v} for k, v in found.items() if isinstance(v, dict)]
        return list(found)
    return [json.loads(line) for line in text.splitlines() if line.strip()]
