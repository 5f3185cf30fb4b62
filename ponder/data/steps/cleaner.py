"""The steps that look at one document alone, in their order: mend, judge, held-out tests, scrub."""

import hashlib
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from ponder.data.document import Document
from ponder.data.steps.contamination import HeldOut
from ponder.data.steps.counts import Counts
from ponder.data.steps.held_out import HeldOutSet, items
from ponder.data.steps.mend import mend
from ponder.data.steps.quality import Rules, fault
from ponder.data.steps.scrub import scrub


class Cleaning(Struct, frozen=True, kw_only=True):
    """What a recipe decides about these steps."""

    folder: Path
    """Where the patterns of files begin."""
    rules: Rules = Rules()
    held_out: tuple[HeldOutSet, ...] = ()
    identity: str
    """Another for whatever gives other documents: the files that are used count with what is in them."""


def cleaning(folder: Path, rules: Rules, held_out: tuple[HeldOutSet, ...]) -> Cleaning:
    """Reads the files that it names. Raises UserError where they are not what they should be."""
    tests = [[each.name, items(each, folder)] for each in held_out]
    identity = hashlib.sha256(msgspec.json.encode([rules, tests])).hexdigest()
    return Cleaning(folder=folder, rules=rules, held_out=held_out, identity=identity)


class Cleaner:
    def __init__(self, what: Cleaning) -> None:
        self._rules = what.rules
        self._held_out = HeldOut({each.name: items(each, what.folder) for each in what.held_out})

    def clean(self, document: Document, counts: Counts) -> Document | None:
        """None for one that is left out; counts say why."""
        size = len(document.text.encode())
        counts.documents += 1
        with counts.step("mend", size):
            text = mend(document.text)
        counts.mended += text != document.text
        with counts.step("judge", size):
            broken = fault(text, self._rules)
        if broken is not None:
            counts.drop(broken, text)
            return None
        if self._held_out.items:
            with counts.step("held-out tests", size):
                hit = self._held_out.found(text)
            if hit is not None:
                counts.drop(f"holds {hit.set}", hit.words)
                return None
        with counts.step("scrub", size):
            text = scrub(text, counts.scrubbed)
        counts.kept += 1
        counts.kept_bytes += len(text.encode())
        return msgspec.structs.replace(document, text=text)


@cache
def cleaner(what: Cleaning) -> Cleaner:
    """Made once in a process."""
    return Cleaner(what)
