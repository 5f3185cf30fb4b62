"""Text to learn a language from, written by the tasks: questions, thoughts and answers of the train split."""

from collections.abc import Iterator, Mapping
from itertools import islice

import msgspec
from msgspec import field

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.data.document import Document
from ponder.data.procedural import documents
from ponder.tasks.table import tasks_named
from ponder.train.stage import TEXT, Context, TextStage

Levels = dict[str, tuple[int, ...]]


class WriteText(TextStage, frozen=True, kw_only=True, tag="text"):
    tasks: tuple[str, ...]
    documents: int
    levels: Levels = field(default_factory=dict)
    """Of a task, by its name; all that it has where it is not named."""
    each: int = 1
    """Problems of a document, one after the other: long documents."""
    labels: dict[str, str] = field(default_factory=dict)
    """Of all documents, for mixtures: { field = "stem" }."""

    def __post_init__(self) -> None:
        check_tasks(self.tasks, self.levels)
        if self.documents < 1 or self.each < 1:
            raise UserError("documents must be 1 or more: there is nothing to learn from nothing", param="documents")

    def run(self, ctx: Context) -> None:
        with replacing(ctx.folder / TEXT) as file:
            for n, text in enumerate(self._texts(ctx.seed, self.documents)):
                document = Document(text=text, source=self.name, origin=f"#{n}", language="eng_Latn")
                document.labels.update(self.labels)
                file.write(msgspec.json.encode(document) + b"\n")

    def some(self, seed: int, count: int) -> list[str]:
        return list(self._texts(seed, min(count, self.documents)))

    def _texts(self, seed: int, count: int) -> Iterator[str]:
        single = documents(tasks_named(self.tasks), self.levels, seed=seed, count=count * self.each)
        return ("\n".join(islice(single, self.each)) for _ in range(count))


def check_tasks(names: tuple[str, ...], levels: Levels, data: Mapping[str, str] | None = None) -> None:
    """Raises UserError with the nearest name of a task that there is not, and for levels that it does not have."""
    if not names:
        raise UserError("a stage without tasks has no data", param="tasks")
    found = {task.name: task for task in tasks_named(names, data)}
    for name, wanted in levels.items():
        if name not in found:
            raise UserError(
                f"levels are given for {name}, which is not among the tasks {', '.join(names)}", param="levels"
            )
        if not wanted:
            raise UserError(f"{name} has no levels: leave it out to take all", param="levels")
        for level in wanted:
            found[name].check_level(level)
