"""Documents to shards: their ids one after the other, `<|endoftext|>` after each, and a table of where each lies.

    shards.json           tokenizer, groups, how much is held out; written last
    ids-0000.bin          uint16 where the vocabulary fits, else uint32
    documents-0000.npy    a row for each document: where it begins, ids, bytes of text, group, whether it is held out

No begin of text, no padding. A killed run goes on after the last whole shard, and the files come out with the same
bytes. Held-out documents are for evaluation and never learned from: a share of all by a hash of their text, so that the
same text is held out in every run, and whole sources.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.data.document import Document
from ponder.text.tokenizer.tokenizer import Tokenizer

END = "<|endoftext|>"
MANIFEST = "shards.json"
SHARD = 1 << 25  # ids of a shard, at least, unless it is the last
ROW = np.dtype([("start", "<u8"), ("length", "<u4"), ("bytes", "<u4"), ("group", "<u4"), ("held", "?")])


class Group(Struct, frozen=True):
    """What documents have in common that a mixture may weigh."""

    source: str
    language: str
    labels: tuple[tuple[str, str], ...]
    """Name and value; numbers rounded to one decimal."""

    def names(self) -> list[str]:
        """As a mixture names it: `source:docs`, `language:eng_Latn`, `field:stem`."""
        return [f"source:{self.source}", f"language:{self.language}", *(f"{k}:{v}" for k, v in self.labels)]

    def label(self, name: str) -> str:
        return dict(self.labels).get(name, "")


class Manifest(Struct, kw_only=True):
    tokenizer: str
    """Hash of its vocabulary."""
    dtype: str
    shards: int
    groups: list[Group]
    """By the numbers in the tables."""


def write(
    documents: Iterable[Document], tokenizer: Tokenizer, folder: Path, *, held_out: float = 0.0,
    held_out_sources: Iterable[str] = (), shard: int = SHARD,
) -> Manifest:  # fmt: skip
    """documents: the same ones in the same order whenever it is called. shard: see SHARD. Raises UserError where there
    is nothing to learn from."""
    sources = frozenset(held_out_sources)
    folder.mkdir(parents=True, exist_ok=True)
    dtype = "<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4"
    rest, groups, count, seen = iter(documents), dict[Group, int](), 0, set[str]()
    while lot := _lot(rest, folder, count, shard):
        rows = np.empty(len(lot), ROW)
        for n, document in enumerate(lot):
            group = groups.setdefault(group_of(document), len(groups))
            held = document.source in sources or _chance(document) < held_out
            rows[n] = (0, 0, len(document.text.encode()), group, held)
            seen.add(document.source)
        _finish(folder, count, lot, rows, tokenizer, dtype)
        count += 1
    if not count:
        raise UserError("the text is empty: there is nothing to learn from", param="text")
    if missing := sorted(sources - seen):
        raise UserError(f"held out is the source {missing[0]}, which the text has not", param="held_out_sources")
    made = Manifest(tokenizer=hash_of(tokenizer), dtype=dtype, shards=count, groups=list(groups))
    with replacing(folder / MANIFEST) as file:
        file.write(msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n")
    return made


def group_of(document: Document) -> Group:
    labels = tuple(sorted((name, _value(value)) for name, value in document.labels.items()))
    return Group(document.source, document.language, labels)


def hash_of(tokenizer: Tokenizer) -> str:
    """Of everything that decides which ids a text becomes."""
    known = tokenizer.vocabulary
    merges = (f"{a} {b}" for a, b in known.merges)
    parts = (sorted(known.ids, key=known.ids.__getitem__), merges, map(str, known.added.items()))
    return hashlib.sha256("\0\0".join("\0".join(part) for part in parts).encode()).hexdigest()


def paths(folder: Path, number: int) -> tuple[Path, Path]:
    return folder / f"ids-{number:04d}.bin", folder / f"documents-{number:04d}.npy"


def documents_of(text: Path, defaults: Mapping[str, str] | None = None) -> Iterator[Document]:
    """Of a text.jsonl. defaults: for lines that say only their text."""
    own = {"source": "text", "origin": ""} | dict(defaults or {})
    with text.open("rb") as lines:
        for line in lines:
            yield msgspec.convert(own | msgspec.json.decode(line), Document)


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.1f}"


def _chance(document: Document) -> float:
    return int(document.id, 16) / (1 << 64)


def _lot(rest: Iterator[Document], folder: Path, number: int, shard: int) -> list[Document]:
    """The documents of one shard; as many as its table has, where an earlier run made it."""
    table = paths(folder, number)[1]
    if table.exists():
        return list(islice(rest, len(np.load(table, mmap_mode="r"))))
    lot, size = [], 0
    for document in rest:
        lot.append(document)
        size += len(document.text)  # a character is an id at most, but for rare scripts
        if size >= shard:
            break
    return lot


def _finish(folder: Path, number: int, lot: list[Document], rows: np.ndarray, tokenizer: Tokenizer, dtype: str) -> None:
    """Ids first, the table last: what has a table is whole."""
    ids_file, table = paths(folder, number)
    if table.exists():
        return
    end, at = tokenizer.control[END], 0
    with replacing(ids_file) as out:
        for n, document in enumerate(lot):
            ids = np.array([*tokenizer.encode(document.text), end], dtype)
            out.write(ids.tobytes())
            rows[n]["start"], rows[n]["length"] = at, len(ids)
            at += len(ids)
    with replacing(table) as out:
        np.save(out, rows)
