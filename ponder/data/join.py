"""The lots become one text: without lines that a source's documents share, without documents that repeat another.

Both need to see all documents, so they are done in one process, in the order of the sources.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from ponder.core.atomic import replacing
from ponder.data.document import Document
from ponder.data.recipe import PACKAGED, DataRecipe
from ponder.data.report import Report
from ponder.data.steps.counts import Counts
from ponder.data.steps.duplicates import Duplicates, Encode
from ponder.data.steps.lines import SharedLines
from ponder.text.tokenizer.tokenizer import Tokenizer


def join(files: Sequence[Path], recipe: DataRecipe, text: Path, report: Report) -> str:
    """files: lots, those of a source one after the other. Writes the text, and returns its SHA-256."""
    lines = {source.name: SharedLines(source.shared_lines) for source in recipe.sources}
    counts, digest = report.joined, hashlib.sha256()
    for document in _read(files):
        with counts.step("count lines", len(document.text.encode())):
            lines[document.source].count(document.text)
    seen = Duplicates(recipe.similar, _encoder(recipe))
    with replacing(text) as out:
        for document in _read(files):
            kept = _without_lines(document, lines[document.source], recipe.cleaning.rules.shortest, counts)
            if kept is None:
                continue
            with counts.step("repeated documents", len(kept.text.encode())):
                earlier = seen.earlier(kept.origin, kept.text)
            if earlier is not None:
                report.repeated(kept, earlier)
                continue
            report.kept(kept)
            line = msgspec.json.encode(kept) + b"\n"
            digest.update(line)
            out.write(line)
    return digest.hexdigest()


def _encoder(recipe: DataRecipe) -> Encode | None:
    if recipe.tokenizer is None:
        return None
    if recipe.tokenizer == PACKAGED:
        return Tokenizer.packaged().encode
    return Tokenizer.from_path(recipe.folder / recipe.tokenizer).encode


def _read(files: Sequence[Path]) -> Iterator[Document]:
    decoder = msgspec.json.Decoder(Document)
    for path in files:
        with path.open("rb") as lines:
            yield from map(decoder.decode, lines)


def _without_lines(document: Document, lines: SharedLines, shortest: int, counts: Counts) -> Document | None:
    with counts.step("shared lines", len(document.text.encode())):
        text = lines.without(document.text)
    if text == document.text:
        return document
    counts.mended += 1
    if len(text) < shortest:
        counts.drop("nothing but shared lines", document.text)
        return None
    return msgspec.structs.replace(document, text=text)
