"""The models of a recipe: what its sections [scans] and [correct] say."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from ponder.core.errors import UserError
from ponder.data.extract import correct, scans
from ponder.data.extract.correct import Correct, Corrected
from ponder.data.extract.endpoint import Asked
from ponder.data.extract.scans import Scans, Tesseract, Vision, page_reader
from ponder.data.read.reading import ReadPage
from ponder.data.sections import section, unknown
from ponder.data.steps.counts import Counts

SCANS: dict[object, type[Vision] | type[Tesseract]] = {"model": Vision, "tesseract": Tesseract}


class Models(Struct, frozen=True):
    answers: Path | None = None
    """Where they are kept."""
    scans: Scans | None = None
    correct: Correct | None = None

    def identity(self, source: str) -> str:
        """Of what they do to a source; not where they are."""
        parts: list[Any] = []
        if isinstance(self.scans, Vision):
            parts.append(["scans", self.scans.model, self.scans.max_tokens, scans.PROMPT])
        elif self.scans is not None:
            parts.append(["scans", self.scans])
        if self.correct is not None and source in self.correct.sources:
            parts.append(["correct", self.correct.model, self.correct.max_tokens, correct.PROMPT])
        return msgspec.json.encode(parts).decode() if parts else ""


def models_of(raw: Mapping[str, Any], path: Path, sources: list[str]) -> Models:
    """The sections of a recipe. Raises UserError."""
    for name in ("scans", "correct"):
        if not isinstance(raw.get(name, {}), dict):
            raise UserError(f"{path}: {name} is a section, [{name}]", param=name)
    pages: Scans | None = None
    if "scans" in raw:
        by = raw["scans"].get("by", "model")
        if by not in SCANS:
            raise UserError(f"{path}, scans: {unknown('reader of pages', by, map(str, SCANS))}", param="by")
        pages = section({key: value for key, value in raw["scans"].items() if key != "by"}, SCANS[by], f"{path}, scans")
    corrector = section(raw["correct"], Correct, f"{path}, correct") if "correct" in raw else None
    for source in corrector.sources if corrector is not None else ():
        if source not in sources:
            raise UserError(f"{path}, correct: {unknown('source', source, sources)}", param="sources")
    return Models(scans=pages, correct=corrector)


class AtWork:
    """The models of a recipe, in the process that asks them."""

    def __init__(self, models: Models) -> None:
        self._correct = models.correct
        self._asked: Asked | None = None
        self.read_page: ReadPage | None = None
        if models.answers is not None and models.scans is not None:
            self.read_page = page_reader(models.scans, models.answers)
        if models.answers is not None and models.correct is not None:
            self._asked = Asked(models.correct, models.answers)

    def pages(self, counts: Counts) -> ReadPage | None:
        """read_page, counted."""
        if self.read_page is None:
            return None
        return _counted(self.read_page, counts)

    def corrected(self, text: str, source: str, counts: Counts) -> str:
        if self._asked is None or self._correct is None or source not in self._correct.sources:
            return text
        done = Corrected()
        text = done.text(text, self._asked)
        for before, after in done.taken:
            counts.by_model("corrections taken", f"{before}\n---\n{after}")
        for before, after in done.refused:
            counts.by_model("corrections refused", f"{before}\n---\n{after}")
        return text


def _counted(read: Callable[[bytes], str | None], counts: Counts) -> ReadPage:
    def one(picture: bytes) -> str | None:
        text = read(picture)
        counts.by_model("pages read" if text else "pages not read", text or "")
        return text

    return one


@cache
def at_work(models: Models) -> AtWork:
    """Made once in a process."""
    return AtWork(models)
