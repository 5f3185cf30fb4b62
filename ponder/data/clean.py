"""One lot: its files read, and their documents cleaned, into one file of documents and one of counts."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ponder.core.atomic import replacing
from ponder.data.document import Document, Left, Unreadable
from ponder.data.extract.models import AtWork, Models, at_work
from ponder.data.plan import Lot
from ponder.data.read.reading import Reading, Texts
from ponder.data.read.table import texts_of
from ponder.data.steps.cleaner import CODE, Cleaning, cleaner
from ponder.data.steps.counts import Counts, Work


def clean(lot: Lot, cleaning: Cleaning, models: Models, folder: Path) -> tuple[Path, Path]:
    """Writes NAME-NUMBER-HASH.jsonl and .json into folder, unless they are there, and returns their paths."""
    name = f"{lot.source.name}-{lot.number:04d}-{lot.identity}"
    documents, counts_file = folder / f"{name}.jsonl", folder / f"{name}.json"
    if not counts_file.exists():  # written last
        counts = Counts()
        with replacing(documents) as out:
            for document in _documents(lot, cleaning, at_work(models), counts):
                out.write(msgspec.json.encode(document) + b"\n")
        with replacing(counts_file) as out:
            out.write(json.dumps(msgspec.to_builtins(counts), ensure_ascii=False, indent=1).encode())
    return documents, counts_file


def _documents(lot: Lot, cleaning: Cleaning, models: AtWork, counts: Counts) -> Iterator[Document]:
    steps = cleaner(cleaning)
    how = Reading(field=lot.source.field, read_page=models.pages(counts))
    labels: dict[str, str | float] = {"field": CODE} if lot.source.format == CODE else {}
    for file in lot.files:
        counts.files += 1
        counts.read_bytes += file.size
        try:
            for n, text in enumerate(_timed(texts_of(file.path, lot.source.format, how), file.size, counts)):
                if isinstance(text, Left):
                    counts.drop(text.rule, f"{file.origin}: {text.what}")
                    continue
                document = Document(
                    text=models.corrected(text, lot.source.name, counts), source=lot.source.name,
                    origin=f"{file.origin}#{n}", licence=lot.source.licence, language=file.language,
                    labels=labels,
                )  # fmt: skip
                cleaned = steps.clean(document, counts)
                if cleaned is not None:
                    yield cleaned
        except Unreadable as e:
            counts.unreadable[file.origin] = str(e)


def _timed(texts: Texts, size: int, counts: Counts) -> Texts:
    """Reading in `work`: a file's bytes count once."""
    work = counts.work.setdefault("read", Work())
    work.bytes += size
    while True:
        began = time.thread_time()
        text = next(texts, None)
        work.seconds += time.thread_time() - began
        if text is None:
            return
        work.documents += 1
        yield text
