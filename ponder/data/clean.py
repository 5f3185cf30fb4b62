"""One lot: its files read, mended, judged and scrubbed, into one file of documents and one of counts."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct, field

from ponder.core.atomic import replacing
from ponder.data.document import Document, Unreadable
from ponder.data.plan import Lot
from ponder.data.read.table import texts_of
from ponder.data.steps.mend import mend
from ponder.data.steps.quality import Rules, fault
from ponder.data.steps.scrub import scrub

SHOWN = 3  # of what each step left out
SHOWN_CHARACTERS = 300


class Counts(Struct, kw_only=True):
    """What a lot, a source, or a whole run read and left out."""

    files: int = 0
    read_bytes: int = 0
    documents: int = 0
    """That came out of the readers."""
    kept: int = 0
    kept_bytes: int = 0
    mended: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    """By the rule that they broke."""
    scrubbed: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    """File -> why."""
    samples: dict[str, list[str]] = field(default_factory=dict)
    """Some of what each rule dropped."""
    seconds: dict[str, float] = field(default_factory=dict)
    """CPU time of each step."""

    def drop(self, rule: str, text: str) -> None:
        self.dropped[rule] = self.dropped.get(rule, 0) + 1
        shown = self.samples.setdefault(rule, [])
        if len(shown) < SHOWN:
            shown.append(text[:SHOWN_CHARACTERS])

    def add(self, other: "Counts") -> None:
        for name in ("files", "read_bytes", "documents", "kept", "kept_bytes", "mended"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.unreadable |= other.unreadable
        for rule, texts in other.samples.items():
            self.samples[rule] = [*self.samples.get(rule, []), *texts][:SHOWN]
        _add(self.dropped, other.dropped)
        _add(self.scrubbed, other.scrubbed)
        _add(self.seconds, other.seconds)


N = TypeVar("N", int, float)


def _add(to: dict[str, N], more: dict[str, N]) -> None:
    for key, number in more.items():
        to[key] = to.get(key, 0) + number


def clean(lot: Lot, rules: Rules, folder: Path) -> tuple[Path, Path]:
    """Writes NAME-NUMBER-HASH.jsonl and .json into folder, unless they are there, and returns their paths."""
    name = f"{lot.source.name}-{lot.number:04d}-{lot.identity}"
    documents, counts_file = folder / f"{name}.jsonl", folder / f"{name}.json"
    if not counts_file.exists():  # written last
        counts = Counts()
        with replacing(documents) as out:
            for document in _documents(lot, rules, counts):
                out.write(msgspec.json.encode(document) + b"\n")
        with replacing(counts_file) as out:
            out.write(json.dumps(msgspec.to_builtins(counts), ensure_ascii=False, indent=1).encode())
    return documents, counts_file


def _documents(lot: Lot, rules: Rules, counts: Counts) -> Iterator[Document]:
    for file in lot.files:
        counts.files += 1
        counts.read_bytes += file.size
        try:
            for n, text in enumerate(_timed(texts_of(file.path, lot.source.format), counts)):
                counts.documents += 1
                kept = _kept(text, rules, counts)
                if kept is not None:
                    counts.kept += 1
                    counts.kept_bytes += len(kept.encode())
                    yield Document(
                        text=kept, source=lot.source.name, origin=f"{file.origin}#{n}", licence=lot.source.licence,
                        language=file.language,
                    )  # fmt: skip
        except Unreadable as e:
            counts.unreadable[file.origin] = str(e)


def _kept(text: str, rules: Rules, counts: Counts) -> str | None:
    with _step("mend", counts):
        mended = mend(text)
    counts.mended += mended != text
    with _step("judge", counts):
        broken = fault(mended, rules)
    if broken is not None:
        counts.drop(broken, mended)
        return None
    with _step("scrub", counts):
        return scrub(mended, counts.scrubbed)


@contextmanager
def _step(name: str, counts: Counts) -> Iterator[None]:
    began = time.thread_time()
    yield
    counts.seconds[name] = counts.seconds.get(name, 0.0) + time.thread_time() - began


def _timed(texts: Iterator[str], counts: Counts) -> Iterator[str]:
    while True:
        with _step("read", counts):
            text = next(texts, None)
        if text is None:
            return
        yield text
