"""`ponder data label`: from a finished text to an annotator, by a teacher or by labels that are given.

FOLDER/labels.jsonl    what teachers said about a sample of FOLDER/text.jsonl; nothing is asked twice
OUT                    the annotator; `annotator = "OUT"` in a recipe labels every document with it
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from ponder.core.errors import UserError
from ponder.data.document import Document
from ponder.data.label.labels import Labels
from ponder.data.label.learn import Agreement, learn
from ponder.data.label.teacher import Ask, label
from ponder.data.run import TEXT

REPLIES = "labels.jsonl"
Tick = Callable[[int, int], None]


class Given(Struct):
    """A line of a file of labels: what a text.jsonl has, too."""

    text: str
    labels: Labels


def by_teacher(folder: Path, out: Path, ask: Ask, *, teacher: str, count: int, in_flight: int, tick: Tick) -> str:
    """Returns a page about it. Raises UserError for too few labels."""
    documents = sample(_documents(folder / TEXT), count)
    done = label(documents, ask, teacher=teacher, kept=folder / REPLIES, in_flight=in_flight, tick=tick)
    told = (
        f"{len(done.labels):,} documents labelled by {teacher}, {len(done.unlabelled):,} not, for its replies made no "
        f"sense. {done.asked:,} questions were asked this time."
    )
    pairs = [(document.text, done.labels[document.id]) for document in documents if document.id in done.labels]
    return _learned(pairs, out, told)


def by_files(files: Iterable[Path], out: Path) -> str:
    pairs = [(given.text, given.labels) for path in files for given in _given(path)]
    return _learned(pairs, out, f"{len(pairs):,} labelled documents were given.")


def sample(documents: Iterable[Document], count: int) -> list[Document]:
    """At most `count` documents, in turn from each source and language as long as it has any; by their hash, so that
    the same text is drawn again."""
    groups: dict[tuple[str, str], dict[str, Document]] = {}
    for document in documents:
        group = groups.setdefault((document.source, document.language), {})
        group[hashlib.sha256(document.id.encode()).hexdigest()] = document
        if len(group) > 2 * count:
            groups[document.source, document.language] = dict(sorted(group.items())[:count])
    ordered = [[group[key] for key in sorted(group)] for group in groups.values()]
    longest = max(map(len, ordered), default=0)
    return [group[n] for n in range(longest) for group in ordered if n < len(group)][:count]


def _documents(path: Path) -> Iterator[Document]:
    decoder = msgspec.json.Decoder(Document)
    try:
        with path.open("rb") as lines:
            yield from map(decoder.decode, lines)
    except FileNotFoundError as e:
        raise UserError(f"there is no {path}: name the folder of a finished `ponder data`", param="folder") from e


def _given(path: Path) -> Iterator[Given]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield msgspec.json.decode(line, type=Given, strict=False)
            except (msgspec.DecodeError, UnicodeError) as e:
                raise UserError(f"{path}, line {number}: {e}; a line has a text and its labels", param="labels") from e


def _learned(pairs: list[tuple[str, Labels]], out: Path, told: str) -> str:
    annotator, agreements = learn(pairs)
    annotator.save(out)
    return f"{told}\n\n{table(agreements)}"


def table(agreements: Iterable[Agreement]) -> str:
    rows = ["| label | held out | annotator agrees | most frequent value | kappa |", "|---|---|---|---|---|"]
    rows += [f"| {a.label} | {a.documents:,} | {a.right:.1%} | {a.usual:.1%} | {a.kappa:.2f} |" for a in agreements]
    return "\n".join(rows)
