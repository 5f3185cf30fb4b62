"""The tests that no document may hold: files of benchmarks, and the test questions of our own tasks."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from ponder.core.errors import UserError
from ponder.data.steps.contamination import Item
from ponder.tasks.table import tasks_named


class HeldOutSet(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A `[[held_out]]` section of a recipe."""

    name: str
    files: tuple[str, ...] = ()
    """Patterns of JSON files, lists or one object a line."""
    question: str = "question"
    """The field of an item that asks."""
    answer: str = "answer"
    """The field with its answer or solution; items may lack it."""
    tasks: tuple[str, ...] = ()
    """Names of our own tasks: the questions of their split `test`."""
    each: int = 200
    """Questions of a level of a task, at most."""

    def __post_init__(self) -> None:
        if not self.files and not self.tasks:
            raise UserError(f"the held-out set {self.name} has neither files nor tasks", param="files")
        tasks_named(self.tasks)


def items(held_out: HeldOutSet, folder: Path) -> list[Item]:
    """folder: where patterns begin. Raises UserError for files that are not there or hold no questions."""
    found = [item for path in _files(held_out, folder) for item in _of_file(held_out, path)]
    for task in tasks_named(held_out.tasks):
        for level in range(task.levels):
            rng = random.Random(f"{task.name} {level}")
            problems = [task.make(rng, level, "test") for _ in range(held_out.each)]
            found += [Item(p.messages[0].text, task.answer(p)) for p in {p.id: p for p in problems}.values()]
    return found


def _files(held_out: HeldOutSet, folder: Path) -> list[Path]:
    paths: list[Path] = []
    for pattern in held_out.files:
        start = Path(Path(pattern).anchor) if Path(pattern).is_absolute() else folder
        matches = sorted(path for path in start.glob(pattern.lstrip("/")) if path.is_file())
        if not matches:
            raise UserError(f"held-out set {held_out.name}: no file below {start} is called {pattern}", param="files")
        paths += matches
    return paths


def _of_file(held_out: HeldOutSet, path: Path) -> Iterator[Item]:
    for number, row in enumerate(_rows(path), 1):
        question, answer = row.get(held_out.question), row.get(held_out.answer, "")
        if not isinstance(question, str):
            raise UserError(
                f"held-out set {held_out.name}: item {number} of {path} has no text under {held_out.question!r}; "
                f"it has {', '.join(row)}: name its field with `question`",
                param="question",
            )
        yield Item(question, answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False))


def _rows(path: Path) -> list[dict[str, Any]]:
    text = path.read_text("utf-8")
    try:
        rows = (
            json.loads(text)
            if text.lstrip().startswith("[")
            else [json.loads(x) for x in text.split("\n") if x.strip()]
        )
    except json.JSONDecodeError as e:
        raise UserError(f"{path} is no JSON: {e}", param="files") from e
    if not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} is no list of items: each must be an object with a question", param="files")
    return rows
