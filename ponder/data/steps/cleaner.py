"""The steps that look at one document alone, in their order: mend, judge, identify, held-out tests, scrub, label."""

import hashlib
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from ponder.data.document import Document
from ponder.data.identify.identifier import Identifier
from ponder.data.label.annotator import Annotator
from ponder.data.steps.contamination import HeldOut
from ponder.data.steps.counts import Counts
from ponder.data.steps.held_out import HeldOutSet, items
from ponder.data.steps.language import CONTRADICTED, Languages
from ponder.data.steps.mend import mend
from ponder.data.steps.quality import Rules, fault
from ponder.data.steps.scrub import scrub

CODE = "code"
"""The label `field` of documents that are in no language of people."""


class Cleaning(Struct, frozen=True, kw_only=True):
    """What a recipe decides about these steps."""

    folder: Path
    """Where the patterns of files begin."""
    rules: Rules = Rules()
    languages: Languages = Languages()
    held_out: tuple[HeldOutSet, ...] = ()
    annotator: Path | None = None
    """That `ponder data label` wrote."""
    identity: str
    """Another for whatever gives other documents: the files that are used count with what is in them."""


def cleaning(
    folder: Path, rules: Rules, languages: Languages, held_out: tuple[HeldOutSet, ...], annotator: Path | None
) -> Cleaning:
    """Reads the files that it names. Raises UserError where they are not what they should be."""
    tests = [[each.name, items(each, folder)] for each in held_out]
    labels = _digest(annotator) if annotator else None
    what = [rules, languages, Identifier.packaged().identity(), tests, labels]
    identity = hashlib.sha256(msgspec.json.encode(what)).hexdigest()
    return Cleaning(
        folder=folder, rules=rules, languages=languages, held_out=held_out, annotator=annotator, identity=identity
    )


def _digest(annotator: Path) -> str:
    Annotator.load(annotator)  # a file that is none is told now
    return hashlib.sha256(annotator.read_bytes()).hexdigest()


class Cleaner:
    def __init__(self, what: Cleaning) -> None:
        self._rules, self._languages = what.rules, what.languages
        self._identifier = Identifier.packaged()
        self._held_out = HeldOut({each.name: items(each, what.folder) for each in what.held_out})
        self._annotator = Annotator.load(what.annotator) if what.annotator else None

    def clean(self, document: Document, counts: Counts) -> Document | None:
        """None for one that is left out; counts say why."""
        size = len(document.text.encode())
        counts.documents += 1
        with counts.step("mend", size):
            text = mend(document.text)
        counts.mended += text != document.text
        language = self._allowed(text, document, size, counts)
        if language is None:
            return None
        with counts.step("scrub", size):
            text = scrub(text, counts.scrubbed)
        labels = document.labels
        if self._annotator:
            with counts.step("label", size):
                labels = {**self._annotator.labels(text), **labels}  # what the source knows is not guessed
        counts.kept += 1
        counts.kept_bytes += len(text.encode())
        return msgspec.structs.replace(document, text=text, language=language, labels=labels)

    def _allowed(self, text: str, document: Document, size: int, counts: Counts) -> str | None:
        """Its language, or None for what breaks a rule."""
        with counts.step("judge", size):
            broken = fault(text, self._rules)
        if broken is not None:
            counts.drop(broken, text)
            return None
        language: str | None = document.language
        if document.labels.get("field") != CODE:
            with counts.step("identify", size):
                language = self._languages.language(document.language, text, self._identifier)
        if language is None:
            counts.drop(CONTRADICTED, f"{document.language}: {text}")
            return None
        if self._held_out.items:
            with counts.step("held-out tests", size):
                hit = self._held_out.found(text)
            if hit is not None:
                counts.drop(f"holds {hit.set}", hit.words)
                return None
        return language


@cache
def cleaner(what: Cleaning) -> Cleaner:
    """Made once in a process."""
    return Cleaner(what)
