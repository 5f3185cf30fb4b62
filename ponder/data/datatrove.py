"""The steps of `ponder data` as steps of datatrove, for pipelines of many machines (its Slurm and Ray executors).

    recipe = read_recipe(Path("my.toml"))
    LocalPipelineExecutor([JsonlReader("in"), Clean(recipe.cleaning), JsonlWriter("clean")], tasks=64).run()
    LocalPipelineExecutor([JsonlReader("clean"), Join(similar=0.8), JsonlWriter("text")], tasks=1).run()

`pip install 'ponder-llm[data-scale]'`. A document's `metadata` may have `source`, `licence`, `language` and `labels`;
language and labels come out there. Join sees all documents, so it is one task, the last.
"""

import tempfile
from collections.abc import Iterator

import msgspec
from datatrove.data import Document as Parcel
from datatrove.data import DocumentsPipeline
from datatrove.pipeline.base import PipelineStep
from datatrove.utils.typeshelper import StatHints

from ponder.core.errors import UserError
from ponder.data.document import Document
from ponder.data.steps.cleaner import Cleaning, cleaner
from ponder.data.steps.counts import Counts
from ponder.data.steps.duplicates import Duplicates
from ponder.data.steps.lines import SharedLines


class _Step(PipelineStep):  # type: ignore[misc]  # datatrove has no types
    type = "PONDER"

    def tell(self, counts: Counts) -> None:
        for rule, n in counts.dropped.items():
            self.stat_update(f"dropped_{rule.replace(' ', '_')}", value=n)
        self.stat_update(StatHints.dropped, value=sum(counts.dropped.values()))
        for kind, n in counts.scrubbed.items():
            self.stat_update(f"scrubbed_{kind}", value=n)


class Clean(_Step):
    """Mend, judge, identify, held-out tests, scrub, label: what a recipe decides about single documents."""

    name = "clean"

    def __init__(self, cleaning: Cleaning) -> None:
        super().__init__()
        self.cleaning = cleaning

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        steps, counts = cleaner(self.cleaning), Counts()
        for parcel in data:
            self.stat_update(StatHints.total)
            with self.track_time():
                document = steps.clean(_opened(parcel), counts)
            if document is not None:
                self.stat_update(StatHints.forwarded)
                yield _wrapped(document, parcel)
        self.tell(counts)


class Join(_Step):
    """Leaves out lines that documents share and documents that repeat another. One task: it must see all of them."""

    name = "join"

    def __init__(self, similar: float = 0.8, shared_lines: int = 10, shortest: int = 100) -> None:
        super().__init__()
        self.similar, self.shared_lines, self.shortest = similar, shared_lines, shortest

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        if world_size != 1:
            raise UserError("Join compares every document with every other: give its executor tasks=1", param="tasks")
        lines: dict[str, SharedLines] = {}
        counts, seen = Counts(), Duplicates(self.similar)
        with tempfile.TemporaryFile() as kept:
            for parcel in data:
                source = _opened(parcel).source
                lines.setdefault(source, SharedLines(self.shared_lines)).count(parcel.text)
                kept.write(msgspec.json.encode([parcel.id, parcel.text, parcel.metadata]) + b"\n")
            kept.seek(0)
            for parcel in _parcels(kept):
                self.stat_update(StatHints.total)
                with self.track_time():
                    document = _opened(parcel)
                    text = lines[document.source].without(document.text)
                    if text != document.text and len(text) < self.shortest:
                        counts.drop("nothing but shared lines", text)
                        continue
                    if seen.earlier(document.origin, text) is not None:
                        counts.drop("repeats an earlier one", text)
                        continue
                self.stat_update(StatHints.forwarded)
                yield _wrapped(msgspec.structs.replace(document, text=text), parcel)
        self.tell(counts)


def _parcels(lines: Iterator[bytes]) -> Iterator[Parcel]:
    for line in lines:
        id_, text, metadata = msgspec.json.decode(line)
        yield Parcel(text=text, id=id_, metadata=metadata)


def _opened(parcel: Parcel) -> Document:
    told = parcel.metadata
    return Document(
        text=parcel.text, source=str(told.get("source", "")), origin=parcel.id, licence=str(told.get("licence", "")),
        language=str(told.get("language", "")), labels=dict(told.get("labels", {})),
    )  # fmt: skip


def _wrapped(document: Document, parcel: Parcel) -> Parcel:
    told = {"language": document.language, **({"labels": document.labels} if document.labels else {})}
    return Parcel(text=document.text, id=parcel.id, media=parcel.media, metadata={**parcel.metadata, **told})
